"""The engine: from the quantities that proxies ask for to the fewest passes over a model."""
