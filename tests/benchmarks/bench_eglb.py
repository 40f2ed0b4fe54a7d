"""eGLB against re-solving a CVXPY model in every slot, as the authors' code does."""

import cvxpy as cp
import numpy as np
import pytest

from equiload.agents import EGLB
from equiload.envs import Instance, Slot
from equiload.envs.data import synthetic

SLOTS = 24


class CvxpyEGLB(EGLB):
    """eGLB whose dispatch is a CVXPY model, stated anew in every slot and solved by HiGHS."""

    def reset(self, fleet, objective, horizon, batch=()) -> None:
        super().reset(fleet, objective, horizon, batch)
        self.dispatch = fleet.dispatch
        object.__setattr__(self._fleet, "dispatch", self)

    def allocation(self, unit: np.ndarray, demand: np.ndarray, capacity: np.ndarray) -> np.ndarray:
        """Stand in for the compiled dispatch."""
        reachable = self.dispatch.reachable
        sent = cp.Variable(reachable.shape, nonneg=True)
        constraints = [
            cp.sum(sent, axis=1) == demand,
            cp.sum(sent, axis=0) <= capacity,
            cp.multiply(~reachable, sent) == 0,
        ]
        problem = cp.Problem(cp.Minimize(cp.sum(sent, axis=0) @ unit), constraints)
        problem.solve(solver=cp.HIGHS)
        return sent.value


@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("way", ["compiled dispatch", "CVXPY model each slot"])
def test_episode(benchmark, reachability: str, way: str) -> None:
    benchmark.group = f"eGLB, {SLOTS} slots, {reachability} reachability"
    instance: Instance = synthetic(seed=0, horizon=SLOTS, reachability=reachability)
    policy = EGLB() if way.startswith("compiled") else CvxpyEGLB()
    slots = [Slot.of(instance, t) for t in range(SLOTS)]

    def episode() -> None:
        policy.reset(instance.fleet.replace(), instance.objective, SLOTS)
        for slot in slots:
            policy.act(slot)

    benchmark.pedantic(episode, rounds=5, warmup_rounds=1)
