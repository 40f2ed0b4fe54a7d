"""stable-baselines3: its checker, and learners on and off policy."""

from collections.abc import Callable

import gymnasium as gym
from both import on_both
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.env_checker import check_env


def prepare(name: str) -> Callable[[], int]:
    check_env(gym.make(name).unwrapped)
    models = [PPO("MlpPolicy", name, device="cpu", n_steps=512)]
    models += [kind("MlpPolicy", name, device="cpu") for kind in (SAC, TD3)]

    def train() -> int:
        for model, steps in zip(models, (1024, 300, 300), strict=True):
            model.learn(steps)
        return sum(model.num_timesteps for model in models)

    return train


on_both(prepare)
