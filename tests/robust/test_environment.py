"""The layer inside the environments: the same numbers everywhere, and the guarantee kept."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from equiload.agents import EGLB, GLBCost
from equiload.envs import DataError, InfeasibleError, Instance, Setting, Slot, State, Trace, rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import (
    ENVIRONMENT,
    AgentPolicy,
    DifferentiableSimulator,
    GLBEnv,
    GLBVectorEnv,
    SB3VecEnv,
)
from equiload.robust import EnvironmentLayer, RobustPolicy, blend, pooled, verify
from equiload.testing.strategies import instances

SEEDS = st.integers(0, 2**32 - 1)
ACTIONS = ("shadow_prices", "routing")
RHO = st.sampled_from([0.0, 1e-6, 0.02, 0.2, 10.0])


def bound_of(instance: Instance, wanted: bool) -> np.ndarray | None:
    drawn = instance.fleet.pue * instance.capacity[..., None, :, :]
    added = instance.trace.intensity * drawn @ instance.fleet.membership
    return added.max(-2) if wanted else None


def play(instance: Instance, action: str, layer: EnvironmentLayer, seed: int):
    """Random episode: loads ``[T, N]``, infos and the certificate."""
    env = GLBEnv(instance=instance, action=action, layer=layer)
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    loads, infos, done = [], [], False
    while not done:
        _, _, done, _, info = env.step(rng.normal(size=env.action_space.shape))
        loads.append(env.core.played[-1].load[0].copy())
        infos.append(info)
    return np.array(loads), infos, layer.certificate()


@settings(max_examples=200)
@given(
    instances(routing=False),
    SEEDS,
    st.sampled_from(ACTIONS),
    RHO,
    st.sampled_from([0.0, 1.0]),
    st.booleans(),
    st.booleans(),
)
def test_an_episode_keeps_the_guarantee(
    instance, seed, action, rho, allowance, horizon_aware, by_load
) -> None:
    bound = bound_of(instance, horizon_aware)
    layer = EnvironmentLayer(
        EGLB() if by_load else GLBCost(),
        rho=rho,
        allowance=allowance,
        footprint_bound=bound,
        record=True,
    )
    loads, infos, certificate = play(instance, action, layer, seed)
    one = pooled(instance.replace(trace=Trace.stack([instance.trace])))
    result = verify(certificate, one, loads[None, :, None], exact=True)
    assert result.ok, [str(v) for v in result.violations]
    assert certificate.holds.all()
    assert not certificate.breach.any()
    assert [info["alpha"] for info in infos] == certificate.alpha[0].tolist()
    assert [info["slack"] for info in infos] == certificate.slack[0].tolist()
    for t in range(instance.horizon):  # servable within reach: `split` raises otherwise
        instance.fleet.dispatch.split(loads[t], instance.trace.demand[t])
    expert = rollout(EGLB() if by_load else GLBCost(), instance)
    stated = float(expert.objective) + float(certificate.allowed[0])
    assert infos[-1]["objective"] <= stated + 1e-9 * (1 + abs(stated))


@settings(max_examples=100)
@given(instances(routing=True), SEEDS, st.sampled_from(ACTIONS), RHO, st.booleans())
def test_with_routing_cost_it_is_the_layer_around_the_agent(
    instance, seed, action, rho, horizon_aware
) -> None:
    bound = bound_of(instance, horizon_aware)
    options = {"rho": rho, "allowance": 1.0, "footprint_bound": bound}
    layer = EnvironmentLayer(GLBCost(), record=True, **options)
    _, infos, certificate = play(instance, action, layer, seed)
    rng = np.random.default_rng(seed)
    shape = GLBEnv(instance=instance, action=action).action_space.shape
    agent = AgentPolicy(lambda _: rng.normal(size=shape), action=action)
    around = RobustPolicy(agent, GLBCost(), **options)
    outcome = rollout(around, instance)
    assert infos[-1]["objective"] == pytest.approx(outcome.objective, rel=1e-9, abs=1e-9)
    assert certificate.holds.all()
    np.testing.assert_allclose(certificate.alpha[0], around.certificate().alpha, atol=1e-6)


def array_form(layer: EnvironmentLayer, slot: Slot, ledger, expert, advice):
    """One slot of the layer in array operations."""
    return blend(layer.safe.turn(ledger, slot, expert), advice)


@settings(max_examples=200)
@given(instances(batch=(4,), routing=False), SEEDS, RHO, st.booleans(), st.booleans())
def test_the_kernel_decides_as_the_array_form(instance, seed, rho, horizon_aware, shared) -> None:
    rng = np.random.default_rng(seed)
    bound = bound_of(instance, horizon_aware)
    bound = bound.max(0) if horizon_aware and shared else bound
    layer = EnvironmentLayer(GLBCost(), rho=rho, allowance=0.1, footprint_bound=bound, record=True)
    layer.reset(Setting.of(instance))
    action = GLBVectorEnv(4, instance=instance).core.action
    before = None
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        decision = action.decide(rng.normal(size=(4, *action.shape)) * 3, slot)
        played = layer.decide(slot, decision)
        entry = layer._records[-1]
        other = array_form(layer, slot, before, entry.expert, decision.load[:, None])
        for name in ("right", "spent", "low", "high", "head"):  # of the expert alone
            mine, theirs = getattr(entry.ledger, name), getattr(other.ledger, name)
            np.testing.assert_allclose(mine, theirs, rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(entry.ledger.breach, other.ledger.breach)
        # Where next to no slack is left, rounding alone decides between a crumb and nothing.
        apart = np.abs(played.load - other.allocation[:, 0]).max(-1)
        tight = layer.info()["slack"] <= 1e-9 * (1 + entry.ledger.right)
        assert ((apart <= 1e-9 * (1 + decision.load.sum(-1))) | tight).all()
        before = entry.ledger


@settings(max_examples=40, deadline=None)
@given(instances(batch=(3,), most_slots=5), SEEDS, st.sampled_from(ACTIONS))
def test_vector_is_so_many_singles(instance: Instance, seed: int, action: str) -> None:
    def options():
        layer = EnvironmentLayer(EGLB(), rho=0.05, allowance=0.5)
        return {"instance": instance, "action": action, "layer": layer}

    many = GLBVectorEnv(4, autoreset_mode="SameStep", **options())
    ones = [GLBEnv(**options()) for _ in range(4)]
    rng = np.random.default_rng(seed)
    many.reset(seed=seed)
    for b, env in enumerate(ones):
        env.reset(seed=seed + b)
    for _ in range(2 * instance.horizon + 1):
        actions = rng.normal(size=many.action_space.shape)
        _, reward, _, _, infos = many.step(actions)
        for b, env in enumerate(ones):
            _, mine, done, _, info = env.step(actions[b])
            told = infos["final_info"] if done else infos
            assert reward[b] == pytest.approx(mine, rel=1e-12, abs=1e-12)
            for name in ("alpha", "slack", "objective"):
                assert told[name][b] == pytest.approx(info[name], rel=1e-9, abs=1e-9)
            if done:
                env.reset()


@settings(max_examples=40)
@given(instances(batch=(2,)), SEEDS, RHO)
def test_the_simulator_is_the_environment(instance: Instance, seed: int, rho: float) -> None:
    layers = [EnvironmentLayer(EGLB(), rho=rho, allowance=0.5, record=True) for _ in range(2)]
    env = GLBVectorEnv(2, instance=instance, action="routing", layer=layers[0])
    simulator = DifferentiableSimulator(instance, action="routing", layer=layers[1])
    env.reset(seed=seed)
    env.core.episodes.first[:] = np.arange(2) * instance.horizon
    env.core._slot = env.core.episodes.slot(0)
    rng = np.random.default_rng(seed)
    state, _ = simulator.reset()
    for t in range(instance.horizon):
        act = rng.normal(size=env.action_space.shape)
        *_, info = env.step(act)
        state, _ = simulator.step(t, state, torch.tensor(act))
        scale = 1 + np.abs(info["objective"])
        mine = state.objective(simulator.mu).numpy()
        np.testing.assert_allclose(mine, info["objective"], rtol=0, atol=1e-8 * scale.max())


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_gradients_of_a_whole_episode_through_the_layer(action: str, reachability: str) -> None:
    world = synthetic(4, horizon=24, reachability=reachability).window(0, 4)
    layer = EnvironmentLayer(EGLB(), rho=0.05)
    simulator = DifferentiableSimulator(world, action=action, temperature=20.0, layer=layer)
    shape = (simulator.horizon, *simulator.action_shape)
    actions = torch.tensor(np.random.default_rng(1).normal(size=shape) * 0.3, requires_grad=True)
    held = []

    def objective(values: torch.Tensor) -> torch.Tensor:
        rows = iter(values)

        def actor(_: torch.Tensor) -> torch.Tensor:
            held.append(0 < layer.info()["alpha"] < 1)  # in the slot before
            return next(rows)

        return simulator.episode(actor) / 1e3

    assert torch.autograd.gradcheck(objective, [actions], atol=1e-6, rtol=1e-4, fast_mode=True)
    assert any(held)  # so that gradients go through the blend


@settings(max_examples=60)
@given(instances(batch=(2,)), st.sampled_from(["entropic", "euclidean"]))
def test_eglb_tells_the_loads_of_its_allocations(instance: Instance, mirror: str) -> None:
    pair = [EGLB(mirror=mirror) for _ in range(2)]
    for expert in pair:
        expert.reset(Setting.of(instance))
    nothing = State.start(Setting.of(instance))
    slot = Slot.of(instance, 0)  # later, ties within rounding may part them
    loads = pair[0].loads(slot, nothing), pair[1].act(slot, nothing).sum(-2)
    np.testing.assert_allclose(*loads, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pair[0].multipliers, pair[1].multipliers, rtol=1e-9, atol=1e-12)


def test_trained_through_or_wrapped_afterwards() -> None:
    """The agent sees and earns the same inside the layer as wrapped in it."""
    world = synthetic(3, horizon=48, regions=3)
    env = GLBEnv(instance=world, layer=EnvironmentLayer(EGLB(), rho=0.05))
    shape = env.action_space.shape

    def agent(observation: np.ndarray) -> np.ndarray:
        weights = np.random.default_rng(0).normal(size=(int(np.prod(shape)), observation.shape[-1]))
        return np.tanh(weights @ observation).reshape(shape)

    observation, _ = env.reset(seed=0)
    done, alphas = False, []
    while not done:
        observation, _, done, _, info = env.step(agent(observation))
        alphas.append(info["alpha"])
    policy = RobustPolicy(AgentPolicy(agent), EGLB(), rho=0.05)
    outcome = rollout(policy, world)
    assert outcome.objective == pytest.approx(info["objective"], rel=1e-6)
    np.testing.assert_allclose(policy.certificate().alpha, alphas, atol=1e-4)
    assert 0 < np.mean(alphas) < 1


@pytest.mark.parametrize("action", ACTIONS)
def test_both_checkers_find_nothing(action: str) -> None:
    world = synthetic(3, horizon=24, regions=3, batch=3, reachability="partial")
    layer = EnvironmentLayer(EGLB(), rho=0.1)
    env = gym.make(ENVIRONMENT, instance=world, action=action, layer=layer)
    check_env(env.unwrapped)
    check_env_sb3(env.unwrapped)


def test_ppo_trains_through_the_layer() -> None:
    world = synthetic(3, horizon=24, regions=3, batch=3)
    envs = SB3VecEnv(4, instance=world, seed=0, layer=EnvironmentLayer(EGLB(), rho=0.05))
    PPO("MlpPolicy", envs, n_steps=24, batch_size=48, n_epochs=1, seed=0, device="cpu").learn(192)
    envs.reset()
    for _ in range(24):
        *_, infos = envs.step(np.ones((4, *envs.action_space.shape)))
    assert all(0 <= info["alpha"] <= 1 and info["slack"] >= 0 for info in infos)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_their_own_way(duplicate) -> None:
    world = synthetic(3, horizon=24, regions=3)
    env = GLBEnv(instance=world, layer=EnvironmentLayer(EGLB(), rho=0.05))
    env.reset(seed=0)
    action = np.ones(env.action_space.shape)
    env.step(action)
    twin = duplicate(env)
    first = env.step(action)[4]["slack"]
    assert twin.step(action)[4]["slack"] == first


def test_what_goes_wrong_gets_one_sentence() -> None:
    world = synthetic(3, horizon=24, regions=3)
    layer = EnvironmentLayer(GLBCost(), rho=0.1)
    env = GLBEnv(instance=world, layer=layer)
    env.reset(seed=0)
    with pytest.raises(DataError, match="record=True"):
        layer.certificate()

    class Lazy(GLBCost):
        def act(self, slot: Slot, state: State) -> np.ndarray:
            return super().act(slot, state) / 2

    env = GLBEnv(instance=world, layer=EnvironmentLayer(Lazy(), rho=0.1))
    env.reset(seed=0)
    with pytest.raises(InfeasibleError, match="does not send out all demand"):
        env.step(np.zeros(env.action_space.shape))

    class Greedy(GLBCost):
        def loads(self, slot: Slot, state: State) -> np.ndarray:
            return super().act(slot, state).sum(-2) * np.nan

    env = GLBEnv(instance=world, layer=EnvironmentLayer(Greedy(), rho=0.1))
    env.reset(seed=0)
    with pytest.raises(InfeasibleError, match="do not serve all demand"):
        env.step(np.zeros(env.action_space.shape))
    dear = world.replace(fleet=world.fleet.replace(routing_cost=np.ones((3, 3))))
    with pytest.raises(DataError, match="needs the action 'routing'"):
        DifferentiableSimulator(dear, layer=EnvironmentLayer(GLBCost(), rho=0.1))
