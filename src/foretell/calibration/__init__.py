"""Measure how useful scores are for your own task, from a few trained networks."""
