"""The layer on tensors where the past counts: the kernels' numbers, and derivatives of the rule."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slots import balanced_problem

from equiload.agents import EGLB, WithKnobs
from equiload.envs import DataError, Decision, Instance, Setting, Slot, State, rollout
from equiload.envs.data import synthetic
from equiload.envs.dynamics import decided
from equiload.envs.gym import DifferentiableSimulator, GLBVectorEnv
from equiload.envs.gym.actions import RoutingAction
from equiload.envs.knobs.operation import Levels, Operation
from equiload.experiments.hostile.levels import with_spare
from equiload.robust import (
    Bounds,
    EnvironmentLayer,
    RobustLayer,
    Sparing,
    verify,
)
from equiload.robust.departure import LevelTurn
from equiload.robust.tensors import LevelTensors, _named
from equiload.testing.knobs import KNOBS

SEEDS = st.integers(0, 2**32 - 1)
ACTIONS = ("shadow_prices", "residual", "routing")
CASES = [*KNOBS, "all", "spare"]


class Watched(EnvironmentLayer):
    """A layer that keeps what it was asked, and what it played."""

    def reset(self, setting: Setting) -> None:
        super().reset(setting)
        self.seen = []

    def decide(self, slot: Slot, decision: Decision, state: State | None = None) -> Decision:
        played = super().decide(slot, decision, state)
        self.seen.append((decision, state, played, self.info()))
        return played


def layer_of(world: Instance, rho: float, spare: np.ndarray | None = None) -> Watched:
    expert = WithKnobs(EGLB()) if spare is None else Sparing(WithKnobs(EGLB()), spare)
    return Watched(expert, rho=rho, bounds=Bounds.of(world, spare=spare), record=True)


def random_case(
    rng: np.random.Generator, case: str, *, free: bool = False
) -> tuple[Instance, np.ndarray | None]:
    """A problem, and capacity that its expert spares; with free routing?"""
    some = [name for name in KNOBS if rng.random() < 0.6] or KNOBS[:1]
    names = {"all": KNOBS, "some": some, "spare": ("training", "servers", "storage")}
    world = balanced_problem(rng, names.get(case, [case]))
    if free:
        world = world.replace(fleet=world.fleet.replace(routing_cost=None))
    return with_spare(rng, world) if case == "spare" else (world, None)


def numbers(array: torch.Tensor) -> np.ndarray:
    return array.detach().numpy()


def play(simulator: DifferentiableSimulator, actions: torch.Tensor) -> State:
    state, _ = simulator.reset()
    for t in range(simulator.horizon):
        state, _ = simulator.step(t, state, actions[t])
    return state


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_it_is_the_environment_with_all_knobs(reachability: str, action: str) -> None:
    worlds = synthetic(7, horizon=24, batch=3, knobs="all", reachability=reachability)
    envs = GLBVectorEnv(3, instance=worlds, action=action, layer=layer_of(worlds, 0.3))
    envs.reset(seed=3)
    simulator = DifferentiableSimulator(envs.instance, action=action, layer=layer_of(worlds, 0.3))
    state, rng, alphas = simulator.reset()[0], np.random.default_rng(0), []
    for t in range(24):
        choice = rng.normal(size=envs.action_space.shape)
        *_, info = envs.step(choice)
        state, _ = simulator.step(t, state, torch.tensor(choice, requires_grad=True))
        told = simulator.layer.info()
        np.testing.assert_allclose(numbers(told["alpha"]), info["alpha"], rtol=1e-6, atol=1e-9)
        objective = numbers(state.objective(simulator.mu))
        np.testing.assert_allclose(objective, info["objective"], rtol=1e-9)
        alphas.append(info["alpha"])
    assert ((np.array(alphas) > 0) & (np.array(alphas) < 1)).mean() > 0.2


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(["some", "all"]))
def test_it_plays_what_the_layer_around_arrays_does_to_the_bit(seed: int, case: str) -> None:
    rng = np.random.default_rng(seed)
    (world, _), rho = random_case(rng, case), float(rng.choice([0.0, 0.05, 0.5]))
    simulator = DifferentiableSimulator(world, action="routing", layer=layer_of(world, rho))
    shape = (world.horizon, *simulator.action_shape)
    play(simulator, torch.tensor(rng.normal(size=shape), requires_grad=True))
    around = RobustLayer(WithKnobs(EGLB()), rho=rho, bounds=Bounds.of(world))
    around.reset(Setting.of(world))
    for t, (advice, state, played, told) in enumerate(simulator.layer.seen):
        wanted = replace(advice.operation.map(numbers), grid=None)
        given = Decision(None, None, numbers(advice.allocation), operation=wanted)
        own = (state.levels or Levels()).map(numbers)
        expected = _named(around.act(Slot.of(world, t), given, own))
        assert numbers(told["alpha"]) == around.last[0]
        for name, array in _named(played).items():
            assert (numbers(array) == expected[name]).all(), name


@pytest.mark.parametrize("case", CASES)
def test_the_way_back_in_tensors_is_the_compiled_one(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    way_back, apart = LevelTensors._way_back, []

    def compared(self: LevelTensors, turn: LevelTurn, slot: Slot, levels: Levels) -> dict:
        mine = way_back(self, turn, slot, levels)
        physics = turn.safe.setting.physics
        theirs = decided(turn.back.allocation, turn.back.operation, physics)
        for name, array in _named(theirs).items():
            size = 1e-9 * max(np.abs(array).max(), physics.fleet.capacity.max())
            np.testing.assert_allclose(numbers(mine[name]), array, atol=size, err_msg=name)
        apart.append(turn.back is not turn.expert)
        return mine

    monkeypatch.setattr(LevelTensors, "_way_back", compared)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        world, spare = random_case(rng, case)
        layer = layer_of(world, 0.2, spare)
        simulator = DifferentiableSimulator(world, action="routing", layer=layer)
        shape = (world.horizon, *simulator.action_shape)
        play(simulator, torch.tensor(rng.normal(size=shape), requires_grad=True))
    stateful = {"storage", "servers", "training", "all", "spare"}
    assert any(apart) == (case in stateful)


def slopes(simulator: DifferentiableSimulator, rng: np.random.Generator) -> tuple[float, ...]:
    """In a random direction by autograd, and on either side by differences; is any α between?

    Of the objective, and of every ``α`` and slack, weighed at random.
    """
    shape = (simulator.horizon, *simulator.action_shape)
    here, way = rng.normal(size=shape) * 0.5, rng.normal(size=shape)
    weights = rng.normal(size=(2, simulator.horizon))
    way /= np.linalg.norm(way)
    world, scale = simulator.instance, 0.0
    gross = float((np.abs(world.trace.price) * world.capacity).sum())

    def value(step: float, *, grad: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal scale
        actions = torch.tensor(here + step * way, requires_grad=grad)
        objective = play(simulator, actions).objective(simulator.mu)
        scale = scale or abs(float(objective.detach())) + 1e-9 * gross
        told = [info for *_, info in simulator.layer.seen]
        total = objective / scale
        for name, unit, weight in zip(("alpha", "slack"), (1.0, scale), weights, strict=True):
            rows = (torch.as_tensor(info[name]) for info in told)
            total = total + sum(w * row / unit for w, row in zip(weight, rows, strict=True))
        return total, actions

    total, actions = value(0.0, grad=True)
    held = any(0 < float(info["alpha"].detach()) < 1 for *_, info in simulator.layer.seen)
    (slope,) = torch.autograd.grad(total, [actions])
    h, base = 1e-5, float(total.detach())
    above, below = float(value(h)[0]), float(value(-h)[0])
    return float((numbers(slope) * way).sum()), (above - base) / h, (base - below) / h, held


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_differences(case: str) -> None:
    smooth = held = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        world, spare = random_case(rng, case, free=True)
        layer = layer_of(world, float(rng.choice([0.01, 0.1])), spare)
        warm = 0.3 * float(np.abs(world.trace.price).mean())
        simulator = DifferentiableSimulator(world, temperature=warm, layer=layer)
        slope, above, below, between = slopes(simulator, rng)
        size = max(abs(above), abs(below), 1e-3)
        if abs(above - below) < 1e-2 * size:  # no kink in between
            assert abs(slope - (above + below) / 2) < 1e-3 * size, seed
            smooth, held = smooth + 1, held + between
    assert smooth >= 7
    assert held >= 3


@pytest.mark.parametrize("knobs", ["storage", "solar", "training", "servers", "models", "all"])
@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("action", ["routing", "residual"])
def test_derivatives_with_each_knob(knobs: str, reachability: str, action: str) -> None:
    world = synthetic(4, horizon=24, knobs=knobs, reachability=reachability).window(0, 5)
    simulator = DifferentiableSimulator(
        world, action=action, temperature=20.0, layer=layer_of(world, 0.02)
    )
    slope, above, below, held = slopes(simulator, np.random.default_rng(1))
    assert held
    assert slope == pytest.approx((above + below) / 2, rel=1e-3, abs=1e-6)


def test_a_batch_is_its_members() -> None:
    worlds = synthetic(7, horizon=24, batch=3, knobs="all").window(0, 6)

    def gradient(world: Instance, of: np.ndarray | int) -> torch.Tensor:
        simulator = DifferentiableSimulator(world, action="routing", layer=layer_of(worlds, 0.05))
        normal = np.random.default_rng(0).normal(size=(6, 3, *simulator.action_shape[-1:]))
        actions = torch.tensor(normal[:, of], requires_grad=True)
        objective = play(simulator, actions).objective(simulator.mu)
        return torch.autograd.grad(objective.sum(), [actions])[0]

    whole = gradient(worlds, np.arange(3))
    for b in range(3):
        alone = gradient(worlds.replace(trace=worlds.trace[b]), b)
        torch.testing.assert_close(whole[:, b], alone, rtol=1e-6, atol=1e-6)


def test_an_episode_is_certified() -> None:
    world = synthetic(7, horizon=24, knobs="all")
    layer = layer_of(world, 0.05)
    simulator = DifferentiableSimulator(world, action="routing", layer=layer)
    actions = torch.tensor(np.random.default_rng(0).normal(size=(24, *simulator.action_shape)))
    state = play(simulator, actions.requires_grad_())
    played = [played for _, _, played, _ in layer.seen]
    operation = Operation.stack([done.operation.map(numbers) for done in played], 0)
    allocation = np.stack([numbers(done.allocation) for done in played])
    certificate = layer.certificate()
    assert verify(certificate, world, allocation, operation).ok
    expert = rollout(WithKnobs(EGLB()), world).objective
    assert float(state.objective(simulator.mu).detach()) <= 1.05 * float(expert)


def test_the_expert_is_asked_once() -> None:
    asked = []

    class Counted(WithKnobs):
        def act(self, slot: Slot, state: State) -> Decision:
            asked.append(slot.index)
            return super().act(slot, state)

    world = synthetic(0, horizon=6, regions=3, knobs="all")
    layer = EnvironmentLayer(Counted(EGLB()), rho=0.1, bounds=Bounds.of(world))
    simulator = DifferentiableSimulator(world, layer=layer)
    nothing = torch.zeros((6, *simulator.action_shape), dtype=torch.float64)
    first, second = (play(simulator, nothing).objective(simulator.mu) for _ in range(2))
    assert first == second
    assert asked == [*range(6)]


def test_advice_that_is_not_possible_has_no_say() -> None:
    world = synthetic(0, horizon=6, regions=3, knobs="all")

    class Greedy(RoutingAction):
        def operate(self, action, slot, levels, **options) -> Decision:
            decision = super().operate(action, slot, levels, **options)
            charge = decision.operation.charge + np.nan
            return replace(decision, operation=replace(decision.operation, charge=charge))

    simulator = DifferentiableSimulator(world, action=Greedy, layer=layer_of(world, 0.1))
    actions = torch.zeros((6, *simulator.action_shape), dtype=torch.float64, requires_grad=True)
    objective = play(simulator, actions).objective(simulator.mu)
    alone = rollout(WithKnobs(EGLB()), world).objective
    assert float(objective.detach()) == pytest.approx(float(alone), rel=1e-12)
    assert torch.isfinite(objective)
    assert all(float(info["alpha"].detach()) == 0 for *_, info in simulator.layer.seen)


def test_what_has_no_form_in_tensors_is_refused() -> None:
    world = synthetic(0, horizon=6, regions=3, knobs="all")
    layer = layer_of(world, 0.1)
    simulator = DifferentiableSimulator(world, dtype=torch.float32, layer=layer)
    with pytest.raises(DataError, match=r"certifies torch\.float64 alone"):
        play(simulator, torch.zeros((6, *simulator.action_shape)))
    project = RobustLayer(WithKnobs(EGLB()), rho=0.1, method="project", bounds=Bounds.of(world))
    with pytest.raises(DataError, match="slot 0: the layer needs the state before the slot"):
        layer.decide(Slot.of(world, 0), Decision(None, None))
    with pytest.raises(DataError, match="layer must be a layer, EnvironmentLayer say, got <"):
        DifferentiableSimulator(world, layer=project)
    project.reset(Setting.of(world))
    advice = torch.zeros(world.fleet.reachable.shape, requires_grad=True)
    with pytest.raises(DataError, match="ProjectMethod plays arrays: of tensors EnvironmentLayer"):
        project.act(Slot.of(world, 0), advice)
    dear = world.replace(fleet=world.fleet.replace(routing_cost=np.ones((3, 3))))
    with pytest.raises(DataError, match="needs the action 'routing'"):
        DifferentiableSimulator(dear, layer=layer)


@pytest.mark.slow
def test_a_policy_trained_through_the_layer_ends_below_the_expert() -> None:
    day = synthetic("validation/0", horizon=12, regions=3, knobs="all")
    layer = layer_of(day, 0.05)
    simulator = DifferentiableSimulator(day, action="residual", temperature=10.0, layer=layer)
    _, observed = simulator.reset()
    network = torch.nn.Linear(len(observed), *simulator.action_shape, dtype=torch.float64)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.zeros_(network.bias)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    expert = float(rollout(WithKnobs(EGLB()), day).objective)
    reached = []
    for _ in range(40):
        objective = simulator.episode(network)
        optimiser.zero_grad()
        objective.backward()
        optimiser.step()
        reached.append(objective.item())
        assert layer.certificate().holds
    assert reached[-1] < 0.99 * expert < expert < reached[0] <= 1.05 * expert
