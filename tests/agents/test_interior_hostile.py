"""The interior point at the edges: certified and right, or a sentence that says what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from audit import audited

from equiload.agents import Solution
from equiload.agents.offline import Decomposition, EGLBOff, solve_interior, solve_lp
from equiload.agents.offline.interior import solver
from equiload.agents.offline.solution import at_stake
from equiload.envs import DataError, InfeasibleError, Instance, Setting, SolverError, State
from equiload.envs.data import synthetic
from equiload.envs.knobs.bound import knob_bound
from equiload.envs.typing import FloatArray
from equiload.testing.knobs import KNOBS, random_start, with_random_knobs
from equiload.testing.problems import odd_problems, random_problems

SUBSETS = [chosen for size in range(1, 7) for chosen in combinations(KNOBS, size)]
ODD = {name: problem for name, problem in odd_problems().items() if not problem.batch}


def promised(
    instance: Instance,
    start: State | None = None,
    ceiling: FloatArray | None = None,
    tolerance: float = 1e-6,
) -> Solution:
    """Solve, and hold the solution to all that is promised of it; what it does not certify it says.

    Feasibility, cost, and the bound are worked out by code that is not the solver's, and where the
    linear program's optimum is certified as well, the two agree within both gaps.
    """
    solution = solve_interior(instance, tolerance=tolerance, start=start, ceiling=ceiling)
    gross = float(solution.outcome.gross) + at_stake(instance)
    unit = max(abs(solution.lower_bound), 1e-6 * gross)
    cost = audited(solution.outcome, solution.allocation, start, ceiling)
    assert cost == pytest.approx(solution.objective, rel=1e-9, abs=1e-9 * unit)
    bound = float(knob_bound(instance, solution.prices, start))
    if ceiling is not None:
        least = np.minimum(np.diff(solution.prices.waiting, axis=0, append=0.0), 0.0)
        bound += float((least * (ceiling - instance.series.ceiling)).sum())
    assert bound == pytest.approx(solution.lower_bound, rel=1e-9, abs=1e-9 * unit)
    assert (solution.status == "optimal") == (abs(solution.gap) <= tolerance)
    if solution.status != "optimal":
        assert solution.status == f"inaccurate: the gap is {solution.gap:.1e}"
        return solution
    expected = solve_lp(instance, start=start, ceiling=ceiling)
    if expected.status == "optimal":
        within = (solution.gap + abs(expected.gap) + 1e-9) * unit
        assert abs(solution.objective - expected.objective) <= within
    return solution


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("count", [4, pytest.param(63, marks=pytest.mark.slow)])
def test_odd_problems_with_every_subset_of_the_knobs(name: str, count: int) -> None:
    alone = 0
    for turn in range(count):
        rng = np.random.default_rng([turn, len(name)])
        chosen = SUBSETS[turn] if count == len(SUBSETS) else SUBSETS[rng.integers(len(SUBSETS))]
        instance = with_random_knobs(rng, ODD[name], chosen)
        begin = random_start(rng, instance) if turn % 2 else (None, None)
        solution = promised(instance, *begin)
        assert solution.status == "optimal", chosen
        alone += solution.stats["method"] == "interior"
    assert alone >= 0.8 * count


@pytest.mark.parametrize("reach", ["full", "partial"])
@pytest.mark.parametrize("count", [21, pytest.param(252, marks=pytest.mark.slow)])
def test_random_problems_of_any_scale_from_levels_at_their_limits(reach: str, count: int) -> None:
    """Sizes of loads, money and footprints from 1e-6 to 1e9, each apart from the others."""
    alone = short = 0
    for turn in range(count):
        rng = np.random.default_rng([turn, len(reach)])
        instance = random_problems(rng, 1)[0]
        if reach == "full":
            instance = instance.with_full_reachability()
        stride = turn * len(SUBSETS) // count if count < len(SUBSETS) else turn % len(SUBSETS)
        instance = with_random_knobs(rng, instance, SUBSETS[stride])
        begin = random_start(rng, instance) if turn % 3 else (None, None)
        solution = promised(instance, *begin)
        alone += solution.stats["method"] == "interior"
        short += solution.status != "optimal"
    assert alone >= 0.85 * count
    assert short <= 0.02 * count  # costs 1e10 apart, and more


def _up(day: Instance, up: FloatArray) -> Instance:
    """With a share ``up [T, N]`` of the capacity, and demand as far as that can serve it."""
    demand = day.fleet.dispatch.clip(day.trace.demand, day.fleet.capacity * up)
    return day.replace(trace=day.trace.replace(availability=up, demand=demand))


def _outages(day: Instance) -> Instance:
    up = np.ones(day.trace.price.shape)
    up[4:9, ::3] = 0.0
    up[12:, 1] = 0.0
    return _up(day, up)


def _just_enough(day: Instance) -> Instance:
    """Slots whose demand takes all that is up."""
    up = np.ones(day.trace.price.shape)
    up[6:9] = 0.3
    return _up(day, up)


def _silent(day: Instance) -> Instance:
    return day.replace(trace=day.trace.replace(demand=0.0 * day.trace.demand))


def _nothing_at_all(day: Instance) -> Instance:
    trace = day.trace
    return _silent(day).replace(
        trace=trace.replace(demand=0.0 * trace.demand, work=0.0 * trace.work)
    )


def _battery(**of_energy: Any) -> Callable[[Instance], Instance]:
    """Some fields as shares of the energy."""

    def changed(day: Instance) -> Instance:
        battery = day.fleet.storage
        fields = {name: share * battery.energy for name, share in of_energy.items()}
        return day.replace(fleet=day.fleet.replace(storage=replace(battery, **fields)))

    return changed


def _priced(times: float, plus: float) -> Callable[[Instance], Instance]:
    return lambda day: day.replace(trace=day.trace.replace(price=times * day.trace.price + plus))


def _impatient(day: Instance) -> Instance:
    soon = replace(day.fleet.training, deadline=np.ones_like(day.fleet.training.deadline))
    return day.replace(fleet=day.fleet.replace(training=soon))


HOSTILE: dict[str, Callable[[Instance], Instance]] = {
    "outages": _outages,
    "just enough": _just_enough,
    "no demand": _silent,
    "no demand, no work": _nothing_at_all,
    "empty stores": _battery(initial=0.0),
    "full stores": _battery(initial=1.0),
    "stores that nothing changes": _battery(charge=0.0, discharge=0.0),
    "no stores": _battery(energy=0.0, initial=0.0),
    "prices of -150": _priced(0.0, -150.0),
    "prices of both signs": _priced(3.0, -150.0),
    "free energy": _priced(0.0, 0.0),
    "work of one slot": _impatient,
}


@pytest.mark.parametrize("reach", ["full", "partial"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_day(name: str, reach: str) -> None:
    day = synthetic("validation/3", horizon=18, knobs="all", reachability=reach)
    for tolerance in (1e-4, 1e-6):
        assert promised(HOSTILE[name](day), tolerance=tolerance).status == "optimal"


def test_one_data_center() -> None:
    day = synthetic("validation/3", horizon=18, knobs="all", regions=1)
    assert promised(day).stats["method"] == "interior"


def test_with_none_of_the_knobs_it_is_the_decomposition_s_optimum() -> None:
    day = synthetic("validation/4", horizon=24, reachability="partial")
    solution = EGLBOff(solver="interior").solve(day)
    expected = Decomposition().solve(day)
    assert solution.prices is None
    assert solution.gap <= 1e-6
    assert solution.objective == pytest.approx(expected.objective, rel=2e-6)
    assert EGLBOff().solve(day).stats["method"] != "interior"


def test_what_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    day = synthetic("validation/5", horizon=8, knobs="all")

    def stops(*_: object, **__: object) -> Solution:
        raise SolverError("HiGHS stopped: time limit")

    monkeypatch.setattr(solver, "solve_lp", stops)
    alone = solve_interior(day, tolerance=1e-17)
    assert alone.status.startswith("inaccurate: the gap is ")
    assert abs(alone.gap) < 1e-6
    monkeypatch.setattr(solver, "_MOST", 3)
    with pytest.raises(SolverError, match="time limit"):
        solve_interior(day)


def start_with(day: Instance, **levels: Any) -> State:
    """What an episode starts with, but for some levels."""
    state = State.start(Setting.of(day))
    return replace(state, levels=replace(state.levels, **levels))


@pytest.mark.parametrize("solve", [solve_lp, solve_interior])
def test_what_no_plan_can_begin_with_is_said_in_a_sentence(solve: Callable[..., Solution]) -> None:
    day = synthetic("validation/6", horizon=6, knobs="all")
    usual, (K, R) = State.start(Setting.of(day)).levels, (2, len(day.fleet.regions))

    def refused(kind: type[Exception], sentence: str, **given: Any) -> None:
        with pytest.raises(kind) as caught:
            solve(day, **given)
        assert str(caught.value) == sentence

    site, work = day.fleet.datacenters[0], day.fleet.training.classes[0]
    amount = "expected a finite amount of at least 0"
    refused(
        InfeasibleError,
        f"data center {site}: start.levels.stored is 3, {amount} and at most 1",
        start=start_with(day, stored=usual.stored + 2.5),
    )
    refused(
        InfeasibleError,
        f"training class {work}: start.levels.waiting is -1, {amount}",
        start=start_with(day, waiting=usual.waiting - 1.0),
    )
    refused(
        InfeasibleError,
        f"data center {site}: start.levels.on is nan, {amount}",
        start=start_with(day, on=usual.on * np.nan),
    )
    refused(
        DataError,
        "start.levels says nothing of on, which this fleet has",
        start=start_with(day, on=None),
    )
    refused(
        DataError,
        f"start.footprint must have shape ({K}, {R}), got ({K}, 1)",
        start=replace(State.start(Setting.of(day)), footprint=np.zeros((K, 1))),
    )
    ceiling = day.series.ceiling.copy()
    ceiling[2, 0] = -0.5
    refused(
        InfeasibleError,
        f"slot 2, training class {work}: ceiling is -0.5, {amount}",
        ceiling=ceiling,
    )
    refused(
        DataError,
        "ceiling must have shape (6, 3), got (5, 3)",
        ceiling=ceiling[1:],
    )


def test_rounding_of_levels_is_let_pass() -> None:
    day = synthetic("validation/6", horizon=6, knobs="all")
    usual = State.start(Setting.of(day)).levels
    hair = 1e-13 * day.fleet.capacity.sum()
    stored = day.fleet.storage.energy + hair
    start = start_with(day, stored=stored, waiting=usual.waiting - hair, on=usual.on - hair)
    assert solve_interior(day, start=start).gap <= 1e-6
