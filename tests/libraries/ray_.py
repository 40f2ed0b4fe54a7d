"""RLlib's PPO, in this process, over Gymnasium's own vector environment and the native one."""

from collections.abc import Callable

import ray
from both import on_both
from ray.rllib.algorithms.ppo import PPOConfig

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


def prepare(name: str) -> Callable[[], int]:
    algorithms = [
        PPOConfig()
        .environment(name)
        .env_runners(
            num_env_runners=0, num_envs_per_env_runner=4, gym_env_vectorize_mode=vectorized
        )
        .training(train_batch_size_per_learner=512, minibatch_size=128, num_epochs=4)
        .build_algo()
        for vectorized in ("sync", "vector_entry_point")
    ]

    def train() -> int:
        for algorithm in algorithms:
            algorithm.train()
            algorithm.stop()
        return 2 * 512

    return train


on_both(prepare)
