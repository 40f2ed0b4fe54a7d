"""Re-solving over a rolling horizon, for fleets with more to decide than routing."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal

import numpy as np

from equiload.agents.offline.interior import solve_interior
from equiload.agents.offline.lp import solve_lp
from equiload.agents.offline.solution import Solution
from equiload.envs import Decision, Instance, Setting, Slot, State
from equiload.envs.checking import checked
from equiload.envs.forecast import Forecaster, History, Recorder, servable
from equiload.envs.knobs import Levels, Operation
from equiload.envs.series import Series
from equiload.envs.typing import Count, FloatArray


class RollingHorizon:
    """In every slot, solve the next ``window`` slots on a forecast, and play the first of them.

    From what really is: the footprints so far (so that the highest counts them), what is stored,
    what waits and until when, what is on. At a window's end no work waits, and batteries are as
    full as at the beginning of the episode or pay for it.

    Parameters
    ----------
    forecaster
        Of the slots to come; of several samples their mean is taken.
    window
        Slots, the current one among them.
    solver
        ``"lp"`` or ``"interior"``, see :class:`~equiload.agents.EGLBOff`.

    Examples
    --------
    >>> from equiload.agents import EGLBOff
    >>> from equiload.agents.forecast import Perfect
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> day = synthetic("validation/0", horizon=12, knobs=["storage", "training"])
    >>> known = rollout(RollingHorizon(Perfect(day), window=12), day)
    >>> bool(known.objective < (1 + 1e-6) * EGLBOff().solve(day).objective)
    True
    """

    @checked
    def __init__(
        self,
        forecaster: Forecaster,
        *,
        window: Count = 48,
        solver: Literal["lp", "interior"] = "lp",
    ) -> None:
        self.forecaster, self.window, self.solver = forecaster, window, solver

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._setting, self._recorder = setting, Recorder(setting.horizon)

    def act(self, slot: Slot, state: State) -> Decision:
        """Return the first slot of the plan."""
        history, batch = self._recorder.record(slot), self._setting.batch
        ahead = self._ahead(history)
        ceiling = self._ceiling(history, ahead)
        allocation = np.empty((*batch, *self._setting.fleet.reachable.shape))
        operations = []
        for member in np.ndindex(batch):
            solution = self._plan(
                ahead.map(lambda array, at=member: array[at]),  # type: ignore[misc]
                _member(state, member),
                None if ceiling is None else ceiling[member],
            )
            allocation[member] = solution.allocation(0)
            operations.append(_first(solution))
        names = [] if operations[0] is None else [f.name for f in fields(Operation)]
        there = {name: [getattr(done, name) for done in operations] for name in names}
        stacked = {
            name: np.reshape(values, (*batch, *values[0].shape))
            for name, values in there.items()
            if values[0] is not None
        }
        return Decision(None, None, allocation, operation=Operation(**stacked))

    def _ahead(self, history: History) -> Series:
        """The current slot and the forecast of the later ones of the window, ``[..., H, N]``."""
        now = history.seen.map(lambda array: array[..., -1:, :])
        later = min(self.window, self._setting.horizon - history.slots + 1) - 1
        if not later:
            return now
        forecast = self.forecaster.forecast(history, later).map(lambda array: array.mean(0))
        forecast = servable(self._setting.fleet, forecast)
        return now.zip(forecast, lambda first, after: np.concatenate([first, after], axis=-2))

    def _ceiling(self, history: History, ahead: Series) -> FloatArray | None:
        """``[..., H, C]``: work that may wait after each slot of the window, nothing at its end."""
        training = self._setting.fleet.training
        if training is None:
            return None
        work = np.concatenate([history.seen.work[..., :-1, :], ahead.work], axis=-2)
        ceiling = training.ceiling(work)
        return ceiling[..., history.slots - 1 :, :]

    def _plan(self, ahead: Series, start: State, ceiling: FloatArray | None) -> Solution:
        clock = np.arange(ahead.slots).astype("datetime64[h]")  # plays no part in the problem
        fleet, objective = self._setting.fleet, self._setting.objective
        window = Instance.of_series(fleet, objective, ahead, clock, "window")
        solve = solve_interior if self.solver == "interior" else solve_lp
        return solve(window, start=start, ceiling=ceiling)


def _member(state: State, member: tuple[int, ...]) -> State:
    levels = state.levels
    if levels is not None:
        parts = {name: getattr(levels, name) for name in Levels.__slots__}
        levels = Levels(
            **{n: None if array is None else array[member] for n, array in parts.items()}
        )
    return State(state.cost[member], state.footprint[member], levels)


def _first(solution: Solution) -> Operation | None:
    """What the plan does beside routing in its first slot."""
    done = solution.outcome.operation
    if done is None:
        return None
    parts = {field.name: getattr(done, field.name) for field in fields(Operation)}
    return Operation(**{n: None if array is None else array[0] for n, array in parts.items()})
