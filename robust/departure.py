"""How far a decision may depart from the way back, where the past counts: blend and switch.

Everything in a decision is linear in the share ``α`` of the advice; what it costs is convex and
piecewise linear, with starts, quality and the potentials of the levels as kinks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from equiload.envs import DataError, Decision, InfeasibleError, Setting, Slot
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.series import Series
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.kernels import Ledger
from equiload.robust.levels import TINY, Hinges, LevelLedger, LevelSafeSet, axes_of, parts_of
from equiload.robust.safe import Effect
from equiload.robust.wayback import choose, complete, pick, spread, way_back

_EPS = float(np.finfo(np.float64).eps)
# Newton's method passes each kink once at most, and few of them; an uncertified end is no harm.
_MOST_STEPS = 60


class Played(NamedTuple):
    """What is played: ``alpha [...]`` in [0, 1], the decision, the ledger after it."""

    alpha: Array
    decision: Decision
    ledger: LevelLedger


class _Reached(NamedTuple):
    """Where a decision leads, and what the ledger and the search for ``α`` are made from."""

    ledger: LevelLedger
    change: Effect
    hinges: Hinges


class LevelTurn:
    """A slot before the advice is weighed: what the expert does, and the way back to it.

    Parameters
    ----------
    safe
        The condition.
    ledger
        Before the slot; none before the first one.
    slot
        What no decision changes.
    levels, expert_levels
        The layer's own before the slot, and the expert's.
    expert
        What the expert does on its own trajectory.
    """

    def __init__(
        self,
        safe: LevelSafeSet,
        ledger: LevelLedger | None,
        slot: Slot,
        levels: Levels,
        expert_levels: Levels,
        expert: Decision,
    ) -> None:
        self.safe, self.slot, self.levels = safe, slot, levels
        self.slots_left = safe.plain.slots_left(slot.index)
        self._before = safe.open(slot) if ledger is None else ledger
        self._on_before = expert_levels.on
        self._expert = parts_of(expert)
        self._hinges = safe.hinges(slot, self._expert, expert_levels.on)
        own = safe.effect(slot, self._expert)
        convex = safe.terms * _EPS * (self._hinges.size @ self._hinges.weight)
        own = own._replace(
            cost=own.cost + self._hinges.value,
            cost_error=own.cost_error + convex,
            size=own.size + self._hinges.value,
        )
        self._own = own
        books = safe.plain.follow(self._before.books, safe.plain.rates(slot), own, slot.index)
        broken = safe.bounds.broken(slot)
        if safe.plain.footprint_bound is not None:
            broken = broken | books.breach
        self._books = books._replace(breach=broken)
        self.back = way_back(expert, slot, levels, expert_levels, safe.setting)
        self._returned = self._reach(self.back)
        #: The ledger if the way back were taken.
        self.followed = self._returned.ledger

    def blend(self, advice: Decision) -> Played:
        """The largest certified step from the way back towards the advice, which is possible."""
        reached = self._reach(advice)
        full = self.safe.certified(reached.ledger, self.slots_left)
        if full.all():
            return Played(np.ones(full.shape), advice, reached.ledger)
        alpha = np.where(full, 1.0, self._largest_step(reached))
        try:
            mixed = self._mixture(advice, alpha)
        except InfeasibleError:  # by rounding alone
            mixed, alpha = self.back, np.zeros(alpha.shape)
        part = self._reach(mixed).ledger
        certain = (
            self.safe.certified(part, self.slots_left) & (alpha > 0) & (mixed is not self.back)
        )
        alpha = np.where(full, 1.0, np.where(certain, alpha, 0.0))
        decision = choose(certain, mixed, self.back)
        ledger = _where(certain, part, self.followed)
        return Played(alpha, choose(full, advice, decision), _where(full, reached.ledger, ledger))

    def switch(self, advice: Decision, trusted: BoolArray) -> Played:
        """The advice where it is ``trusted [...]`` and safe, the way back elsewhere."""
        reached = self._reach(advice).ledger
        safe = trusted & self.safe.certified(reached, self.slots_left)
        ledger = _where(safe, reached, self.followed)
        return Played(safe * 1.0, choose(safe, advice, self.back), ledger)

    def mix(self, advice: Decision, weight: float) -> Played:
        """A fixed mixture of the way back and the advice, whatever comes of it."""
        mixed = self._mixture(advice, np.full(self._before.cost.shape, weight))
        return Played(np.full(self._before.cost.shape, weight), mixed, self._reach(mixed).ledger)

    def _mixture(self, advice: Decision, alpha: FloatArray) -> Decision:
        back, towards = parts_of(self.back), parts_of(advice)
        mixed = {
            name: here + spread(alpha, here) * (towards[name] - here) for name, here in back.items()
        }
        allocation = mixed.pop("allocation")
        return complete(allocation, Operation(**mixed), self.slot, self.levels, self.safe.setting)

    def _reach(self, decision: Decision) -> _Reached:
        """Where ``decision`` leads."""
        safe, before, given = self.safe, self._before, parts_of(decision)
        away = {name: given[name] - self._expert[name] for name in given}
        change = safe.effect(self.slot, away, given, self._expert)
        hinges = safe.hinges(self.slot, given, self.levels.on)
        apart = hinges.apart(self._hinges)
        error = safe.terms * _EPS * apart
        change = change._replace(
            cost=change.cost
            + (np.maximum(hinges.at, 0) - np.maximum(self._hinges.at, 0)) @ hinges.weight,
            cost_error=change.cost_error + error + np.where(error > 0, TINY, 0.0),
            size=change.size + apart,
        )
        gaps = before._replace(
            cost=_up(before.cost, change.cost + change.cost_error),
            footprint=_up(before.footprint, change.footprint + change.footprint_error),
            **self._gaps(away),
        )
        reserved, footprint = safe.potential(gaps)
        cost = gaps.cost + reserved.sum(-1) * (1 + 4 * _EPS)
        footprint = gaps.footprint + footprint
        books = self._books._replace(cost=_up(cost, 0.0), footprint=_up(footprint, 0.0))
        books = books._replace(left=safe.plain.left(books.cost, books.footprint, books.head))
        ledger = gaps._replace(books=books, reserved=reserved)
        # To the last bit what the expert does, from where the expert is: nothing has changed.
        same = np.ones(before.cost.shape, dtype=np.bool_)
        for name, array in away.items():
            same &= ~array.any(axis=axes_of(name))
        if self.levels.on is not None:
            same &= (self.levels.on == self._on_before).all(-1)
        return _Reached(_where(same, before._replace(books=self._books), ledger), change, hinges)

    def _gaps(self, away: dict[str, FloatArray]) -> dict[str, Any]:
        """What the levels' gaps come to, with their errors."""
        before, fleet = self._before, self.safe.setting.fleet
        gaps: dict[str, Any] = {}
        if fleet.storage is not None:
            charged = away["charge"] * fleet.storage.charge_efficiency
            given = away["discharge"] / fleet.storage.discharge_efficiency
            size = np.abs(charged) + np.abs(given)
            gaps["stored"] = before.stored + (charged - given)
            gaps["stored_error"] = before.stored_error + 8 * _EPS * np.where(
                size > 0, np.abs(before.stored) + size, 0.0
            )
        if fleet.training is not None:
            done = away["work"].sum(-1) + away["late"]
            size = np.abs(away["work"]).sum(-1) + np.abs(away["late"])
            gaps["waiting"] = before.waiting - done
            gaps["waiting_error"] = before.waiting_error + self.safe.terms * _EPS * np.where(
                size > 0, np.abs(before.waiting) + size, 0.0
            )
        if fleet.servers is not None:
            gaps["on"] = away["on"]
        return gaps

    def _largest_step(self, reached: _Reached) -> FloatArray:
        """The largest ``α [...]`` in [0, 1] whose left side is at most the right one, or 0.

        Newton's method from 1 on the convex, piecewise linear left side: each of its lines lies
        below it, so no step goes past the root.
        """
        safe, mu = self.safe, self.safe.setting.objective.mu
        here, there = (self._curve(r) for r in (self._returned, reached))
        slopes = _Curve(*(b - a for a, b in zip(here, there, strict=True)))
        unit, by_gap = self._units, self._by_gap
        books = self.followed.books
        goal = books.right - safe.reserve(reached.ledger, self.slots_left)
        goal = goal - self._margin(reached)
        alpha = np.ones(goal.shape)
        for _ in range(_MOST_STEPS):
            at = _Curve(*(a + spread(alpha, a) * s for a, s in zip(here, slopes, strict=True)))
            bent = at.kinks > 0
            value = at.line + np.where(bent, at.kinks, 0.0) @ unit
            rise = slopes.line + np.where(bent, slopes.kinks, 0.0) @ unit
            missing = at.behind > 0
            heights = at.footprint + by_gap(np.where(missing, at.behind, 0.0)) - books.head
            climbs = slopes.footprint + by_gap(np.where(missing, slopes.behind, 0.0))
            top = heights.argmax(-1)[..., None]
            value = value + np.take_along_axis(heights, top, -1)[..., 0] @ mu
            rise = rise + np.take_along_axis(climbs, top, -1)[..., 0] @ mu
            over = value > goal
            root = alpha - (value - goal) / np.where(rise > 0, rise, 1.0)
            step = np.where(over, np.where(rise > 0, np.maximum(root, 0.0), 0.0), alpha)
            if np.array_equal(step, alpha):
                break
            alpha = step
        return alpha

    @property
    def _units(self) -> FloatArray:
        """US$ per unit of each of the kinks."""
        worth = [self.safe.worth.get(f"{n}_{s}") for n, s in _SIDES]
        return np.concatenate([self._hinges.weight, *(w for w in worth if w is not None)])

    def _curve(self, reached: _Reached) -> _Curve:
        ledger, change = reached.ledger, reached.change
        # Without starts and quality, which are kinks.
        line = self._before.cost + change.cost + change.cost_error - reached.hinges.value
        kinks = [reached.hinges.at]
        for name, side in _SIDES:
            if f"{name}_{side}" in self.safe.worth:
                gap = getattr(ledger, name)
                kinks.append(-gap if side == "behind" else gap)
        footprint = self._before.footprint + change.footprint + change.footprint_error
        return _Curve(line, np.concatenate(kinks, axis=-1), footprint, -ledger.stored)

    def _by_gap(self, behind: FloatArray) -> FloatArray:
        """``Ψ [..., K, R]`` of what is missing ``[..., N]``."""
        storage = self.safe.setting.fleet.storage
        if storage is None:
            return np.zeros_like(self._before.footprint)
        given = self.safe.bounds.intensity * (storage.discharge_efficiency * behind)[..., None, :]
        footprint: FloatArray = self.safe.setting.physics.by_region(given)
        return footprint

    def _margin(self, reached: _Reached) -> FloatArray:
        """US$ ``[...]``: what rounding a mixture of the two may add."""
        mu, books = self.safe.setting.objective.mu, self.followed.books
        size = self._own.size + reached.change.size + np.abs(books.cost) + books.right
        size = size + np.abs(reached.ledger.books.cost) + self._returned.change.size
        footprint = np.abs(books.footprint) + np.abs(reached.ledger.books.footprint) + books.head
        size = size + (footprint + self._own.footprint).max(-1) @ mu
        margin: FloatArray = 4 * self.safe.terms * _EPS * size
        return margin


