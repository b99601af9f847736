"""Search a space for the best networks for a data set."""
