"""What an offline solver returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from equiload.envs import Instance, Outcome, dual_bound
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """An allocation of the whole horizon with a certified bound on how far it is from the best.

    Parameters
    ----------
    outcome
        Loads and what follows from them; attains ``objective``.
    weights
        ``[K, R]``, the dual weights ``w*`` on the simplex: the best shadow prices found.
    lower_bound
        US$, below ``J`` of every allocation: the dual function at ``weights``.
    status
        ``"optimal"``, or why the solver stopped before the tolerance was met.
    stats
        What the solver did: method, rounds, seconds, ….
    """

    outcome: Outcome
    weights: FloatArray
    lower_bound: float
    status: str
    stats: Mapping[str, Any] = field(default_factory=dict)

    @property
    def objective(self) -> float:
        """``J``, US$: an upper bound on the optimum."""
        return float(self.outcome.objective)

    @property
    def gap(self) -> float:
        """Certified relative gap ``(J − lower bound) / |lower bound|``."""
        return relative_gap(self.objective, self.lower_bound)

    def allocation(self, t: int) -> FloatArray:
        """``[J, N]``: an allocation of slot ``t`` per gateway with the solution's loads."""
        fleet, trace = self.outcome.instance.fleet, self.outcome.instance.trace
        return fleet.dispatch.split(self.outcome.load[t], trace.demand[t])

    @classmethod
    def certified(
        cls, outcome: Outcome, weights: FloatArray, status: str, stats: Mapping[str, Any]
    ) -> Solution:
        """Solution whose bound is evaluated here, whatever solver the weights came from."""
        bound = float(dual_bound(outcome.instance, weights).value)
        return cls(outcome=outcome, weights=weights, lower_bound=bound, status=status, stats=stats)


class OfflineSolver(Protocol):
    """Sees the whole instance, the future included."""

    def solve(self, instance: Instance) -> Solution:
        """Return an allocation for every slot."""
        ...


def relative_gap(objective: float, lower_bound: float) -> float:
    """``(J − lower bound) / |lower bound|``; 0 where both are equal, 0 included."""
    difference = objective - lower_bound
    return (
        difference / abs(lower_bound) if lower_bound else (0.0 if difference == 0 else float("inf"))
    )


def weights_from_duals(duals: FloatArray) -> FloatArray:
    """Simplex weights ``[K, R]`` from the multipliers of the rows ``S[k, r] <= highest[k]``.

    A kind whose multipliers are all zero (its equity weight is) gets equal weights.
    """
    positive = np.maximum(duals, 0.0)
    total = positive.sum(-1, keepdims=True)
    equal = np.full_like(positive, 1.0 / positive.shape[-1])
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), equal)
