"""The rules that follow the samples of a batch through operations."""
