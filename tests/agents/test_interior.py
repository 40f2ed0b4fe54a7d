"""The interior point: equal to the linear program, certified, on every subset of the knobs."""

from itertools import combinations

import numpy as np
import pytest
from audit import audited, close, in_other_units

from equiload.agents import EGLBOff, RollingHorizon
from equiload.agents.forecast import Perfect
from equiload.agents.offline import solve_interior, solve_lp
from equiload.agents.offline.interior import WarmInterior, blocks, newton
from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.method import Iteration
from equiload.agents.offline.interior.rows import applied, transposed
from equiload.agents.offline.interior.start import begin
from equiload.agents.offline.problem import Problem
from equiload.envs import DataError, Instance, State, rollout
from equiload.envs.data import synthetic
from equiload.envs.knobs.bound import knob_bound
from equiload.envs.knobs.operation import Levels
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import random_problems

SUBSETS = [chosen for size in range(1, 7) for chosen in combinations(KNOBS, size)]


def problem(seed: int) -> Instance:
    """A random problem with the subset of the knobs whose turn it is."""
    rng = np.random.default_rng(seed)
    return with_random_knobs(rng, random_problems(rng, 2), SUBSETS[seed % len(SUBSETS)])[1]


def iteration(instance: Instance, steps: int) -> Iteration:
    """After some steps."""
    form = Form.of(Problem.of(instance))
    at = Iteration(form, *begin(form))
    for _ in range(steps):
        at.measure()
        at.advance()
    at.measure()
    return at


def matrix(form: Form) -> np.ndarray:
    """``A``, a column at a time."""
    columns = np.empty((form.sizes.variables, form.sizes.rows))
    for one, column in zip(np.eye(form.sizes.variables), columns, strict=True):
        applied(form.sizes.vector(one), form.network, form.sizes.by_row(column))
    return columns.T


@pytest.mark.parametrize("count", [63, pytest.param(504, marks=pytest.mark.slow)])
def test_it_is_the_linear_program(count: int) -> None:
    alone = beyond = 0
    for seed in range(count):
        instance = problem(seed)
        solution, expected = solve_interior(instance), solve_lp(instance)
        if expected.status != "optimal":  # sizes too far apart for HiGHS: nothing to compare with
            beyond += 1
            continue
        assert solution.status == "optimal", seed
        assert close(solution.objective, expected.objective, expected), seed
        assert close(solution.lower_bound, solution.objective, expected), seed
        bound = float(knob_bound(instance, solution.prices))
        assert close(bound, solution.lower_bound, expected, 1e-9), seed
        assert close(
            audited(solution.outcome, solution.allocation), solution.objective, expected, 1e-9
        ), seed
        assert set(solution.outcome.operation.named()) == set(expected.outcome.operation.named())
        alone += solution.stats["method"] == "interior"
    assert beyond <= 0.03 * count
    assert alone >= 0.85 * count  # the others leave nothing room to move: capacity just suffices


def test_all_knobs_of_a_week_with_both_kinds_of_reach() -> None:
    for seed, reach in ((3, "full"), (4, "partial")):
        week = synthetic(f"validation/{seed}", horizon=48, knobs="all", reachability=reach)
        solution, expected = solve_interior(week, tolerance=1e-8), solve_lp(week)
        assert solution.stats["method"] == "interior"
        assert 0 <= solution.gap < 1e-8
        assert solution.objective == pytest.approx(expected.objective, rel=1e-7)
        assert audited(solution.outcome, solution.allocation) == pytest.approx(
            solution.objective, rel=1e-12
        )
        loose = solve_interior(week, tolerance=1e-4)
        assert loose.status == "optimal"
        assert loose.stats["iterations"] < solution.stats["iterations"]
        assert loose.lower_bound <= expected.objective * (1 + 1e-9)


def test_units_do_not_matter() -> None:
    day = synthetic("validation/5", horizon=24, knobs="all")
    expected = solve_interior(day)
    for load, money, footprint in ((1e3, 1e-3, 1e4), (1e-3, 1e6, 1e-2)):
        solution = solve_interior(in_other_units(day, load, money, footprint))
        assert solution.stats["iterations"] == expected.stats["iterations"]
        assert solution.objective == pytest.approx(expected.objective * load * money, rel=1e-9)


