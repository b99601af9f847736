"""Observers of a forward pass, each of which records the values that a quantity needs."""
