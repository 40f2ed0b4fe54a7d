"""eGLB-Off by a structured interior point: a certified optimum in linear time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from equiload.agents.offline.flows import Flows, outcome_of
from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import BATTERY, DONE, SWITCHED
from equiload.agents.offline.interior.method import Iteration
from equiload.agents.offline.interior.repair import repaired
from equiload.agents.offline.interior.start import begin
from equiload.agents.offline.interior.steps import Point
from equiload.agents.offline.interior.warm import Iterate
from equiload.agents.offline.lp import solve_lp
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.solution import TOLERANCE, Solution, prices_from_duals
from equiload.envs import Fleet, Instance, SolverError, State
from equiload.envs.knobs.prices import Prices
from equiload.envs.typing import Count, FloatArray

_MOST = 100  # iterations; 12 to 30 are usual
_TRIES = 5  # certificates that fail before something is wrong
# Products of values and prices above so many times the tolerance are not worth a certificate.
_NEAR = 3.0
# … and below so many times the objective, an iterate is kept for the next window.
_KEPT = 0.05
# What rows lack is put right in the end: so many times the tolerance hardly changes the cost.
_LACKING = 1e-3


def solve_interior(
    instance: Instance,
    *,
    tolerance: float = TOLERANCE,
    start: State | None = None,
    ceiling: FloatArray | None = None,
) -> Solution:
    """Solve the linear program of all slots by an interior point.

    What it decides is put within what is possible to the last digit, and its cost and bound are the
    package's own accounting and :func:`~equiload.envs.knobs.bound.knob_bound`: its gap rests on no
    tolerance of the solver's. Where rounding keeps it from the tolerance (demand that all but fills
    every capacity, so that nothing can be moved), :func:`~equiload.agents.offline.solve_lp` takes
    over, and ``stats["method"]`` says ``"lp"``. What neither can certify comes back with a
    ``status`` that says so, and the gap.

    Parameters
    ----------
    instance
        One problem.
    tolerance
        Relative gap at which it stops.
    start, ceiling
        See :func:`~equiload.agents.offline.solve_lp`.

    Raises
    ------
    DataError
        For a batch of instances, and a start or ceiling that does not fit it.
    InfeasibleError
        For levels that cannot be: negative, or more stored than a battery holds.
    SolverError
        If neither returns a solution.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> solution = solve_interior(synthetic(0, horizon=24, knobs="all"))
    >>> solution.status, solution.stats["method"], solution.gap < 1e-6
    ('optimal', 'interior', True)
    """
    return WarmInterior(tolerance=tolerance).solve(instance, start=start, ceiling=ceiling)


class WarmInterior:
    """:func:`solve_interior` for a window that moves on: each begins at an iterate of the last.

    Parameters
    ----------
    tolerance
        See :func:`solve_interior`.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> days, solver = synthetic(0, horizon=49, knobs=["storage"]), WarmInterior(tolerance=1e-4)
    >>> cold, warm = (solver.solve(days.window(first, 48)) for first in (0, 1))
    >>> warm.gap < 1e-4, warm.stats["iterations"] < cold.stats["iterations"]
    (True, True)
    """

    def __init__(self, *, tolerance: float = TOLERANCE) -> None:
        self.tolerance = tolerance
        self._kept: Iterate | None = None

    def solve(
        self,
        instance: Instance,
        *,
        moved: Count = 1,
        start: State | None = None,
        ceiling: FloatArray | None = None,
    ) -> Solution:
        """Solve a window that is ``moved`` slots later than the last one, of the same fleet.

        What else changes of it, its length included, only costs iterations.

        Parameters
        ----------
        instance, start, ceiling
            See :func:`solve_interior`.
        moved
            Slots.
        """
        since = time.perf_counter()
        problem = Problem.unscaled(instance, start=start, ceiling=ceiling)
        form, best = Form.of(problem), None
        for first in self._beginnings(form, moved):
            iteration = Iteration(form, *first, _LACKING * self.tolerance)
            for count, near in self._iterates(iteration):
                if not near:
                    continue
                stats = {
                    "method": "interior",
                    "variables": form.sizes.variables,
                    "iterations": count,
                    "seconds": time.perf_counter() - since,
                }
                try:
                    found = _certified(instance, iteration, stats, start, self.tolerance)
                except SolverError:  # the iterate is out of all proportion
                    break
                best = found if best is None else _nearer(found, best)
                if abs(best.gap) <= self.tolerance:
                    return best
        try:
            exact = solve_lp(instance, start=start, ceiling=ceiling)
        except SolverError:
            if best is None:
                raise
            return best  # its status says what it lacks
        return exact if best is None else _nearer(exact, best)

    def _beginnings(self, form: Form, moved: int) -> Iterator[tuple[Point, FloatArray]]:
        """The last window's iterate; a start by hand without one, or where it leads nowhere."""
        kept, self._kept = self._kept, None
        if kept is not None and kept.leads_to(form, moved):
            yield kept.moved(form, moved)
            self._kept = None
        yield begin(form)

    def _iterates(self, iteration: Iteration) -> Iterator[tuple[int, bool]]:
        """Number of each iterate, and whether it may be within the tolerance."""
        tries = 0
        for count in range(_MOST):
            progress = iteration.measure()
            if not np.isfinite(progress.objective + progress.infeasibility) or tries >= _TRIES:
                return
            size = max(abs(progress.objective), 1e-6 * iteration.form.scale)
            if self._kept is None and progress.products < _KEPT * size:
                point, prices = iteration.point, iteration.prices
                form, mean = iteration.form, progress.mean
                self._kept = Iterate(form, point.value.copy(), prices.copy(), mean)
            goal = self.tolerance * size
            near = progress.products <= _NEAR * goal
            near = near and (tries > 0 or progress.objective - iteration.bound() <= goal)
            tries += near
            yield count, near
            if not progress.products:  # all is fixed: nothing to move
                return
            with np.errstate(over="ignore", invalid="ignore"):  # what diverges is seen above
                iteration.advance()


