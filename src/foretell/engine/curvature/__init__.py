"""The curvature along the weights, by tangents."""
