"""eGLB-Off's solvers against each other, and against every other algorithm."""

import dataclasses
from collections.abc import Iterable, Iterator
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, EGLBOff, GLBCost, ShadowPrices
from equiload.agents.offline import decomposition, solve_lp
from equiload.agents.offline.decomposition import Decomposition
from equiload.agents.offline.reference import solve_reference
from equiload.envs import (
    DataError,
    Instance,
    Objective,
    State,
    check_allocation,
    dual_bound,
    rollout,
)
from equiload.envs.data import synthetic
from equiload.envs.policy import Slot
from equiload.testing.strategies import instances


def size(instance: Instance) -> float:
    """How large the numbers of an instance are, for tolerances."""
    cost = np.abs(instance.trace.price).max() + instance.trace.intensity.max()
    routing = 0.0 if instance.fleet.routing_cost is None else instance.fleet.routing_cost.max()
    return float((1 + cost + routing) * (1 + instance.trace.demand.sum()) * 20)


@settings(max_examples=60)
@given(instances())
def test_solvers_agree(instance: Instance) -> None:
    tight = 1e-9 * size(instance)
    lp = solve_lp(instance)
    assert solve_lp(instance, aggregate=False).objective == pytest.approx(lp.objective, abs=tight)
    decomposed = Decomposition(tolerance=1e-9).solve(instance)
    assert decomposed.objective == pytest.approx(lp.objective, abs=100 * tight)
    assert lp.lower_bound == pytest.approx(lp.objective, abs=tight)
    assert decomposed.lower_bound <= lp.objective + tight


@settings(max_examples=60)
@given(instances(), st.integers(-6, 9), st.integers(-6, 9), st.integers(-6, 9))
def test_units_do_not_matter(instance: Instance, load: int, money: int, footprint: int) -> None:
    fleet, trace = instance.fleet, instance.trace
    routing = None if fleet.routing_cost is None else fleet.routing_cost * 10.0**money
    weights = instance.objective.equity_weight
    other = Instance(
        fleet=fleet.replace(capacity=fleet.capacity * 10.0**load, routing_cost=routing),
        trace=dataclasses.replace(
            trace,
            price=trace.price * 10.0**money,
            intensity=trace.intensity * 10.0**footprint,
            demand=trace.demand * 10.0**load,
        ),
        objective=Objective(
            equity_weight={k: w * 10.0 ** (money - footprint) for k, w in weights.items()}
        ),
    )
    expected = solve_lp(instance).objective * 10.0 ** (load + money)
    for solver in ("lp", "decomposition"):
        solution = EGLBOff(solver=solver).solve(other)
        assert solution.status == "optimal"
        assert abs(solution.gap) <= 1e-6
        scale = float(solution.outcome.gross)
        assert solution.objective == pytest.approx(expected, abs=2e-6 * scale)


@settings(max_examples=60)
@given(instances(), st.integers(0, 2**32 - 1))
def test_blocks_and_a_sampled_beginning_lead_to_the_same_optimum(
    instance: Instance, seed: int
) -> None:
    """Every slot a block, and a sample even of a handful of slots."""
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    footprint = np.random.default_rng(seed).uniform(0, size(instance) / 10, (K, R))
    before = State(np.zeros(()), footprint)
    finest = {"_FOOTPRINTS_PER_BLOCK": 1, "_LEAST_BLOCK": 1, "_LEAST_THINNED": 1}
    exact = solve_lp(instance, start=before)
    with mock.patch.multiple(decomposition, **finest):
        solution = Decomposition().solve(instance, start=before)
        again = Decomposition()
        warm = [again.solve(instance, start=before).objective for _ in range(2)]
    assert solution.status == "optimal"
    for objective in (solution.objective, *warm):
        assert objective == pytest.approx(exact.objective, rel=3e-6, abs=1e-9 * size(instance))
    slack = 1e-7 * size(instance)
    assert solution.lower_bound <= exact.objective + slack
    assert solution.lower_bound <= solution.objective + slack


@pytest.mark.parametrize("reachability", ["full", pytest.param("partial", marks=pytest.mark.slow)])
def test_many_regions(reachability: str) -> None:
    """As many regions as data centers, in blocks, begun with a sample."""
    drawn = synthetic(3, horizon=672, regions=10, sites=4, reachability=reachability)
    instance = drawn.replace(fleet=drawn.fleet.replace(regions=None, region_of=None))
    solution = Decomposition().solve(instance)
    assert solution.stats["blocks"] > 1
    assert solution.gap <= 1e-6
    assert solution.objective == pytest.approx(solve_lp(instance).objective, rel=2e-6)


@settings(max_examples=15)
@given(instances(most_slots=4))
def test_reference_agrees(instance: Instance) -> None:
    solution = solve_reference(instance)
    tight = 1e-8 * size(instance)
    assert solution.objective == pytest.approx(solve_lp(instance).objective, abs=tight)
    assert solution.lower_bound == pytest.approx(solution.objective, abs=tight)


