"""eGLB-Off by a structured interior point: a certified optimum in linear time."""

from __future__ import annotations

import time

import numpy as np

from equiload.agents.offline.flows import Flows, outcome_of
from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import BATTERY, DONE, SWITCHED
from equiload.agents.offline.interior.method import Iteration
from equiload.agents.offline.interior.repair import repaired
from equiload.agents.offline.interior.start import begin
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.solution import Solution, prices_from_duals
from equiload.envs import Fleet, Instance, State
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
                found = _certified(instance, iteration, start, count, since)
                if best is None or abs(found.gap) < abs(best.gap):
                    best = found
                if abs(best.gap) <= tolerance or tries > 6:
                    break
        iteration.advance()
        if not np.isfinite(iteration.point.value).all():
            break
    assert best is not None
    return best


def _certified(instance, iteration, start, count, since):
    form = iteration.form
    problem = form.problem
    flows = Flows.of(problem)
    answer = repaired(form, iteration.point.value, {})
    outcome = outcome_of(instance, problem, flows, answer, start)
    stats = {"method": "interior", "variables": form.sizes.variables, "iterations": count,
             "seconds": time.perf_counter() - since}
    ceiling = form.ceiling * form.load * problem.load if form.ceiling.size else None
    return Solution.certified(outcome, prices_of(instance.fleet, iteration), stats, start, ceiling)


def prices_of(fleet: Fleet, iteration: Iteration) -> Prices:
    """The multipliers as shadow prices, in US$/MWh; and where nothing has a say, such as idle it."""
    form = iteration.form
    y, money = form.sizes.by_row(iteration.prices), form.money
    upper, net = form.sizes.vector(form.upper), form.network
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
