"""Plain PPO of stable-baselines3 that beats eGLB on draws it has never seen.

python docs/recipes/ppo.py [SECONDS] [full|partial]; --help tells what else may be changed
"""

import argparse
import time

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from equiload.agents import EGLB, EGLBOff
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy, SB3VecEnv

parser = argparse.ArgumentParser()
parser.add_argument("seconds", type=float, nargs="?", default=120.0, help="of one core")
parser.add_argument("reachability", nargs="?", default="full", choices=["full", "partial"])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--split", default="test", choices=["validation", "test"])
parser.add_argument("--defaults", action="store_true", help="every setting as the library has it")
parser.add_argument("--reward", default="relative_percent")
parser.add_argument("--hold", type=int, default=6)
parser.add_argument("--beside", action="store_true", help="eGLB's prices as a feature, no loop")
told = parser.parse_args()

end = time.process_time() + told.seconds
# Training draws, of which each episode takes one.
pool = synthetic("train/0", horizon=168, batch=2048, reachability=told.reachability)
# The defaults of equiload/ResidualGLB-v0, natively batched.
acting = {"action": "residual", "hold": told.hold}
if told.beside:
    acting = {"action": "shadow_prices", "features": ["expert_prices"], "hold": told.hold}
count = 8 if told.defaults else 256 if told.hold > 1 else 64
envs = SB3VecEnv(count, instance=pool, reward=told.reward, seed=told.seed, **acting)
tuned = {"n_steps": envs.envs.core.steps, "batch_size": 1792, "n_epochs": 4}
tuned |= {"learning_rate": 1e-3, "gamma": 0.98}
tuned = {} if told.defaults else tuned
model = PPO("MlpPolicy", envs, device="cpu", seed=told.seed, **tuned)


class Clock(BaseCallback):
    """Ends the training when its seconds are over."""

    def _on_step(self) -> bool:
        return time.process_time() < end


model.learn(10**9, callback=Clock())


def best(observation: np.ndarray) -> np.ndarray:
    """The action that the policy thinks best."""
    return model.predict(observation, deterministic=True)[0]


agent = AgentPolicy(best, **acting)
objectives = []
for n in range(32):  # held out: no training draw shares a random number with them
    problem = synthetic(f"{told.split}/{n}", horizon=168, reachability=told.reachability)
    bound = EGLBOff().solve(problem).lower_bound
    played = [rollout(policy, problem).objective for policy in (agent, EGLB())]
    objectives.append([*played, bound])
ours, eglb, bound = np.array(objectives, dtype=float).T
closed = (eglb - ours).sum() / (eglb - bound).sum()
print(
    f"{np.mean(ours / eglb - 1):+.2%} of eGLB's J, better on {np.mean(ours < eglb):.0%} of draws, "
    f"{closed:.1%} of its gap closed"
)
