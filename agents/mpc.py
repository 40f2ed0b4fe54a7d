"""eGLB-MPC: eGLB-Off on a forecast of what is left, again and again."""

from __future__ import annotations

from typing import Any

import numpy as np

from equiload.agents.forecast.series import Forecaster, History, Recorder, Series, servable
from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import (
    DataError,
    Fleet,
    Instance,
    Objective,
    Slot,
    Trace,
    shadow_cost,
    slot_cost,
)
from equiload.envs.typing import FloatArray


class Planner:
    """Dual weights of eGLB-Off for the rest of an episode, on a forecast.

    Minimises ``Σ_{s >= t} p·x + Σ_k μ_k max_r (S[k, r] + Σ_{s >= t} e_k·x)``, where ``S`` are the
    footprints so far: slot ``t`` as it is, later slots as forecast. Each solution starts from the
    columns of the one before.

    Parameters
    ----------
    forecaster
        Point forecasts, or samples, whose dual weights are then averaged.
    tolerance
        Relative gap at which a solution is good enough.
    """

    def __init__(self, forecaster: Forecaster, *, tolerance: float) -> None:
        if not tolerance > 0:
            raise DataError(f"tolerance must be positive, got {tolerance}")
        self.forecaster, self.tolerance = forecaster, tolerance

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...]
    ) -> None:
        """Begin an episode; arguments as for :class:`~equiload.envs.Policy`."""
        self._fleet, self._objective, self._horizon = fleet, objective, horizon
        self._recorder = Recorder(horizon)
        self._solvers: dict[tuple[int, ...], Decomposition] = {}
        #: ``[..., K, R]``: the footprints before the current slot.
        self.footprint = np.zeros((*batch, len(objective.footprints), len(fleet.regions)))

    def see(self, slot: Slot) -> None:
        """Take note of the current slot."""
        self._history = self._recorder.record(slot)

    def played(self, slot: Slot, allocation: FloatArray) -> None:
        """Count what was played in the current slot."""
        load = allocation.sum(-2)
        cost = slot_cost(slot.price, slot.intensity, load, self._fleet)
        self.footprint = self.footprint + cost.footprint

    def weights(self) -> FloatArray:
        """``[..., K, R]``: dual weights from the current slot on."""
        rest = self._rest(self._history)
        weights = np.empty(self.footprint.shape)
        for member in np.ndindex(weights.shape[:-2]):
            solved = [
                self._solve((sample, *member), rest.map(lambda array, at=(sample, *member): array[at]))
                for sample in range(len(rest.price))
            ]
            weights[member] = np.mean(solved, axis=0)
        return weights

    def _rest(self, history: History) -> Series:
        """The current slot and the forecast of the later ones, ``[S, ..., H, N]``."""
        later = self._horizon - history.slots
        now = history.seen.map(lambda array: array[None, ..., -1:, :])
        if not later:
            return now
        forecast = servable(self._fleet, self.forecaster.forecast(history, later))

        def joined(first: FloatArray, after: FloatArray) -> FloatArray:
            first = np.broadcast_to(first, (*after.shape[:-2], 1, after.shape[-1]))
            return np.concatenate([first, after], axis=-2)

        return now.zip(forecast, joined)

    def _solve(self, key: tuple[int, ...], rest: Series) -> FloatArray:
        solver = self._solvers.setdefault(key, Decomposition(tolerance=self.tolerance))
        up = np.divide(rest.capacity, self._fleet.capacity, out=np.zeros_like(rest.capacity), where=self._fleet.capacity > 0)
        instance = Instance(
            fleet=self._fleet,
            trace=Trace(
                price=rest.price,
                intensity=rest.intensity,
                demand=rest.demand,
                availability=np.minimum(up, 1.0),
                timestamps=np.datetime64("1970-01-01", "s") + np.arange(rest.slots) * np.timedelta64(1, "h"),
                footprints=self._objective.footprints,
            ),
            objective=self._objective,
        )
        return solver.solve(instance, start=self.footprint[key[1:]]).weights


class EGLBMPC:
    """Each slot, or each ``every`` slots: eGLB-Off for the rest on a forecast; dispatch at its duals.

    Parameters
    ----------
    """

    def __init__(self, forecaster: Forecaster, *, every: int = 1, tolerance: float = 1e-3) -> None:
        if every < 1:
            raise DataError(f"every must be at least 1, got {every}")
        self.every = every
        self.planner = Planner(forecaster, tolerance=tolerance)

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...] = ()
    ) -> None:
        self._fleet, self._mu = fleet, objective.mu
        self.planner.reset(fleet, objective, horizon, batch)

    def act(self, slot: Slot) -> FloatArray:
        self.planner.see(slot)
        if slot.index % self.every == 0:
            self.weights = self.planner.weights()
        unit = shadow_cost(slot.price, slot.intensity, self.weights, self._fleet, self._mu)
        allocation = self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)
        self.planner.played(slot, allocation)
        return allocation
