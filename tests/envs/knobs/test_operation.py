"""Levels follow from what is done, whatever a policy wants; costs are those of the decisions."""

from dataclasses import replace

import numpy as np
import pytest

from equiload.agents import GLBCost
from equiload.envs import Decision, InfeasibleError, Setting, Slot, State, Trajectory, rollout
from equiload.envs.knobs.operation import Operation
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import odd_problems, random_problems


class Wants:
    """The cheapest allocation, and of everything else a random part of what is possible."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.base = rng, GLBCost()

    def reset(self, setting: Setting) -> None:
        self.fleet = setting.fleet
        self.base.reset(setting)

    def act(self, slot: Slot, state: State) -> Decision:
        rng, fleet, wanted = self.rng, self.fleet, Operation()
        demand = slot.demand
        if fleet.models is not None:
            saved = rng.random(demand.shape) * fleet.models.room(demand).sum(-1)
            wanted, demand = replace(wanted, saved=saved), demand - saved
        allocation = self.base.act(replace(slot, demand=demand), state)
        if fleet.storage is not None:  # one or the other, so that both are always possible
            room = (fleet.storage.energy - state.levels.stored) / fleet.storage.charge_efficiency
            most = np.minimum(fleet.storage.charge, np.maximum(room, 0.0))
            wanted = replace(wanted, charge=rng.random(most.shape) * most)
        if slot.generation is not None and rng.random() < 0.5:
            wanted = replace(wanted, generation=np.zeros(slot.generation.shape))
        return Decision(None, None, allocation, operation=wanted)


@pytest.mark.parametrize("seed", range(40))
def test_levels_and_costs_are_those_of_the_decisions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    knobs = [name for name in KNOBS if rng.random() < 0.6]
    instance = with_random_knobs(rng, random_problems(rng, 2), knobs)
    fleet, trace = instance.fleet, instance.trace
    driven = Trajectory(Wants(np.random.default_rng(seed)))
    driven.reset(Setting.of(instance))
    for t in range(instance.horizon):
        driven.act(Slot.of(instance, t))
    outcome = rollout(Wants(np.random.default_rng(seed)), instance)
    scale = np.abs(outcome.gross).max() + 1e-300
    objective = driven.state.objective(instance.objective.mu)
    np.testing.assert_allclose(objective / scale, outcome.objective / scale, atol=1e-12)
    if outcome.operation is None:
        assert not instance.knobs
        return
    done = outcome.operation
    if fleet.training is not None:  # what has arrived was done or given up when all is over
        gone = done.work.sum((-3, -1)) + done.late.sum(-2)
        arrived = trace.work.sum(-2)
        np.testing.assert_allclose(gone, arrived, atol=1e-9 * (arrived.max() + 1e-300))
        ceiling = fleet.training.ceiling(trace.work)
        assert (outcome.levels.waiting <= ceiling + 1e-9 * (arrived.max() + 1e-300)).all()
        assert (done.work[..., ~fleet.training.reach(len(fleet.datacenters))] == 0).all()
    if fleet.storage is not None:
        stored = fleet.storage.initial + np.cumsum(
            done.charge * fleet.storage.charge_efficiency
            - done.discharge / fleet.storage.discharge_efficiency,
            axis=-2,
        )
        np.testing.assert_allclose(
            driven.state.levels.stored, stored[..., -1, :], atol=1e-9 * _most(fleet.storage.energy)
        )
    drawn = outcome.drawn
    given = done.grid
    given = given if done.generation is None else given + done.generation
    taken = drawn
    if fleet.storage is not None:
        given, taken = given + done.discharge, taken + done.charge
    np.testing.assert_allclose(given, taken, atol=1e-9 * _most(drawn))


def _most(values: np.ndarray) -> float:
    return float(values.max()) + 1e-300


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"charge": 9.0}, "charge[0] is 9e+09 MWh"),
        ({"discharge": 9.0}, "discharge[0] is 9e+09 MWh"),
        ({"on": -1.0}, "capacity that is on[0] is -1e+09 MWh"),
        ({"generation": 9.0}, "generation used[0] is 9e+09 MWh"),
        ({"work": -1.0}, "work done[0, 0] is -1e+09 MWh"),
        ({"late": 9.0}, "work given up[0] is 9e+09 MWh"),
        ({"saved": -1.0}, "slot 0: the allocation does not send out all demand"),
        ({"charge": np.nan}, "charge[0] is nan MWh"),
    ],
)
def test_what_is_not_possible_is_refused_in_a_sentence(wanted: dict, sentence: str) -> None:
    instance = with_random_knobs(np.random.default_rng(5), odd_problems()["plain"])
    fleet = instance.fleet
    shapes = {"work": (len(fleet.training.classes), 4), "late": (len(fleet.training.classes),)}
    shapes["saved"] = (len(fleet.gateways),)

    class Impossible(GLBCost):
        def act(self, slot: Slot, state: State) -> Decision:
            values = {n: np.full(shapes.get(n, (4,)), 1e9 * v) for n, v in wanted.items()}
            return Decision(None, None, super().act(slot, state), operation=Operation(**values))

    with pytest.raises(InfeasibleError) as refusal:
        rollout(Impossible(), instance)
    assert sentence in str(refusal.value)


class Says(GLBCost):
    """Beside the cheapest allocation, the same thing in every slot."""

    def __init__(self, operation: object) -> None:
        super().__init__()
        self.operation = operation

    def act(self, slot: Slot, state: State) -> Decision:
        return Decision(None, None, super().act(slot, state), operation=self.operation)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Operation(charge=np.zeros(3)), "slot 0: charge has shape (3,), expected (4,)"),
        (Operation(on=0.5), "slot 0: on has shape (), expected (4,)"),
        (Operation(work=np.zeros((2, 1))), "slot 0: work has shape (2, 1), expected (2, 4)"),
        (Operation(saved=np.zeros((3, 4))), "slot 0: saved has shape (3, 4), expected (3,)"),
        ({"charge": np.zeros(4)}, "slot 0: what is done beside routing must be an Operation, got"),
    ],
)
def test_what_is_wanted_has_the_shapes_of_the_slot(wanted: object, sentence: str) -> None:
    instance = with_random_knobs(np.random.default_rng(5), odd_problems()["plain"])
    with pytest.raises(InfeasibleError) as refusal:
        rollout(Says(wanted), instance)
    assert sentence in str(refusal.value)


def test_what_a_fleet_has_no_part_for_is_not_done() -> None:
    plain = odd_problems()["plain"]
    wanted = Operation(work=np.ones((2, 4)), late=np.ones(2), saved=plain.trace.demand[0])
    instance = with_random_knobs(np.random.default_rng(5), plain, ["storage"])
    outcome = rollout(Says(wanted), instance)
    np.testing.assert_array_equal(outcome.load, rollout(GLBCost(), plain).load)
    nothing = np.zeros((plain.trace.demand.shape[-1], 4))

    class SavesAll(Says):
        def act(self, slot: Slot, state: State) -> Decision:
            return Decision(None, None, nothing, operation=Operation(saved=slot.demand))

    with pytest.raises(InfeasibleError, match="slot 0: the allocation does not send out all dem"):
        rollout(SavesAll(wanted), instance)


def test_what_is_not_said_gets_its_default() -> None:
    instance = with_random_knobs(np.random.default_rng(6), odd_problems()["plain"])
    done = rollout(GLBCost(), instance).operation
    assert (done.charge == 0).all()
    assert (done.discharge == 0).all()
    assert (done.saved == 0).all()
    assert np.array_equal(done.on, instance.capacity)
    waits = np.cumsum(instance.trace.work - done.work.sum(-1) - done.late, axis=0)
    room = instance.capacity - rollout(GLBCost(), instance).load
    # Nothing waits, or is given up, where there is room for it.
    for c, reach in enumerate(instance.fleet.training.reach(4)):
        left = waits[:, c] + done.late[:, c] > 1e-9
        assert (room[left][:, reach] <= 1e-9).all()