#: Levels whose gaps are priced, on either side.
_SIDES = tuple((n, s) for n in ("stored", "waiting", "on") for s in ("behind", "ahead"))


class _Curve(NamedTuple):
    """What is linear in ``α``: a cost, arguments of kinks, footprints, what batteries lack."""

    line: FloatArray
    kinks: FloatArray
    footprint: FloatArray
    behind: FloatArray


def screen(
    advice: Decision, back: Decision, slot: Slot, levels: Levels, setting: Setting
) -> tuple[Decision, BoolArray]:
    """The advice from the layer's own ``levels``, or where it is not possible ``back``; and where.

    Raises
    ------
    DataError
        When a part of it has another shape than it must.
    """
    wanted, allocation = advice.operation or Operation(), advice.allocation
    for name, array in parts_of(back).items():
        given = allocation if name == "allocation" else getattr(wanted, name)
        if given is not None and np.shape(given) != array.shape:
            raise DataError(
                f"slot {slot.index}: the advice's {name} has shape {np.shape(given)}, "
                f"expected {array.shape}"
            )
    asked = slot.demand
    if setting.fleet.models is not None and wanted.saved is not None:
        asked = asked - wanted.saved
    # Stricter than what is asked of the expert: a mixture of the two is then feasible, too.
    reachable = setting.fleet.reachable
    sound = feasible(allocation, asked, slot.capacity, reachable, TOLERANCE / 4)
    refused = np.array(~sound)
    if not refused.any():
        with suppress(InfeasibleError):
            return complete(allocation, wanted, slot, levels, setting), refused
    return _complete_alone(advice, back, refused, slot, levels, setting)


