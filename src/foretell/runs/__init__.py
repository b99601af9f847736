"""Runs: work that is done in any number of processes, whose results are rows in a folder."""
