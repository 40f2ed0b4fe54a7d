"""The dispatch against HiGHS, and the maximum flow against Hall's condition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from equiload.envs import (
    DataError,
    Dispatch,
    InfeasibleError,
    Instance,
    SolverError,
    check_allocation,
)
from equiload.envs.dispatch import kernels
from equiload.envs.policy import Slot
from equiload.testing.strategies import instances


def highs(cost: np.ndarray, demand: np.ndarray, capacity: np.ndarray, reachable: np.ndarray):
    """Optimal value of the transportation problem with ``cost [J, N]``, by HiGHS."""
    J, N = cost.shape
    bounds = [(0, None if reachable[j, i] else 0) for j in range(J) for i in range(N)]
    solution = linprog(
        cost.ravel(),
        A_ub=np.tile(np.eye(N), J),
        b_ub=capacity * (1 + 1e-12),
        A_eq=np.kron(np.eye(J), np.ones(N)),
        b_eq=demand,
        bounds=bounds,
        method="highs",
    )
    assert solution.status == 0, solution.message
    return solution.fun


@settings(max_examples=500)
@given(instances(most_datacenters=6, most_gateways=6), st.integers(0, 2**32 - 1))
def test_allocation_is_feasible_and_as_cheap_as_highs(instance: Instance, seed: int) -> None:
    fleet, dispatch = instance.fleet, instance.fleet.dispatch
    rng = np.random.default_rng(seed)
    routing = 0.0 if fleet.routing_cost is None else fleet.routing_cost
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        unit = rng.choice([rng.normal(size=len(capacity := slot.capacity)), slot.price])
        allocation = dispatch.allocation(unit, slot.demand, capacity)
        check_allocation(allocation, slot, fleet.reachable)
        load, routed = dispatch.loads(unit, slot.demand, capacity)
        best = highs(unit + routing + 0 * allocation, slot.demand, capacity, fleet.reachable)
        scale = 1e-9 * (1 + abs(best))
        assert (allocation * (unit + routing)).sum() == pytest.approx(best, abs=scale)
        assert unit @ load + routed == pytest.approx(best, abs=scale)
        assert (load <= capacity * (1 + 1e-12)).all()


@given(instances(most_datacenters=6, most_gateways=6, full=False), st.integers(0, 2**32 - 1))
def test_batch_gives_what_its_rows_give(instance: Instance, seed: int) -> None:
    dispatch, trace = instance.fleet.dispatch, instance.trace
    unit = np.random.default_rng(seed).normal(size=(3, *trace.price.shape))
    allocation = dispatch.allocation(unit, trace.demand, instance.capacity)
    load, routing = dispatch.loads(unit, trace.demand, instance.capacity)
    for p in range(3):
        for t in range(instance.horizon):
            row = (unit[p, t], trace.demand[t], instance.capacity[t])
            np.testing.assert_array_equal(allocation[p, t], dispatch.allocation(*row))
            alone, routed = dispatch.loads(*row)
            np.testing.assert_array_equal(load[p, t], alone)
            assert routing[p, t] == routed


@given(instances(most_datacenters=6, most_gateways=6), st.integers(0, 2**32 - 1))
def test_split_recovers_the_load_at_least_routing_cost(instance: Instance, seed: int) -> None:
    fleet, trace = instance.fleet, instance.trace
    unit = np.random.default_rng(seed).normal(size=trace.price.shape)
    load, routing = fleet.dispatch.loads(unit, trace.demand, instance.capacity)
    allocation = fleet.dispatch.split(load, trace.demand)
    np.testing.assert_allclose(allocation.sum(-2), load, atol=1e-9)
    np.testing.assert_allclose(allocation.sum(-1), trace.demand, atol=1e-9)
    assert (allocation[..., ~fleet.reachable] == 0).all()
    if fleet.routing_cost is not None:
        paid = (allocation * fleet.routing_cost).sum((-1, -2))
        assert (paid <= routing + 1e-9 * (1 + np.abs(routing))).all()


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_unserved_is_the_worst_shortage_over_groups_of_gateways(J: int, N: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reachable = rng.random((J, N)) < 0.5
    demand, capacity = rng.uniform(0, 2, J), rng.uniform(0, 2, N)
    shortage = max(
        demand[list(some)].sum() - capacity[reachable[list(some)].any(0)].sum()
        for size in range(1, J + 1)
        for some in combinations(range(J), size)
    )
    dispatch = Dispatch(reachable)
    assert dispatch.unserved(demand, capacity) == pytest.approx(max(shortage, 0.0), abs=1e-12)
    dispatch.__dict__["cuts"] = None  # many cuts: by maximum flow
    assert dispatch.unserved(demand, capacity) == pytest.approx(max(shortage, 0.0), abs=1e-12)
    if shortage > 1e-9:
        named = dispatch.bottleneck(demand, capacity)
        reach = capacity[reachable[named].any(0)].sum()
        assert demand[named].sum() - reach == pytest.approx(shortage, abs=1e-12)


@pytest.mark.parametrize("large", [1e3, 1e6, 1e9, 1e12, 1e14])
def test_forbidding_by_cost_is_exact_or_refused(large: float) -> None:
    """Huge routing costs: the optimum, or one sentence; never a wrong answer, never for ever."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        routing = np.where(rng.random((6, 6)) < 0.3, large, rng.uniform(0, 5, (6, 6)))
        unit, planned = rng.uniform(20, 100, 6), rng.uniform(0, 1, (6, 6))
        planned *= rng.random((6, 6)) < 0.4
        demand, capacity = planned.sum(1), planned.sum(0) * 1.01
        try:
            sent = Dispatch(np.ones((6, 6)), routing).allocation(unit, demand, capacity)
        except SolverError:
            continue
        cost = routing + unit
        best = highs(cost / cost.max(), demand, capacity, np.ones((6, 6))) * cost.max()
        assert (cost * sent).sum() <= best * (1 + 1e-9)


