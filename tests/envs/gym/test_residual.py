"""Actions around an expert that runs in the loop: action 0 is the expert, to the bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from equiload.agents import EGLB, GLBCost
from equiload.envs import DataError, Instance, Setting, Slot, State, Trajectory, rollout
from equiload.envs.data import synthetic
from equiload.envs.dynamics import Decision, slot_cost, transition
from equiload.envs.gym import (
    RESIDUAL_ENVIRONMENT,
    AgentPolicy,
    DifferentiableSimulator,
    GLBEnv,
    GLBVectorEnv,
    Relative,
)
from equiload.envs.gym.residual import ResidualAction
from equiload.robust import EnvironmentLayer, RobustPolicy

T, K, R = 27, 2, 10


@pytest.fixture(scope="module")
def batch() -> Instance:
    return synthetic("train/0", horizon=T, batch=5)


def expert_objective(instance: Instance) -> Any:
    """eGLB's, by its loads: what an environment plays."""
    driven, setting = Trajectory(EGLB()), Setting.of(instance)
    driven.reset(setting)
    for t in range(instance.horizon):
        driven.loads(Slot.of(instance, t))
    return driven.state.cost + driven.state.footprint.max(-1) @ setting.objective.mu


def play(env: Any, actions: Any) -> tuple[Any, Any, list[Any]]:
    """Sum of rewards, the last info, and what was seen before each action."""
    observation, _ = env.reset(seed=3)
    total, info, seen = 0.0, {}, [observation]
    for action in actions:
        observation, reward, done, _, info = env.step(action)
        total = total + reward
        seen.append(observation)
    assert np.all(done)
    return total, info, seen


def noise(steps: int, *lead: int) -> Any:
    return np.random.default_rng(1).normal(size=(steps, *lead, K * R))


