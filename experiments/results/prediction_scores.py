"""What the predictions experiment measures: an algorithm's gap under one kind and size of error."""

from __future__ import annotations

from typing import NamedTuple

#: Names in place of an error's: algorithms that see no such forecast, and the forecast without one.
REFERENCE, PERFECT = "none", "perfect"


class Case(NamedTuple):
    """What was run: an error, its size, an algorithm and, under the robust layer, its ρ."""

    error: str
    size: float
    algorithm: str
    rho: float | None = None

    @property
    def label(self) -> str:
        """The algorithm as it stands in tables."""
        return self.algorithm if self.rho is None else f"Robust({self.algorithm}), ρ = {self.rho:g}"
