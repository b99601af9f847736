"""Rank statistics of scores and accuracies, with confidence intervals; independent of PyTorch."""
