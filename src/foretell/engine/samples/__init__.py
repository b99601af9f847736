"""The rules by which the samples of a batch are followed through operations."""
