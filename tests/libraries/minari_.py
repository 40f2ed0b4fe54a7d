"""Minari: an episode is recorded, stored, read again and played again."""

import os
import tempfile
from collections.abc import Callable

import gymnasium as gym
import minari
import numpy as np
from both import on_both

os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp()


def prepare(name: str) -> Callable[[], int]:
    env = minari.DataCollector(gym.make(name), record_infos=True)

    def train() -> int:
        env.action_space.seed(0)
        env.reset(seed=0)
        done = False
        while not done:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            done = terminated or truncated
        kept = env.create_dataset("glb/random-v0", algorithm_name="random")
        episode = next(kept.iterate_episodes())
        again = kept.recover_environment()
        again.reset(seed=0)
        rewards = [again.step(action)[1] for action in episode.actions]
        np.testing.assert_allclose(rewards, episode.rewards, rtol=1e-6)
        minari.delete_dataset("glb/random-v0")
        return 2 * len(episode)

    return train


on_both(prepare)
