"""What the predictions experiment measures: an algorithm's gap under one kind and size of error."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class PredictionScore:
    """A case over the draws.

    ``algorithm`` is the case's label, ``advice`` its algorithm without the robust layer. ``gap`` is
    the mean of ``(J − bound) / |bound|`` with eGLB-Off's certified bound, ``low`` to ``high`` its
    bootstrap interval. ``price_mape`` and ``footprint_mape`` say how wrong the forecasts were
    (weighted MAPE, the mean over footprint kinds); 0 for references, which see none.
    """

    error: str
    size: float
    algorithm: str
    advice: str
    rho: float | None
    gap: float
    low: float
    high: float
    price_mape: float
    footprint_mape: float
