"""How one order agrees with another, and how sure one can be; knows nothing of networks."""
