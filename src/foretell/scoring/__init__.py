"""Scoring: one model, many models in order, what it costs, and the plan of it."""
