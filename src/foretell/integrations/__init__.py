"""foretell inside other libraries: a module for each, which imports that library."""
