"""Dynamics, outcome and rollout: the same numbers by every way, and the objective as defined."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from equiload.agents import EGLB, GLBCost
from equiload.envs import (
    Fleet,
    InfeasibleError,
    Instance,
    Objective,
    Slot,
    State,
    Trace,
    check_allocation,
    rollout,
    shadow_cost,
    slot_cost,
    transition,
)
from strategies import instances


@given(instances())
def test_outcome_is_the_definition_spelt_out(instance: Instance) -> None:
    outcome = rollout(GLBCost(), instance)
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    cost, footprint = 0.0, np.zeros((len(mu), len(fleet.regions)))
    policy = GLBCost()
    policy.reset(fleet, instance.objective, instance.horizon)
    for t in range(instance.horizon):
        allocation = policy.act(Slot.of(instance, t))
        for i in range(len(fleet.datacenters)):
            for j in range(len(fleet.gateways)):
                sent = allocation[j, i]
                cost += trace.price[t, i] * fleet.pue[i] * sent
                cost += 0.0 if fleet.routing_cost is None else fleet.routing_cost[j, i] * sent
                for k in range(len(mu)):
                    footprint[k, fleet.region_of[i]] += (
                        trace.intensity[k, t, i] * fleet.pue[i] * sent
                    )
    assert float(outcome.energy_cost) == pytest.approx(cost, abs=1e-9)
    np.testing.assert_allclose(outcome.footprint, footprint, atol=1e-9)
    objective = cost + sum(mu[k] * max(footprint[k]) for k in range(len(mu)))
    assert float(outcome.objective) == pytest.approx(objective, abs=1e-8)
    for k in range(len(mu)):
        mean = sum(footprint[k]) / len(footprint[k])
        expected = max(footprint[k]) / mean if mean > 0 else 1.0
        assert outcome.par[k] == pytest.approx(expected)


@given(instances(batch=(3,)))
def test_a_batch_gives_what_its_instances_give(instance: Instance) -> None:
    together = rollout(EGLB(), instance)
    for b in range(3):
        alone = rollout(EGLB(), instance[b])
        np.testing.assert_allclose(together.load[b], alone.load, atol=1e-12)
        np.testing.assert_allclose(together.objective[b], alone.objective, rtol=1e-12, atol=1e-12)


@given(instances())
def test_transition_adds_up_to_the_outcome(instance: Instance) -> None:
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    outcome = rollout(GLBCost(), instance)
    state = State(np.zeros(()), np.zeros((len(mu), len(fleet.regions))))
    for t in range(instance.horizon):
        cost = slot_cost(
            trace.price[t], trace.intensity[:, t], outcome.load[t], fleet, outcome.routing[t]
        )
        state = transition(state, cost)
        np.testing.assert_allclose(state.footprint, outcome.cumulative_footprint()[:, t], atol=1e-9)
        np.testing.assert_allclose(
            state.objective(mu), outcome.running_objective()[t], rtol=1e-9, atol=1e-8
        )


@settings(max_examples=25)
@given(instances(batch=(2,)))
def test_torch_and_numpy_agree(instance: Instance) -> None:
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    load = rollout(GLBCost(), instance).load[:, 0]
    weights = np.ones((len(mu), len(fleet.regions)))
    arrays = (trace.price[:, 0], trace.intensity[:, :, 0], load)
    tensors = tuple(torch.tensor(array) for array in arrays)
    for ours, theirs in zip(slot_cost(*arrays, fleet), slot_cost(*tensors, fleet), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        shadow_cost(*arrays[:2], weights, fleet, mu),
        shadow_cost(*tensors[:2], torch.tensor(weights), fleet, torch.tensor(mu)).numpy(),
        rtol=1e-12,
    )


ONE_SLOT = Instance(
    fleet=Fleet(
        datacenters=("a", "b"), gateways=("x", "y"), capacity=[1, 1], reachable=[[1, 0], [1, 1]]
    ),
    trace=Trace(
        price=np.ones((1, 2)),
        intensity=np.ones((1, 1, 2)),
        demand=[[0.5, 1.0]],
        timestamps=np.array(["2024-01-01"], dtype="datetime64[s]"),
        footprints=("carbon",),
    ),
    objective=Objective(equity_weight={"carbon": 1}),
)


@pytest.mark.parametrize(
    ("allocation", "sentence"),
    [
        ([[0.5, 0], [0.5, 0.4]], "does not send out all demand of gateway 1 by 0.1 MWh"),
        ([[0.6, -0.1], [0, 1]], "is negative at gateway 0 by 0.1 MWh"),
        ([[0.2, 0.3], [0.5, 0.5]], "leaves the reach of gateway 0 by 0.3 MWh"),
        ([[0.5, 0], [0.8, 0.2]], "exceeds the capacity of data center 0 by 0.3 MWh"),
        ([[np.nan, 0], [0.5, 0.5]], "is not finite at gateway 0"),
        ([0.5, 1.0], "has shape (2,), expected (2, 2) (gateways, data centers)"),
    ],
)
def test_infeasible_allocations_are_refused(allocation: list, sentence: str) -> None:
    slot = Slot.of(ONE_SLOT, 0)
    with pytest.raises(InfeasibleError, match=re.escape(sentence)):
        check_allocation(np.array(allocation), slot, ONE_SLOT.fleet.reachable)


def test_a_policy_that_strays_is_stopped() -> None:
    class Stray(GLBCost):
        def act(self, slot: Slot) -> np.ndarray:
            return super().act(slot) * 1.01

    with pytest.raises(InfeasibleError, match="slot 0"):
        rollout(Stray(), ONE_SLOT)
