"""Where the samples of a batch are in each tensor that is computed from them."""