@pytest.mark.parametrize(
    ("unit", "demand", "capacity"),
    [((4,), (3,), (2,)), ((7,), (3,), (4,)), ((4,), (6, 3), (4,)), ((2, 5, 4), (2, 3), (4,))],
)
def test_shapes_that_do_not_fit_are_refused(unit, demand, capacity) -> None:
    with pytest.raises(DataError, match="expected costs or loads"):
        Dispatch(np.ones((3, 4))).loads(np.ones(unit), np.zeros(demand), np.ones(capacity))


@pytest.mark.parametrize("reachable", [np.ones((3, 4)), np.eye(3, 4)])
def test_what_cannot_be_served_is_refused(reachable: np.ndarray) -> None:
    dispatch = Dispatch(reachable)
    for solve in (dispatch.loads, dispatch.allocation):
        with pytest.raises(InfeasibleError, match="more than the data centers in reach"):
            solve(np.ones(4), np.full(3, 9.0), np.ones(4))


@pytest.mark.parametrize("room", [1.0, 1.05, 3.0])
@pytest.mark.parametrize("digits", [0, 8])  # 0: many ties
@pytest.mark.parametrize("routed", [False, True])
def test_many_gateways_and_datacenters(routed: bool, digits: int, room: float) -> None:
    rng = np.random.default_rng(0)
    J, N = 40, 30
    for _ in range(5):
        reachable = rng.random((J, N)) < 0.3
        reachable[np.arange(J), rng.integers(0, N, J)] = True
        planned = rng.uniform(0, 1, (J, N)) * reachable
        cost = rng.normal(50, 20, N).round(digits)
        routing = rng.uniform(0, 9, (J, N)).round(digits) * routed
        dispatch = Dispatch(reachable, routing if routed else None)
        load, paid = dispatch.loads(cost, planned.sum(1), planned.sum(0) * room)
        best = highs(cost + routing, planned.sum(1), planned.sum(0) * room, reachable)
        assert cost @ load + paid == pytest.approx(best, rel=1e-10)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_paths_at_a_routing_cost_leave_no_more_than_the_maximum_flow(
    G: int, N: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reachable = (rng.random((G, N)) < 0.5) * 1.0
    cost, routing = rng.normal(size=(1, N)), rng.uniform(0, 3, (G, N)).round(1)
    demand, capacity = rng.uniform(0, 2, (1, G)), rng.uniform(0, 2, (1, N))
    flow, left, flow0, left0 = (np.empty((1, *shape)) for shape in 2 * [(G, N), (G,)])
    kernels.transport(cost, routing, demand, capacity, reachable, flow, left)
    kernels.assign(cost, demand, capacity, reachable, flow0, left0)
    assert left.sum() == pytest.approx(left0.sum(), abs=1e-12)
    assert (flow >= 0).all()
    assert (flow[0][reachable == 0] == 0).all()
    assert (flow.sum(1) <= capacity + 1e-12).all()
    np.testing.assert_allclose(flow.sum(2) + left, demand, atol=1e-12)
