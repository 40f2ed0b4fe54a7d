"""How far a decision may depart from the way back, where the past counts: blend and switch.

Everything in a decision is linear in the share ``α`` of the advice; what it costs is convex and
piecewise linear, with starts, quality and the potentials of the levels as kinks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from equiload.envs import DataError, Decision, Slot
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.knobs.operation import Completion, Levels, Operation
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust import level_kernels as kernels
from equiload.robust import step_kernels as steps
from equiload.robust.kernels import Ledger
from equiload.robust.level_kernels import Curve, Parts, Rules, Standing
from equiload.robust.levels import LevelLedger, LevelSafeSet
from equiload.robust.packing import parts_of
from equiload.robust.safe import Effect
from equiload.robust.wayback import choose, pick, way_back

_EPS = float(np.finfo(np.float64).eps)
# What a decision changes of a ledger, beside its books.
_MOVED = Standing._fields[3:]


class Played(NamedTuple):
    """What is played: ``alpha [...]`` in [0, 1], the ledger after it, and the decision.

    Of its load and routing nothing is said.
    """

    alpha: Array
    decision: Decision
    ledger: LevelLedger


class Pieces(NamedTuple):
    """The condition's left side at the way back, and what it may come to.

    ``goal``, ``line [...]`` US$; arguments of ``kinks [..., M]``; ``height [..., K, R]`` without
    what the kinks reserve. See :class:`~equiload.robust.levels.LevelSafeSet` for what these cost.
    """

    goal: FloatArray
    line: FloatArray
    kinks: FloatArray
    height: FloatArray

    def at(self, index: tuple[int, ...]) -> Pieces:
        """Of one problem."""
        return Pieces(*(array[index] for array in self))


class _Reached(NamedTuple):
    """Where a decision leads, is that ``certain [...]`` to be safe, and what ``α`` depends on."""

    parts: Parts
    ledger: LevelLedger
    certain: BoolArray
    standing: Standing
    curve: Curve
    need: FloatArray


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
        self.expert, self.expert_levels = expert, expert_levels
        self._packing = packing = safe.packing
        mu, N = safe.setting.objective.mu, len(packing.plant.pue)
        self._rules = Rules(mu.copy(), safe.terms, safe.plain.slots_left(slot.index))
        self._before = safe.open(slot) if ledger is None else ledger
        if safe.spare is not None and self._before.room is not None:
            room = safe.spare.after(self._before.room, slot, parts_of(expert))
            self._before = self._before._replace(room=room)
        self._scene = packing.scene(slot, self._before.room)
        self._expert = packing.parts(expert)
        self._on = packing.rows(levels.on, N), packing.rows(expert_levels.on, N)
        own = self._own = self._effect()
        books = safe.plain.follow(self._before.books, safe.plain.rates(slot), own, slot.index)
        broken = safe.bounds.broken(slot)
        if safe.spare is not None:
            broken = broken | safe.spare.broken(expert, slot)
        if safe.plain.footprint_bound is not None:
            broken = broken | books.breach
        #: Of the expert: what the right side is made of, and all else if nothing changes.
        self._before = self._before._replace(books=books._replace(breach=broken))
        gaps = (getattr(self._before, name) for name in _MOVED)
        standing = books.cost, books.footprint, books.left, *gaps
        self._standing = Standing(*(packing.flat(array) for array in standing))
        self._head = packing.flat(books.head)
        self.completion = Completion(slot, levels, safe.setting.fleet)
        self.back = way_back(
            expert, slot, levels, expert_levels, packing, self.completion, safe.spare
        )
        self._returned = self._reach(packing.parts(self.back))
        #: The ledger if the way back were taken.
        self.followed = self._returned.ledger

    def screen(self, advice: Decision) -> tuple[Decision, BoolArray]:
        """The advice, from the layer's own levels, or where it is not possible the way back.

        And where that is, ``[...]``.

        Raises
        ------
        DataError
            When a part of it has another shape than it must.
        """
        back, slot, setting = self.back, self.slot, self.safe.setting
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
        if (allocation < 0.0).any():
            # Below zero by rounding: what that feeds in counts here, and for no grid.
            allocation = np.maximum(allocation, 0.0)
            sound &= feasible(allocation, asked, slot.capacity, reachable, TOLERANCE / 4)
        if not sound.all():
            allocation = np.where(sound[..., None, None], allocation, back.allocation)
        done, possible = self.completion.of(allocation, wanted)
        sound = sound & possible
        return choose(sound, Decision(None, None, allocation, operation=done), back), ~sound

    def blend(self, advice: Decision) -> Played:
        """The largest certified step from the way back towards the advice, which is possible."""
        reached = self._reach(self._packing.parts(advice))
        if reached.certain.all():
            return Played(np.ones(reached.certain.shape), advice, reached.ledger)
        alpha = self._largest_steps(reached)
        mixed, possible = self._mixture(reached.parts, alpha)
        part = self._reach(self._packing.parts(mixed))
        certain = part.certain & possible & (alpha > 0)
        return Played(
            np.where(certain, alpha, 0.0),
            choose(certain, mixed, self.back),
            _where(certain, part.ledger, self.followed),
        )

    def pieces(self, advice: Decision) -> Pieces:
        """The left side at the way back; its goal leaves room for rounding until the advice."""
        goal, here = self._goal(self._reach(self._packing.parts(advice))), self._returned.curve
        pieces = goal, here.line, here.kinks, here.footprint - self._head
        return Pieces(*map(self._packing.shaped, pieces))

    def either(self, where: BoolArray, one: Played, other: Played) -> Played:
        """``one`` where ``where [...]`` holds, otherwise ``other``."""
        alpha = np.where(where, one.alpha, other.alpha)
        decision = choose(where, one.decision, other.decision)
        return Played(alpha, decision, _where(where, one.ledger, other.ledger))

    def switch(self, advice: Decision, trusted: BoolArray) -> Played:
        """The advice where it is ``trusted [...]`` and safe, the way back elsewhere."""
        reached = self._reach(self._packing.parts(advice))
        safe = trusted & reached.certain
        ledger = _where(safe, reached.ledger, self.followed)
        return Played(safe * 1.0, choose(safe, advice, self.back), ledger)

    def mix(self, advice: Decision, weight: float) -> Played:
        """A fixed mixture of the way back and the advice, whatever comes of it."""
        alpha = np.full(self._before.cost.shape, weight)
        mixed, _ = self._mixture(self._packing.parts(advice), alpha)
        return Played(alpha, mixed, self._reach(self._packing.parts(mixed)).ledger)

    def _largest_steps(self, reached: _Reached) -> FloatArray:
        """``[...]``: the largest share of the advice that is worth a try."""
        safe, packing, plant = self.safe, self._packing, self._packing.plant
        here, there = self._returned.curve, reached.curve
        alpha = packing.flat(reached.certain.astype(np.float64))
        steps.largest_steps(
            np.stack([here.line, there.line]),
            np.stack([here.kinks, there.kinks]),
            np.stack([here.footprint, there.footprint]),
            safe.kink_prices,
            safe.gap_prices.missing,
            safe.gap_prices.surplus,
            plant.unit.size + len(plant.pue),
            plant.region_of,
            self._rules.mu,
            self._head,
            self._goal(reached),
            alpha,
        )
        return packing.shaped(alpha)

    def _goal(self, reached: _Reached) -> FloatArray:
        """``[B]``, US$: what a mixture may come to, less what its rounding may add."""
        books, flat = self._before.books, self._packing.flat
        size = self._own.size + (self._own.footprint + books.head).max(-1) @ self._rules.mu
        size = flat(size + books.right) + self._returned.curve.size + reached.curve.size
        waits = reached.need - reached.standing.left
        goal: FloatArray = flat(books.right) - waits - 4 * self.safe.terms * _EPS * size
        return goal

    def _mixture(self, advice: Parts, alpha: FloatArray) -> tuple[Decision, BoolArray]:
        """The mixture of the way back and the advice; is it possible, despite its rounding?"""
        packing, back = self._packing, self._returned.parts
        mixed = Parts(*map(np.empty_like, back))
        for here, there, part in zip(back, advice, mixed, strict=True):
            steps.mix(alpha.reshape(-1), here, there, part)
        shaped = {n: packing.shaped(getattr(mixed, n)) for n in parts_of(self.back)}
        allocation = shaped.pop("allocation")
        done, possible = self.completion.of(allocation, Operation(**shaped))
        return Decision(None, None, allocation, operation=done), possible

    def _effect(self) -> Effect:
        """What the expert's decision costs."""
        packing, (K, R) = self._packing, self._before.footprint.shape[-2:]
        count = len(self._scene.price)
        cost, footprint = np.empty((3, count)), np.empty((2, count, K, R))
        gross = np.empty_like(self._scene.price)
        kernels.expert_effect(
            self._scene,
            packing.plant,
            self._rules,
            self._expert,
            self._on[1],
            cost,
            footprint,
            gross,
            self._kinks(),
        )
        self._gross = gross
        price, price_error, size = map(packing.shaped, cost)
        emitted, emitted_error = map(packing.shaped, footprint)
        return Effect(price, price_error, emitted, emitted_error, size)

    def _kinks(self) -> FloatArray:
        return np.empty((len(self._scene.price), len(self.safe.kink_prices)))

    def _reach(self, decision: Parts) -> _Reached:
        """Where ``decision`` leads."""
        packing, books, before = self._packing, self._before.books, self._standing
        after = Standing(*map(np.empty_like, before))
        size, need = np.empty_like(before.cost), np.empty_like(before.cost)
        curve = Curve(np.empty_like(size), self._kinks(), np.empty_like(before.footprint), size)
        kernels.reach(
            self._scene,
            packing.plant,
            self.safe.gap_prices,
            self._rules,
            decision,
            self._expert,
            *self._on,
            self._gross,
            before,
            self._head,
            after,
            curve,
            need,
        )
        cost, footprint, left, *rest = map(packing.shaped, after)
        books = books._replace(cost=cost, footprint=footprint, left=left)
        needs = packing.shaped(need)
        certain = np.isfinite(needs) & np.isfinite(books.right) & (needs <= books.right)
        moved: dict[str, Any] = dict(zip(_MOVED, rest, strict=True))
        ledger = self._before._replace(books=books, **moved)
        return _Reached(decision, ledger, certain, after, curve, need)


def _where(where: BoolArray, one: LevelLedger, other: LevelLedger) -> LevelLedger:
    books = Ledger(*(pick(where, a, b) for a, b in zip(one.books, other.books, strict=True)))
    rest = (pick(where, a, b) for a, b in zip(one[1:], other[1:], strict=True))
    return LevelLedger(books, *rest)
