"""Environments with more to decide than routing."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from equiload.agents import EGLB
from equiload.envs import DataError, Instance, rollout
from equiload.envs.data import SyntheticSource, synthetic
from equiload.envs.data.equipment import KNOBS
from equiload.envs.gym import AgentPolicy, GLBEnv, GLBVectorEnv
from equiload.envs.gym.differentiable import DifferentiableSimulator
from equiload.robust import EnvironmentLayer
from equiload.testing.knobs import with_random_knobs
from equiload.testing.problems import random_problems

EACH = [*KNOBS, "all"]


def played(env: GLBEnv, seed: int, actions: list | None = None) -> tuple[float, dict, Instance]:
    """Rewards of an episode of random actions in sum, its last info and its instance."""
    env.reset(seed=seed)
    env.action_space.seed(seed)
    total, done = 0.0, False
    while not done:
        action = env.action_space.sample()
        if actions is not None:
            actions.append(action)
        _, reward, done, _, info = env.step(action)
        total += reward
    return total, info, env.instance


@pytest.mark.parametrize("action", ["shadow_prices", "routing", "residual"])
@pytest.mark.parametrize("knobs", EACH)
def test_rewards_telescope_and_a_policy_plays_the_same(knobs: str, action: str) -> None:
    env = GLBEnv(horizon=30, instance=SyntheticSource(knobs=knobs), action=action)
    actions: list = []
    total, info, instance = played(env, 3, actions)
    assert total == pytest.approx(-info["objective"], rel=1e-9)
    replayed = iter(actions)
    agent = AgentPolicy(lambda _: next(replayed), action=action)
    assert rollout(agent, instance).objective == pytest.approx(info["objective"], rel=1e-9)


@pytest.mark.parametrize("knobs", EACH)
def test_gymnasiums_checker_is_silent(knobs: str) -> None:
    source = SyntheticSource(knobs=knobs)
    check_env(gymnasium.make("equiload/GLB-v0", horizon=12, instance=source).unwrapped)


@pytest.mark.parametrize("seed", range(20))
def test_any_action_is_feasible_on_any_fleet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = with_random_knobs(rng, random_problems(rng, 1)[0])
    env = GLBEnv(instance=problem)
    env.reset(seed=seed)
    done, total = False, 0.0
    while not done:
        size = 10.0 ** rng.integers(-2, 60)
        _, reward, done, _, info = env.step(rng.normal(size=env.action_space.shape) * size)
        total += reward
    gross = max(abs(total), float(np.abs(problem.series.price).max() * problem.capacity.sum()))
    assert abs(total + info["objective"]) <= 1e-9 * gross


def test_a_batch_plays_as_its_members_alone() -> None:
    source = SyntheticSource(knobs="all")
    many = GLBVectorEnv(3, horizon=20, instance=source)
    one = GLBEnv(horizon=20, instance=source)
    together, _ = many.reset(seed=[5, 6, 7])
    alone, _ = one.reset(seed=6)
    for _ in range(19):
        np.testing.assert_allclose(together[1], alone, rtol=1e-6)
        action = many.action_space.sample()
        together, rewards, *_ = many.step(action)
        alone, reward, *_ = one.step(action[1])
        assert rewards[1] == pytest.approx(reward, rel=1e-12)


def test_levels_are_observed() -> None:
    env = GLBEnv(horizon=30, instance=SyntheticSource(knobs="all"), observation="dict")
    seen, _ = env.reset(seed=0)
    assert (seen["stored"] == 0.5).all()
    assert (seen["on"] == 1.0).all()
    assert (seen["waiting"] == 0.0).all()
    instance = env.instance
    total = instance.fleet.capacity.sum()
    np.testing.assert_allclose(seen["work"], instance.trace.work[0] / total, rtol=1e-6)
    np.testing.assert_allclose(seen["may_wait"], instance.series.ceiling[0] / total, rtol=1e-6)
    np.testing.assert_allclose(seen["generation"], instance.trace.generation[0], rtol=1e-6)
    assert [name for name in env.feature_names if name.startswith("waiting")] == [
        "waiting[6 h]",
        "waiting[24 h]",
        "waiting[72 h]",
    ]


def test_what_an_action_asks_of_batteries_work_and_servers_is_done() -> None:
    env = GLBEnv(horizon=12, instance=SyntheticSource(knobs="all"), observation="dict")
    for sign in (1.0, -1.0):
        env.reset(seed=1)
        action = np.zeros(env.action_space.shape)
        action[20:] = 20.0 * sign
        seen, *_ = env.step(action)
        # A battery gives no more than its site draws.
        assert (sign * (seen["stored"] - 0.5) >= 0).all()
        assert (sign * (seen["stored"] - 0.5) > 0.1).sum() >= 5
        assert (seen["waiting"].sum() > 1e-9) == (sign < 0)
        if sign < 0:
            assert seen["on"].min() < 1.0


def test_what_decides_nothing_but_routing_says_so() -> None:
    instance = synthetic("validation/0", horizon=12, knobs=["solar"])
    with pytest.raises(DataError, match=r"has generation, .*: the layer needs bounds="):
        GLBEnv(instance=instance, layer=EnvironmentLayer(EGLB(), rho=0.1)).reset(seed=0)
    with pytest.raises(DataError, match="the differentiable simulator decides nothing but"):
        DifferentiableSimulator(instance)
    with pytest.raises(DataError, match="hindsight_dual decides nothing but routing"):
        GLBEnv(instance=instance, reward="hindsight_dual").reset(seed=0)


def test_rewards_relative_to_an_expert_count_its_levels_too() -> None:
    env = GLBEnv(horizon=24, instance=SyntheticSource(knobs="all"), reward="relative_percent")
    total, info, instance = played(env, 2)
    expert = rollout(EGLB(), instance).objective
    assert total == pytest.approx(100 * (1 - info["objective"] / expert), rel=1e-9)
