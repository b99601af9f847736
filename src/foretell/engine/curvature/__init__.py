"""Hessian-vector products along the weights, computed with tangents."""
