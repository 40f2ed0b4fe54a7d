"""Dynamics, outcome and rollout: the same numbers by every way, and the objective as defined."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.envs import (
    DataError,
    Decision,
    Fleet,
    InfeasibleError,
    Instance,
    Objective,
    Setting,
    Slot,
    State,
    Trace,
    check_allocation,
    rollout,
    shadow_cost,
    slot_cost,
    transition,
)
from equiload.envs.data import synthetic
from equiload.testing.strategies import instances


@given(instances())
def test_outcome_is_the_definition_spelt_out(instance: Instance) -> None:
    outcome = rollout(GLBCost(), instance)
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    cost, footprint = 0.0, np.zeros((len(mu), len(fleet.regions)))
    policy = GLBCost()
    policy.reset(Setting.of(instance))
    state = State.start(Setting.of(instance))  # which it does not look at
    for t in range(instance.horizon):
        allocation = policy.act(Slot.of(instance, t), state)
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
    outcome, setting = rollout(GLBCost(), instance), Setting.of(instance)
    state = State.start(setting)
    for t in range(instance.horizon):
        decision = Decision(outcome.load[t], outcome.routing[t])
        cost = slot_cost(Slot.of(instance, t), decision, setting.physics)
        np.testing.assert_array_equal(cost.grid, outcome.imported[t])
        state = transition(state, cost)
        np.testing.assert_allclose(state.footprint, outcome.cumulative_footprint()[:, t], atol=1e-9)
    ended = state.objective(instance.objective.mu)
    np.testing.assert_allclose(ended, outcome.objective, rtol=1e-9, atol=1e-8)


@given(instances())
def test_the_grid_may_give_less_than_the_load_needs(instance: Instance) -> None:
    outcome = rollout(GLBCost(), instance)
    half = replace(outcome, grid=outcome.imported / 2)
    np.testing.assert_allclose(half.footprint, outcome.footprint / 2, atol=1e-12)
    energy, routing = outcome.cost - outcome.routing, outcome.routing
    np.testing.assert_allclose(half.cost, energy / 2 + routing, atol=1e-9)
    same = replace(outcome, grid=outcome.imported)
    np.testing.assert_allclose(same.objective, outcome.objective, rtol=1e-12, atol=1e-9)


@settings(max_examples=25)
@given(instances(batch=(2,)))
def test_torch_and_numpy_agree(instance: Instance) -> None:
    setting, slot = Setting.of(instance), Slot.of(instance, 0)
    load = rollout(GLBCost(), instance).load[:, 0]
    decision, weights = Decision(load, load.sum(-1)), np.ones(setting.footprint_shape[-2:])

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=torch.float64)

    other, physics = Slot.at(slot.map(tensor), 0, slot.timestamp), setting.physics.to(tensor)
    same = Decision(tensor(load), tensor(load.sum(-1)))
    mine, theirs = slot_cost(slot, decision, setting.physics), slot_cost(other, same, physics)
    for name in ("grid", "energy", "routing", "footprint"):
        pair = getattr(mine, name), getattr(theirs, name).numpy()
        np.testing.assert_allclose(*pair, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        shadow_cost(slot, weights, setting.physics),
        shadow_cost(other, tensor(weights), physics).numpy(),
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
        def act(self, slot: Slot, state: State) -> np.ndarray:
            return super().act(slot, state) * 1.01

    with pytest.raises(InfeasibleError, match="slot 0"):
        rollout(Stray(), ONE_SLOT)


def test_a_decision_is_as_good_as_its_allocation() -> None:
    class Decided(GLBCost):
        def act(self, slot: Slot, state: State) -> Decision:
            allocation = super().act(slot, state)
            return Decision(allocation.sum(-2), np.zeros(()), allocation)

    np.testing.assert_array_equal(
        rollout(Decided(), ONE_SLOT).load, rollout(GLBCost(), ONE_SLOT).load
    )

    class Loads(GLBCost):
        def act(self, slot: Slot, state: State) -> Decision:
            return Decision(super().act(slot, state).sum(-2), np.zeros(()))

    with pytest.raises(DataError, match="a policy's decision must have an allocation"):
        rollout(Loads(), ONE_SLOT)


def test_old_and_odd_interfaces_get_one_sentence() -> None:
    class Old(GLBCost):
        def act(self, slot: Slot) -> np.ndarray:
            raise AssertionError

    with pytest.raises(DataError, match=r"Old is no policy: act must take \(slot, state\)"):
        rollout(Old(), ONE_SLOT)

    class Older(GLBCost):
        def reset(self, fleet: Fleet, objective: Objective, horizon: int) -> None:
            raise AssertionError

    with pytest.raises(DataError, match=r"Older is no policy: reset must take \(setting\)"):
        rollout(Older(), ONE_SLOT)
    with pytest.raises(DataError, match="int is no policy: it lacks reset or act"):
        rollout(3, ONE_SLOT)


@given(instances(batch=(2,)))
def test_the_state_handed_over_counts_what_was_played(instance: Instance) -> None:
    states: list[State] = []

    class Watching(EGLB):
        def act(self, slot: Slot, state: State) -> np.ndarray:
            states.append(state)
            return super().act(slot, state)

    outcome = rollout(Watching(), instance, keep=True)
    before = np.zeros(outcome.footprint.shape)
    for t, state in enumerate(states):
        np.testing.assert_allclose(state.footprint, before, atol=1e-9)
        before = outcome.cumulative_footprint()[..., t, :]
    np.testing.assert_array_equal(outcome.allocation.sum(-2), outcome.load)


def test_what_a_prompt_shows_is_one_line() -> None:
    day = synthetic("test/0", horizon=24, knobs="all")
    outcome, solution = rollout(GLBCost(), day), EGLBOff().solve(day)
    for shown in map(repr, (day, day.fleet, day.trace, outcome, solution)):
        assert len(shown) < 200
        assert "\n" not in shown
    assert f"J {outcome.objective:,.6g} US$" in repr(outcome)
    assert f"gap {solution.gap:.2g}" in repr(solution)
    assert "mean J" in repr(rollout(GLBCost(), synthetic(0, horizon=24, batch=2)))
