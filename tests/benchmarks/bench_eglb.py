"""eGLB against re-solving a CVXPY model in every slot, as the authors' code does."""

import cvxpy as cp
import numpy as np
import pytest

from equiload.agents import EGLB
from equiload.envs import Fleet, Setting, Slot, State
from equiload.envs.data import synthetic

SLOTS = 24


class ModelEachSlot:
    """Dispatch by a CVXPY model, stated anew in every slot and solved by HiGHS."""

    def __init__(self, fleet: Fleet) -> None:
        self.reachable = fleet.reachable

    def allocation(self, unit: np.ndarray, demand: np.ndarray, capacity: np.ndarray) -> np.ndarray:
        """Stand in for the compiled dispatch."""
        sent = cp.Variable(self.reachable.shape, nonneg=True)
        constraints = [
            cp.sum(sent, axis=1) == demand,
            cp.sum(sent, axis=0) <= capacity,
            cp.multiply(~self.reachable, sent) == 0,
        ]
        problem = cp.Problem(cp.Minimize(cp.sum(sent, axis=0) @ unit), constraints)
        problem.solve(solver=cp.HIGHS)
        return sent.value


@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("way", ["compiled dispatch", "CVXPY model each slot"])
def test_episode(benchmark, reachability: str, way: str) -> None:
    benchmark.group = f"eGLB, {SLOTS} slots, 10 x 10, {reachability}"
    instance = synthetic(seed=0, horizon=SLOTS, reachability=reachability)
    fleet = instance.fleet.replace()
    if way.startswith("CVXPY"):
        fleet.__dict__["dispatch"] = ModelEachSlot(fleet)
    setting = Setting(fleet, instance.objective, SLOTS)
    nothing = State.start(setting)
    slots = [Slot.of(instance, t) for t in range(SLOTS)]
    policy = EGLB()

    def episode() -> None:
        policy.reset(setting)
        for slot in slots:
            policy.act(slot, nothing)

    many = way.startswith("compiled")  # enough of them to last as long as a few of the others
    rounds, warm = (500, 100) if many else (7, 1)
    benchmark.pedantic(episode, rounds=rounds, warmup_rounds=warm)
