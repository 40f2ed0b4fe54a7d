"""Project where the past counts: the decision nearest to the advice that keeps the condition."""

from __future__ import annotations

from contextlib import suppress

import daqp
import numpy as np

from equiload.envs import Decision, SolverError
from equiload.envs.knobs.operation import Operation, draw
from equiload.envs.typing import FloatArray
from equiload.robust.departure import LevelTurn, Pieces, Played
from equiload.robust.packing import parts_of
from equiload.robust.wayback import choose

_FREE = 1e30
_EQUALITY = 5  # DAQP's code of an equality constraint
_MOST_CUTS = 200
_TOLERANCE = 1e-11
#: Kelley's method ends where the condition is missed by no more than this; a blend does the rest.
_CLOSE = 1e-9


def project(turn: LevelTurn, advice: Decision) -> Played:
    """Play the decision nearest to ``advice``, of those that keep the condition.

    ``argmin ‖x − x̃‖²`` of everything decided, in MWh. As in
    :class:`~equiload.robust.project.Projector` linear pieces of the condition's left side are added
    as cuts where the last solution breaks them; a last blend from the way back certifies the
    result. A solver that fails costs nearness, not safety: the advice is blended instead.
    ``alpha`` is 1 − (distance to the advice / distance of the way back to it).
    """
    whole = turn.blend(advice)
    full = whole.alpha == 1.0
    if full.all():
        return whole
    wanted, back = parts_of(advice), parts_of(turn.back)
    nearest = {name: array.copy() for name, array in wanted.items()}
    pieces, program = turn.pieces(advice), _Program(turn)
    for index in np.ndindex(full.shape):
        if not full[index]:
            with suppress(SolverError):
                found = program.nearest(index, pieces, wanted, back)
                for name, array in found.items():
                    nearest[name][index] = array
    allocation = nearest.pop("allocation")
    proposed = Decision(None, None, allocation, operation=Operation(**nearest))
    possible, refused = turn.screen(proposed)
    played = turn.blend(choose(~refused, possible, advice))
    moved, alone, apart = (
        _distance(wanted, parts_of(d), full.ndim)
        for d in (played.decision, whole.decision, turn.back)
    )
    # Where a solver has failed, a blend may go further.
    played, moved = turn.either(moved <= alone, played, whole), np.minimum(moved, alone)
    share = 1.0 - moved / np.where(apart > 0, apart, 1.0)
    # 0 is kept for the way back.
    share = np.clip(share, np.finfo(np.float64).tiny, 1.0)
    return played._replace(alpha=np.where(full, 1.0, np.where(played.alpha > 0, share, 0.0)))


