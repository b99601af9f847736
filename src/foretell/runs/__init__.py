"""Runs: work that is distributed to any number of processes and stored as rows in a folder."""
