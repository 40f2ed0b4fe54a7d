"""How programs run: configuration, sources, jobs, sweeps, progress, whole files."""
