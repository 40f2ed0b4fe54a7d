"""A re-solution within eGLB-MPC, cold and warm, and a whole episode."""

import time
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from equiload.agents import EGLBMPC, RollingHorizon, Solution
from equiload.agents.forecast import PastDays, SameHour
from equiload.agents.forecast.planner import Planner
from equiload.agents.offline.decomposition import Decomposition
from equiload.agents.offline.interior import WarmInterior
from equiload.envs import Instance, Setting, Slot, State, rollout
from equiload.envs.data import synthetic

SLOTS, STEPS = 168, 48


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("way", ["warm", "cold"])
def test_solve_again(benchmark, reachability: str, way: str) -> None:
    """Once per slot while 216 to 168 slots are left; forecast and set-up included, CPU time."""
    benchmark.group = f"eGLB-MPC, a solution of {SLOTS} slots x 10, {reachability}"
    instance = synthetic(seed=0, horizon=SLOTS + 2 * STEPS, reachability=reachability)
    nothing = State.start(Setting.of(instance))
    planner = Planner(SameHour(), tolerance=1e-3)

    def prepare() -> None:
        planner.reset(Setting.of(instance))
        for t in range(STEPS):  # two days of history
            planner.see(Slot.of(instance, t))
        planner.weights(nothing)

    def again() -> None:
        for t in range(STEPS, 2 * STEPS):
            planner.see(Slot.of(instance, t))
            if way == "cold":
                planner.__dict__["_solvers"].clear()
            planner.weights(nothing)

    benchmark.pedantic(again, setup=prepare, rounds=5, warmup_rounds=1)
    milliseconds = 1e3 * benchmark.stats.stats.median / STEPS
    benchmark.extra_info["ms_per_solution"] = milliseconds
    print(f"\n{reachability}, {way}: {milliseconds:.2f} ms a solution")
    assert way == "cold" or milliseconds <= 10


def test_rounds(benchmark) -> None:
    """Rounds that a solution takes from the last one's columns."""
    benchmark.group = "eGLB-MPC, rounds of the decomposition"
    instance = synthetic(seed=0, horizon=2 * SLOTS)
    rounds: list[int] = []

    def slide() -> None:
        solver = Decomposition(tolerance=1e-3)
        rounds[:] = [solver.solve(instance.window(t, SLOTS)).stats["rounds"] for t in range(SLOTS)]

    benchmark.pedantic(slide, rounds=1)
    print(f"\nfirst {rounds[0]} rounds, then {np.mean(rounds[1:]):.1f} on average")


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_solve_again_with_knobs(benchmark, reachability: str) -> None:
    """A re-solution in each slot; processor time of those of 48 slots alone is noted."""
    benchmark.group = "eGLB-MPC, all knobs: an episode of 72 slots x 10, planned 48 ahead in each"
    benchmark.extra_info["row"] = reachability
    instance = synthetic(seed=0, horizon=72, knobs="all", reachability=reachability)
    solve, again = WarmInterior.solve, list[float]()

    def timed(self: WarmInterior, window: Instance, **options: Any) -> Solution:
        begin = time.process_time()
        solution = solve(self, window, **options)
        if window.horizon == 48:
            again.append(1e3 * (time.process_time() - begin))
        return solution

    policy = RollingHorizon(PastDays(), window=48, tolerance=1e-4)
    rollout(policy, instance.window(0, 3))  # compiles
    with patch.object(WarmInterior, "solve", timed):
        benchmark.pedantic(rollout, args=(policy, instance), rounds=3)
    benchmark.extra_info["ms of a solution"] = float(np.median(again))
    benchmark.extra_info["of nine in ten"] = float(np.quantile(again, 0.9))


@pytest.mark.parametrize("every", [1, 3])
def test_episode(benchmark, every: int) -> None:
    benchmark.group = "eGLB-MPC, an episode of 457 slots x 10"
    instance = synthetic(seed=0, horizon=457)
    policy = EGLBMPC(SameHour(), every=every, memory=6)
    benchmark.pedantic(rollout, args=(policy, instance), rounds=3, warmup_rounds=1)