@pytest.mark.parametrize("hold", [1, 6, T, 100])
@pytest.mark.parametrize("reachability", ["full", np.eye(10) + np.eye(10, k=1) + np.eye(10, k=-9)])
def test_action_0_is_the_expert_to_the_bit(hold: int, reachability: Any, batch: Instance) -> None:
    envs = GLBVectorEnv(
        8,
        instance=batch,
        action="residual",
        hold=hold,
        reward="relative",
        reachability=reachability,
    )
    steps = -(-T // hold)
    total, info, _ = play(envs, np.zeros((steps, 8, K * R)))
    assert np.array_equal(info["objective"], expert_objective(envs.instance))
    assert np.array_equal(total, np.zeros(8))


def test_singles_batches_shards_and_policies_agree(batch: Instance) -> None:
    options: dict[str, Any] = {"action": "residual", "hold": 4, "reward": "relative_percent"}
    steps = -(-T // 4)
    actions = noise(steps)
    env = GLBEnv(instance=batch[2], **options)
    total, info, seen = play(env, actions)
    assert total == pytest.approx(
        100 * (1 - info["objective"] / expert_objective(batch[2])), abs=1e-9
    )
    assert info["reward_unit"] == expert_objective(batch[2]) / 100
    envs = GLBVectorEnv(3, instance=batch[2], **options)
    together, infos, watched = play(envs, np.repeat(actions[:, None], 3, axis=1))
    np.testing.assert_allclose(together, total, rtol=1e-12)
    np.testing.assert_allclose(infos["objective"], info["objective"], rtol=1e-14)
    assert all(np.array_equal(many[1], one) for many, one in zip(watched, seen, strict=True))
    other = env.core.sibling(2)
    assert other.action is not env.core.action

    told: list[Any] = []
    given = iter(actions)

    def predict(observation: Any) -> Any:
        told.append(observation)
        return next(given)

    outcome = rollout(AgentPolicy(predict, action="residual", hold=4), batch[2])
    assert outcome.objective == pytest.approx(info["objective"], rel=1e-13)
    assert all(np.array_equal(a, b) for a, b in zip(told, seen, strict=False))

    simulator = DifferentiableSimulator(batch[2], action="residual")
    state, observation = simulator.reset()
    for t in range(T):
        if t % 4 == 0:
            np.testing.assert_allclose(observation, seen[t // 4], rtol=1e-5, atol=1e-6)
        state, observation = simulator.step(t, state, torch.tensor(actions[t // 4]))
    assert float(state.objective(simulator.mu)) == pytest.approx(info["objective"], rel=1e-12)


@pytest.mark.parametrize("mirror", ["entropic", "euclidean"])
@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt"])
def test_told_the_footprint_the_expert_moves_as_told_the_loads(
    mirror: Any, schedule: Any, batch: Instance
) -> None:
    told, known = (EGLB(mirror=mirror, schedule=schedule) for _ in range(2))
    setting = Setting.of(batch)
    state = State.start(setting)
    for policy in (told, known):
        policy.reset(setting)
    for t in range(T):
        slot = Slot.of(batch, t)
        allocation = known.act(slot, state)
        loads = allocation.sum(-2)
        cost = slot_cost(slot, Decision(loads, loads[..., 0] * 0.0), setting.physics)
        state = transition(state, cost)
        told.follow(slot, cost.footprint)
        np.testing.assert_allclose(told.multipliers, known.multipliers, rtol=1e-11, atol=1e-13)


def test_gradients_pass_through_the_expert(batch: Instance) -> None:
    simulator = DifferentiableSimulator(batch[0], action="residual", temperature=5.0)

    def objective(first: torch.Tensor) -> torch.Tensor:
        state, _ = simulator.reset()
        for t in range(8):
            action = first if t == 0 else torch.zeros_like(first)
            state, _ = simulator.step(t, state, action)
        total: torch.Tensor = state.objective(simulator.mu)
        return total

    point = torch.tensor(noise(1)[0] / 10, requires_grad=True)
    (gradient,) = torch.autograd.grad(objective(point), point)
    way = torch.tensor(noise(2)[1])
    with torch.no_grad():
        near = (objective(point + 1e-5 * way) - objective(point - 1e-5 * way)) / 2e-5
    assert float(gradient @ way) == pytest.approx(float(near), rel=1e-5)


def test_noise_costs_less_in_the_loop_than_beside_it(batch: Instance) -> None:
    """Its own feedback makes good what actions do wrong."""
    instance = synthetic("validation/0", horizon=168, batch=8)
    actions = noise(168, 8)
    best = expert_objective(instance)
    loop = GLBVectorEnv(8, instance=instance, action="residual", action_scale=1.0)
    usual = GLBVectorEnv(8, instance=instance, action="residual")
    beside = GLBVectorEnv(8, instance=instance, features=["expert_prices"])
    played = []
    for env in (loop, beside, usual):
        observation, _ = env.reset(seed=0, options={"member": 0})
        for action in actions:
            if env is beside:  # what eGLB prices on a trajectory of its own, and the same noise
                action = (observation[:, -K * R :] + action / 4).reshape(8, K, R)  # noqa: PLW2901
            observation, *_, info = env.step(action)
        played.append(info["objective"].mean() / best[0] - 1)
    assert 0 < played[0] < 0.5 * played[1]
    assert 0 < played[2] < 0.5 * played[0]


def test_a_layer_stands_around_it_and_the_expert_sees_what_was_played(batch: Instance) -> None:
    instance = batch[0]
    wild = 5 * noise(T)
    layer = EnvironmentLayer(EGLB(), rho=0.02, record=True)
    env = GLBEnv(instance=instance, action="residual", reward="percent", layer=layer)
    _, info, seen = play(env, wild)
    assert layer.certificate().holds.all()
    assert "reward_unit" in info
    assert "reward_unit" not in layer.info()
    assert info["objective"] <= 1.02 * expert_objective(instance) * (1 + 1e-9)
    loads, multipliers = env.core.played[-1].load[0], env.core.action.multipliers  # type: ignore[attr-defined]
    assert loads.shape == (10,)

    given, told = iter(wild), []

    def predict(observation: Any) -> Any:
        told.append(observation)
        return next(given)

    policy = AgentPolicy(predict, action="residual")
    outcome = rollout(RobustPolicy(policy, EGLB(), rho=0.02), instance)
    assert outcome.objective == pytest.approx(info["objective"], rel=1e-9)
    for one, other in zip(told, seen, strict=False):  # to rounding: by the state, not the decision
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert multipliers.shape == (1, K, R)


@pytest.mark.parametrize("value", [1e100, -1e100, 40.0])
def test_any_finite_action_is_understood(value: float, batch: Instance) -> None:
    env = GLBEnv(instance=batch[0], action="residual")
    env.reset(seed=0)
    action = np.zeros(K * R)
    action[3] = value
    for _ in range(T):
        observation, reward, *_ = env.step(action)
        assert np.isfinite(observation).all()
        assert np.isfinite(reward)


@pytest.mark.filterwarnings("ignore:.*normalized space")
def test_the_environment_that_learners_learn_in() -> None:
    env = gym.make(RESIDUAL_ENVIRONMENT, horizon=24)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.action_space == gym.spaces.Box(-3, 3, (K * R,), np.float32)
    names = env.get_wrapper_attr("feature_names")
    assert [name.split("[")[0] for name in names[-R - 1 : -R + 1]] == ["live_carbon", "live_water"]
    env.reset(seed=1)
    rewards = [env.step(env.action_space.sample())[1] for _ in range(4)]
    assert max(abs(reward) for reward in rewards) < 20  # per cent


def test_what_is_no_expert_is_refused(batch: Instance) -> None:
    with pytest.raises(DataError, match="GLBCost has no multipliers that can be told what was"):
        ResidualAction(Setting.of(batch), 0.5, expert=GLBCost())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'hold' must be at least 1, got 0"):
        GLBEnv(horizon=4, hold=0)


def test_rewards_in_per_cent_of_nothing_are_dollars() -> None:
    free = synthetic(0, horizon=6)
    free = free.replace(trace=free.trace.map(lambda array: array * 0.0))
    env = GLBEnv(instance=free, reward=Relative(EGLB(), percent=True))
    total, info, _ = play(env, np.zeros((6, K, R)))
    assert (total, info["objective"], info["reward_unit"]) == (0.0, 0.0, 1.0)
