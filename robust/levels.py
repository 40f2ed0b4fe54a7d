"""The safe set of a fleet whose past counts: batteries, waiting work, servers that are on.

The expert runs on a trajectory of its own, with levels of its own. The layer's levels differ, so
what the expert does may not be possible for it; it has a *way back*
(:mod:`~equiload.robust.wayback`), and what that can still cost is reserved beforehand. With gaps
``b − b^π``, ``q − q^π``, ``n − n^π`` between its levels and the expert's, and declared bounds
``U, Λ, ē`` (:class:`~equiload.robust.bounds.Bounds`),

    Φ = Σ_i [U′·(b^π − b)⁺ + (Λ/η_c)·(b − b^π)⁺ + β·(n^π − n)⁺]
        + Σ_c [L·(q − q^π)⁺ + Λ′·(q^π − q)⁺],
    Ψ[k, r] = Σ_{i in r} ē·η_d·(b^π − b)⁺,

    U′ = max(U·η_d, refill/η_c),   Λ′ = max_i Λ·PUE/(η_c·η_d),

the condition is (★) with ``D + Φ`` for ``D`` and ``Δ + Ψ`` for ``Δ``. On the way back neither grows
(docs/robustness.md), so the safe set never empties. Numpy arrays, any leading batch axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from equiload.envs import DataError, Decision, Setting, Slot
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.bounds import Bounds
from equiload.robust.kernels import Ledger
from equiload.robust.safe import Effect, SafeSet

_EPS = float(np.finfo(np.float64).eps)
#: Products lose less than this when they underflow.
TINY = 1e-280
#: What each slot of the way back may add by rounding, in units of :attr:`LevelSafeSet.terms`.
_STEP = 64
#: What is reserved for, in the order of :attr:`LevelLedger.reserved`.
CAUSES = ("storage", "training", "servers")


def parts_of(decision: Decision) -> dict[str, FloatArray]:
    """Everything that was decided, by name; the grid's energy follows from it."""
    assert decision.operation is not None
    named = {"allocation": decision.allocation, **decision.operation.named()}
    return {name: array for name, array in named.items() if name != "grid"}


def axes_of(name: str) -> tuple[int, ...]:
    """Axes of a part, beside those of a batch."""
    return (-2, -1) if name in {"allocation", "work"} else (-1,)


class LevelLedger(NamedTuple):
    """Where the layer stands after a slot, as bounds on the exact numbers.

    Parameters
    ----------
    books
        Its ``cost`` bounds ``D + Φ``, its ``footprint`` ``Δ + Ψ``.
    cost, footprint
        ``[...]`` US$ and ``[..., K, R]``: at least ``D`` and ``Δ`` alone.
    stored, stored_error
        ``[..., N]``, MWh: ``b − b^π``, and how far off it may be; 0 before the first departure.
    waiting, waiting_error
        ``[..., C]``, MWh: ``q − q^π``, likewise.
    on
        ``[..., N]``, MWh per slot: ``n − n^π``.
    reserved
        ``[..., 3]``, US$: at least ``Φ``, by :data:`CAUSES`.
    """

    books: Ledger
    cost: FloatArray
    footprint: FloatArray
    stored: FloatArray
    stored_error: FloatArray
    waiting: FloatArray
    waiting_error: FloatArray
    on: FloatArray
    reserved: FloatArray


class Hinges(NamedTuple):
    """Convex costs ``Σ weight·max(done − free, 0)``: starts, and quality beyond each step.

    ``done [..., M]`` is on, or saved; ``free [..., M]`` was on before, or is saved by the steps
    before; ``weight [M]``.
    """

    done: FloatArray
    free: FloatArray
    weight: FloatArray

    @property
    def at(self) -> FloatArray:
        """``[..., M]``: beyond 0 it costs."""
        return self.done - self.free

    @property
    def size(self) -> FloatArray:
        """``[..., M]``: what rounding goes with."""
        return np.abs(self.done) + np.abs(self.free)

    def apart(self, other: Hinges) -> FloatArray:
        """US$ ``[...]``: the size of all that is not to the last bit the same."""
        differs = (self.done != other.done) | (self.free != other.free)
        size: FloatArray = np.where(differs, self.size + other.size, 0.0) @ self.weight
        return size

    @property
    def value(self) -> FloatArray:
        """US$ ``[...]``."""
        total: FloatArray = np.maximum(self.at, 0.0) @ self.weight
        return total


