"""What exploring costs: eGLB's prices with noise on their logarithm, beside it and in its loop.

python docs/recipes/noise.py
"""

import numpy as np

from equiload.agents import EGLB
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy

problems = synthetic("train/1", horizon=168, batch=64)
eglb = rollout(EGLB(), problems).objective
rng = np.random.default_rng(0)


def in_the_loop(size: float, hold: int) -> AgentPolicy:
    """EGLB's own multipliers times exp(noise); its dual update answers to what was played."""

    def act(seen: np.ndarray) -> np.ndarray:
        return rng.normal(scale=size, size=(len(seen), 20))

    return AgentPolicy(act, action="residual", action_scale=1.0, hold=hold)


def beside(size: float, hold: int) -> AgentPolicy:
    """The same noise on the prices of an eGLB that runs on a trajectory of its own."""

    def act(seen: np.ndarray) -> np.ndarray:
        logarithms = 4 * seen[:, -20:]  # the features expert_carbon and expert_water come last
        return logarithms + rng.normal(scale=size, size=logarithms.shape)

    return AgentPolicy(act, action_scale=1.0, features=["expert_prices"], hold=hold)


print("noise   in the loop: every slot, held for 6   beside: every slot, held for 6")
for size in (0.0, 0.1, 0.5, 1.0):
    costs = [
        100 * np.mean(rollout(policy(size, hold), problems).objective / eglb - 1)
        for policy in (in_the_loop, beside)
        for hold in (1, 6)
    ]
    print(f"{size:5.1f}" + "".join(f"{cost:+12.2f} %" for cost in costs))
