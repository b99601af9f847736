"""The main job: from a search space and a data set to the networks worth training."""
