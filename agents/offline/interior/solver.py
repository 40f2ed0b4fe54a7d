"""eGLB-Off by a structured interior point: a certified optimum in linear time."""

from __future__ import annotations

import time

import numpy as np

from equiload.agents.offline.flows import Flows, outcome_of
from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import BATTERY, SWITCHED
from equiload.agents.offline.interior.method import Iteration
from equiload.agents.offline.interior.repair import repaired
from equiload.agents.offline.interior.start import begin
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.solution import Solution, prices_from_duals
from equiload.envs import Instance, State
from equiload.envs.knobs.prices import Prices
from equiload.envs.typing import FloatArray

_MOST = 100  # iterations; 12 to 30 are usual


def solve_interior(
    instance: Instance,
    *,
    tolerance: float = 1e-6,
    start: State | None = None,
    ceiling: FloatArray | None = None,
) -> Solution:
    """Solve the linear program of all slots by an interior point.

    Parameters
    ----------
    instance
        One problem.
    tolerance
        Relative gap at which it is certified, and stops.
    start, ceiling
        See :func:`~equiload.agents.offline.solve_lp`.
    """
    since = time.perf_counter()
    problem = Problem.of(instance, start=start, ceiling=ceiling)
    form = Form.of(problem)
    iteration = Iteration(form, *begin(form))
    best, tries = None, 0
    for count in range(_MOST):
        progress = iteration.measure()
        scale = max(abs(progress.objective), 1e-6 * form.scale)
        if progress.products < 3.0 * tolerance * scale:
            if progress.objective - iteration.bound() <= tolerance * scale or tries:
                tries += 1
                found = _certified(instance, iteration, start, ceiling, count, since, tolerance)
                if best is None or abs(found.gap) < abs(best.gap):
                    best = found
                if abs(best.gap) <= tolerance or tries > 6:
                    break
        iteration.advance()
        if not np.isfinite(iteration.point.value).all():
            break
    assert best is not None
    return best


def _certified(instance, iteration, start, ceiling, count, since, tolerance):
    form = iteration.form
    problem = form.problem
    flows = Flows.of(problem)
    answer = repaired(form, iteration.point.value, {})
    outcome = outcome_of(instance, problem, flows, answer, start)
    stats = {"method": "interior", "variables": form.sizes.variables, "iterations": count,
             "seconds": time.perf_counter() - since}
    return Solution.certified(outcome, _prices(instance, iteration), stats, start, ceiling)


def _prices(instance: Instance, iteration: Iteration) -> Prices:
    form, fleet = iteration.form, instance.fleet
    y = form.sizes.by_row(iteration.prices)
    money = form.money * form.problem.money
    weights = np.zeros((len(form.kinds), form.sizes.regions))
    weights[form.kinds] = iteration.weights()
    return prices_from_duals(
        fleet,
        footprint=weights,
        stored=None if fleet.storage is None else -money * y.site[:, BATTERY],
        waiting=None if fleet.training is None else money * y.work,
        on=None if fleet.servers is None else -money * y.site[:, SWITCHED],
    )