class _Program:
    """The slot's constraints, and the condition's pieces, in what is decided in a row.

    Rows ``[.., size]`` of what is drawn and taken from the grid by each site, and of the kinks, in
    the order of :attr:`~equiload.robust.levels.LevelSafeSet.kink_prices`.
    """

    def __init__(self, turn: LevelTurn) -> None:
        self.turn, self.safe = turn, turn.safe
        lead = len(self.safe.setting.batch)
        self.shapes = {n: a.shape[lead:] for n, a in parts_of(turn.back).items()}
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        self.size = sum(sizes)
        ends = np.cumsum(sizes)
        self.place = {
            n: np.arange(end - size, end).reshape(self.shapes[n])
            for n, size, end in zip(self.shapes, sizes, ends, strict=True)
        }
        self._eye = np.eye(self.size)
        self.serves, self.drawn, self.grid = self._flows()
        self.stored, self.kinks = self._pieces()

    def _rows(self, name: str, *shape: int) -> FloatArray:
        """``[*shape, size]``: what is decided under a name; 0 where the fleet has no such part."""
        if name in self.place:
            return self._eye[self.place[name]]
        return np.zeros((*shape, self.size))

    def _flows(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """``[N, size]`` each: load, what is drawn, what the grid gives."""
        fleet = self.safe.setting.fleet
        N = len(fleet.datacenters)
        serves = self._rows("allocation").sum(0) + self._rows("work", 0, N).sum(0)
        on = self._rows("on").T if "on" in self.place else None
        drawn = draw(serves.T, on, fleet).T
        stored = self._rows("charge", N) - self._rows("discharge", N)
        return serves, drawn, drawn + stored - self._rows("generation", N)

    def _pieces(self) -> tuple[FloatArray, FloatArray]:
        """Rows ``[N, size]`` of what is stored more, and ``[M, size]`` of the kinks."""
        plant, N = self.safe.packing.plant, len(self.safe.setting.fleet.datacenters)
        into, out = plant.into[:, None], plant.out[:, None]
        stored = self._rows("charge", N) * into - self._rows("discharge", N) / out
        on, saved = self._rows("on", N), self._rows("saved", len(plant.unit))
        done = self._rows("work", 0, N).sum(1) + self._rows("late", 0)
        quality = np.repeat(saved, plant.unit.shape[1], axis=0)
        waiting = np.multiply.outer(-done, [-1.0, 1.0, 1.0, 1.0])  # [C, size, 4]
        by_class = np.moveaxis(waiting, -1, 1).reshape(-1, self.size)
        return stored, np.vstack([on, quality, -stored, stored, -on, by_class])

    def _linear(self, index: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Cost ``[size]`` and footprints ``[size, K, R]`` of a unit of each, kinks left out."""
        slot, plant, fleet = self.turn.slot, self.safe.packing.plant, self.safe.setting.fleet
        cost = slot.price[index] @ self.grid
        emitted = slot.intensity[index][..., None] * self.grid
        if slot.onsite_intensity is not None:
            emitted = emitted + slot.onsite_intensity[index][..., None] * self.drawn
        for name, unit in {
            "allocation": plant.routing,
            "late": plant.late_cost,
            "discharge": plant.wear,
        }.items():
            if name in self.place:
                cost[self.place[name]] += unit
        return cost, np.einsum("kis,ir->skr", emitted, fleet.membership)

    def nearest(
        self,
        index: tuple[int, ...],
        pieces: Pieces,
        advice: dict[str, FloatArray],
        back: dict[str, FloatArray],
    ) -> dict[str, FloatArray]:
        """What is decided in one problem.

        Raises
        ------
        SolverError
            When the solver stops without an optimum.
        """
        target, base = (
            np.concatenate([a[index].ravel() for a in d.values()]) for d in (advice, back)
        )
        here, linear = pieces.at(index), self._linear(index)
        rows, lower, upper = self._possible(index)
        cuts: list[FloatArray] = []
        limits: list[float] = []
        duals = np.zeros(len(upper))
        for _ in range(_MOST_CUTS):
            point, duals = _solve(target, rows, lower, upper, cuts, limits, duals)
            row, value = self._cut(here, linear, point - base)
            size = float(np.abs(row) @ (np.abs(point) + np.abs(base)))
            if value <= float(here.goal) + _CLOSE * size:
                break
            norm = max(float(np.abs(row).max()), 1e-300)
            # The piece: value + row·(x − point) <= goal.
            cuts.append(row / norm)
            duals = np.append(duals, 0.0)
            limits.append((float(here.goal) - value + float(row @ point)) / norm)
        return {n: point[at] for n, at in self.place.items()}

    def _cut(
        self, here: Pieces, linear: tuple[FloatArray, FloatArray], step: FloatArray
    ) -> tuple[FloatArray, float]:
        """The linear piece that is active ``step`` from the way back: its row and value."""
        mu, weight = self.safe.setting.objective.mu, self.safe.kink_prices
        reserved, (cost, footprint) = self.safe.kink_footprints, linear
        bent = here.kinks + self.kinks @ step
        beyond, active = np.maximum(bent, 0.0), weight * (bent > 0)
        value = float(here.line + cost @ step + beyond @ weight)
        heights = here.height + np.tensordot(step, footprint, 1)
        heights = heights + np.tensordot(beyond, reserved, 1)
        row = cost
        for k, r in enumerate(heights.argmax(-1)):
            value += float(mu[k] * heights[k, r])
            row = row + mu[k] * footprint[:, k, r]
            active = active + mu[k] * reserved[:, k, r] * (bent > 0)
        return row + active @ self.kinks, value

    def _possible(self, index: tuple[int, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rows beside the numbers' own bounds, and bounds of all: those first, then the rows'."""
        turn, fleet, place = self.turn, self.safe.setting.fleet, self.place
        slot, levels, N = turn.slot, turn.levels, len(fleet.datacenters)
        low, high = np.zeros(self.size), np.full(self.size, _FREE)
        high[place["allocation"][~fleet.reachable]] = 0.0
        demand, capacity = slot.demand[index], slot.capacity[index]
        sends = self._rows("allocation").sum(1) + self._rows("saved", len(demand))
        rows, least, most = [sends, self.grid], [demand, np.zeros(N)], [demand, np.full(N, _FREE)]
        if fleet.models is not None:
            high[place["saved"]] = fleet.models.room(demand).sum(-1)
        if fleet.training is not None:
            high[place["work"][~fleet.training.reach(N)]] = 0.0
            due = levels.waiting[index] + slot.work[index]
            rows.append(self._rows("work").sum(1) + self._rows("late"))
            least.append(np.maximum(due - slot.ceiling[index], 0.0))
            most.append(due)
        rows.append(self.serves - self._rows("on", N))
        least.append(np.full(N, -_FREE))
        most.append(capacity)
        if fleet.servers is not None:
            high[place["on"]], most[-1] = capacity, np.zeros(N)
        if fleet.storage is not None:
            storage = fleet.storage
            high[place["charge"]], high[place["discharge"]] = storage.charge, storage.discharge
            rows.append(self.stored)
            least.append(-levels.stored[index])
            most.append(storage.energy - levels.stored[index])
        if "generation" in place:
            high[place["generation"]] = slot.generation[index]
        return np.vstack(rows), np.concatenate([low, *least]), np.concatenate([high, *most])


def _solve(
    target: FloatArray,
    rows: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    cuts: list[FloatArray],
    limits: list[float],
    duals: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """The nearest point, and the multipliers; ``duals`` are those of the program before."""
    size = len(target)
    # The solver's tolerance is absolute.
    real = np.abs(np.concatenate([lower, upper]))
    unit = max(float(real[real < _FREE].max(initial=0.0)), 1e-300)
    high = np.concatenate([np.minimum(upper, _FREE * unit), limits]) / unit
    low = np.concatenate([np.maximum(lower, -_FREE * unit) / unit, np.full(len(cuts), -_FREE)])
    sense = np.where(low == high, _EQUALITY, 0).astype(np.int32)
    solution, _, flag, info = daqp.solve(
        np.eye(size),
        -target / unit,
        np.ascontiguousarray(np.vstack([rows, *cuts])),
        np.maximum(high, low),
        low,
        sense,
        dual_start=duals,
        primal_tol=_TOLERANCE,
        dual_tol=_TOLERANCE,
    )
    if flag != 1:
        raise SolverError(f"the projection on the safe set failed: DAQP ended with {flag}")
    return np.asarray(solution) * unit, np.asarray(info["lam"])


def _distance(one: dict[str, FloatArray], other: dict[str, FloatArray], lead: int) -> FloatArray:
    """``[...]``, MWh, after ``lead`` axes of a batch."""
    away = [(one[n] - other[n]) ** 2 for n in one]
    distance: FloatArray = np.sqrt(sum(a.sum(axis=tuple(range(lead, a.ndim))) for a in away))
    return distance
