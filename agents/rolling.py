"""Re-solving over a rolling horizon, for fleets with more to decide than routing."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from equiload.agents.forecast import Perfect
from equiload.agents.offline import EGLBOff
from equiload.agents.offline.feasible import fitting, operated
from equiload.agents.offline.interior import solve_interior
from equiload.agents.offline.lp import solve_lp
from equiload.agents.offline.solution import Solution
from equiload.envs import Decision, Instance, Setting, Slot, State, rollout
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
        operations = list[Operation | None]()
        for member in np.ndindex(batch):
            may_wait = None if ceiling is None else ceiling[member]
            series = ahead.map(lambda array, at=member: array[at])  # type: ignore[misc]
            solution = self._plan(series, _member(state, member), may_wait)
            allocation[member], done = _first(solution, may_wait)
            operations.append(done)
        there = [done for done in operations if done is not None]
        if not there:
            return Decision(None, None, allocation)
        operation = Operation.stack(there, 0).map(lambda a: a.reshape(*batch, *a.shape[1:]))
        return Decision(None, None, allocation, operation=operation)

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


class RollingForesight:
    """:class:`RollingHorizon` with a perfect forecast: what better forecasts could be worth.

    It sees the future, ``window`` slots of it, so it is no policy but an offline solver, and stands
    beside :class:`~equiload.agents.EGLBOff` in tables. The bound that comes with it is eGLB-Off's.

    Parameters
    ----------
    window
        Slots, the current one among them.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> day = synthetic("validation/0", horizon=24, knobs=["storage", "training"])
    >>> near, far = (RollingForesight(window=slots).solve(day) for slots in (4, 24))
    >>> near.gap > far.gap, far.gap < 1e-6
    (True, True)
    """

    @checked
    def __init__(self, *, window: Count = 48) -> None:
        self.window = window

    def solve(self, instance: Instance) -> Solution:
        """See :class:`~equiload.agents.OfflineSolver`.

        Raises
        ------
        DataError
            For a batch of instances.
        SolverError
            If the solver stops without an optimum.
        """
        best = EGLBOff().solve(instance)
        outcome = rollout(RollingHorizon(Perfect(instance), window=self.window), instance)
        stats = {"method": "rolling horizon", "window": self.window}
        return replace(best, outcome=outcome, status="rolling horizon", stats=stats)


def _member(state: State, member: tuple[int, ...]) -> State:
    levels = state.levels
    if levels is not None:
        levels = levels.map(lambda level: level[member])
    return State(state.cost[member], state.footprint[member], levels)


def _first(solution: Solution, ceiling: FloatArray | None) -> tuple[FloatArray, Operation | None]:
    """What the plan does in its first slot, within capacities: a solver's tolerance is wider."""
    instance, planned = solution.outcome.instance, solution.outcome.operation
    allocation = solution.allocation(0)
    done = None if planned is None else planned.map(lambda array: array[0])
    work = None if done is None else done.work
    fitted, work = fitting(allocation, work, instance.capacity[0], instance.fleet)
    if fitted is allocation or planned is None or done is None:
        return fitted, done
    assert solution.start is not None
    levels = solution.start.levels or Levels()
    load, late = fitted.sum(0), None
    if work is not None:
        left = levels.waiting + instance.series.work[0] - work.sum(-1)
        load, late = load + work.sum(0), np.clip(done.late, left - ceiling[0], left)  # type: ignore[index]
    wanted = replace(planned.map(lambda array: array[:1]), work=None)
    done = operated(load[None], wanted, instance.window(0, 1), levels)
    return fitted, replace(done.map(lambda array: array[0]), work=work, late=late)
