"""What a user runs: a module with a ``main`` per program, started by ``equiload NAME``."""
