"""Observers of a forward pass: each notes what a quantity needs."""
