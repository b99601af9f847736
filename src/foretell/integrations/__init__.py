"""foretell in other libraries: one module per library, which imports it."""
