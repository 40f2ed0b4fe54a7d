"""eGLB-Off with storage, servers, models, training and on-site generation: two solvers and a bound.

What a solution does is checked here from its raw numbers, without the package's own transition.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from audit import audited, close, in_other_units, scale
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import NotInstalledError, beside, run_beside
from scipy.optimize import linprog

from equiload.agents import EGLBOff, Solution
from equiload.agents.offline import Decomposition, solve_lp
from equiload.agents.offline.reference import solve_reference
from equiload.envs import DataError, Decision, Instance, Setting, Slot, State, rollout
from equiload.envs.data import bloom10
from equiload.envs.data.equipment import equip
from equiload.envs.knobs.models import Models
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.knobs.prices import Prices
from equiload.envs.knobs.servers import Servers
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import odd_problems
from equiload.testing.strategies import instances


@st.composite
def problems(draw: st.DrawFn, knobs: Sequence[str] | None = None, most: int = 5) -> Instance:
    """One of a batch of problems with any of the knobs, or with those that are named."""
    batch = draw(instances(most_slots=most, most_datacenters=4, most_gateways=3, batch=(2,)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = draw(st.sets(st.sampled_from(KNOBS), min_size=1)) if knobs is None else knobs
    return with_random_knobs(rng, batch, sorted(chosen))[1]


@pytest.mark.parametrize("count", [15, pytest.param(170, marks=pytest.mark.slow)])
def test_reference_program_and_bound_agree(count: int) -> None:
    @settings(max_examples=count)
    @given(problems())
    def check(instance: Instance) -> None:
        solution, reference = solve_lp(instance), solve_reference(instance)
        assert solution.status == reference.status == "optimal"
        assert close(solution.objective, reference.objective, solution)
        assert close(solution.objective, solution.lower_bound, solution)
        assert close(reference.objective, reference.lower_bound, solution)
        for each in (solution, reference):
            assert close(audited(each.outcome, each.allocation), each.objective, each, 1e-9)

    check()


@settings(max_examples=60)
@given(problems())
def test_grouping_changes_nothing(instance: Instance) -> None:
    solution, each = solve_lp(instance), solve_lp(instance, aggregate=False)
    assert close(solution.objective, each.objective, solution)
    assert close(audited(each.outcome, each.allocation), each.objective, each, 1e-9)


@settings(max_examples=40)
@given(problems(), st.integers(-6, 9), st.integers(-6, 9), st.integers(-6, 9))
def test_units_do_not_matter(instance: Instance, load: int, money: int, footprint: int) -> None:
    expected = solve_lp(instance)
    solution = solve_lp(in_other_units(instance, 10.0**load, 10.0**money, 10.0**footprint))
    assert solution.status == expected.status == "optimal"
    assert close(solution.objective / 10.0 ** (load + money), expected.objective, expected)


class Replay:
    """Plays a solution."""

    def __init__(self, solution: Solution) -> None:
        self.solution = solution

    def reset(self, setting: Setting) -> None:
        pass

    def act(self, slot: Slot, state: State) -> Decision:
        operation = self.solution.outcome.operation
        parts = {f.name: getattr(operation, f.name) for f in dataclasses.fields(Operation)}
        now = {n: None if v is None else v[slot.index] for n, v in parts.items()}
        allocation = self.solution.allocation(slot.index)
        return Decision(allocation.sum(0), 0.0, allocation, operation=Operation(**now))


@settings(max_examples=60)
@given(problems())
def test_what_is_planned_can_be_played(instance: Instance) -> None:
    solution = solve_lp(instance)
    played = rollout(Replay(solution), instance)
    assert close(float(played.objective), solution.objective, solution, 1e-8)


@settings(max_examples=40)
@given(problems(), st.data())
def test_the_rest_of_the_best_is_the_best_rest(instance: Instance, data: st.DataObject) -> None:
    """From the middle of an optimum on, with its footprints and levels, the optimum goes on."""
    whole = solve_lp(instance)
    if instance.horizon == 1:
        return
    first = data.draw(st.integers(1, instance.horizon - 1))
    outcome = whole.outcome
    past = {f.name: getattr(outcome.levels, f.name) for f in dataclasses.fields(Levels)}
    levels = Levels(**{n: None if v is None else v[first - 1] for n, v in past.items()})
    start = State(0.0, outcome.cumulative_footprint()[:, first - 1], levels)
    ceiling = instance.series.ceiling
    rest = solve_lp(
        instance.window(first, instance.horizon - first),
        start=start,
        ceiling=None if ceiling is None else ceiling[first:],
    )
    assert close(outcome.cost[:first].sum() + rest.objective, whole.objective, whole)
    assert close(rest.objective, rest.lower_bound, whole)


def bound_by_slots(instance: Instance, prices: Prices) -> float:
    """The dual function by a linear program a slot, and least values of what is between slots."""
    fleet, trace, total = instance.fleet, instance.trace, 0.0
    T, N = trace.price.shape
    none = np.zeros((T, N))
    stored = none if prices.stored is None else prices.stored
    on = np.vstack([none if prices.on is None else prices.on, np.zeros((1, N))])
    for t in range(T):
        total += _slot(instance, prices, t, stored[t], on[t] - on[t + 1])
    if fleet.storage is not None:
        battery = fleet.storage
        total += (np.minimum(stored[:-1] - stored[1:], 0) * battery.energy).sum()
        total -= stored[0] @ battery.initial
        unit = battery.refill_price / battery.charge_efficiency
        empty, full = unit * battery.initial, stored[-1] * battery.energy
        total += np.minimum(np.minimum(empty, full), stored[-1] * battery.initial).sum()
    if fleet.servers is not None:
        total -= on[0] @ fleet.capacity
    if fleet.training is not None:
        ceiling, waiting = instance.series.ceiling, prices.waiting
        total += (waiting * trace.work).sum()
        total += (np.minimum(waiting[1:] - waiting[:-1], 0) * ceiling[:-1]).sum()
    return float(total)


def _slot(instance: Instance, prices: Prices, t: int, stored: np.ndarray, on: np.ndarray) -> float:
    """Variables: flows of gateways, then of classes, on, charge, discharge, used, grid, saved."""
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    J, N = fleet.reachable.shape
    per = np.einsum("k,kr->kr", mu, prices.weights)[:, fleet.region_of]
    price = trace.price[t] + (per * trace.intensity[:, t]).sum(0)
    onsite = np.zeros(N)
    if trace.onsite_intensity is not None:
        onsite = (per * trace.onsite_intensity[:, t]).sum(0)
    C = 0 if fleet.training is None else len(fleet.training.classes)
    reach = fleet.reachable if C == 0 else np.vstack([fleet.reachable, fleet.training.reach(N)])
    idle = np.zeros(N) if fleet.servers is None else fleet.servers.idle
    pair = np.zeros((J, N)) if fleet.routing_cost is None else fleet.routing_cost
    flow = np.vstack([pair, np.zeros((C, N))]) + onsite * fleet.pue * (1 - idle)
    if C:
        flow[J:] -= prices.waiting[t][:, None]
    steps = 0 if fleet.models is None else len(fleet.models.steps[0])
    saves = np.zeros((J, steps)) if steps == 0 else fleet.models.room(trace.demand[t])
    unit = np.zeros((J, steps)) if steps == 0 else fleet.models.unit_cost
    zero = np.zeros(N)
    up, down, charge, discharge = zero, zero, zero, zero
    if fleet.storage is not None:
        battery = fleet.storage
        charge = -stored * battery.charge_efficiency
        discharge = stored / battery.discharge_efficiency + battery.wear
        up, down = battery.charge, battery.discharge
    sun = zero if trace.generation is None else trace.generation[t]
    most_on = instance.capacity[t] if fleet.servers is not None else zero
    cost = np.concatenate([
        flow.ravel(), on + onsite * fleet.pue * idle, charge, discharge, zero, price, unit.ravel(),
    ])  # fmt: skip
    # More than this is never of use: load, idling and charging are bounded.
    most_grid = instance.capacity[t] * fleet.pue + up + 1.0
    upper = np.concatenate([
        np.where(reach, np.inf, 0.0).ravel(), most_on, up, down, sun, most_grid, saves.ravel(),
    ])  # fmt: skip
    rows, each = J + C, np.eye(N)
    load = np.tile(each, rows)
    pad = np.zeros((N, 5 * N + J * steps))
    capacity = np.hstack([load, pad])
    if fleet.servers is not None:
        capacity[:, rows * N : (rows + 1) * N] = -each
    balance = np.hstack([
        load * (fleet.pue * (1 - idle))[:, None], np.diag(fleet.pue * idle), each, -each, -each,
        -each, np.zeros((N, J * steps)),
    ])  # fmt: skip
    demand = np.zeros((J, len(cost)))
    for j in range(J):
        demand[j, j * N : (j + 1) * N] = 1.0
        demand[j, len(cost) - (J - j) * steps : len(cost) - (J - j - 1) * steps] = 1.0
    answer = linprog(
        cost,
        A_ub=capacity,
        b_ub=zero if fleet.servers is not None else instance.capacity[t],
        A_eq=np.vstack([balance, demand]),
        b_eq=np.r_[zero, trace.demand[t]],
        bounds=np.column_stack([np.zeros(len(cost)), upper]),
    )
    assert answer.status == 0, answer.message
    return float(answer.fun)


@settings(max_examples=40)
@given(problems())
def test_the_bound_is_that_of_independent_slots(instance: Instance) -> None:
    solution = solve_lp(instance)
    assert solution.prices is not None
    expected = bound_by_slots(instance, solution.prices)
    assert close(expected, solution.objective, solution)
    assert close(solution.lower_bound, expected, solution)


def test_prices_have_their_shapes_and_bounds() -> None:
    rng = np.random.default_rng(3)
    instance = with_random_knobs(rng, odd_problems()["shared regions"])
    fleet, prices = instance.fleet, solve_lp(instance).prices
    assert prices.weights.shape == (2, 2)
    assert prices.stored.shape == prices.on.shape == instance.trace.price.shape
    assert prices.waiting.shape == instance.trace.work.shape
    assert (prices.on >= 0).all()
    assert (prices.on <= fleet.servers.start_cost).all()
    assert (prices.waiting <= fleet.training.late_cost).all()
    assert solve_lp(odd_problems()["plain"]).prices is None


@settings(max_examples=40)
@given(problems(["training"]), st.integers(0, 2**32 - 1))
def test_no_knob_raises_the_objective(instance: Instance, seed: int) -> None:
    """A battery, sun, models, patience and reach, each and all at once."""
    rng, training = np.random.default_rng(seed), instance.fleet.training
    patient = dataclasses.replace(training, deadline=training.deadline + 1, reachable=None)
    more = [
        with_random_knobs(rng, instance, [name]) for name in ("storage", "models", "generation")
    ]
    more.append(instance.replace(fleet=instance.fleet.replace(training=patient)))
    with_all = with_random_knobs(rng, more[-1], ["storage", "models", "generation"])
    without = solve_lp(instance)
    for better in [*more, with_all]:
        solution = solve_lp(better)
        assert solution.objective <= without.objective + 1e-6 * scale(without)


def always_on(instance: Instance, idle: float) -> float:
    """``J`` where every server is always on: idling is a constant, and the rest a smaller fleet."""
    fleet, trace = instance.fleet, instance.trace
    idling = fleet.pue * idle * instance.capacity
    before = np.einsum("ktn,tn->kn", trace.intensity, idling) @ fleet.membership
    busy = instance.replace(
        fleet=fleet.replace(capacity=(1 - idle) * fleet.capacity),
        trace=trace.replace(demand=(1 - idle) * trace.demand),
    )
    if fleet.routing_cost is not None:
        busy = busy.replace(fleet=busy.fleet.replace(routing_cost=fleet.routing_cost / (1 - idle)))
    rest = solve_lp(busy, start=State(0.0, before))
    return float((trace.price * idling).sum() + rest.objective)


@settings(max_examples=60)
@given(instances(most_slots=5), st.floats(0.05, 0.9), st.sampled_from([0.0, 1.0, 1e4]))
def test_switching_off_saves(instance: Instance, idle: float, start_cost: float) -> None:
    N = len(instance.fleet.datacenters)
    some = Servers(idle=np.full(N, idle), start_cost=start_cost)
    solution = solve_lp(instance.replace(fleet=instance.fleet.replace(servers=some)))
    up = instance.trace.availability is None  # servers that are down have to be started again
    if up or start_cost == 0:
        slack = 1e-6 * scale(solution)
        assert solution.objective <= always_on(instance, idle) + slack


def nothing(instance: Instance) -> dict[str, Callable[[Instance], Instance]]:
    """Knobs that leave a problem as it is."""
    (T, N), J = instance.trace.price.shape, len(instance.fleet.gateways)
    zero, one = np.zeros(N), np.ones(N)
    parts = {
        "no energy": {"storage": Storage(energy=zero, charge=one, discharge=one)},
        "no width": {"storage": Storage(energy=one, charge=zero, discharge=zero, initial=one)},
        "no idling": {"servers": Servers(idle=zero, start_cost=0.0)},
        "no share": {"models": Models(names=["l", "s"], energy=[1, 0.5], loss=[0, 0],
                                      worth=np.ones(J), share=np.zeros(J))},
        "one model": {"models": Models(names=["l"], energy=[1], loss=[0], worth=np.ones(J),
                                       share=np.ones(J))},
    }  # fmt: skip
    series = {
        "no sun": {"generation": np.zeros((T, N))},
        "no cooling": {"onsite_intensity": np.zeros(instance.trace.intensity.shape)},
    }
    changes = {n: (lambda i, p=p: i.replace(fleet=i.fleet.replace(**p))) for n, p in parts.items()}
    return changes | {
        n: (lambda i, s=s: i.replace(trace=i.trace.replace(**s))) for n, s in series.items()
    }


@pytest.mark.parametrize("what", list(nothing(odd_problems()["plain"])))
@settings(max_examples=15)
@given(instance=instances())
def test_knobs_that_can_do_nothing(what: str, instance: Instance) -> None:
    plain, solution = solve_lp(instance), solve_lp(nothing(instance)[what](instance))
    assert close(solution.objective, plain.objective, plain)


@settings(max_examples=30)
@given(instances(routing=False), st.integers(0, 2**32 - 1))
def test_work_that_may_not_wait_is_demand(instance: Instance, seed: int) -> None:
    """At a price of giving up that nobody pays, it is what one gateway more asks for."""
    fleet, trace = instance.fleet, instance.trace
    sent = fleet.dispatch.allocation(trace.price, trace.demand, instance.capacity).sum(-2)
    room = np.maximum(instance.capacity - sent, 0).sum(-1)
    work = np.random.default_rng(seed).uniform(0, 0.99, trace.horizon) * room
    N = len(fleet.datacenters)
    alike = instance.replace(
        fleet=fleet.replace(
            gateways=(*fleet.gateways, "work"),
            reachable=np.vstack([fleet.reachable, np.ones(N)]),
            distance=None,
        ),
        trace=trace.replace(demand=np.column_stack([trace.demand, work])),
    )
    training = Training(classes=["now"], deadline=[0], late_cost=1e5)
    at_once = instance.replace(
        fleet=fleet.replace(training=training), trace=trace.replace(work=work[:, None])
    )
    plain = solve_lp(alike)
    assert close(solve_lp(at_once).objective, plain.objective, plain)


def test_a_knob_goes_to_the_program_and_never_to_the_decomposition() -> None:
    rng = np.random.default_rng(0)
    instance = with_random_knobs(rng, odd_problems()["plain"], ["storage", "generation"])
    assert EGLBOff().solve(instance).stats["method"] == "lp"
    reference = EGLBOff(solver="reference").solve(instance)
    assert reference.stats["method"] == "reference"
    assert reference.prices.stored.shape == instance.trace.price.shape
    for refuses in (EGLBOff(solver="decomposition"), Decomposition()):
        with pytest.raises(
            DataError,
            match="routing, and the instance has storage, generation",
        ):
            refuses.solve(instance)


#: ``J`` of the published trace with a knob, relative to the same without.
PUBLISHED = {"work 6 h": 0.961, "work 24 h": 0.948, "work 72 h": 0.937,
             "battery of 1 MWh": 0.976, "battery of 4 MWh": 0.921}  # fmt: skip


def equipped(trace: Instance) -> dict[str, Instance]:
    """The published trace with one knob each."""
    fleet, demand = trace.fleet, trace.trace.demand
    some = trace.trace.replace(demand=0.7 * demand, work=0.3 * demand.sum(-1, keepdims=True))
    found = {}
    for hours in (6, 24, 72):
        training = Training(classes=["work"], deadline=[hours])
        found[f"work {hours} h"] = trace.replace(fleet=fleet.replace(training=training), trace=some)
    for energy in (1, 4):
        width = np.full(10, energy / 4)
        battery = Storage(energy=4 * width, charge=width, discharge=width)
        found[f"battery of {energy} MWh"] = trace.replace(fleet=fleet.replace(storage=battery))
    return found


@pytest.mark.slow
def test_what_knobs_are_worth_on_the_published_trace(bloom10_root: Path) -> None:
    """As a prototype in CVXPY, written before any of this code, had measured it."""
    trace = bloom10(bloom10_root)
    plain = solve_lp(trace).objective
    for name, instance in equipped(trace).items():
        solution = solve_lp(instance)
        assert solution.status == "optimal"
        assert solution.objective / plain == pytest.approx(PUBLISHED[name], abs=1e-3), name
    # The prototype had 0.862, under clouds that were drawn.
    sunny = solve_lp(equip(trace, "solar", {"solar_peak": 0.5}))
    assert sunny.objective / plain == pytest.approx(0.857, abs=1e-3)
    assert always_on(trace, 0.35) == pytest.approx(820e3, rel=1e-3)
    for start_cost, expected in ((10, 627e3), (50, 639e3)):
        servers = Servers(idle=np.full(10, 0.35), start_cost=start_cost)
        solution = solve_lp(trace.replace(fleet=trace.fleet.replace(servers=servers)))
        assert solution.status == "optimal"
        assert solution.objective == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_pypsa_finds_the_same_optimum(tmp_path: Path) -> None:
    """Batteries, panels, work that waits, smaller models and equity, stated in its components."""
    try:
        packages = beside("pypsa==1.4.0", tmp_path)
    except NotInstalledError as error:
        pytest.skip(f"PyPSA cannot be installed: {error}")
    script = Path(__file__).with_name("pypsa_oracle.py")
    told = run_beside(script, "4", packages=packages, folder=tmp_path)
    found = np.array([line.split() for line in told.splitlines()], dtype=np.float64)
    assert found.shape == (4, 3)
    ours, theirs, gross = found.T
    np.testing.assert_allclose(ours / gross, theirs / gross, atol=1e-6)
