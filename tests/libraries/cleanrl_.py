"""A loop as CleanRL's files have it: their wrappers, their network, their spaces' shapes."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import torch
from both import on_both
from torch import nn
from torch.distributions import Normal


def make_env(env_id: str) -> Callable[[], gym.Env]:
    def thunk() -> gym.Env:
        env = gym.make(env_id, render_mode="rgb_array")
        env = gym.wrappers.FlattenObservation(env)
        env = gym.wrappers.RecordEpisodeStatistics(env)
        env = gym.wrappers.ClipAction(env)
        env = gym.wrappers.NormalizeObservation(env)
        clipped = lambda observation: np.clip(observation, -10, 10)  # noqa: E731
        env = gym.wrappers.TransformObservation(env, clipped, env.observation_space)
        env = gym.wrappers.NormalizeReward(env, gamma=0.99)
        return gym.wrappers.TransformReward(env, lambda reward: np.clip(reward, -10, 10))

    return thunk


def prepare(name: str) -> Callable[[], int]:
    envs = gym.vector.SyncVectorEnv([make_env(name) for _ in range(2)])
    assert isinstance(envs.single_action_space, gym.spaces.Box)
    seen = np.array(envs.single_observation_space.shape).prod()
    actions = np.prod(envs.single_action_space.shape)
    actor = nn.Sequential(nn.Linear(seen, 64), nn.Tanh(), nn.Linear(64, actions))
    optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4, eps=1e-5)

    def train() -> int:
        observation, _ = envs.reset(seed=1)
        for _ in range(4):
            rewards, likelihoods = [], []
            for _ in range(256):
                drawn = Normal(actor(torch.Tensor(observation)), 1.0)
                action = drawn.sample()
                observation, reward, *_ = envs.step(action.cpu().numpy())
                likelihoods.append(drawn.log_prob(action).sum(1))
                rewards.append(torch.tensor(reward).view(-1))
            loss = -(torch.stack(rewards) * torch.stack(likelihoods)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return 4 * 256 * envs.num_envs

    return train


on_both(prepare)
