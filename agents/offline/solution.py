"""What an offline solver returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from equiload.envs import Fleet, Instance, Outcome, State, dual_bound
from equiload.envs.knobs.bound import knob_bound
from equiload.envs.knobs.prices import Prices
from equiload.envs.typing import FloatArray

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
    prices
        Shadow prices over time, of what there is beside routing: ``stored [T, N]``, say. None
        where there is nothing.
    """

    outcome: Outcome
    weights: FloatArray
    lower_bound: float
    status: str
    stats: Mapping[str, Any] = field(default_factory=dict)
    start: State | None = None
    prices: Prices | None = None

    def __repr__(self) -> str:
        told = f"J {self.objective:,.6g} US$, gap {self.gap:.2g}, {self.status}"
        return f"<Solution of {self.outcome.instance!r}: {told}>"

    @property
    def objective(self) -> float:
        """``J``, US$, with what was there at the start: an upper bound on the optimum."""
        if self.start is None:
            return float(self.outcome.objective)
        highest = (self.start.footprint + self.outcome.footprint).max(-1)
        return float(self.outcome.energy_cost + highest @ self.outcome.instance.objective.mu)

    @cached_property
    def gap(self) -> float:
        """Certified relative gap, see :func:`relative_gap`."""
        gross, instance = float(self.outcome.gross), self.outcome.instance
        if self.outcome.operation is not None:
            gross += at_stake(instance)
        return relative_gap(self.objective, self.lower_bound, gross)

    def allocation(self, t: int) -> FloatArray:
        """``[J, N]``: an allocation of slot ``t`` per gateway with the solution's loads."""
        fleet, operation = self.outcome.instance.fleet, self.outcome.operation
        load, demand = self.outcome.load[t], self.outcome.instance.trace.demand[t]
        if operation is not None:
            load = load if operation.work is None else load - operation.work[t].sum(0)
            demand = demand if operation.saved is None else demand - operation.saved[t]
        return fleet.dispatch.split(load, demand)

    @classmethod
    def certified(
        cls,
        outcome: Outcome,
        prices: Prices,
        stats: Mapping[str, Any],
        start: State | None = None,
        ceiling: FloatArray | None = None,
        tolerance: float = TOLERANCE,
    ) -> Solution:
        """Solution whose bound is evaluated here, whatever solver the prices came from.

        It is called optimal only if that bound confirms it, to a relative gap of ``tolerance``.
        """
        if outcome.operation is None:
            bound = float(dual_bound(outcome.instance, prices.weights, start=start).value)
        else:
            bound = float(knob_bound(outcome.instance, prices, start))
            if ceiling is not None:
                bound += _of_ceiling(outcome.instance, prices, ceiling)
        solution = cls(
            outcome=outcome,
            weights=prices.weights,
            lower_bound=bound,
            status="optimal",
            stats=stats,
            start=start,
            prices=None if outcome.operation is None else prices,
        )
        if abs(solution.gap) <= tolerance:
            return solution
        return dataclasses.replace(solution, status=f"inaccurate: the gap is {solution.gap:.1e}")


def _of_ceiling(instance: Instance, prices: Prices, ceiling: FloatArray) -> float:
    """US$ that a ceiling other than the instance's own adds to the bound."""
    own = instance.series.ceiling
    if own is None:
        return 0.0
    least = np.minimum(np.diff(prices.waiting, axis=0, append=0.0), 0.0)
    return float((least * (ceiling - own)).sum())


def at_stake(instance: Instance) -> float:
    """US$ of all energy at full load, bought: ``J`` is measured by it where sun serves all.

    Where energy has no price, of its footprints at equal weights; where these have none, of what
    the knobs may cost: servers started, batteries emptied, work given up, quality lost.
    """
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    most = instance.capacity * fleet.pue
    total = float((np.abs(trace.price) * most).sum())
    if not total:
        by_region = np.einsum("k,ktn->tn", mu, trace.intensity) / len(fleet.regions)
        total = float((by_region * most).sum())
    if total:
        return total
    if fleet.servers is not None:
        total += float(fleet.servers.start_cost @ fleet.capacity)
    if fleet.storage is not None:
        total += float((fleet.storage.wear + fleet.storage.refill_price) @ fleet.storage.energy)
    if fleet.training is not None and trace.work is not None:
        total += float((trace.work @ fleet.training.late_cost).sum())
    if fleet.models is not None:
        total += float((fleet.models.room(trace.demand) * fleet.models.unit_cost).sum())
    return total


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


def weights_from_duals(duals: FloatArray) -> FloatArray:
    """Simplex weights ``[K, R]`` from the multipliers of the rows ``S[k, r] <= highest[k]``.

    A kind whose multipliers are all zero (its equity weight is) gets equal weights.
    """
    positive = np.maximum(duals, 0.0)
    total = positive.sum(-1, keepdims=True)
    equal = np.full_like(positive, 1.0 / positive.shape[-1])
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), equal)


def prices_from_duals(
    fleet: Fleet,
    *,
    footprint: FloatArray,
    stored: FloatArray | None,
    waiting: FloatArray | None,
    on: FloatArray | None,
) -> Prices:
    """Prices from multipliers, in US$/MWh, where rounding left them outside of their bounds.

    ``footprint`` is in any unit, see :func:`weights_from_duals`.
    """
    if waiting is not None and fleet.training is not None:
        waiting = np.minimum(waiting, fleet.training.late_cost)
    if on is not None and fleet.servers is not None:
        on = np.clip(on, 0.0, fleet.servers.start_cost)
    return Prices(weights_from_duals(footprint), stored, waiting, on)
