"""d3rlpy: SAC online, then conservative Q-learning from what it saw."""

from collections.abc import Callable

import d3rlpy
import gymnasium as gym
from both import on_both


def prepare(name: str) -> Callable[[], int]:
    env = gym.make(name)
    buffer = d3rlpy.dataset.create_fifo_replay_buffer(limit=10_000, env=env)
    options = {"experiment_name": "tried", "logger_adapter": d3rlpy.logging.NoopAdapterFactory()}
    options["show_progress"] = False

    def train() -> int:
        sac = d3rlpy.algos.SACConfig(batch_size=64).create()
        sac.fit_online(
            env, buffer, n_steps=800, n_steps_per_epoch=400, update_start_step=700, **options
        )
        offline = d3rlpy.algos.TD3PlusBCConfig(batch_size=64).create()
        offline.fit(buffer, n_steps=50, n_steps_per_epoch=50, **options)
        return 800

    return train


on_both(prepare)
