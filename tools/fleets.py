"""What a policy is worth on fleets that it has never seen: a fleet of its own for every draw.

``python tools/fleets.py CHECKPOINT [SPLIT] [DRAWS]``: ten of the world's regions at random for
each draw of 168 hours, full and partial reachability, beside eGLB-MPC and the policy that ships.
"""

from __future__ import annotations

import sys

import numpy as np

from equiload.agents import EGLB, EGLBMPC, EGLBOff
from equiload.agents.forecast import PastDays
from equiload.agents.learn import LearnedPolicy
from equiload.envs import Instance, rollout
from equiload.envs.data import synthetic, world


def problem(split: str, number: int, reachability: str) -> Instance:
    """The draw of a split, in ten regions that are chosen by its number."""
    rng = np.random.default_rng([number, 10])
    regions = rng.choice(tuple(world()), 10, replace=False).tolist()
    draw = f"{split}/{number}"
    return synthetic(draw, horizon=168, regions=regions, reachability=reachability)


def main(checkpoint: str, split: str = "test", draws: str = "32") -> None:
    """Print a row for every policy."""
    policies = {
        checkpoint: LearnedPolicy(checkpoint),
        "eGLB-MPC": EGLBMPC(PastDays(samples=2), every=3, memory=6),
        "Learned": LearnedPolicy(),
    }
    for reachability in ("full", "partial"):
        problems = [problem(split, n, reachability) for n in range(int(draws))]
        eglb = np.array([rollout(EGLB(), one).objective for one in problems])
        bound = np.array([best.lower_bound for best in EGLBOff().solve_all(problems)])
        for name, policy in policies.items():
            ours = np.array([rollout(policy, one).objective for one in problems])
            closed = (eglb - ours).sum() / (eglb - bound).sum()
            print(  # noqa: T201
                f"{reachability}, {name}: {np.mean(ours / eglb - 1):+.2%} of eGLB's J, better on "
                f"{np.mean(ours < eglb):.0%} of draws, {closed:.1%} of its gap closed",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
