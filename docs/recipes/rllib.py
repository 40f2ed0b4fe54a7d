"""RLlib's PPO, in this process alone, that beats eGLB on draws it has never seen.

python docs/recipes/rllib.py [SECONDS] [full|partial]; --help tells what else may be changed
"""

import argparse
import time

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

parser = argparse.ArgumentParser()
parser.add_argument("seconds", type=float, nargs="?", default=240.0, help="of one core")
parser.add_argument("reachability", nargs="?", default="full", choices=["full", "partial"])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--split", default="test", choices=["validation", "test"])
parser.add_argument("--defaults", action="store_true", help="every setting as the library has it")
told = parser.parse_args()

torch.set_num_threads(1)
NAME = "equiload.envs:equiload/ResidualGLB-v0"
OPTIONS = {"horizon": 168, "reachability": told.reachability}
ENVIRONMENTS, STEPS = 64, 28  # 28 steps are an episode: each rollout is one of each environment

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
config = PPOConfig().debugging(seed=told.seed).environment(NAME, env_config=OPTIONS)
config = config.env_runners(
    num_env_runners=0,
    num_envs_per_env_runner=ENVIRONMENTS,
    gym_env_vectorize_mode="vector_entry_point",  # natively batched
)
if not told.defaults:
    # Actions as they are drawn; by default a deviation of 1 would be stretched to 3.
    config = config.environment(normalize_actions=False)
    config = config.rl_module(
        model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], free_log_std=True)
    )
    config = config.training(
        train_batch_size_per_learner=ENVIRONMENTS * STEPS,
        minibatch_size=448,
        num_epochs=4,
        lr=1e-3,
        gamma=0.98,
        lambda_=0.95,
        grad_clip=0.5,
        use_kl_loss=False,
        clip_param=0.2,
        vf_loss_coeff=0.5,
    )
algorithm = config.build_algo()
end = time.process_time() + told.seconds
while time.process_time() < end:
    algorithm.train()
module, stretched = algorithm.get_module(), 3.0 if told.defaults else 1.0
algorithm.stop()

change = []
for n in range(32):  # held out: no training draw shares a random number with them
    env = gymnasium.make(NAME, instance=f"synthetic:{told.split}/{n}", **OPTIONS)
    observation, _ = env.reset(seed=0, options={"start": 0})
    done, score = False, 0.0
    while not done:
        with torch.no_grad():
            seen = {"obs": torch.as_tensor(observation)[None]}
            mean, _ = module.forward_inference(seen)["action_dist_inputs"][0].chunk(2)
        action = np.clip(stretched * mean.numpy(), env.action_space.low, env.action_space.high)
        observation, reward, done, _, _ = env.step(action)
        score += reward  # 100 (1 − J / J of eGLB), when all is played
    change.append(-score / 100)
better = np.mean(np.array(change) < 0)
print(f"{np.mean(change):+.2%} of eGLB's J, better on {better:.0%} of draws")
