"""Coastlines: Natural Earth 1:110m land, packaged."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from equiload.envs.typing import FloatArray


def land() -> list[FloatArray]:
    """Return closed or open lines ``[·, 2]`` of longitude and latitude in degrees."""
    text = (files(__package__) / "land.csv").read_text(encoding="utf-8")
    rings = (np.array(line.split(), dtype=np.float64) for line in text.splitlines()[1:])
    return [part for ring in rings for part in _cut(ring.reshape(-1, 2))]


def coastlines() -> FloatArray:
    """All lines as one, ``[·, 2]``, NaN between them: what draws lines leaves gaps there."""
    return np.vstack([part for line in land() for part in (line, np.full((1, 2), np.nan))])


def _cut(ring: FloatArray) -> list[FloatArray]:
    """A ring's parts on either side of the date line."""
    jumps = np.flatnonzero(np.abs(np.diff(ring[:, 0])) > 180) + 1
    return np.split(ring, jumps)