def test_the_rest_of_the_best_is_the_best_rest() -> None:
    day = synthetic("validation/6", horizon=36, knobs="all")
    whole, first = solve_interior(day, tolerance=1e-8), 13
    levels = whole.outcome.levels
    past = Levels(*(getattr(levels, name)[first - 1] for name in ("stored", "waiting", "on")))
    start = State(0.0, whole.outcome.cumulative_footprint()[:, first - 1], past)
    rest = solve_interior(
        day.window(first, 36 - first), start=start, ceiling=day.series.ceiling[first:]
    )
    assert rest.stats["method"] == "interior"
    total = whole.outcome.cost[:first].sum() + rest.objective
    assert total == pytest.approx(whole.objective, rel=2e-6)


@pytest.mark.parametrize("reach", ["full", "partial"])
@pytest.mark.parametrize(
    ("error", "moves"),
    [(0.0, [(0, 36)] + 6 * [(1, 36)]), (0.1, [(0, 30), (1, 30), (2, 30), (7, 24), (1, 36)])],
)
def test_a_window_that_moves_on_is_solved_from_where_it_was(
    error: float, moves: list[tuple[int, int]], reach: str
) -> None:
    rng = np.random.default_rng(2)
    days = synthetic("validation/9", horizon=60, knobs="all", reachability=reach)
    solver, iterations = WarmInterior(), np.zeros(2, dtype=int)
    first, state, warm = 0, None, None
    for moved, slots in moves:
        first += moved
        if warm is not None:
            levels, before = warm.outcome.levels, 0.0 if state is None else state.footprint
            past = [getattr(levels, name)[moved - 1] for name in ("stored", "waiting", "on")]
            before = before + warm.outcome.cumulative_footprint()[:, moved - 1]
            state = State(0.0, before, Levels(*past))
        window = days.window(first, slots)  # on a forecast, which is another every time
        wrong = rng.uniform(1 - error, 1 + error, (2, *window.trace.price.shape))
        trace = window.trace.replace(price=window.trace.price * wrong[0])
        window = window.replace(trace=trace.replace(generation=trace.generation * wrong[1]))
        ceiling = days.series.ceiling[first : first + slots].copy()
        ceiling[-1] = 0.0
        warm = solver.solve(window, moved=moved, start=state, ceiling=ceiling)
        cold = solve_interior(window, start=state, ceiling=ceiling)
        assert warm.stats["method"] == cold.stats["method"] == "interior"
        assert 0 <= warm.gap <= 1e-6
        assert warm.lower_bound <= cold.objective * (1 + 1e-12)
        assert cold.lower_bound <= warm.objective * (1 + 1e-12)
        if first:
            iterations += warm.stats["iterations"], cold.stats["iterations"]
    assert iterations[0] < (0.85 if error == 0 else 1.1) * iterations[1]


def test_windows_of_every_subset_move_on() -> None:
    solved = 0
    for seed in range(63):
        instance, solver = problem(seed), WarmInterior()
        slots = max(instance.horizon - 1, 1)
        for first in range(instance.horizon - slots + 1):
            window = instance.window(first, slots)
            solution, expected = solver.solve(window), solve_lp(window)
            if expected.status == "optimal":
                assert solution.status == "optimal", seed
                assert close(solution.objective, expected.objective, expected), seed
                assert close(solution.lower_bound, solution.objective, expected), seed
                solved += 1
    assert solved > 110


def test_what_an_earlier_window_cannot_help_begins_by_hand() -> None:
    ten = synthetic("validation/5", horizon=24, knobs="all")
    four = synthetic("validation/5", horizon=24, knobs="all", regions=4)
    cold = solve_interior(four).stats["iterations"]
    for earlier, moved in ((ten, 1), (four, 24)):
        solver = WarmInterior()
        solver.solve(earlier)
        assert solver.solve(four, moved=moved).stats["iterations"] == cold


