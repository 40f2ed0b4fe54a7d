"""Hydra configuration: one group per choice."""
