"""Tianshou's SAC with its collector over Gymnasium's environments."""

from collections.abc import Callable

import gymnasium as gym
from both import on_both
from tianshou.algorithm import SAC
from tianshou.algorithm.modelfree.sac import SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic


def prepare(name: str) -> Callable[[], int]:
    envs = DummyVectorEnv([lambda: gym.make(name) for _ in range(4)])
    env = gym.make(name)
    seen, actions = env.observation_space.shape, env.action_space.shape
    actor = ContinuousActorProbabilistic(
        preprocess_net=Net(state_shape=seen, hidden_sizes=[64]),
        action_shape=actions,
        unbounded=True,
        conditioned_sigma=True,
    )
    critic = ContinuousCritic(
        preprocess_net=Net(state_shape=seen, action_shape=actions, hidden_sizes=[64], concat=True)
    )
    algorithm = SAC(
        policy=SACPolicy(actor=actor, action_space=env.action_space),
        policy_optim=AdamOptimizerFactory(lr=1e-3),
        critic=critic,
        critic_optim=AdamOptimizerFactory(lr=1e-3),
    )
    collector = Collector(algorithm, envs, VectorReplayBuffer(20_000, len(envs)))
    collector.reset()

    def train() -> int:
        parameters = OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=1024,
            collection_step_num_env_steps=64,
            update_step_num_gradient_steps_per_sample=0.1,
            verbose=False,
            show_progress=False,
        )
        algorithm.run_training(parameters)
        return 1024

    return train


on_both(prepare)