@pytest.mark.parametrize("knobs", [KNOBS, ("servers", "training"), ("storage",), ("generation",)])
def test_newtons_system_is_solved(knobs: tuple[str, ...]) -> None:
    rng = np.random.default_rng(5)
    at = iteration(with_random_knobs(rng, random_problems(rng, 1), knobs)[0], 3)
    form, sizes = at.form, at.form.sizes
    rows, diagonal = matrix(form), rng.uniform(0.1, 2.0, sizes.variables) * (form.upper > 0)
    expected = (rows * diagonal) @ rows.T
    factor = newton.Factor.room(sizes, form.network.servers, form.network.storage)
    newton.factorise(sizes.vector(diagonal), form.network, factor)
    known = rng.normal(size=sizes.rows)
    right = expected @ known
    found = right.copy()
    newton.solve(sizes.vector(diagonal), form.network, factor, sizes.by_row(found))
    np.testing.assert_allclose(expected @ found, right, atol=1e-9)
    priced = np.empty(sizes.variables)
    transposed(sizes.by_row(known), form.network, sizes.vector(priced))
    np.testing.assert_allclose(priced, rows.T @ known, atol=1e-12)


@pytest.mark.parametrize("reached", [[3] * 5, [0, 1, 1, 2, 3], [2, 0, 1, 3], [1, 3, 3]])
def test_blocks_with_a_border_are_one_matrix(reached: list[int]) -> None:
    rng = np.random.default_rng(0)
    slots, n, states, edge = 4, len(reached), 3, 2
    size = slots * n + edge
    whole = np.zeros((size, size))
    parts = rng.normal(size=(slots, n, n + states + edge))
    for row, reach in enumerate(reached):
        parts[:, row, n + reach : n + states] = 0.0
    for t in range(slots):
        own = slice(t * n, t * n + n)
        whole[own, own] = 30 * np.eye(n)
        whole[own, slots * n :] = parts[t, :, n + states :]
        if t < slots - 1:
            later = slice((t + 2) * n - states, (t + 2) * n)
            whole[own, later] = parts[t, :, n : n + states]
    whole = np.triu(whole) + np.triu(whole, 1).T
    whole[slots * n :, slots * n :] = 30 * np.eye(edge)
    by_slot = np.zeros(parts.shape)
    for t in range(slots):
        own = slice(t * n, t * n + n)
        by_slot[t, :, :n] = whole[own, own]
        by_slot[t, :, n : n + edge] = whole[own, slots * n :]
        if t < slots - 1:
            by_slot[t, :, n + edge :] = parts[t, :, n : n + states]
    border, rows = 30 * np.eye(edge), blocks.Skyline.of(np.array(reached), n + edge)
    right = rng.normal(size=size)
    values, last = right[:-edge].reshape(slots, n).copy(), right[-edge:].copy()
    passed, factor = np.zeros((edge + states,) * 2), np.empty((slots, rows.first[-1]))
    for run in (slice(0, 3), slice(3, slots)):
        blocks.factorise(by_slot[run], rows, passed, factor[run], border)
    blocks.cholesky(border, np.full(edge, edge))
    blocks.solve(factor, rows, border, values, last)
    np.testing.assert_allclose(whole @ np.r_[values.ravel(), last], right, atol=1e-12)


def test_the_interface_knows_it() -> None:
    day = synthetic("validation/7", horizon=12, knobs=["storage", "servers"])
    assert EGLBOff(solver="interior", tolerance=1e-4).solve(day).stats["method"] == "interior"
    with pytest.raises(DataError, match="index the batch first"):
        EGLBOff(solver="interior").solve(problem_batch())


@pytest.mark.parametrize(
    ("slots", "knobs", "reach", "tolerance", "method"),
    [
        (12, "all", "full", None, "interior"),
        (12, "all", "partial", 1e-9, "lp"),
        (11, "all", "full", None, "lp"),
        (12, ["training"], "full", None, "lp"),
        (12, ["training"], "partial", None, "interior"),
        (12, None, "full", None, "lp"),
    ],
)
def test_the_quickest_solver_is_chosen(
    slots: int, knobs: str | list[str] | None, reach: str, tolerance: float | None, method: str
) -> None:
    instance = synthetic("validation/2", horizon=slots, knobs=knobs, reachability=reach)
    assert EGLBOff(tolerance=tolerance).solve(instance).stats["method"] == method


def test_a_rolling_horizon_plans_with_it() -> None:
    day = synthetic("validation/8", horizon=10, knobs="all")
    best = solve_lp(day).objective
    whole = rollout(RollingHorizon(Perfect(day), window=10, solver="interior"), day)
    assert best * (1 - 1e-9) <= float(whole.objective) <= best * (1 + 1e-4)


def problem_batch() -> Instance:
    """Two problems."""
    rng = np.random.default_rng(1)
    return with_random_knobs(rng, random_problems(rng, 2), ["storage"])
