"""The main job: find the best networks of a search space for a data set."""
