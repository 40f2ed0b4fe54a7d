"""The dual weights of what is left of an episode, on a forecast."""

from __future__ import annotations

import numpy as np

from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import DataError, Fleet, Instance, Objective, Slot, Trace, slot_cost
from equiload.envs.forecast import Forecaster, Recorder, Series, servable
from equiload.envs.typing import FloatArray


class Planner:
    """Solves eGLB-Off for the rest of an episode, from the footprints so far.

    Minimises ``Σ_{s >= t} p·x + Σ_k μ_k max_r (S[k, r] + Σ_{s >= t} e_k·x)``, where ``S`` are the
    footprints before slot ``t``: slot ``t`` as it is, later slots as forecast. Each solution starts
    from the columns of the one before.

    Parameters
    ----------
    forecaster
        Point forecasts, or samples, whose dual weights are averaged.
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
        shape = (*batch, len(objective.footprints), len(fleet.regions))
        #: ``[..., K, R]``, with what is played in the current slot once that is known.
        self.footprint = self._before = np.zeros(shape)

    def see(self, slot: Slot) -> None:
        """Take note of the slot that begins."""
        self._before = self.footprint
        self._history = self._recorder.record(slot)

    def play(self, slot: Slot, allocation: FloatArray) -> None:
        """Take note of what is played in it; what was noted before is replaced."""
        load = np.asarray(allocation).sum(-2)
        added = slot_cost(slot.price, slot.intensity, load, self._fleet).footprint
        self.footprint = self._before + added

    def weights(self) -> FloatArray:
        """``[..., K, R]``: dual weights from the current slot on."""
        rest = self._rest()
        weights = np.zeros(self.footprint.shape)
        samples = len(rest.price)
        for sample, *member in np.ndindex(samples, *weights.shape[:-2]):
            at = (sample, *member)
            one = Series(rest.price[at], rest.intensity[at], rest.demand[at], rest.capacity[at])
            weights[*member] += self._solve(at, one) / samples
        return weights

    def _rest(self) -> Series:
        """The current slot and the forecast of the later ones, ``[S, ..., H, N]``."""
        history = self._history
        now = history.seen.map(lambda array: array[None, ..., -1:, :])
        later = self._horizon - history.slots
        if not later:
            return now
        forecast = servable(self._fleet, self.forecaster.forecast(history, later))

        def joined(first: FloatArray, after: FloatArray) -> FloatArray:
            first = np.broadcast_to(first, (*after.shape[:-2], 1, after.shape[-1]))
            return np.concatenate([first, after], axis=-2)

        return now.zip(forecast, joined)

    def _solve(self, at: tuple[int, ...], rest: Series) -> FloatArray:
        """``[K, R]``: dual weights of one sample for one member of the batch."""
        solver = self._solvers.setdefault(at, Decomposition(tolerance=self.tolerance))
        most = self._fleet.capacity
        up = np.divide(rest.capacity, most, out=np.zeros(rest.capacity.shape), where=most > 0)
        instance = Instance(
            fleet=self._fleet,
            trace=Trace(
                price=rest.price,
                intensity=rest.intensity,
                demand=rest.demand,
                # The clock plays no part in the problem.
                timestamps=np.arange(rest.slots).astype("datetime64[h]"),
                footprints=self._objective.footprints,
                availability=np.minimum(up, 1.0),
            ),
            objective=self._objective,
        )
        return solver.solve(instance, start=self._before[at[1:]]).weights
