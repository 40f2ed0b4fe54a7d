"""Plain PPO of stable-baselines3 that beats eGLB on draws it has never seen.

python docs/recipes/ppo.py [SECONDS] [full|partial] [defaults]
"""

import sys
import time

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from equiload.agents import EGLB
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy, SB3VecEnv

HORIZON, HOLD = 168, 6
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
REACHABILITY = sys.argv[2] if len(sys.argv) > 2 else "full"
DEFAULTS = "defaults" in sys.argv[3:]

# Training draws, of which each episode takes one.
pool = synthetic("train/0", horizon=HORIZON, batch=2048, reachability=REACHABILITY)
# The defaults of equiload/ResidualGLB-v0, natively batched.
envs = SB3VecEnv(
    8 if DEFAULTS else 256,
    instance=pool,
    action="residual",
    hold=HOLD,
    reward="relative_percent",
    seed=0,
)
steps = HORIZON // HOLD
tuned = {"n_steps": steps, "batch_size": 64 * steps, "n_epochs": 4}
tuned |= {"learning_rate": 1e-3, "gamma": 0.98}
model = PPO("MlpPolicy", envs, device="cpu", seed=0, **({} if DEFAULTS else tuned))


class Clock(BaseCallback):
    """Ends the training when its seconds are over."""

    def _on_step(self) -> bool:
        return time.process_time() < end


end = time.process_time() + SECONDS
model.learn(10**9, callback=Clock())


def best(observation: np.ndarray) -> np.ndarray:
    """The action that the policy thinks best."""
    return model.predict(observation, deterministic=True)[0]


agent = AgentPolicy(best, action="residual", hold=HOLD)
change = []
for n in range(32):  # held out: no training draw shares a random number with them
    problem = synthetic(f"test/{n}", horizon=HORIZON, reachability=REACHABILITY)
    ours, eglb = rollout(agent, problem), rollout(EGLB(), problem)
    change.append(ours.objective / eglb.objective - 1)
better = np.mean(np.array(change) < 0)
print(f"{np.mean(change):+.2%} of eGLB's J, better on {better:.0%} of draws")
