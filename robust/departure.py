"""How far a decision may depart from the way back, where the past counts: blend and switch.

Everything in a decision is linear in the share ``α`` of the advice; what it costs is convex and
piecewise linear, with starts, quality and the potentials of the levels as kinks.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from equiload.envs import DataError, Decision, Slot
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.knobs.operation import Completion, Levels, Operation
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust import level_kernels as kernels
from equiload.robust import step_kernels as steps
from equiload.robust.kernels import Ledger, follow_effect
from equiload.robust.level_tuples import Curve, Expert, Judged, Parts, Rules, Standing
from equiload.robust.levels import LevelLedger, LevelSafeSet
from equiload.robust.packing import parts_of
from equiload.robust.wayback import choose, pick, way_back

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
    """Where a decision leads, and what ``α`` depends on."""

    parts: Parts
    standing: Standing
    judged: Judged


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
        self._rules = Rules(packing.mu, safe.terms, safe.plain.slots_left(slot.index))
        before = safe.open(slot) if ledger is None else ledger
        if safe.spare is not None and before.room is not None:
            before = before._replace(room=safe.spare.after(before.room, slot, parts_of(expert)))
        self._scene = packing.scene(slot, before.room)
        self.completion = Completion(slot, levels, safe.setting.fleet)
        own, theirs = packing.levels(levels), packing.levels(expert_levels)
        self._on = own.on
        done = packing.parts(expert)
        self._follow(before, done, theirs.on)
        spare = safe.spare
        more = None if spare is None else spare.work(expert, slot, levels, expert_levels)
        if more is not None:
            more = packing.flat(more)
        parts, away = way_back(done, own, theirs, packing, self.completion, more)
        #: What is done in place of the expert's decision.
        self.back = packing.decision(parts, self.completion.shapes) if away else expert
        self._returned = self._reach(parts)

    @cached_property
    def followed(self) -> LevelLedger:
        """The ledger if the way back were taken."""
        return self._ledger(self._returned)

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
        packing, back = self._packing, self._returned
        whole = self._reach(packing.parts(advice))
        full = whole.judged.certain
        if full.all():
            return Played(packing.shaped(np.ones(len(full))), advice, self._ledger(whole))
        alpha = self._largest_steps(whole)
        mixed, possible = self._mixture(whole.parts, alpha)
        part = self._reach(mixed)
        certain = part.judged.certain & possible & (alpha > 0)
        kernels.give_up(certain, back.parts, back.standing, mixed, part.standing)
        played = packing.decision(mixed, self.completion.shapes)
        alpha = packing.shaped(np.where(certain, alpha, 0.0))
        return Played(alpha, played, self._ledger(part))

    def pieces(self, advice: Decision) -> Pieces:
        """The left side at the way back; its goal leaves room for rounding until the advice."""
        here = self._returned.judged.curve
        goal = self._goal(self._reach(self._packing.parts(advice)))
        pieces = goal, here.line, here.kinks, here.footprint - self._books.head
        return Pieces(*map(self._packing.shaped, pieces))

    def either(self, where: BoolArray, one: Played, other: Played) -> Played:
        """``one`` where ``where [...]`` holds, otherwise ``other``."""
        alpha = np.where(where, one.alpha, other.alpha)
        decision = choose(where, one.decision, other.decision)
        return Played(alpha, decision, _where(where, one.ledger, other.ledger))

    def switch(self, advice: Decision, trusted: BoolArray) -> Played:
        """The advice where it is ``trusted [...]`` and safe, the way back elsewhere."""
        reached = self._reach(self._packing.parts(advice))
        safe = trusted & self._packing.shaped(reached.judged.certain)
        ledger = _where(safe, self._ledger(reached), self.followed)
        return Played(safe * 1.0, choose(safe, advice, self.back), ledger)

    def mix(self, advice: Decision, weight: float) -> Played:
        """A fixed mixture of the way back and the advice, whatever comes of it."""
        alpha = np.full(len(self._scene.price), weight)
        mixed, _ = self._mixture(self._packing.parts(advice), alpha)
        played = self._packing.decision(mixed, self.completion.shapes)
        return Played(self._packing.shaped(alpha), played, self._ledger(self._reach(mixed)))

    def _largest_steps(self, whole: _Reached) -> FloatArray:
        """``[B]``: the largest share of the advice that is worth a try."""
        safe, plant, gaps = self.safe, self._packing.plant, self.safe.gap_prices
        alpha = whole.judged.certain.astype(np.float64)
        steps.largest_steps(
            self._returned.judged.curve,
            whole.judged.curve,
            safe.kink_prices,
            gaps.missing,
            gaps.surplus,
            plant.unit.size + len(plant.pue),
            plant.region_of,
            self._rules.mu,
            self._books.head,
            self._goal(whole),
            alpha,
        )
        return alpha

    def _goal(self, whole: _Reached) -> FloatArray:
        """``[B]``, US$: what a mixture may come to, less what its rounding may add."""
        goal = np.empty(len(self._scene.price))
        steps.goals(
            *self._effect,
            self._books.head,
            self._books.right,
            self._rules.mu,
            self._rules.terms,
            self._returned.judged.curve,
            whole.judged,
            whole.standing.left,
            goal,
        )
        return goal

    def _mixture(self, advice: Parts, alpha: FloatArray) -> tuple[Parts, BoolArray]:
        """The mixture of the way back and the advice; is it possible, despite its rounding?"""
        mixed = self._packing.blank()
        steps.mix(alpha, self._returned.parts, advice, mixed)
        return mixed, self._packing.put(mixed, self.completion)

    def _follow(self, before: LevelLedger, done: Parts, on_before: FloatArray) -> None:
        """What the expert's decision costs, and the books if nothing else changes."""
        safe, packing, slot, scene = self.safe, self._packing, self.slot, self._scene
        (count, K, N), R = scene.intensity.shape, before.footprint.shape[-1]
        self._expert = Expert(done, on_before, np.empty((count, N)), self._kinks())
        self._effect = cost, footprint = np.empty((3, count)), np.empty((2, count, K, R))
        kernels.expert_effect(scene, packing.plant, self._rules, self._expert, cost, footprint)
        books = Ledger(*map(packing.flat, before.books))
        self._books = after = Ledger(*map(np.empty_like, books))
        follow_effect(
            scene.intensity,
            packing.rows(slot.capacity, N),
            cost,
            footprint,
            self._rules.slots_left,
            safe.plain.condition,
            books,
            after,
        )
        broken = safe.bounds.broken(slot)
        if safe.spare is not None:
            broken = broken | safe.spare.broken(self.expert, slot)
        if safe.plain.footprint_bound is not None:
            broken = broken | packing.shaped(after.breach)
        #: Of the expert: what the right side is made of, and all else if nothing changes.
        kept = Ledger(*map(packing.shaped, after))._replace(breach=broken)
        self._before = before._replace(books=kept)
        gaps = (packing.flat(getattr(before, name)) for name in _MOVED)
        self._standing = Standing(after.cost, after.footprint, after.left, *gaps)

    def _kinks(self) -> FloatArray:
        return np.empty((len(self._scene.price), len(self.safe.kink_prices)))

    def _reach(self, decision: Parts) -> _Reached:
        """Where ``decision`` leads."""
        before = self._standing
        after, count = Standing(*map(np.empty_like, before)), len(before.cost)
        curve = Curve(
            np.empty(count), self._kinks(), np.empty_like(before.footprint), np.empty(count)
        )
        judged = Judged(np.empty(count), np.empty(count, np.bool_), curve)
        kernels.reach(
            self._scene,
            self._packing.plant,
            self.safe.gap_prices,
            self._rules,
            decision,
            self._expert,
            self._on,
            self._books.head,
            self._books.right,
            before,
            after,
            judged,
        )
        return _Reached(decision, after, judged)

    def _ledger(self, reached: _Reached) -> LevelLedger:
        """The ledger of where a decision leads."""
        cost, footprint, left, *rest = map(self._packing.shaped, reached.standing)
        books = self._before.books._replace(cost=cost, footprint=footprint, left=left)
        moved: dict[str, Any] = dict(zip(_MOVED, rest, strict=True))
        return self._before._replace(books=books, **moved)


def _where(where: BoolArray, one: LevelLedger, other: LevelLedger) -> LevelLedger:
    books = Ledger(*(pick(where, a, b) for a, b in zip(one.books, other.books, strict=True)))
    rest = (pick(where, a, b) for a, b in zip(one[1:], other[1:], strict=True))
    return LevelLedger(books, *rest)
