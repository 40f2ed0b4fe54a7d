"""Plain PPO of stable-baselines3 that beats eGLB on draws it has never seen.

python docs/recipes/ppo.py [SECONDS] [full|partial]; --help tells what else may be changed
"""

import argparse
import time

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from equiload.agents import EGLB, EGLBMPC, EGLBOff, Ensemble
from equiload.agents.forecast import PastDays
from equiload.agents.learn import Layout, RegionPolicy
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy, SB3VecEnv

parser = argparse.ArgumentParser()
parser.add_argument("seconds", type=float, nargs="?", default=120.0, help="of one core")
parser.add_argument("reachability", nargs="?", default="full", choices=["full", "partial"])
parser.add_argument("--horizon", type=int, default=168)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--split", default="test", choices=["validation", "test"])
parser.add_argument("--network", default="mlp", choices=["mlp", "regions"])
parser.add_argument("--long", action="store_true", help="what a quarter of an hour is good for")
parser.add_argument("--every", type=float, default=np.inf, help="seconds from score to score")
parser.add_argument("--defaults", action="store_true", help="every setting as the library has it")
parser.add_argument("--reward", default="relative_percent")
parser.add_argument("--hold", type=int, default=6)
parser.add_argument("--beside", action="store_true", help="eGLB's prices as a feature, no loop")
parser.add_argument("--mpc", action="store_true", help="also at the mean with eGLB-MPC's prices")
parser.add_argument("--plain", action="store_true", help="equiload/GLB-v0 in place of ResidualGLB")
told = parser.parse_args()

world = {"horizon": told.horizon, "reachability": told.reachability}
# No training draw shares a random number with these.
problems = synthetic([f"{told.split}/{n}" for n in range(32)], **world)
eglb = rollout(EGLB(), problems).objective
bound = np.array([EGLBOff().solve(problems[n]).lower_bound for n in range(32)])

began = time.process_time()
# Training draws, of which each episode takes one.
slots = 1_376_256 if told.long else 344_064
pool = synthetic("train/0", batch=slots // told.horizon, **world)
# The defaults of equiload/ResidualGLB-v0, natively batched.
acting = {"action": "residual", "hold": told.hold}
if told.beside:
    acting = {"action": "shadow_prices", "features": ["expert_prices"], "hold": told.hold}
if told.plain:
    told.hold, told.reward, acting = 1, "dense", {}
if told.long:
    acting["features"] = ["recent_past", "place", "slots_left"]
steps = -(-told.horizon // told.hold)
count = 8 if told.defaults else -(-7_168 // steps)  # a rollout is a whole episode of each
envs = SB3VecEnv(count, instance=pool, reward=told.reward, seed=told.seed, **acting)
policy, options = "MlpPolicy", {}
if not told.defaults:
    options = {"n_steps": steps, "batch_size": count * steps // 4, "n_epochs": 4}
    options |= {"learning_rate": 1e-3, "gamma": 0.98}
if told.network == "regions" or told.long:  # one that all regions share, not a perceptron
    policy = RegionPolicy
    network = {"hidden": 48, "depth": 1}
    options["policy_kwargs"] = {"layout": Layout.of_env(envs), "network": network}
if told.long:
    options["policy_kwargs"]["log_std_init"] = -0.5
    options["learning_rate"] = lambda _: 1e-3 * max(0.05, 1 - spent() / told.seconds)


def spent() -> float:
    """Seconds of training so far."""
    return time.process_time() - began - Clock.scoring


class Clock(BaseCallback):
    """Says what has been reached, and ends the training when its seconds are over."""

    scoring, said = 0.0, 0.0  # seconds of scoring, which do not count

    def _on_rollout_end(self) -> None:
        seconds = spent()
        if seconds - self.said >= told.every:
            begin, self.said = time.process_time(), seconds
            print(f"{seconds:.0f} s, {self.num_timesteps} steps: {score()}", flush=True)
            Clock.scoring += time.process_time() - begin

    def _on_step(self) -> bool:
        return spent() < told.seconds


def compared(agent: object) -> str:
    """How a policy compares on draws that were held out."""
    ours = rollout(agent, problems).objective
    closed = (eglb - ours).sum() / (eglb - bound).sum()
    return (
        f"{np.mean(ours / eglb - 1):+.2%} of eGLB's J, better on {np.mean(ours < eglb):.0%} of "
        f"draws, {closed:.1%} of its gap closed"
    )


def score() -> str:
    """How the policy's best actions do, alone and, if so told, beside eGLB-MPC."""
    agent = AgentPolicy(lambda seen: model.predict(seen, deterministic=True)[0], **acting)
    said = compared(agent)
    if told.mpc:  # it re-solves on past days, and has no part in the training
        both = Ensemble([agent, EGLBMPC(PastDays(samples=2), every=3, memory=6)])
        said += f"\nat the mean with eGLB-MPC's prices: {compared(both)}"
    return said


model = PPO(policy, envs, device="cpu", seed=told.seed, **options)
model.learn(10**9, callback=Clock())
print(score())
