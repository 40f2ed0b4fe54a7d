"""eGLB-Off against what else solves it, by size; every solver in a process of its own.

A rival that is out of time or memory is told as such: ``extra_info["failed"]``. It is not tried
where a problem with no more slots and no more data centers was too much for it already.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rivals
from threadpoolctl import threadpool_limits

from equiload.agents.offline import EGLBOff, Solution
from equiload.envs import Instance
from equiload.envs.data import bloom10, synthetic

SHORT = {
    "full": [(168, 10), (457, 10), (2000, 10), (8760, 10), (105_120, 10), (8760, 100)],
    "partial": [(457, 10), (8760, 10), (8760, 100)],
    "routing cost": [(457, 10), (8760, 10)],
}
FULL = {
    kind: [
        (T, N)
        for N in (10, 50, 100, 200)
        for T in (168, 457, 2000, 8760, 105_120)
        if T != 2000 or N == 10  # where it overtakes the others
    ]
    for kind in SHORT
}
KNOBS = [(168, 10), (672, 10)]
KNOBS_FULL = [*KNOBS, (2016, 10), (8760, 10)]
LIMIT, FULL_LIMIT = 12, 600  # seconds for a rival's whole process; ours always gets the second
MEMORY = 16 << 30  # bytes of address space
DIGITS = 1e-4  # relative difference at which two solvers disagree


def alone(way: str, T: int, N: int, kind: str, limit: float) -> dict:
    """What ``rivals.py`` found, or why it did not."""
    command = [sys.executable, rivals.__file__, way, str(T), str(N), kind]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=limit,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"> {limit:g} s"}
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    said = (done.stderr.strip().splitlines() or ["no word"])[-1]
    killed = done.returncode in (-signal.SIGKILL, -signal.SIGABRT)  # abort: an allocation failed
    if killed or "memory" in said.lower() or "bad_alloc" in said:
        return {"failed": "out of memory"}
    return {"failed": said[:80]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    full = metafunc.config.getoption("--full")
    if metafunc.function is test_size:
        kinds = FULL if full else SHORT
    elif metafunc.function is test_size_with_knobs:
        kinds = dict.fromkeys(rivals.KNOB_KINDS, KNOBS_FULL if full else KNOBS)
    else:
        return
    sizes = [(kind, T, N) for kind, sizes in kinds.items() for T, N in sizes]
    names = [f"{kind}-{T}x{N}" for kind, T, N in sizes]
    metafunc.parametrize(("kind", "T", "N"), sizes, ids=names)


@pytest.mark.parametrize("way", [way for way in rivals.WAYS if way != "decomposition"])
def test_size(benchmark, request: pytest.FixtureRequest, kind: str, way: str, T: int, N: int):
    """Seconds of one solution, the process's start and the instance's drawing not counted."""
    if way in ("CVXPY", "HiGHS per gateway") and T * N > 10_000:
        pytest.skip("grows with gateways too: shown at small sizes only")
    measure(benchmark, request, kind, way, T, N)


@pytest.mark.parametrize("way", rivals.KNOB_WAYS)
def test_size_with_knobs(
    benchmark, request: pytest.FixtureRequest, kind: str, way: str, T: int, N: int
):
    """The interior point against HiGHS's three methods; these get five times as long."""
    measure(benchmark, request, kind, way, T, N, patience=5)


def measure(
    benchmark,
    request: pytest.FixtureRequest,
    kind: str,
    way: str,
    T: int,
    N: int,
    patience: int = 1,
) -> None:
    full = request.config.getoption("--full")
    limit = request.config.getoption("--limit") or (FULL_LIMIT if full else patience * LIMIT)
    limit = max(limit, FULL_LIMIT) if way == "equiload" else limit
    lost = request.config.stash.setdefault(_LOST, {}).setdefault((way, kind), {})
    found: list[dict] = []

    def run() -> None:
        smaller = [why for (t, n), why in lost.items() if t <= T and n <= N]
        found.append({"failed": smaller[0]} if smaller else alone(way, T, N, kind, limit))

    benchmark.group = f"eGLB-Off, {kind}: seconds to a solution"
    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(row=f"{T:,} × {N}", column=way, slots=T, datacenters=N)
    if "failed" in found[0]:
        why = benchmark.extra_info["failed"] = found[0]["failed"]
        assert way != "equiload" or (T, N) not in SHORT.get(kind, KNOBS), why
        lost[T, N] = why if " at " in why else f"{why} at {T:,} × {N}"
        return
    times = found[0].pop("times")
    benchmark.extra_info.update(found[0], seconds=times[len(times) // 2], spread=times)
    ours = request.config.stash.setdefault(_OURS, {})
    if way == "equiload":
        ours[T, N, kind] = found[0]["objective"]
        knobs = kind in rivals.KNOB_KINDS
        assert found[0]["gap"] <= (rivals.WITH_KNOBS if knobs else rivals.TOLERANCE)
    elif (T, N, kind) in ours and abs(found[0]["gap"]) <= DIGITS:
        assert found[0]["objective"] == pytest.approx(ours[T, N, kind], rel=DIGITS)


_OURS = pytest.StashKey[dict]()
_LOST = pytest.StashKey[dict]()


@pytest.mark.parametrize("way", ["one after the other", "all at once"])
def test_many(benchmark, way: str) -> None:
    """Targets to learn from: 64 problems with all knobs, on as many threads as there are cores."""
    benchmark.group = "eGLB-Off, all knobs full, 64 problems of 168 × 10 to 1e-4"
    benchmark.extra_info["row"] = way
    problems = synthetic(0, horizon=168, batch=64, knobs="all")
    each = [problems[b] for b in range(64)]
    solver = EGLBOff(solver="interior", tolerance=rivals.WITH_KNOBS)
    solver.solve(each[0].window(0, 24))

    def work() -> list[Solution]:
        if way == "all at once":
            return solver.solve_all(each)
        return [solver.solve(one) for one in each]

    with threadpool_limits(1, user_api="blas"):  # as solve_all has it
        solutions = benchmark.pedantic(work, rounds=3)
    assert max(solution.gap for solution in solutions) <= rivals.WITH_KNOBS


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_paper_trace(benchmark, bloom10_root: Path, reachability: str) -> None:
    benchmark.group = "eGLB-Off on the paper's trace, 457 × 10"
    benchmark.extra_info["row"] = reachability
    instance: Instance = bloom10(bloom10_root, reachability=reachability)
    solution = benchmark.pedantic(EGLBOff().solve, args=(instance,), rounds=15, warmup_rounds=2)
    assert solution.gap <= 1e-6


_THREADS = """
import time
from equiload.agents.offline import Decomposition
import rivals
Decomposition().solve(rivals.make(700, 10, "full"))
instance = rivals.make(1752, 100, "partial")
begin = time.perf_counter()
Decomposition(tolerance=1e-5).solve(instance)
print(time.perf_counter() - begin)
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads(benchmark, threads: str) -> None:
    benchmark.group = "eGLB-Off, 1,752 × 100, partial, by OMP_NUM_THREADS"
    environment = os.environ | {
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": str(Path(rivals.__file__).parent),
    }
    command = [sys.executable, "-c", _THREADS]
    found = []
    benchmark.pedantic(
        lambda: found.append(
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        ),
        rounds=1,
    )
    benchmark.extra_info.update(row=threads, seconds=float(found[0].stdout))
