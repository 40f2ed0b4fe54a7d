"""Project: the point of the safe set nearest to the advice, by quadratic programming."""

from __future__ import annotations

import daqp
import numpy as np

from equiload.envs import SolverError
from equiload.envs.typing import FloatArray
from equiload.robust.kernels import Ledger
from equiload.robust.safe import Rates, SafeSet

_FREE = 1e30
_EQUALITY = 5  # DAQP's code of an equality constraint
_MOST_CUTS = 200
_TOLERANCE = 1e-11


class Projector:
    """Solves ``argmin_y ‖y − ỹ‖²`` over the feasible allocations that satisfy the condition.

    The condition's left side is a maximum of linear functions, one for each choice of a region per
    kind. They are added as cuts where the last solution breaks them (Kelley 1960), so each program
    stays a small strictly convex one, which the dual active-set solver DAQP (Arnström, Bemporad and
    Axehill 2022) solves from the multipliers of the slot before.

    Parameters
    ----------
    safe
        The condition.
    """

    def __init__(self, safe: SafeSet) -> None:
        self._safe = safe
        reachable = safe.setting.fleet.reachable
        self._pairs = np.flatnonzero(reachable.ravel())
        gateway, self._datacenter = np.nonzero(reachable)
        J, N = reachable.shape
        self._sends = np.eye(J)[:, gateway]
        self._serves = np.eye(N)[:, self._datacenter]
        self._multipliers = np.zeros(len(self._pairs) + J + N)

    def project(
        self,
        followed: Ledger,
        rates: Rates,
        demand: FloatArray,
        expert: FloatArray,
        advice: FloatArray,
    ) -> FloatArray:
        """Projection ``[J, N]`` of ``advice``, to the solver's accuracy; arguments of one problem.

        The caller certifies the result (:func:`~equiload.robust.blend.blend` towards the expert).

        Raises
        ------
        SolverError
            When the solver stops without an optimum.
        """
        safe, pairs = self._safe, self._pairs
        target, base = advice.ravel()[pairs], expert.ravel()[pairs]
        cost = rates.cost[self._datacenter]
        routing_cost = safe.setting.fleet.routing_cost
        if routing_cost is not None:
            cost = cost + routing_cost.ravel()[pairs]
        scale = max(float(np.abs(cost).max(initial=0.0)), 1e-300)
        cuts: list[FloatArray] = []
        limits: list[float] = []
        for _ in range(_MOST_CUTS):
            nearest = self._solve(demand, rates.room, target, cuts, limits)
            row, value, limit = self._cut(followed, rates, cost, nearest - base)
            scale = max(scale, float(np.abs(row).max(initial=0.0)))
            if value <= limit + 1e-12 * (scale * demand.sum() + abs(limit)):
                break
            norm = max(float(np.abs(row).max(initial=0.0)), 1e-300)
            cuts.append(row / norm)
            limits.append((limit + float(row @ base)) / norm)
        allocation = np.zeros(advice.size)
        allocation[pairs] = np.maximum(nearest, 0.0)
        return allocation.reshape(advice.shape)

    def _cut(
        self, followed: Ledger, rates: Rates, cost: FloatArray, towards: FloatArray
    ) -> tuple[FloatArray, float, float]:
        """Row, value and limit of the linear piece of the condition that is active at a step."""
        mu, membership = self._safe.setting.objective.mu, self._safe.setting.fleet.membership
        added = (rates.footprint * (self._serves @ towards)) @ membership
        height = followed.footprint - followed.head
        region = np.argmax(height + added, axis=-1)
        row, limit = cost.copy(), float(followed.right - followed.cost)
        for k, r in enumerate(region):
            inside = membership[self._datacenter, r]
            row = row + mu[k] * rates.footprint[k, self._datacenter] * inside
            limit -= float(mu[k] * height[k, r])
        return row, float(row @ towards), limit

    def _solve(
        self,
        demand: FloatArray,
        room: FloatArray,
        target: FloatArray,
        cuts: list[FloatArray],
        limits: list[float],
    ) -> FloatArray:
        size, fixed = len(target), len(self._pairs) + len(demand) + len(room)
        unit = max(float(demand.sum()), 1e-300)  # the solver's tolerance is absolute
        target, demand = target / unit, demand / unit
        room = np.minimum(room, _FREE * unit) / unit
        rows = np.vstack([self._sends, self._serves, *cuts])
        upper = np.concatenate([np.full(size, _FREE), demand, room, np.array(limits) / unit])
        lower = np.concatenate([np.zeros(size), demand, np.full(len(room) + len(cuts), -_FREE)])
        sense = np.zeros(len(upper), dtype=np.int32)
        sense[size : size + len(demand)] = _EQUALITY
        start = np.zeros(len(upper))
        start[:fixed] = self._multipliers
        solution, _, flag, info = daqp.solve(
            np.eye(size),
            -target,
            np.ascontiguousarray(rows),
            upper,
            lower,
            sense,
            dual_start=start,
            primal_tol=_TOLERANCE,
            dual_tol=_TOLERANCE,
        )
        if flag != 1:
            self._multipliers = np.zeros(fixed)
            raise SolverError(f"the projection on the safe set failed: DAQP ended with {flag}")
        self._multipliers = np.asarray(info["lam"])[:fixed]
        return np.asarray(solution) * unit
