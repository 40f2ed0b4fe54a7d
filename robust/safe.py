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

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from equiload.envs import DataError, Setting, Slot
from equiload.envs.arrays import like
from equiload.envs.series import Series
from equiload.envs.typing import Array, FloatArray
from equiload.envs.validation import numbers, set_fields
from equiload.robust.kernels import LEAST_DUE, Condition, Ledger

#: The layer plans with ``Ē·(1 + BOUND_ROOM)``: rounding in a load is not a breach of the bound.
BOUND_ROOM = 1e-9

# Products lose less than this when they underflow: every number of an instance is 0 or of a size
# from 1e-50 to 1e50, loads alone may be smaller.
_TINY = {"float64": 1e-280, "float32": 1e-12}


class Rates(NamedTuple):
    """A slot's exogenous side, per unit of load.

    ``cost [..., N]`` US$ (price · PUE), ``footprint [..., K, N]`` (intensity · PUE),
    ``room [..., N]`` MWh (capacity that is up).
    """

    cost: Array
    footprint: Array
    room: Array


class Effect(NamedTuple):
    """What an allocation (or a difference of two) costs and adds, with bounds on the rounding.

    ``cost [...]``, ``footprint [..., K, R]``, and the most that each may be off. ``size [...]``:
    the same cost with every term taken positive.
    """

    cost: Array
    cost_error: Array
    footprint: Array
    footprint_error: Array
    size: Array


class Turn(NamedTuple):
    """A slot before the advice is weighed: what comes of it if the expert is followed.

    Parameters
    ----------
    safe
        The condition.
    slot, rates
        What no decision changes, as it is and per unit of load.
    expert
        ``[..., J, N]``, MWh, the expert's own allocation, and its ``effect``.
    followed
        The ledger if the expert were followed.
    """

    safe: SafeSet
    slot: Slot
    rates: Rates
    expert: Array
    effect: Effect
    followed: Ledger

    def departure(self, allocation: Array) -> tuple[Effect, Ledger]:
        """What ``allocation [..., J, N]`` changes, and the ledger if it were played."""
        effect = self.safe.effect(self.rates, allocation - self.expert)
        return effect, self.safe.leave(self.followed, effect)


