"""Runs: work done in any number of processes, kept as rows in a folder."""
