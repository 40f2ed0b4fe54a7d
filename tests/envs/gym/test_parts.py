"""The environment's parts: feasible routing, observations, policies, pictures, the simulator."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB
from equiload.envs import (
    DataError,
    EquiloadError,
    Instance,
    Setting,
    Slot,
    State,
    check_allocation,
    rollout,
)
from equiload.envs.data import synthetic
from equiload.envs.gym import (
    ENVIRONMENT,
    AgentPolicy,
    DifferentiableSimulator,
    GLBEnv,
    GLBVectorEnv,
    Observer,
    Relative,
)
from equiload.envs.gym.actions import RoutingAction, finite_actions
from equiload.envs.gym.features import SlotsLeft
from equiload.envs.gym.routing import feasible_routing, fitted
from equiload.testing.strategies import instances

SEEDS = st.integers(0, 2**32 - 1)
ACTIONS = ("shadow_prices", "routing")


@settings(max_examples=300)
@given(
    instances(most_datacenters=6, most_gateways=5),
    SEEDS,
    st.sampled_from([0.0, 1.0, 1e3, 1e200, 1e308]),
)
def test_any_finite_routing_action_is_made_feasible(
    instance: Instance, seed: int, size: float
) -> None:
    fleet = instance.fleet
    action = RoutingAction(Setting.of(instance), 1.0)
    rng = np.random.default_rng(seed)
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        logits = np.clip(rng.normal(size=(3, *action.shape)), -1, 1) * size
        logits = finite_actions(logits, (), logits.shape)
        for row in logits:
            check_allocation(action.allocation(row, slot), slot, fleet.reachable)
    batch = Slot.at(slot.map(lambda array: np.stack([array] * 3)), 0, slot.timestamp)
    decision = action.decide(logits, batch)
    for b in range(3):
        alone = action.allocation(logits[b], slot)
        np.testing.assert_allclose(decision.load[b], alone.sum(-2), rtol=1e-12, atol=1e-12)


@settings(max_examples=200)
@given(instances(most_datacenters=6, most_gateways=5), SEEDS)
def test_feasible_routing_stays_untouched(instance: Instance, seed: int) -> None:
    """Random feasible allocations: mixtures of vertices, a hair within capacity."""
    fleet, trace = instance.fleet, instance.trace
    rng = np.random.default_rng(seed)
    vertices = [
        fleet.dispatch.allocation(
            rng.normal(size=trace.price.shape), trace.demand, instance.capacity
        )
        for _ in range(2)
    ]
    share = rng.random()
    mixed = share * vertices[0] + (1 - share) * vertices[1]
    roomy = instance.capacity * (1 + 1e-9)
    kept = feasible_routing(mixed, mixed.sum(-1), roomy, Setting.of(instance).physics)
    np.testing.assert_array_equal(kept, mixed)


def test_overflow_moves_in_proportion_to_room(  # a case done by hand
) -> None:
    world = synthetic(0, horizon=24, regions=3)
    fleet = world.fleet.replace(capacity=np.array([1.0, 2.0, 1.0]))
    wanted = np.array([[1.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.5]])
    physics = Setting(fleet, world.objective, 1).physics
    sent = feasible_routing(wanted, wanted.sum(-1), fleet.capacity, physics)
    # Data center 0 keeps half of everything; 1 of overflow goes 3:1 to rooms of 1.5 and 0.5.
    expected = [[0.75, 0.5625, 0.1875], [0.25, 0.6875, 0.0625], [0.0, 0.0, 0.5]]
    np.testing.assert_allclose(sent, expected, atol=1e-12)


def test_room_that_is_rounding_is_none() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.uniform(1e5, 1e6, (200, 3, 3))
    load = wanted.sum(-2)
    capacity = load * rng.uniform(0.5, 0.9, load.shape)
    placed = fitted(wanted, wanted.sum(-1), capacity, np.ones((3, 3)), full=False)
    np.testing.assert_allclose(placed, wanted * (capacity / load)[:, None], rtol=1e-9)


@pytest.mark.parametrize("full", [True, False])
def test_gradients_of_feasible_routing(full: bool) -> None:
    world = synthetic(0, horizon=24, regions=3)
    reach = np.ones((3, 3)) if full else [[1, 1, 0], [0, 1, 1], [1, 1, 1]]
    fleet = world.fleet.replace(reachable=np.array(reach))
    rng = np.random.default_rng(2)
    logits = torch.tensor(rng.normal(size=(4, 3, 3)) * 2, requires_grad=True)
    mask = torch.tensor(np.where(fleet.reachable, 0.0, -np.inf))
    demand = torch.tensor(rng.uniform(0.5, 0.8, (4, 3)))
    capacity = torch.full((4, 3), 1.1, dtype=torch.float64)

    physics = Setting(fleet, world.objective, 1).physics.to(lambda a: torch.tensor(a).double())

    def routed(values: torch.Tensor) -> torch.Tensor:
        wanted = torch.softmax(values + mask, -1) * demand[..., None]
        return feasible_routing(wanted, demand, capacity, physics).sum(-2)

    moved = (routed(logits) - (torch.softmax(logits + mask, -1) * demand[..., None]).sum(-2)).abs()
    assert moved.max() > 0.05  # there is overflow to move
    assert torch.autograd.gradcheck(routed, [logits])


@settings(max_examples=100)
@given(instances(batch=(2,)), SEEDS)
def test_tensors_are_observed_as_arrays_are(instance: Instance, seed: int) -> None:
    """The compiled observation and the differentiable one are the same function."""
    rng = np.random.default_rng(seed)
    simulator = DifferentiableSimulator(instance)
    compiled = Observer()
    compiled.reset(Setting.of(instance))
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    nothing = np.zeros(2)
    for t in range(instance.horizon):
        footprint = rng.uniform(0, 5, (2, K, R)) * rng.integers(0, 2)
        mine = compiled.observe(Slot.of(instance, t), State(nothing, footprint))
        theirs = simulator.observer.observe(
            simulator.slot(t), State(nothing, torch.tensor(footprint))
        )
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-6)
    mine = compiled.final(Slot.of(instance, t), State(nothing, footprint))
    theirs = simulator.observer.final(simulator.slot(t), State(nothing, torch.tensor(footprint)))
    np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_features_are_what_their_names_say() -> None:
    world = synthetic(1, horizon=48, regions=3, batch=())
    env = GLBEnv(instance=world)
    env.reset(seed=0)
    env.step(np.zeros((2, 3)))
    observation, *_, info = env.step(np.ones((2, 3)))
    seen = dict(zip(env.feature_names, observation, strict=True))
    trace, slot = world.trace, 2
    names, kind = world.fleet.datacenters, world.trace.footprints[0]
    mu, S = world.objective.mu, info["footprint"]
    assert seen[f"price[{names[1]}]"] == pytest.approx(trace.price[slot, 1] / 100, rel=1e-5)
    scaled = mu[0] * trace.intensity[0, slot, 2] / 100 / 3
    assert seen[f"intensity_{kind}[{names[2]}]"] == pytest.approx(scaled, rel=1e-5)
    mean = trace.price[: slot + 1, 0].mean() / 100
    assert seen[f"mean_price[{names[0]}]"] == pytest.approx(mean, rel=1e-5)
    taken = mu[0] * S[0, 1] / 100 / 48 / world.fleet.capacity.sum()
    assert seen[f"cumulative_{kind}[{names[1]}]"] == pytest.approx(taken, rel=1e-5)
    assert seen[f"share_{kind}[{names[1]}]"] == pytest.approx(S[0, 1] / S[0].max(), rel=1e-5)
    assert seen[f"share_{kind}[{names[S[0].argmax()]}]"] == 1.0
    demand = trace.demand[slot, 2] * 3 / world.fleet.capacity.sum()
    assert seen[f"demand[{world.fleet.gateways[2]}]"] == pytest.approx(demand, rel=1e-5)
    stamp = trace.timestamps[slot].item()
    hour = 2 * np.pi * stamp.hour / 24
    assert seen["hour_sin"] == pytest.approx(np.sin(hour), abs=1e-6)
    week = 2 * np.pi * (stamp.weekday() * 24 + stamp.hour) / 168
    assert seen["week_cos"] == pytest.approx(np.cos(week), abs=1e-6)
    assert seen["time_left"] == pytest.approx(1 - 2 / 48)


@pytest.mark.parametrize("layout", ["flat", "dict"])
def test_worlds_are_of_order_one(layout: str) -> None:
    env = GLBVectorEnv(8, instance=synthetic(2, horizon=168, batch=4), observation=layout)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    largest = []
    for _ in range(168):
        observation, *_ = env.step(np.zeros(env.action_space.shape))
        blocks = observation.values() if layout == "dict" else [observation]
        largest.append(max(float(np.abs(block).max()) for block in blocks))
    assert np.median(largest) < 10


@settings(max_examples=60)
@given(instances(), SEEDS, st.sampled_from(ACTIONS), st.sampled_from(["flat", "dict"]))
def test_an_agent_acts_the_same_as_a_policy(
    instance: Instance, seed: int, action: str, layout: str
) -> None:
    shape = GLBEnv(instance=instance, action=action).action_space.shape

    def agent(observation) -> np.ndarray:
        values = np.concatenate(list(observation.values()), -1) if layout == "dict" else observation
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(int(np.prod(shape)), values.shape[-1]))
        return np.tanh(weights @ values).reshape(shape), None  # as stable-baselines3 does

    env = GLBEnv(instance=instance, action=action, observation=layout)
    observation, _ = env.reset(seed=0)
    done = False
    while not done:
        observation, _, done, _, info = env.step(agent(observation)[0])
    outcome = rollout(AgentPolicy(agent, action=action, observation=layout), instance)
    assert outcome.objective == pytest.approx(info["objective"], rel=1e-9, abs=1e-9)


@settings(max_examples=60)
@given(instances(batch=(2,)), SEEDS, st.sampled_from(ACTIONS))
def test_the_simulator_is_the_environment(instance: Instance, seed: int, action: str) -> None:
    env = GLBVectorEnv(2, instance=instance, action=action, autoreset_mode="Disabled")
    simulator = DifferentiableSimulator(instance, action=action)
    env.reset(seed=seed)
    for shard in env.shards:  # episode b on problem b
        shard[1].episodes.first[:] = np.arange(2) * instance.horizon
    state, _ = simulator.reset()
    rng = np.random.default_rng(seed)
    env.core._slot = env.core.episodes.slot(0)
    for t in range(instance.horizon):
        act = rng.normal(size=env.action_space.shape)
        *_, info = env.step(act)
        state, _ = simulator.step(t, state, torch.tensor(act))
        np.testing.assert_allclose(state.footprint.numpy(), info["footprint"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            state.objective(simulator.mu).numpy(), info["objective"], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_gradients_of_a_whole_episode(action: str, reachability: str) -> None:
    world = synthetic(4, horizon=24, reachability=reachability).window(0, 5)
    simulator = DifferentiableSimulator(world, action=action, temperature=20.0)
    shape = (simulator.horizon, *simulator.action_shape)
    actions = torch.tensor(np.random.default_rng(1).normal(size=shape) * 0.3, requires_grad=True)

    def objective(values: torch.Tensor) -> torch.Tensor:
        rows = iter(values)
        return simulator.episode(lambda _: next(rows)) / 1e3

    assert torch.autograd.gradcheck(objective, [actions], atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.slow
def test_descent_through_the_simulator_lowers_the_objective() -> None:
    worlds = synthetic(5, horizon=48, batch=2)
    simulator = DifferentiableSimulator(worlds, temperature=10.0)
    weights = torch.zeros(simulator.action_shape, dtype=torch.float64, requires_grad=True)
    before = simulator.episode(lambda _: weights).sum().item()
    optimiser = torch.optim.Adam([weights], lr=0.05)
    for _ in range(15):
        optimiser.zero_grad()
        simulator.episode(lambda _: weights).sum().backward()
        optimiser.step()
    simulator.temperature = 0.0
    exact = DifferentiableSimulator(worlds).episode(lambda _: weights * 0).sum().item()
    assert simulator.episode(lambda _: weights).sum().item() < min(before, exact)


def test_misfitting_tensors_are_refused() -> None:
    simulator = DifferentiableSimulator(synthetic(5, horizon=24))
    state, _ = simulator.reset()
    with pytest.raises(DataError, match="expected"):
        simulator.step(0, state, torch.zeros(3))
    with pytest.raises(DataError, match="action must be"):
        DifferentiableSimulator(synthetic(5, horizon=24), action="guess")


def test_pictures_and_text() -> None:
    world = synthetic(6, horizon=24)
    env = gym.make(ENVIRONMENT, instance=world, render_mode="rgb_array", reward=Relative(EGLB()))
    env = RecordEpisodeStatistics(env)
    env.reset(seed=0)
    blank = env.render()
    assert blank.shape == (540, 960, 3)
    assert blank.dtype == np.uint8
    for _ in range(20):
        env.step(env.action_space.sample())
    assert (env.render() != blank).any()
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env.unwrapped))]
    for twin in twins:  # what was drawn before leaves no trace in a picture
        assert np.array_equal(twin.render(), env.render())
    told = gym.make(ENVIRONMENT, instance=world, render_mode="ansi", reward=Relative(EGLB()))
    told.reset(seed=0)
    *_, info = told.step(np.zeros(told.action_space.shape))
    lines = told.render()
    assert "slot 1/24" in lines
    assert "the expert's" in lines
    assert world.fleet.regions[info["footprint"][0].argmax()] in lines
    many = gym.make_vec(ENVIRONMENT, num_envs=2, instance=world, render_mode="ansi")
    many.reset(seed=0)
    assert len(many.render()) == 2
    with pytest.raises(EquiloadError, match="render_mode"):
        GLBEnv(instance=world).render()


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_simulator_leaves_no_tensor_on_the_processor(reachability: str) -> None:
    """On torch's ``meta`` device, which computes nothing, two devices do not mix either."""
    instance = synthetic(0, horizon=3, batch=4, reachability=reachability)
    simulator = DifferentiableSimulator(instance, device="meta", features=[SlotsLeft()])
    action = torch.zeros(simulator.action_shape, dtype=torch.float64, device="meta")
    objective = simulator.episode(lambda _: action)
    assert objective.device.type == "meta"
    assert objective.shape == (4,)
    with pytest.raises(RuntimeError, match="device"):  # such a mixture would be noticed
        simulator.episode(lambda _: torch.zeros(simulator.action_shape, dtype=torch.float64))
