"""Hessian-vector products Hw along the weights, computed with tangents."""
