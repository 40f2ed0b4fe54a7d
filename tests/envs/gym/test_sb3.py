"""stable-baselines3's learners on the environments."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from equiload.envs import DataError, Instance, rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import ENVIRONMENT, AgentPolicy, GLBEnv, SB3VecEnv


@pytest.fixture(scope="module")
def world() -> Instance:
    return synthetic(3, horizon=24, regions=3, batch=3)


@pytest.mark.parametrize("action", ["shadow_prices", "routing"])
@pytest.mark.parametrize("observation", ["flat", "dict"])
@pytest.mark.parametrize("learner", [PPO, SAC, TD3])
def test_learners_run(world: Instance, learner, action: str, observation: str) -> None:
    policy = "MlpPolicy" if observation == "flat" else "MultiInputPolicy"
    options = {"n_steps": 24, "batch_size": 48, "n_epochs": 1} if learner is PPO else {}
    if learner is not PPO:
        options = {"learning_starts": 48, "buffer_size": 500, "batch_size": 16, "train_freq": 24}
    envs = SB3VecEnv(2, instance=world, action=action, observation=observation)
    model = learner(policy, envs, seed=0, device="cpu", **options)
    model.learn(96)
    assert len(model.ep_info_buffer) == 4
    agent = AgentPolicy(model.predict, action=action, observation=observation)
    mine = rollout(agent, world).objective
    assert mine.shape == (3,)
    assert np.isfinite(mine).all()


def test_learners_run_on_the_single_environment(world: Instance) -> None:
    env = gym.make(ENVIRONMENT, instance=world)
    model = PPO("MlpPolicy", env, n_steps=24, batch_size=24, n_epochs=1, seed=0, device="cpu")
    model.learn(48)
    mean, _ = evaluate_policy(model, SB3VecEnv(2, instance=world, seed=1), n_eval_episodes=4)
    assert mean < 0


def test_the_adapter_gives_what_singles_give(world: Instance) -> None:
    envs = SB3VecEnv(3, instance=world, seed=7)
    singles = [GLBEnv(instance=world) for _ in range(3)]
    observation = envs.reset()
    for b, env in enumerate(singles):
        np.testing.assert_array_equal(observation[b], env.reset(seed=7 + b)[0])
    totals = np.zeros(3)
    rng = np.random.default_rng(0)
    for t in range(24):
        actions = rng.normal(size=(3, *envs.action_space.shape))
        _, rewards, dones, infos = envs.step(actions)
        assert rewards.dtype == np.float32
        results = [env.step(a) for env, a in zip(singles, actions, strict=True)]
        totals += [result[1] for result in results]
        assert dones.tolist() == [t == 23] * 3
        if t < 23:
            assert infos == [{}] * 3
            assert infos[0] is not infos[1]
    for b, (last, _, _, _, info) in enumerate(results):
        np.testing.assert_allclose(infos[b]["terminal_observation"], last, rtol=1e-6)
        assert infos[b]["objective"] == pytest.approx(info["objective"])
        assert infos[b]["episode"]["r"] == pytest.approx(totals[b])
        assert infos[b]["episode"]["l"] == 24
        assert infos[b]["TimeLimit.truncated"] is False
    assert envs.get_attr("num_envs", [0, 1]) == [3, 3]


def test_wrappers_of_stable_baselines(world: Instance) -> None:
    envs = VecNormalize(SB3VecEnv(2, instance=world), norm_obs=False)
    envs.seed(0)
    envs.reset()
    for _ in range(24):
        *_, infos = envs.step(np.zeros((2, *envs.action_space.shape)))
    assert infos[1]["episode"]["l"] == 24
    with pytest.raises(DataError, match="cannot"):
        envs.unwrapped.set_attr("horizon", 3)
    with pytest.raises(DataError, match="cannot"):
        envs.unwrapped.env_method("reset")


def test_equal_seeds_train_equal_agents(world: Instance) -> None:
    actions = []
    for _ in range(2):
        envs = SB3VecEnv(2, instance=world, seed=3)
        model = PPO("MlpPolicy", envs, n_steps=24, batch_size=48, seed=3, device="cpu").learn(48)
        observation = SB3VecEnv(2, instance=world, seed=9).reset()
        actions.append(model.predict(observation, deterministic=True)[0])
    np.testing.assert_array_equal(*actions)
