"""Hydra entry points, metrics, figures."""
