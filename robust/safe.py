"""The safe set, in a form that rounding cannot break.

Condition (★) compares the layer's running totals with the expert's. Here it is kept in differences,

    D + Σ_k μ_k max_r (Δ[k, r] − h[k, r])  <=  ρ·(G + Σ_k μ_k M_k) + B,

where ``D = F − F^π``, ``Δ = S − S^π``, ``G = Σ |f^π|``, ``M_k = max_r S^π[k, r]`` and, with
a bound ``Ē`` on what a slot can add (★′), ``h = max(0, M − S^π − remaining slots · Ē)``, else 0.
A slot in which the expert's own allocation is played bit for bit leaves ``D`` and ``Δ`` alone, so
the stored left side can only fall and the stored right side can only rise. Every other step is
taken only after an upper bound of the left side was found to be at most a lower bound of the right.
Each bound allows for the rounding of everything that was computed for it (docs/robustness.md).

Written against the array API: numpy arrays and torch tensors, any leading batch axes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from equiload.envs import DataError, Fleet, Objective
from equiload.envs.typing import Array, FloatArray
from equiload.robust.kernels import Ledger

#: The layer plans with ``Ē·(1 + BOUND_ROOM)``: rounding in a load is not a breach of the bound.
BOUND_ROOM = 1e-9

# Products of numbers below 1e25 lose less than this when they underflow.
_TINY = {"float64": 1e-280, "float32": 1e-12}


class Rates(NamedTuple):
    """A slot's exogenous side, per unit of load.

    ``cost [..., N]`` US$ (price · PUE), ``footprint [..., K, N]`` (intensity · PUE),
    ``room [..., N]`` MWh (capacity that is up).
    """

    cost: Array
    footprint: Array
    room: Array


class Step(NamedTuple):
    """What an allocation (or a difference of two) costs and adds, with bounds on the rounding.

    ``cost [...]``, ``footprint [..., K, R]``, and the most that each may be off. ``size [...]``:
    the same cost with every term taken positive.
    """

    cost: Array
    cost_error: Array
    footprint: Array
    footprint_error: Array
    size: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class SafeSet:
    """Condition (★), or (★′) where a bound is declared, over a fleet and an objective.

    Parameters
    ----------
    fleet, objective
        What is dispatched, and what it is measured by.
    rho
        ``ρ >= 0``: how much worse than the expert the layer may be, as a share.
    allowance
        ``B >= 0``, US$: a one-off allowance on top.
    horizon
        ``T``, slots.
    footprint_bound
        ``Ē``, broadcasts to ``[..., K, R]``: the most that one slot can add to each region's
        footprint. None: the horizon is not used, (★).

    Raises
    ------
    DataError
        A number outside its range.
    """

    fleet: Fleet
    objective: Objective
    rho: float
    allowance: float = 0.0
    horizon: int
    footprint_bound: FloatArray | None = None
    _terms: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("rho", self.rho), ("allowance", self.allowance)):
            if not (np.isfinite(value) and value >= 0):
                raise DataError(f"{name} must be a finite number of at least 0, got {value}")
        if self.footprint_bound is not None:
            bound = np.array(self.footprint_bound, dtype=np.float64)
            shape = (len(self.objective.mu), len(self.fleet.regions))
            try:
                fits = np.broadcast_shapes(bound.shape, shape)[-2:] == shape
            except ValueError:
                fits = False
            if not fits:
                raise DataError(
                    f"footprint_bound must broadcast to {shape} (kinds, regions), got {bound.shape}"
                )
            if not (np.isfinite(bound) & (bound >= 0)).all():
                raise DataError("footprint_bound must hold finite numbers of at least 0")
            object.__setattr__(self, "footprint_bound", bound)
        J, N = self.fleet.reachable.shape
        # No number of a step passes through more roundings than this.
        object.__setattr__(self, "_terms", J * N + J + N + 16)

    def rates(self, price: Array, intensity: Array, capacity: Array) -> Rates:
        """Rates of a slot: ``price [..., N]``, ``intensity [..., K, N]``, ``capacity [..., N]``."""
        pue = like(self.fleet.pue, price)
        return Rates(price * pue, intensity * pue, capacity)

    def open(self, rates: Rates) -> Ledger:
        """Ledger before the first slot, for the batch, precision and device of ``rates``."""
        xp = array_namespace(rates.cost)
        zero = xp.sum(rates.cost, axis=-1) * 0.0
        by_region = xp.sum(rates.footprint, axis=-1)[..., None] * 0.0
        by_region = by_region + like(np.zeros(len(self.fleet.regions)), rates.cost)
        return Ledger(
            cost=zero,
            footprint=by_region,
            left=zero,
            right=zero + self.allowance,
            spent=zero,
            low=by_region,
            high=by_region,
            head=by_region,
            breach=zero > 0,
        )

    def step(self, rates: Rates, allocation: Array) -> Step:
        """What ``allocation [..., J, N]`` (or the difference of two) costs and adds."""
        xp = array_namespace(allocation)
        load, size = xp.sum(allocation, axis=-2), xp.sum(xp.abs(allocation), axis=-2)
        cost = xp.sum(rates.cost * load, axis=-1)
        cost_size = xp.sum(xp.abs(rates.cost) * size, axis=-1)
        if self.fleet.routing_cost is not None:
            routing = like(self.fleet.routing_cost, allocation) * allocation
            cost = cost + xp.sum(routing, axis=(-2, -1))
            cost_size = cost_size + xp.sum(xp.abs(routing), axis=(-2, -1))
        error = self._terms * float(xp.finfo(cost.dtype).eps)
        tiny = _tiny(cost)
        moved = xp.any(size > 0, axis=-1)
        footprint = self._by_region(rates.footprint * load[..., None, :])
        footprint_size = self._by_region(rates.footprint * size[..., None, :])
        return Step(
            cost,
            xp.where(moved, error * cost_size + tiny, cost_size * 0.0),
            footprint,
            xp.where(moved[..., None, None], error * footprint_size + tiny, footprint_size * 0.0),
            cost_size,
        )

    def follow(self, ledger: Ledger, rates: Rates, expert: Step, index: int) -> Ledger:
        """Ledger after slot ``index`` in which the expert's own allocation is played."""
        if not 0 <= index < self.horizon:
            raise DataError(f"slot {index} lies outside the horizon of {self.horizon} slots")
        xp = array_namespace(ledger.cost)
        eps = float(xp.finfo(ledger.cost.dtype).eps)
        paid = xp.abs(expert.cost) - expert.cost_error
        spent = (ledger.spent + xp.where(paid > 0, paid, paid * 0.0)) * (1 - 2 * eps)
        added = expert.footprint - expert.footprint_error
        low = (ledger.low + xp.where(added > 0, added, added * 0.0)) * (1 - 2 * eps)
        most = expert.footprint + expert.footprint_error
        high = (ledger.high + most) * (1 + 2 * eps)
        peak = xp.max(low, axis=-1)
        mu = like(self.objective.mu, peak)
        due = self.rho * (spent + xp.sum(mu * peak, axis=-1))
        right = (due * (1 - (len(mu) + 8) * eps) + self.allowance) * (1 - 2 * eps)
        # The exact right side never falls, so neither need its bound.
        right = xp.where(right > ledger.right, right, ledger.right)
        head, breach, left = ledger.head, ledger.breach, ledger.left
        if self.footprint_bound is not None:
            bound = like(self.footprint_bound, peak) * (1 + BOUND_ROOM) + 2 * _tiny(peak)
            left_over = (self.horizon - 1 - index) * bound
            fresh = peak[..., None] - high - left_over
            fresh = fresh - 4 * eps * (peak[..., None] + high + left_over)
            fresh = xp.where(fresh > 0, fresh, fresh * 0.0)
            over = most > bound
            # Where the expert kept to the bound, the exact head-room has not shrunk.
            head = xp.where(~over & (ledger.head > fresh), ledger.head, fresh)
            possible = self._by_region(rates.footprint * rates.room[..., None, :])
            breach = xp.any((possible > bound) | over, axis=(-2, -1))
            fresh_left = self.left(ledger.cost, ledger.footprint, head)
            lower = xp.any(over, axis=(-2, -1)) | (fresh_left < left)
            left = xp.where(lower, fresh_left, left)
        return ledger._replace(
            left=left, right=right, spent=spent, low=low, high=high, head=head, breach=breach
        )

    def leave(self, followed: Ledger, step: Step) -> Ledger:
        """Ledger after a slot that departs from the expert's by ``step``.

        ``followed`` is what following the expert in this slot would have given.
        """
        xp = array_namespace(step.cost)
        cost = _up(followed.cost + (step.cost + step.cost_error), xp)
        footprint = _up(followed.footprint + (step.footprint + step.footprint_error), xp)
        # The inner sums may be off by their last bit as well: relative to the step, not the total.
        eps = float(xp.finfo(cost.dtype).eps)
        cost = cost + 2 * eps * xp.abs(step.cost)
        footprint = footprint + 2 * eps * xp.abs(step.footprint)
        left = self.left(cost, footprint, followed.head)
        return followed._replace(cost=cost, footprint=footprint, left=left)

    def choose(self, where: Array, left: Ledger, followed: Ledger) -> Ledger:
        """``left`` where ``where [...]`` holds, otherwise ``followed``."""
        xp = array_namespace(where)
        return followed._replace(
            cost=xp.where(where, left.cost, followed.cost),
            footprint=xp.where(where[..., None, None], left.footprint, followed.footprint),
            left=xp.where(where, left.left, followed.left),
        )

    def left(self, cost: Array, footprint: Array, head: Array) -> Array:
        """Return ``[...]``: at least ``D + Σ_k μ_k max_r (Δ − h)`` for every ``D``, ``Δ`` below."""
        xp = array_namespace(cost)
        eps = float(xp.finfo(cost.dtype).eps)
        peak = xp.max(footprint - head, axis=-1)
        mu = like(self.objective.mu, peak)
        size = xp.abs(cost) + xp.sum(mu * xp.abs(peak), axis=-1)
        return cost + xp.sum(mu * peak, axis=-1) + (len(mu) + 8) * eps * size

    def certified(self, ledger: Ledger) -> Array:
        """Return ``[...]`` bool: is the condition certain to hold exactly?"""
        xp = array_namespace(ledger.left)
        finite = xp.isfinite(ledger.left) & xp.isfinite(ledger.right)
        return finite & (ledger.left <= ledger.right)

    def margin(self, followed: Ledger, expert: Step, step: Step) -> Array:
        """Return ``[...]``, US$: what rounding an allocation between the two may add."""
        xp = array_namespace(step.cost)
        mu = like(self.objective.mu, step.cost)
        footprint = expert.footprint + xp.abs(step.footprint) + xp.abs(followed.footprint)
        size = expert.size + step.size + xp.abs(followed.cost) + followed.right
        size = size + xp.sum(mu * xp.max(footprint + followed.head, axis=-1), axis=-1)
        return 4 * self._terms * float(xp.finfo(size.dtype).eps) * size

    def _by_region(self, by_datacenter: Array) -> Array:
        if self.fleet.one_region_each:
            return by_datacenter
        return by_datacenter @ like(self.fleet.membership, by_datacenter)


def _up(total: Array, xp: Any) -> Array:
    """At least the exact sum of which ``total`` is the rounding."""
    return total + 2 * float(xp.finfo(total.dtype).eps) * xp.abs(total)


def _tiny(array: Array) -> float:
    return _TINY["float64" if "64" in str(array.dtype) else "float32"]


def like(array: FloatArray, other: Array) -> Array:
    """Return a numpy array of the problem's, in the kind, precision and device of ``other``."""
    if isinstance(other, np.ndarray | np.generic):
        return array
    copy = np.array(array)  # torch warns of arrays that are read-only
    return array_namespace(other).asarray(copy, dtype=other.dtype, device=other.device)
