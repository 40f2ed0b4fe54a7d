"""SAC or TD3 of stable-baselines3: how far learners off policy come.

python docs/recipes/sac.py [SECONDS] [full|partial] [--td3]; --help tells what else may be changed
"""

import argparse
import time

import numpy as np
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

from equiload.agents import EGLB, EGLBOff
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy, SB3VecEnv

parser = argparse.ArgumentParser()
parser.add_argument("seconds", type=float, nargs="?", default=120.0, help="of one core")
parser.add_argument("reachability", nargs="?", default="full", choices=["full", "partial"])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--split", default="test", choices=["validation", "test"])
parser.add_argument("--td3", action="store_true", help="TD3 in place of SAC")
parser.add_argument("--reach", type=float, default=0.25, help="the most that an action moves log w")
parser.add_argument("--entropy", default="0.0001", help="SAC's coefficient; auto to have it tuned")
parser.add_argument("--defaults", action="store_true", help="every setting as the library has it")
told = parser.parse_args()

end = time.process_time() + told.seconds
pool = synthetic("train/0", horizon=168, batch=2048, reachability=told.reachability)
# These learners stretch a tanh to the whole box, of ±3: the scale says how far that reaches.
acting = {"action": "residual", "hold": 6, "action_scale": 0.5 if told.defaults else told.reach / 3}
count = 1 if told.defaults else 256
envs = SB3VecEnv(count, instance=pool, reward="relative_percent", seed=told.seed, **acting)
tuned = {"learning_rate": 5e-4, "gamma": 0.9, "batch_size": 4096, "buffer_size": 200_000}
tuned |= {"train_freq": 7, "gradient_steps": 14, "learning_starts": 28 * count}
tuned["policy_kwargs"] = {"net_arch": [64, 64]}
tuned = {} if told.defaults else tuned
if told.td3:
    size = envs.action_space.shape
    tuned |= {} if told.defaults else {"action_noise": NormalActionNoise(np.zeros(size), 0.1)}
    model = TD3("MlpPolicy", envs, device="cpu", seed=told.seed, **tuned)
else:
    if not told.defaults:
        tuned["ent_coef"] = told.entropy if "auto" in told.entropy else float(told.entropy)
    model = SAC("MlpPolicy", envs, device="cpu", seed=told.seed, **tuned)


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
