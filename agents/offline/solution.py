"""What an offline solver returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from equiload.envs import Instance, Objective, Outcome, State, dual_bound
from equiload.envs.typing import FloatArray
from equiload.envs.validation import LARGEST, SMALLEST

#: Relative gap up to which a solution counts as optimal, unless another is asked for.
TOLERANCE = 1e-6


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
    start
        State before the first slot, whose footprints the maximum counts too.
    """

    outcome: Outcome
    weights: FloatArray
    lower_bound: float
    status: str
    stats: Mapping[str, Any] = field(default_factory=dict)
    start: State | None = None

    @property
    def objective(self) -> float:
        """``J``, US$, with what was there at the start: an upper bound on the optimum."""
        if self.start is None:
            return float(self.outcome.objective)
        highest = (self.start.footprint + self.outcome.footprint).max(-1)
        return float(self.outcome.energy_cost + highest @ self.outcome.instance.objective.mu)

    @property
    def gap(self) -> float:
        """Certified relative gap, see :func:`relative_gap`."""
        return relative_gap(self.objective, self.lower_bound, float(self.outcome.gross))

    def allocation(self, t: int) -> FloatArray:
        """``[J, N]``: an allocation of slot ``t`` per gateway with the solution's loads."""
        fleet, trace = self.outcome.instance.fleet, self.outcome.instance.trace
        return fleet.dispatch.split(self.outcome.load[t], trace.demand[t])

    @classmethod
    def certified(
        cls,
        outcome: Outcome,
        weights: FloatArray,
        stats: Mapping[str, Any],
        start: State | None = None,
    ) -> Solution:
        """Solution whose bound is evaluated here, whatever solver the weights came from.

        It is called optimal only if that bound confirms it.
        """
        bound = float(dual_bound(outcome.instance, weights, start=start).value)
        solution = cls(
            outcome=outcome,
            weights=weights,
            lower_bound=bound,
            status="optimal",
            stats=stats,
            start=start,
        )
        if abs(solution.gap) <= TOLERANCE:
            return solution
        return dataclasses.replace(solution, status=f"inaccurate: the gap is {solution.gap:.1e}")


class OfflineSolver(Protocol):
    """Sees the whole instance, the future included."""

    def solve(self, instance: Instance) -> Solution:
        """Return an allocation for every slot."""
        ...


def relative_gap(objective: float, lower_bound: float, gross: float) -> float:
    """``(J − lower bound) / |lower bound|``.

    Where positive and negative costs all but cancel, the bound says nothing of how large the
    numbers are; 1e-6 of ``gross``, ``J`` with every cost taken positive, then stands in its place.
    """
    scale = max(abs(lower_bound), 1e-6 * gross)
    return (objective - lower_bound) / scale if scale > 0 else 0.0


def normalised(instance: Instance) -> tuple[Instance, float, float]:
    """Return the problem in units in which its numbers are near 1, with those of load and price.

    Solvers' tolerances are absolute. Loads of the solution are in units of so many MWh, prices and
    routing costs of so many US$/MWh; the simplex weights are the same.
    """
    fleet, trace = instance.fleet, instance.trace
    load = float(trace.demand.max()) or 1.0
    highest = trace.intensity.max(axis=(-1, -2))
    weight, footprint = instance.objective.mu * highest, np.where(highest > 0, highest, 1.0)
    routing = 0.0 if fleet.routing_cost is None else float(np.abs(fleet.routing_cost).max())
    money = max(float(np.abs(trace.price).max()), routing, float(weight.max())) or 1.0
    kinds = trace.footprints
    scaled = instance.replace(
        fleet=fleet.replace(
            capacity=_in_range(fleet.capacity / load),
            routing_cost=None
            if fleet.routing_cost is None
            else _in_range(fleet.routing_cost / money),
        ),
        trace=trace.replace(
            price=_in_range(trace.price / money),
            intensity=_in_range(trace.intensity / footprint[:, None, None]),
            demand=_in_range(trace.demand / load),
        ),
        objective=Objective(equity_weight=dict(zip(kinds, _in_range(weight / money), strict=True))),
    )
    return scaled, load, money


def _in_range(values: FloatArray) -> FloatArray:
    """As an instance's numbers may be: what is too small beside 1 to matter is 0."""
    return np.minimum(np.where(np.abs(values) < SMALLEST, 0.0, values), LARGEST)


def weights_from_duals(duals: FloatArray) -> FloatArray:
    """Simplex weights ``[K, R]`` from the multipliers of the rows ``S[k, r] <= highest[k]``.

    A kind whose multipliers are all zero (its equity weight is) gets equal weights.
    """
    positive = np.maximum(duals, 0.0)
    total = positive.sum(-1, keepdims=True)
    equal = np.full_like(positive, 1.0 / positive.shape[-1])
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), equal)