def _complete_alone(
    advice: Decision,
    back: Decision,
    refused: BoolArray,
    slot: Slot,
    levels: Levels,
    setting: Setting,
) -> tuple[Decision, BoolArray]:
    """The advice of each problem by itself, so that one that is not possible spoils no other."""
    wanted, alone = advice.operation or Operation(), replace(setting, batch=())
    assert back.operation is not None
    chosen = {name: np.array(getattr(back, name)) for name in ("load", "routing", "allocation")}
    operation = back.operation.map(np.array)
    for index in np.ndindex(refused.shape):
        if refused[index]:
            continue
        series = Series(**{name: array[index] for name, array in slot.named().items()})
        here = Slot.at(series, slot.index, slot.timestamp[index])
        own = levels.map(itemgetter(index))
        try:
            done = complete(
                advice.allocation[index], wanted.map(itemgetter(index)), here, own, alone
            )
        except InfeasibleError:
            refused[index] = True
            continue
        for name, array in chosen.items():
            array[index] = getattr(done, name)
        assert done.operation is not None
        for name, array in done.operation.named().items():
            getattr(operation, name)[index] = array
    return replace(back, **chosen, operation=operation), refused


def _where(where: BoolArray, one: LevelLedger, other: LevelLedger) -> LevelLedger:
    books = Ledger(*(pick(where, a, b) for a, b in zip(one.books, other.books, strict=True)))
    rest = (pick(where, a, b) for a, b in zip(one[1:], other[1:], strict=True))
    return LevelLedger(books, *rest)


def _up(total: FloatArray, change: FloatArray | float) -> FloatArray:
    """At least the exact sum."""
    summed = total + change
    up: FloatArray = summed + 2 * _EPS * (np.abs(summed) + np.abs(change))
    return up
