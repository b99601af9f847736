"""The engine: computes the quantities that proxies request, in as few passes as possible."""
