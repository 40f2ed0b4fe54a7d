"""eGLB-Off: its solvers against each other, growth in slots, and memory.

Every group holds the ways to the same optimum, so that pytest-benchmark's ratios are within one
run; ``test_growth`` prints its own table.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equiload.agents.offline import EGLBOff, Solution, solve_decomposition, solve_lp
from equiload.agents.offline.reference import solve_reference
from equiload.envs import Instance
from equiload.envs.data import bloom10, synthetic

YEAR = 8760

WAYS: dict[str, Callable[[Instance], Solution]] = {
    "CVXPY reference": solve_reference,
    "LP per gateway": lambda instance: solve_lp(instance, aggregate=False),
    "LP aggregated": solve_lp,
    "decomposition": lambda instance: solve_decomposition(instance, tolerance=1e-6),
    "auto": EGLBOff().solve,
}


def solve(benchmark, way: str, instance: Instance, rounds: int) -> None:
    solution = benchmark.pedantic(
        WAYS[way], args=(instance,), rounds=rounds, iterations=1, warmup_rounds=1
    )
    benchmark.extra_info.update(status=solution.status, gap=solution.gap, **solution.stats)
    assert solution.status == "optimal"
    assert solution.gap <= 1e-6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_paper_trace(benchmark, bloom10_root: Path, reachability: str, way: str) -> None:
    benchmark.group = f"eGLB-Off, bloom10, 457 x 10, {reachability}"
    solve(benchmark, way, bloom10(bloom10_root, reachability=reachability), rounds=5)


@pytest.mark.parametrize("way", ["LP aggregated", "decomposition"])
def test_year(benchmark, way: str) -> None:
    benchmark.group = "eGLB-Off, synthetic year, 8760 x 10, full"
    solve(benchmark, way, synthetic(seed=0, horizon=YEAR), rounds=3)


_MEMORY = """
import resource
from equiload.agents.offline import solve_decomposition
from equiload.envs.data import synthetic
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
instance = synthetic(seed=0, horizon={year})
before = peak()
solution = solve_decomposition(instance, tolerance=1e-6)
assert solution.status == "optimal"
print(before, peak())
"""


def test_memory_of_a_year(benchmark, capsys: pytest.CaptureFixture[str]) -> None:
    """Peak resident memory of a process that draws a year and solves it, in GiB."""
    benchmark.group = "eGLB-Off, synthetic year, whole process"
    command = [sys.executable, "-c", _MEMORY.format(year=YEAR)]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    done = benchmark.pedantic(
        subprocess.run,
        args=(command,),
        kwargs={"check": True, "capture_output": True, "text": True, "env": environment},
        rounds=1,
    )
    before, peak = map(float, done.stdout.split())
    benchmark.extra_info.update(gib_before=before, gib_peak=peak)
    with capsys.disabled():
        print(f"\nyear of 8760 x 10: {peak:.2f} GiB at the peak, {before:.2f} before solving")
    assert peak < 1.0


def test_growth(benchmark, capsys: pytest.CaptureFixture[str]) -> None:
    """Time against the number of slots, with the exponent fitted to it."""
    benchmark.group = "eGLB-Off, growth in slots (all sizes)"
    slots = [168, 672, 2190, 8760, 35040]
    seconds: dict[str, list[float]] = {"LP aggregated": [], "decomposition": []}

    def measure() -> None:
        for T in slots:
            instance = synthetic(seed=0, horizon=T)
            for way, times in seconds.items():
                runs = [WAYS[way](instance).stats["seconds"] for _ in range(3)]
                times.append(float(np.median(runs)))

    benchmark.pedantic(measure, rounds=1)
    with capsys.disabled():
        print("\n   slots × 10   LP aggregated   decomposition   ratio")
        for i, T in enumerate(slots):
            lp, decomposed = seconds["LP aggregated"][i], seconds["decomposition"][i]
            print(f"{T:11d} {lp:13.3f} s {decomposed:13.3f} s {lp / decomposed:7.1f}")
        for way, times in seconds.items():
            exponent = np.polyfit(np.log(slots[1:]), np.log(times[1:]), 1)[0]
            print(f"{way}: time grows like slots^{exponent:.2f}")
            benchmark.extra_info[way] = exponent
