"""Coastlines: Natural Earth 1:110m land, packaged."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from equiload.envs.typing import FloatArray


def land() -> list[FloatArray]:
    """Return closed or open lines ``[·, 2]`` of longitude and latitude in degrees."""
    text = (files(__package__) / "land.csv").read_text(encoding="utf-8")
    lines: list[FloatArray] = []
    for numbers in text.splitlines()[1:]:
        ring = np.array(numbers.split(), dtype=np.float64).reshape(-1, 2)
        over = np.flatnonzero(np.abs(np.diff(ring[:, 0])) > 180) + 1  # the date line: cut there
        lines += np.split(ring, over)
    return lines


def coastlines() -> FloatArray:
    """All lines as one, ``[·, 2]``, NaN between them: what draws lines leaves gaps there."""
    return np.vstack([part for line in land() for part in (line, np.full((1, 2), np.nan))])