@dataclass(frozen=True, eq=False)
class SafeSet:
    """Condition (★), or (★′) where a bound is declared, in a setting.

    Parameters
    ----------
    setting
        Fleet, objective and horizon; its batch plays no part.
    rho
        ``ρ >= 0``: how much worse than the expert the layer may be, as a share.
    allowance
        ``B >= 0``, US$: a one-off allowance on top.
    footprint_bound
        ``Ē``, broadcasts to ``[..., K, R]``: the most that one slot can add to each region's
        footprint. None: the horizon is not used, (★).

    Raises
    ------
    DataError
        A number outside its range.
    """

    setting: Setting
    _: KW_ONLY
    rho: float
    allowance: float = 0.0
    footprint_bound: FloatArray | None = None

    def __post_init__(self) -> None:
        self.setting.require_plain("the robust layer")
        for name in ("rho", "allowance"):
            value = float(numbers(name, getattr(self, name), (), minimum=0.0))
            set_fields(self, **{name: value})
        if self.footprint_bound is not None:
            bound = np.array(self.footprint_bound, dtype=np.float64)
            shape = self.setting.footprint_shape[-2:]
            last = zip(bound.shape[::-1], shape[::-1], strict=False)
            if not all(have in (1, wanted) for have, wanted in last):
                raise DataError(
                    f"footprint_bound must broadcast to {shape} (kinds, regions), got {bound.shape}"
                )
            if not (np.isfinite(bound) & (bound >= 0)).all():
                raise DataError("footprint_bound must hold finite numbers of at least 0")
            set_fields(self, footprint_bound=bound)

    @cached_property
    def condition(self) -> Condition:
        """The same as kernels take it."""
        fleet, mu = self.setting.fleet, self.setting.objective.mu
        members = first = None
        if not fleet.one_region_each:
            members = np.argsort(fleet.region_of, kind="stable")
            first = np.searchsorted(fleet.region_of[members], np.arange(len(fleet.regions) + 1))
        shape = self.setting.footprint_shape[-2:]
        bound = np.empty((0, *shape))
        if self.footprint_bound is not None:
            lead = self.setting.batch if self.footprint_bound.ndim > 2 else ()
            room = self.footprint_bound * (1 + BOUND_ROOM) + 2 * _TINY["float64"]
            bound = np.broadcast_to(room, (*lead, *shape)).reshape(-1, *shape).copy()
        return Condition(mu, self.rho, self.allowance, bound, fleet.pue, members, first)

    @property
    def _terms(self) -> int:
        """No number of a step passes through more roundings than this."""
        gateways, datacenters = self.setting.fleet.reachable.shape
        return int(gateways * datacenters + gateways + datacenters + 16)

    def turn(self, ledger: Ledger | None, slot: Slot, expert: Array) -> Turn:
        """A slot in which the expert plays ``[..., J, N]``; no ``ledger`` before the first one."""
        rates = self.rates(slot)
        effect = self.effect(rates, expert)
        before = self.open(rates) if ledger is None else ledger
        followed = self.follow(before, rates, effect, slot.index)
        return Turn(self, slot, rates, expert, effect, followed)

    def rates(self, slot: Series) -> Rates:
        """Rates of a slot, in numpy arrays or tensors."""
        pue = like(self.setting.fleet.pue, slot.price)
        return Rates(slot.price * pue, slot.intensity * pue, slot.capacity)

    def open(self, rates: Rates) -> Ledger:
        """Ledger before the first slot, for the batch, precision and device of ``rates``."""
        xp = array_namespace(rates.cost)
        zero = xp.sum(rates.cost, axis=-1) * 0.0
        by_region = xp.sum(rates.footprint, axis=-1)[..., None] * 0.0
        by_region = by_region + like(np.zeros(self.setting.footprint_shape[-1]), rates.cost)
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

    def effect(self, rates: Rates, allocation: Array) -> Effect:
        """What ``allocation [..., J, N]`` (or the difference of two) costs and adds."""
        xp = array_namespace(allocation)
        load, size = xp.sum(allocation, axis=-2), xp.sum(xp.abs(allocation), axis=-2)
        cost = xp.sum(rates.cost * load, axis=-1)
        cost_size = xp.sum(xp.abs(rates.cost) * size, axis=-1)
        if self.setting.fleet.routing_cost is not None:
            routing = like(self.setting.fleet.routing_cost, allocation) * allocation
            cost = cost + xp.sum(routing, axis=(-2, -1))
            cost_size = cost_size + xp.sum(xp.abs(routing), axis=(-2, -1))
        error = self._terms * float(xp.finfo(cost.dtype).eps)
        tiny = _tiny(cost)
        moved = xp.any(size > 0, axis=-1)
        footprint = self._by_region(rates.footprint * load[..., None, :])
        footprint_size = self._by_region(rates.footprint * size[..., None, :])
        return Effect(
            cost,
            xp.where(moved, error * cost_size + tiny, cost_size * 0.0),
            footprint,
            xp.where(moved[..., None, None], error * footprint_size + tiny, footprint_size * 0.0),
            cost_size,
        )

    def follow(self, ledger: Ledger, rates: Rates, expert: Effect, index: int) -> Ledger:
        """Ledger after slot ``index`` in which the expert's own allocation is played."""
        slots_left = self.slots_left(index)
        xp = array_namespace(ledger.cost)
        eps = float(xp.finfo(ledger.cost.dtype).eps)
        paid = xp.abs(expert.cost) - expert.cost_error
        spent = (ledger.spent + xp.where(paid > 0, paid, paid * 0.0)) * (1 - 2 * eps)
        added = expert.footprint - expert.footprint_error
        low = (ledger.low + xp.where(added > 0, added, added * 0.0)) * (1 - 2 * eps)
        most = expert.footprint + expert.footprint_error
        high = (ledger.high + most) * (1 + 2 * eps)
        peak = xp.max(low, axis=-1)
        mu = like(self.setting.objective.mu, peak)
        due = spent + xp.sum(mu * peak, axis=-1)
        # Of less than this, products may have been rounded up by more than a share of them.
        due = self.rho * xp.where(due > LEAST_DUE, due, due * 0.0)
        right = (due * (1 - (len(mu) + 8) * eps) + self.allowance) * (1 - 2 * eps)
        # The exact right side never falls, so neither need its bound.
        right = xp.where(right > ledger.right, right, ledger.right)
        head, breach, left = ledger.head, ledger.breach, ledger.left
        if self.footprint_bound is not None:
            bound = like(self.footprint_bound, peak) * (1 + BOUND_ROOM) + 2 * _tiny(peak)
            left_over = slots_left * bound
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

    def slots_left(self, index: int) -> int:
        """Slots after this one; :class:`DataError` for one outside the horizon."""
        horizon = self.setting.horizon
        if not 0 <= index < horizon:
            raise DataError(f"slot {index} lies outside the horizon of {horizon} slots")
        return horizon - 1 - index

    def leave(self, followed: Ledger, change: Effect) -> Ledger:
        """Ledger after a slot that departs from the expert's by ``change``.

        ``followed`` is what following the expert in this slot would have given.
        """
        xp = array_namespace(change.cost)
        cost = _up(followed.cost + (change.cost + change.cost_error), xp)
        footprint = _up(followed.footprint + (change.footprint + change.footprint_error), xp)
        # The inner sums may be off by their last bit as well: relative to the step, not the total.
        eps = float(xp.finfo(cost.dtype).eps)
        cost = cost + 2 * eps * xp.abs(change.cost)
        footprint = footprint + 2 * eps * xp.abs(change.footprint)
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
        mu = like(self.setting.objective.mu, peak)
        size = xp.abs(cost) + xp.sum(mu * xp.abs(peak), axis=-1)
        return cost + xp.sum(mu * peak, axis=-1) + (len(mu) + 8) * eps * size

    def certified(self, ledger: Ledger) -> Array:
        """Return ``[...]`` bool: is the condition certain to hold exactly?"""
        xp = array_namespace(ledger.left)
        finite = xp.isfinite(ledger.left) & xp.isfinite(ledger.right)
        return finite & (ledger.left <= ledger.right)

    def margin(self, followed: Ledger, expert: Effect, change: Effect) -> Array:
        """Return ``[...]``, US$: what rounding an allocation between the two may add.

        The root of ``blend`` is found in floating point, and so is the mixture that is then played:
        it is searched for at a right side lower by this, so that the mixture is certified.
        """
        xp = array_namespace(change.cost)
        mu = like(self.setting.objective.mu, change.cost)
        footprint = expert.footprint + xp.abs(change.footprint) + xp.abs(followed.footprint)
        size = expert.size + change.size + xp.abs(followed.cost) + followed.right
        size = size + xp.sum(mu * xp.max(footprint + followed.head, axis=-1), axis=-1)
        return 4 * self._terms * float(xp.finfo(size.dtype).eps) * size

    def _by_region(self, by_datacenter: Array) -> Array:
        membership = self.setting.physics.membership
        return (
            by_datacenter if membership is None else by_datacenter @ like(membership, by_datacenter)
        )


def _up(total: Array, xp: Any) -> Array:
    """At least the exact sum of which ``total`` is the rounding."""
    return total + 2 * float(xp.finfo(total.dtype).eps) * xp.abs(total)


def _tiny(array: Array) -> float:
    return _TINY["float64" if "64" in str(array.dtype) else "float32"]
