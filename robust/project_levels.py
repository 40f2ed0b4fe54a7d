"""Project where the past counts: the decision nearest to the advice that keeps the condition."""

from __future__ import annotations

from contextlib import suppress

import daqp
import numpy as np

from equiload.envs import Decision, SolverError
from equiload.envs.knobs.operation import Operation, draw
from equiload.envs.typing import FloatArray
from equiload.robust.departure import SIDES, LevelTurn, Pieces, Played, screen
from equiload.robust.levels import axes_of, parts_of
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
    possible, refused = screen(proposed, turn.back, turn.slot, turn.levels, turn.safe.setting)
    played = turn.blend(choose(~refused, possible, advice))
    moved, alone, apart = (
        _distance(wanted, parts_of(d)) for d in (played.decision, whole.decision, turn.back)
    )
    # Where a solver has failed, a blend may go further.
    played, moved = turn.either(moved <= alone, played, whole), np.minimum(moved, alone)
    share = 1.0 - moved / np.where(apart > 0, apart, 1.0)
    # 0 is kept for the way back.
    share = np.clip(share, np.finfo(np.float64).tiny, 1.0)
    return played._replace(alpha=np.where(full, 1.0, np.where(played.alpha > 0, share, 0.0)))


class _Program:
    """The slot's constraints, and the condition's pieces, in what is decided in a row."""

    def __init__(self, turn: LevelTurn) -> None:
        self.turn, self.safe, back = turn, turn.safe, parts_of(turn.back)
        batch = self.safe.setting.batch
        self.shapes = {n: a.shape[a.ndim - len(axes_of(n)) :] for n, a in back.items()}
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        self.size = sum(sizes)
        ends = np.cumsum(sizes)
        self.place = {
            n: np.arange(end - size, end).reshape(self.shapes[n])
            for n, size, end in zip(self.shapes, sizes, ends, strict=True)
        }
        unit = np.eye(self.size)
        lead = (self.size, *(1 for _ in batch))
        self.units = {n: unit[:, at].reshape(*lead, *at.shape) for n, at in self.place.items()}
        effect = self.safe.effect(turn.slot, self.units)
        self.cost, self.footprint = effect.cost, effect.footprint
        self.kinks, self.gaps, self.by_gap = self._pieces()

    def _pieces(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rows of kinks and gaps, and ``[gaps, K, R]`` of what they reserve."""
        safe, place = self.safe, self.place
        fleet, N = safe.setting.fleet, len(safe.setting.fleet.datacenters)
        eye = np.eye(self.size)
        level = {"stored": np.zeros((N, self.size)), "on": np.zeros((N, self.size))}
        level["waiting"] = np.zeros((0, self.size))
        K, R = safe.setting.footprint_shape[-2:]
        by_gap = [np.zeros((N, K, R))]
        kinks = []
        if fleet.storage is not None:
            level["stored"] = (
                fleet.storage.charge_efficiency[:, None] * eye[place["charge"]]
                - eye[place["discharge"]] / fleet.storage.discharge_efficiency[:, None]
            )
            given = safe.bounds.intensity * fleet.storage.discharge_efficiency
            by_gap = [given.T[:, :, None] * fleet.membership[:, None, :]]
        if fleet.training is not None:
            done = eye[place["work"]].sum(1) + eye[place["late"]]
            level["waiting"] = -done
        if fleet.servers is not None:
            level["on"] = eye[place["on"]]
            kinks.append(level["on"])
        if fleet.models is not None:
            steps = fleet.models.unit_cost.shape[-1]
            kinks.append(np.repeat(eye[place["saved"]], steps, axis=0))
        for name, side in SIDES:
            if f"{name}_{side}" in safe.worth:
                kinks.append(level[name] * (-1.0 if side == "behind" else 1.0))
        gaps = [-level["stored"]]
        if safe.spare is not None:
            kinks.append(level["waiting"])
            gaps += [level["waiting"], level["waiting"]]
            by_gap += [safe.spare.footprint, -safe.spare.footprint]
        none = np.zeros((0, self.size))
        return np.vstack([none, *kinks]), np.vstack(gaps), np.concatenate(by_gap)

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
        here = pieces.at(index)
        rows, lower, upper = self._possible(index)
        cuts: list[FloatArray] = []
        limits: list[float] = []
        duals = np.zeros(len(upper))
        for _ in range(_MOST_CUTS):
            point, duals = _solve(target, rows, lower, upper, cuts, limits, duals)
            row, value = self._cut(index, here, point - base)
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
        self, index: tuple[int, ...], here: Pieces, step: FloatArray
    ) -> tuple[FloatArray, float]:
        """The linear piece that is active ``step`` from the way back: its row and value."""
        mu, at = self.safe.setting.objective.mu, (slice(None), *index)
        cost, footprint = self.cost[at], self.footprint[at]
        bent = here.kinks + self.kinks @ step
        gaps = here.gaps + self.gaps @ step
        apart = gaps > 0
        value = float(here.line + cost @ step + np.maximum(bent, 0.0) @ here.weight)
        row = cost + (here.weight * (bent > 0)) @ self.kinks
        heights = here.height + np.tensordot(step, footprint, 1)
        heights = heights + np.tensordot(np.maximum(gaps, 0.0), self.by_gap, 1)
        for k, r in enumerate(heights.argmax(-1)):
            value += float(mu[k] * heights[k, r])
            row = row + mu[k] * (footprint[:, k, r] + (self.by_gap[:, k, r] * apart) @ self.gaps)
        return row, value

    def _possible(self, index: tuple[int, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rows beside the numbers' own bounds, and bounds of all: those first, then the rows'."""
        turn, fleet, place = self.turn, self.safe.setting.fleet, self.place
        slot, levels = turn.slot, turn.levels
        low, high = np.zeros(self.size), np.full(self.size, _FREE)
        eye = np.eye(self.size)
        high[place["allocation"][~fleet.reachable]] = 0.0
        sends = eye[place["allocation"]].sum(1)
        serves = eye[place["allocation"]].sum(0)
        rows, least, most = [sends], [slot.demand[index]], [slot.demand[index]]
        if fleet.models is not None:
            rows[0] = sends + eye[place["saved"]]
            high[place["saved"]] = fleet.models.room(slot.demand[index]).sum(-1)
        if fleet.training is not None:
            work = eye[place["work"]]
            high[place["work"][~fleet.training.reach(len(fleet.datacenters))]] = 0.0
            serves = serves + work.sum(0)
            due = levels.waiting[index] + slot.work[index]
            rows.append(work.sum(1) + eye[place["late"]])
            least.append(np.maximum(due - slot.ceiling[index], 0.0))
            most.append(due)
        capacity = slot.capacity[index]
        on = eye[place["on"]] if fleet.servers is not None else None
        if on is not None:
            high[place["on"]] = capacity
        rows.append(serves if on is None else serves - on)
        least.append(np.full(len(capacity), -_FREE))
        most.append(capacity if on is None else np.zeros(len(capacity)))
        needed = draw(serves.T, None if on is None else on.T, fleet).T
        if fleet.storage is not None:
            storage = fleet.storage
            charge, discharge = eye[place["charge"]], eye[place["discharge"]]
            high[place["charge"]], high[place["discharge"]] = storage.charge, storage.discharge
            rows.append(-self.gaps[: len(capacity)])
            least.append(-levels.stored[index])
            most.append(storage.energy - levels.stored[index])
            needed = needed + charge - discharge
        if "generation" in place:
            high[place["generation"]] = slot.generation[index]
            needed = needed - eye[place["generation"]]
        rows.append(needed)
        least.append(np.zeros(len(capacity)))
        most.append(np.full(len(capacity), _FREE))
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


def _distance(one: dict[str, FloatArray], other: dict[str, FloatArray]) -> FloatArray:
    """``[...]``, MWh."""
    squares = [((one[n] - other[n]) ** 2).sum(axis=axes_of(n)) for n in one]
    distance: FloatArray = np.sqrt(sum(squares))
    return distance
