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

(where the expert leaves capacity free, less for ``q − q^π``: :mod:`~equiload.robust.spare`),
the condition is (★) with ``D + Φ`` for ``D`` and ``Δ + Ψ`` for ``Δ``. On the way back neither grows
(docs/robustness.md), so the safe set never empties. Numpy arrays, any leading batch axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from equiload.envs import DataError, Setting, Slot
from equiload.envs.typing import FloatArray
from equiload.robust.bounds import Bounds
from equiload.robust.kernels import Ledger
from equiload.robust.level_tuples import GapPrices
from equiload.robust.packing import Packing
from equiload.robust.safe import SafeSet
from equiload.robust.spare import Room, Spare

_EPS = float(np.finfo(np.float64).eps)
#: What is reserved for, in the order of :attr:`LevelLedger.reserved`.
CAUSES = ("storage", "training", "servers")


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
    room
        For work that waits longer than the expert's; none where no capacity is spared.
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
    room: Room | None = None


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

    @cached_property
    def packing(self) -> Packing:
        """Decisions and slots as kernels read them."""
        return Packing(self.setting)

    # What the way back may cost.

    @cached_property
    def spare(self) -> Spare | None:
        """What the expert leaves free for work; none where nothing is."""
        if self.bounds.spare is None:
            return None
        return Spare(self.setting, self.bounds, self.terms)

    @cached_property
    def worth(self) -> dict[str, FloatArray]:
        """US$ per unit of each gap, behind (below the expert's level) and ahead of it.

        ``missing [K, N]``: footprint of a MWh that a battery lacks, ``surplus [C, K, R]`` of one
        that waits beyond the expert's and can be done in time; ``waiting_late``: what one costs
        more that cannot.
        """
        fleet, bounds = self.setting.fleet, self.bounds
        into = out = np.ones(len(fleet.datacenters))
        worth = {}
        if fleet.storage is not None:
            storage = fleet.storage
            into, out = storage.charge_efficiency, storage.discharge_efficiency
            worth["stored_behind"] = np.maximum(bounds.price * out, storage.refill_price / into)
            worth["stored_ahead"] = bounds.negative / into
            worth["missing"] = bounds.intensity * out
        if fleet.training is not None:
            done = (bounds.negative * fleet.pue / (into * out)).max()
            worth["waiting_behind"] = np.full(len(fleet.training.classes), done)
            worth["waiting_ahead"] = fleet.training.late_cost
            if self.spare is not None:
                worth["waiting_ahead"] = self.spare.cost
                worth["waiting_late"] = fleet.training.late_cost - self.spare.cost
                worth["surplus"] = self.spare.footprint
        if fleet.servers is not None:
            worth["on_behind"] = fleet.servers.start_cost
        return worth

    @cached_property
    def gap_prices(self) -> GapPrices:
        """:attr:`worth`, and what rounding may add to it."""
        fleet, mu = self.setting.fleet, self.setting.objective.mu
        N, C = len(fleet.datacenters), len(self.packing.plant.late_cost)
        K, R = self.setting.footprint_shape[-2:]
        missing, stray, surplus = np.zeros((K, N)), np.zeros(N), np.zeros((C, K, R))
        if fleet.storage is not None:
            stray = fleet.storage.wear + mu @ self.bounds.intensity
        worth: dict[str, FloatArray] = {
            n: np.zeros(C if n.startswith("waiting") else N) for n in GapPrices._fields[:6]
        }
        worth |= {"missing": missing, "surplus": surplus, "stray": stray, **self.worth}
        arrays = {name: np.array(worth[name], order="C") for name in GapPrices._fields[:-1]}
        return GapPrices(**arrays, drift=self._drift)

    @cached_property
    def kink_prices(self) -> FloatArray:
        """US$ per unit of each of the kinks of :class:`~equiload.robust.level_tuples.Curve`."""
        plant, gaps = self.packing.plant, self.gap_prices
        sides = gaps.waiting_behind, gaps.waiting_ahead, gaps.waiting_late
        waiting = np.stack([*sides, np.zeros_like(gaps.waiting_late)], axis=-1)
        by_site = plant.start_cost, plant.unit.ravel(), gaps.stored_behind, gaps.stored_ahead
        return np.concatenate([*by_site, gaps.on_behind, waiting.ravel()])

    @cached_property
    def kink_footprints(self) -> FloatArray:
        """``[M, K, R]``: what is reserved per unit of each of the kinks."""
        gaps, plant = self.gap_prices, self.packing.plant
        C, K, R = gaps.surplus.shape
        stored = gaps.missing.T[:, :, None] * self.setting.fleet.membership[:, None, :]
        by_class = np.zeros((C, 4, K, R))
        by_class[:, 1], by_class[:, 3] = gaps.surplus, -gaps.surplus
        before = np.zeros((len(stored) + plant.unit.size, K, R))
        between = np.zeros((2 * len(stored), K, R))
        return np.concatenate([before, stored, between, by_class.reshape(-1, K, R)])

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
        room = None if self.spare is None else self.spare.open()
        return LevelLedger(books, books.cost, zeros, *gaps, nothing, room)

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
            unit = worth["waiting_behind"] + fleet.training.late_cost
            if self.spare is not None:  # the room for it strays, too, and footprints are reserved
                unit = 4 * unit
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
