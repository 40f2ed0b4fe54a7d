"""The dual weights of what is left of an episode, on a forecast."""

from __future__ import annotations

import numpy as np

from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import Instance, Setting, Slot, State
from equiload.envs.checking import checked
from equiload.envs.forecast import Forecaster, Recorder, servable
from equiload.envs.series import Series
from equiload.envs.typing import FloatArray, Positive


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

    @checked
    def __init__(self, forecaster: Forecaster, *, tolerance: Positive) -> None:
        self.forecaster, self.tolerance = forecaster, tolerance

    def reset(self, setting: Setting) -> None:
        """Begin an episode; raises :class:`DataError` where there is more to plan than routing."""
        setting.require_plain("eGLB on forecasts")
        self._setting, self._recorder = setting, Recorder(setting.horizon)
        self._solvers: dict[tuple[int, ...], Decomposition] = {}

    def see(self, slot: Slot) -> None:
        """Take note of the slot that begins."""
        self._history = self._recorder.record(slot)

    def weights(self, state: State) -> FloatArray:
        """``[..., K, R]``: dual weights from the current slot on, before which ``state`` was."""
        rest = self._rest()
        weights = np.zeros(self._setting.footprint_shape)
        samples = len(rest.price)
        for sample, *member in np.ndindex(samples, *self._setting.batch):
            at = (sample, *member)
            one = rest.map(lambda array, at=at: array[at])  # type: ignore[misc]
            start = State(state.cost[*member], state.footprint[*member])
            weights[*member] += self._solve(at, one, start) / samples
        return weights

    def _rest(self) -> Series:
        """The current slot and the forecast of the later ones, ``[S, ..., H, N]``."""
        history = self._history
        now = history.seen.map(lambda array: array[None, ..., -1:, :])
        later = self._setting.horizon - history.slots
        if not later:
            return now
        forecast = servable(self._setting.fleet, self.forecaster.forecast(history, later))

        def joined(first: FloatArray, after: FloatArray) -> FloatArray:
            first = np.broadcast_to(first, (*after.shape[:-2], 1, after.shape[-1]))
            return np.concatenate([first, after], axis=-2)

        return now.zip(forecast, joined)

    def _solve(self, at: tuple[int, ...], rest: Series, start: State) -> FloatArray:
        """``[K, R]``: dual weights of one sample for one member of the batch."""
        solver = self._solvers.setdefault(at, Decomposition(tolerance=self.tolerance))
        clock = np.arange(rest.slots).astype("datetime64[h]")  # plays no part in the problem
        fleet, objective = self._setting.fleet, self._setting.objective
        instance = Instance.of_series(fleet, objective, rest, clock, "what is left")
        return solver.solve(instance, start=start).weights
