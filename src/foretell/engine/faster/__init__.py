"""Faster computations of the same values."""