def _nearer(one: Solution, other: Solution) -> Solution:
    """Which of two is certified to be nearer the optimum; a gap that is no number says nothing."""
    return one if not abs(other.gap) < abs(one.gap) else other


def _certified(
    instance: Instance,
    iteration: Iteration,
    stats: dict[str, Any],
    start: State | None,
    tolerance: float,
) -> Solution:
    form, problem = iteration.form, iteration.form.problem
    answer = repaired(form, iteration.point.value)
    outcome = outcome_of(instance, problem, Flows.of(problem), answer, start)
    ceiling = form.load * problem.load * form.ceiling if form.ceiling.size else None
    prices = prices_of(instance.fleet, iteration)
    return Solution.certified(outcome, prices, stats, start, ceiling, tolerance)


def prices_of(fleet: Fleet, iteration: Iteration) -> Prices:
    """The multipliers as shadow prices, in US$/MWh; where nothing moves, such as forbid it."""
    form = iteration.form
    y, money = form.sizes.by_row(iteration.prices), form.money
    upper = form.sizes.vector(form.upper)
    forbidding = 10.0 * (form.dearest + np.abs(form.sizes.vector(form.cost).missing))
    weights = np.zeros((len(form.kinds), form.sizes.regions))
    weights[form.kinds] = iteration.weights()
    stored = np.where(form.idle != 0, form.idle * forbidding, -y.site[:, BATTERY])
    waiting = np.where(upper.work[:, DONE] > 0, y.work, -forbidding.max())
    money *= form.problem.money
    return prices_from_duals(
        fleet,
        footprint=weights,
        stored=None if fleet.storage is None else money * stored,
        waiting=None if fleet.training is None else money * waiting,
        on=None if fleet.servers is None else -money * y.site[:, SWITCHED],
    )