@settings(max_examples=60)
@given(instances(), st.sampled_from(["lp", "decomposition"]))
def test_the_allocation_is_feasible_and_costs_what_is_said(instance: Instance, solver: str) -> None:
    solution = EGLBOff(solver=solver).solve(instance)
    routing = np.zeros(instance.horizon)
    for t in range(instance.horizon):
        allocation = solution.allocation(t)
        check_allocation(allocation, Slot.of(instance, t), instance.fleet.reachable)
        np.testing.assert_allclose(allocation.sum(0), solution.outcome.load[t], atol=1e-9)
        if instance.fleet.routing_cost is not None:
            routing[t] = (allocation * instance.fleet.routing_cost).sum()
    assert (routing <= solution.outcome.routing + 1e-9 * size(instance)).all()


@settings(max_examples=100)
@given(instances(), st.integers(0, 2**32 - 1))
def test_no_policy_beats_the_bound(instance: Instance, seed: int) -> None:
    optimum = solve_lp(instance).objective
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    weights = np.random.default_rng(seed).dirichlet(np.ones(R), K)
    slack = 1e-9 * size(instance)
    assert dual_bound(instance, weights).value <= optimum + slack
    for policy in (GLBCost(), EGLB(), EGLB(mirror="euclidean"), ShadowPrices(weights)):
        assert rollout(policy, instance).objective >= optimum - slack


def test_toy_with_a_known_optimum() -> None:
    """Two regions, one slot: the cheap one takes what the equity weight does not make dearer.

    Load x in the cheap region costs 0, 1 − x in the other 1; the footprint is the load. With equity
    weight 4, ``J = (1 − x) + 4·max(x, 1 − x)`` is least at ``x = 1/2``: 2.5.
    """
    toy = toy_instance(4.0)
    for solver in ("lp", "decomposition", "reference"):
        solution = EGLBOff(solver=solver).solve(toy)
        assert solution.objective == pytest.approx(2.5, rel=1e-9)
        assert solution.outcome.load == pytest.approx(np.array([[0.5, 0.5]]), abs=1e-6)
    free = EGLBOff().solve(toy_instance(0.5))
    assert free.objective == pytest.approx(0.5)
    assert free.outcome.load == pytest.approx(np.array([[1.0, 0.0]]))


def toy_instance(weight: float) -> Instance:
    from equiload.envs import Fleet, Trace

    return Instance(
        fleet=Fleet(datacenters=("cheap", "dear"), gateways=("gateway",), capacity=[1, 1]),
        trace=Trace(
            price=[[0.0, 1.0]],
            intensity=np.ones((1, 1, 2)),
            demand=[[1.0]],
            timestamps=np.array(["2024-01-01"], dtype="datetime64[s]"),
            footprints=("carbon",),
        ),
        objective=Objective(equity_weight={"carbon": weight}),
    )


def test_stopping_early_is_said() -> None:
    solution = Decomposition(tolerance=1e-12, most_rounds=1).solve(toy_instance(4.0))
    assert solution.status == "stopped after 1 rounds"
    assert solution.lower_bound <= 2.5 <= solution.objective


def test_without_equity_weights_the_cheapest_is_optimal(paper: Instance) -> None:
    free = paper.replace(objective=Objective(equity_weight={"carbon": 0, "water": 0}))
    cheapest = rollout(GLBCost(), free).objective
    for solver in ("lp", "decomposition"):
        assert EGLBOff(solver=solver).solve(free).objective == pytest.approx(cheapest, rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 4), (2, 8), (1, 4), (4,), (2, 2)])
def test_dual_bound_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shadow-price weights have shape"):
        dual_bound(toy_instance(1.0), np.full(shape, 1 / shape[-1]))


def test_dual_bound_refuses_what_is_no_simplex() -> None:
    for weights in ([[0.5, 0.4]], [[1.5, -0.5]], [[np.nan, 1.0]]):
        with pytest.raises(DataError, match="must be at least 0 and sum to 1"):
            dual_bound(toy_instance(1.0), np.array(weights))


def test_a_batch_is_refused(paper: Instance) -> None:
    trace = dataclasses.replace(paper.trace)
    with pytest.raises(DataError, match="one instance at a time"):
        EGLBOff().solve(paper.replace(trace=type(trace).stack([trace, trace])))


@pytest.mark.parametrize("options", [{"solver": "simplex"}, {"tolerance": 0.0}])
def test_options_are_checked(options: dict) -> None:
    with pytest.raises(DataError):
        EGLBOff(**options)


@pytest.mark.parametrize("solver", ["lp", "interior", "decomposition"])
def test_many_at_once_are_each_alone(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    knobs = None if solver == "decomposition" else "all"
    batch, best = synthetic(0, horizon=12, batch=4, knobs=knobs), EGLBOff(solver=solver)
    seen: list[int] = []

    def track(numbers: Iterable[int]) -> Iterator[int]:
        for number in numbers:
            seen.append(number)
            yield number

    together = best.solve_all(batch, track)
    assert seen == list(range(4))
    for number, solution in enumerate(together):
        alone = best.solve(batch[number])
        assert solution.objective == alone.objective
        assert solution.lower_bound == alone.lower_bound
        np.testing.assert_array_equal(solution.weights, alone.weights)
    few = best.solve_all([batch[1], batch[0].window(0, 5)])
    assert few[0].objective == together[1].objective
    assert few[1].outcome.load.shape == (5, 10)
    assert best.solve_all(batch[2])[0].objective == together[2].objective
    with pytest.raises(DataError, match="one instance at a time"):
        best.solve_all([batch])