@dataclass(frozen=True, eq=False)
class LevelSafeSet:
    """The condition with what the way back may cost.

    Parameters
    ----------
    setting
        With knobs.
    plain
        The condition on totals.
    bounds
        What no slot exceeds.
    """

    setting: Setting
    plain: SafeSet
    bounds: Bounds

    @classmethod
    def of(
        cls,
        setting: Setting,
        bounds: Bounds | None,
        rho: float,
        allowance: float,
        footprint_bound: FloatArray | None,
    ) -> LevelSafeSet:
        """The safe set of a setting with knobs; :class:`DataError` without bounds."""
        if bounds is None:
            knobs = ", ".join(setting.knobs)
            raise DataError(
                f"the instance has {knobs}: the layer needs bounds= on what a slot can bring, "
                "Bounds.of(history), say"
            )
        plain = SafeSet(
            setting.without_knobs(),
            rho=rho,
            allowance=allowance,
            footprint_bound=footprint_bound,
        )
        return cls(setting, plain, bounds.fit(setting))

    @cached_property
    def terms(self) -> int:
        """No number of a step passes through more roundings than this."""
        J, N = self.setting.fleet.reachable.shape
        training, models = self.setting.fleet.training, self.setting.fleet.models
        C = 0 if training is None else len(training.classes)
        steps: int = 0 if models is None else len(models.steps[0])
        return int(J * N + C * (N + 2) + J * (steps + 1) + 12 * N + 40)

    # What a decision, or a difference of two, costs.

    def effect(
        self, slot: Slot, given: dict[str, FloatArray], *whole: dict[str, FloatArray]
    ) -> Effect:
        """What is linear in what was decided: all but starts and quality.

        ``given`` may be the difference of two ``whole`` decisions. The grid gives nothing where the
        balance is below 0 by rounding: so their difference is off by the rounding of both.
        """
        fleet = self.setting.fleet
        drawn, grid = self._flows(given)
        drawn_size, grid_size = self._sizes(given)
        moved = np.any([array.any(axis=axes_of(name)) for name, array in given.items()], axis=0)
        for decision in whole:
            rounded = self._sizes(decision)[1]
            grid_size = grid_size + np.where(moved[..., None], rounded, 0.0)
        cost = (slot.price * grid).sum(-1)
        size = (np.abs(slot.price) * grid_size).sum(-1)
        paid = [("allocation", fleet.routing_cost)]
        paid += [("discharge", None if fleet.storage is None else fleet.storage.wear)]
        paid += [("late", None if fleet.training is None else fleet.training.late_cost)]
        for name, unit in paid:
            if unit is not None:
                axes = tuple(range(-np.ndim(unit), 0))
                cost = cost + (unit * given[name]).sum(axes)
                size = size + (np.abs(unit) * np.abs(given[name])).sum(axes)
        used, used_size = (slot.intensity * g[..., None, :] for g in (grid, grid_size))
        if slot.onsite_intensity is not None:
            used = used + slot.onsite_intensity * drawn[..., None, :]
            used_size = used_size + slot.onsite_intensity * drawn_size[..., None, :]
        footprint, footprint_size = map(self.setting.physics.by_region, (used, used_size))
        error = self.terms * _EPS
        return Effect(
            cost,
            np.where(moved, error * size + TINY, 0.0),
            footprint,
            np.where(moved[..., None, None], error * footprint_size + TINY, 0.0),
            size,
        )

    def _flows(self, given: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """``[..., N]``, MWh: what is drawn, and what the grid gives."""
        fleet, load = self.setting.fleet, given["allocation"].sum(-2)
        if "work" in given:
            load = load + given["work"].sum(-2)
        drawn = load * fleet.pue
        if fleet.servers is not None:
            idle = fleet.servers.idle
            drawn = (idle * given["on"] + (1.0 - idle) * load) * fleet.pue
        grid = drawn + given.get("charge", 0.0)
        return drawn, grid - given.get("discharge", 0.0) - given.get("generation", 0.0)

    def _sizes(self, given: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """The flows with every term taken positive."""
        size = {name: np.abs(array) for name, array in given.items()}
        drawn, grid = self._flows(size)
        back = (size[name] for name in ("discharge", "generation") if name in size)
        return drawn, grid + 2 * sum(back)

    def hinges(self, slot: Slot, given: dict[str, FloatArray], on_before: Array) -> Hinges:
        """What is convex: starts from ``on_before [..., N]``, quality of what is ``saved``."""
        fleet, lead = self.setting.fleet, given["allocation"].shape[:-2]
        done, free, weight = [np.zeros((*lead, 0))], [np.zeros((*lead, 0))], [np.zeros(0)]
        if fleet.servers is not None:
            done.append(given["on"])
            free.append(on_before)
            weight.append(fleet.servers.start_cost)
        if fleet.models is not None:
            room, unit = fleet.models.room(slot.demand), fleet.models.unit_cost
            before = np.cumsum(room, axis=-1) - room
            saved = np.broadcast_to(given["saved"][..., None], before.shape)
            done.append(saved.reshape(*lead, -1))
            free.append(before.reshape(*lead, -1))
            weight.append(np.diff(unit, axis=-1, prepend=0.0).ravel())
        return Hinges(*(np.concatenate(x, axis=-1) for x in (done, free, weight)))

    # What the way back may cost.

    @cached_property
    def worth(self) -> dict[str, FloatArray]:
        """US$ per unit of each gap, behind (below the expert's level) and ahead of it."""
        fleet, bounds = self.setting.fleet, self.bounds
        into = out = np.ones(len(fleet.datacenters))
        worth = {}
        if fleet.storage is not None:
            storage = fleet.storage
            into, out = storage.charge_efficiency, storage.discharge_efficiency
            worth["stored_behind"] = np.maximum(bounds.price * out, storage.refill_price / into)
            worth["stored_ahead"] = bounds.negative / into
        if fleet.training is not None:
            done = (bounds.negative * fleet.pue / (into * out)).max()
            worth["waiting_behind"] = np.full(len(fleet.training.classes), done)
            worth["waiting_ahead"] = fleet.training.late_cost
        if fleet.servers is not None:
            worth["on_behind"] = fleet.servers.start_cost
        return worth

    def potential(self, gaps: LevelLedger) -> tuple[FloatArray, FloatArray]:
        """Upper bounds on ``Φ [..., 3]`` by cause, and on ``Ψ [..., K, R]``."""
        reserved = np.zeros((*gaps.cost.shape, len(CAUSES)))
        footprint = np.zeros_like(gaps.footprint)
        up = 1.0 + self.terms * _EPS
        for cause, name in enumerate(("stored", "waiting", "on")):
            value = getattr(gaps, name)
            error = getattr(gaps, f"{name}_error", None)
            error = 2 * _EPS * np.abs(value) if error is None else error
            for side, sign in (("behind", -1.0), ("ahead", 1.0)):
                unit = self.worth.get(f"{name}_{side}")
                if unit is not None:
                    reserved[..., cause] += np.maximum(sign * value + error, 0.0) @ unit * up
        if (storage := self.setting.fleet.storage) is not None:
            missing = np.maximum(gaps.stored_error - gaps.stored, 0.0)
            given = self.bounds.intensity * (storage.discharge_efficiency * missing)[..., None, :]
            footprint = self.setting.physics.by_region(given) * up
        return reserved, footprint

    # Ledgers.

    def open(self, slot: Slot) -> LevelLedger:
        """Before the first slot: no gaps."""
        books = self.plain.open(self.plain.rates(slot))
        training, batch = self.setting.fleet.training, self.setting.batch
        by_site = np.zeros((*batch, len(self.setting.fleet.datacenters)))
        by_class = np.zeros((*batch, 0 if training is None else len(training.classes)))
        zeros = books.footprint * 0.0
        nothing = np.zeros((*batch, len(CAUSES)))
        gaps = (by_site, by_site, by_class, by_class, by_site)
        return LevelLedger(books, books.cost, zeros, *gaps, nothing)

    def reserve(self, ledger: LevelLedger, slots_left: int) -> FloatArray:
        """US$ ``[...]``: what rounding may add on the way back; 0 where levels were never apart."""
        mu, storage = self.setting.objective.mu, self.setting.fleet.storage
        apart = (ledger.stored_error > 0).any(-1) | (ledger.waiting_error > 0).any(-1)
        apart |= (ledger.on != 0).any(-1)
        scale = np.abs(ledger.cost) + np.abs(ledger.footprint).max(-1) @ mu
        for name in ("stored", "waiting", "on"):
            gap = np.abs(getattr(ledger, name))
            for side in ("behind", "ahead"):
                scale = scale + gap @ self.worth.get(f"{name}_{side}", np.zeros(gap.shape[-1]))
        if storage is not None:
            unit = storage.wear + mu @ self.bounds.intensity
            scale = scale + np.abs(ledger.stored) @ unit
        scale = _STEP * scale + self._drift
        return np.where(apart, slots_left * self.terms * _EPS * scale, 0.0)

    @cached_property
    def _drift(self) -> float:
        """US$, in units of rounding: by what levels as floats stray from the exact ones, and flows.

        Levels do so by a little more in every slot.
        """
        fleet, worth, slots = self.setting.fleet, self.worth, 8 * self.setting.horizon
        footprint = self.setting.objective.mu @ self.bounds.intensity
        flow, total = 2 * fleet.pue * fleet.capacity, 0.0
        if fleet.storage is not None:
            unit = worth["stored_behind"] + worth["stored_ahead"] + fleet.storage.wear + footprint
            total += slots * float(fleet.storage.energy @ unit)
            flow = flow + 2 * (fleet.storage.charge + fleet.storage.discharge)
        if fleet.training is not None and self.bounds.work is not None:
            slack = np.minimum(fleet.training.deadline, self.setting.horizon) + 1
            unit = worth["waiting_behind"] + worth["waiting_ahead"]
            total += slots * float((slack * self.bounds.work) @ unit)
        if fleet.servers is not None:
            total += slots * float(fleet.capacity @ worth["on_behind"])
        dearest = np.maximum(self.bounds.price, self.bounds.negative) + footprint
        return total + 4 * float(flow @ dearest)

    def ends(self, ledger: LevelLedger) -> tuple[FloatArray, FloatArray]:
        """At least what it all comes to if the episode ended here: US$ ``[...]``, ``[..., K, R]``.

        The difference to the expert's costs and footprints, of refilling the batteries included.
        """
        cost = ledger.cost
        if (storage := self.setting.fleet.storage) is not None:
            unit = storage.refill_price / storage.charge_efficiency
            missing = np.maximum(ledger.stored_error - ledger.stored, 0.0)
            cost = cost + missing @ unit * (1.0 + self.terms * _EPS)
        return cost + 4 * _EPS * np.abs(cost), ledger.footprint

    def certified(self, ledger: LevelLedger, slots_left: int) -> BoolArray:
        """``[...]``: is the condition certain to hold now, and on the way back until the end?"""
        books = ledger.books
        left = books.left + self.reserve(ledger, slots_left)
        finite = np.isfinite(left) & np.isfinite(books.right)
        certain: BoolArray = finite & (left <= books.right)
        return certain
