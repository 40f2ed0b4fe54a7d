"""Sweeps that resume: no job twice, no row lost or doubled, whatever dies."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from threadpoolctl import threadpool_info, threadpool_limits

from equiload.experiments.running import entry
from equiload.experiments.running.files import write_json
from equiload.experiments.running.jobs import RECORD, Job, config_hash, record
from equiload.experiments.running.sweep import Planned, _run

TINY = ["instance.horizon=4", "algorithm=[glb_cost]", "reachability=[full]", "figures=false"]

MISBEHAVING = """
import os, signal
from equiload.agents import GLBCost

class Killed(GLBCost):
    def __init__(self):
        os.kill(os.getpid(), signal.SIGKILL)

class Broken(GLBCost):
    def reset(self, *_, **__):
        raise RuntimeError("a bug")
"""


def sweep(folder: Path, *overrides: str) -> list[str]:
    program = [sys.executable, "-m", "equiload.experiments.cli", "benchmark", "-m"]
    return [*program, *TINY, *overrides, f"hydra.sweep.dir={folder}"]


def run(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(cwd), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)


def started(folder: Path) -> dict[str, float]:
    """When each finished job of a sweep began."""
    records = {path.parent.name: record(path.parent) for path in folder.glob(f"*/{RECORD}")}
    return {name: found["started"] for name, found in records.items() if found["state"] == "done"}


@pytest.mark.slow
def test_forty_jobs_killed_in_the_middle(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    seeds = ",".join(f"test/{number}" for number in range(40))
    command = sweep(folder, f"instance.seed={seeds}", "launcher=joblib")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **quiet)
    while len(before := started(folder)) < 10:
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = started(folder)
    assert 10 <= len(before) < 40
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"40 jobs, {len(before)} of them done before" in done.stdout
    after = started(folder)
    assert len(after) == 40
    assert {name: after[name] for name in before} == before  # none of them ran again
    merge = [sys.executable, "-m", "equiload.experiments.cli", "collect", str(folder)]
    assert "40 rows of 40 runs" in run(merge, tmp_path).stdout
    rows = pq.read_table(folder / "collected.parquet").to_pydict()
    assert sorted(rows["draw"]) == sorted(seeds.split(","))
    assert sorted(rows["config_hash"]) == sorted(after)


@pytest.mark.slow
def test_a_killed_worker_and_an_error_cost_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    folder = tmp_path / "sweep"
    targets = "equiload.agents.GLBCost,misbehaving.Killed,misbehaving.Broken,equiload.agents.EGLB"
    command = sweep(
        folder,
        f"algorithms.glb_cost.agent._target_={targets}",
        "launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )
    done = run(command, tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("failed:")]
    assert len(said) == 2
    assert any("misbehaving.Killed" in s and "SIGKILL" in s for s in said)
    assert any("misbehaving.Broken" in s and s.endswith("RuntimeError: a bug") for s in said)
    assert "2 of 4 jobs done, 2 failed" in done.stderr
    before = started(folder)
    assert len(before) == 2
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["state"] for job in jobs] == ["done", "failed", "failed", "done"]
    broken = record(folder / jobs[2]["folder"])
    assert "reset" in broken["traceback"]
    # What made them fail is mended: only they run.
    (tmp_path / "misbehaving.py").write_text(
        "from equiload.agents import GLBCost\nKilled = Broken = GLBCost\n"
    )
    done = run([part for part in command if "launcher" not in part], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "4 jobs, 2 of them done before" in done.stdout
    after = started(folder)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before


def test_smoke_twice_runs_once_and_equal_jobs_are_one(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    command = sweep(folder, "experiment=smoke", "instance.seed=test/0,test/0")
    first = run(command, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "1 jobs, 0 of them done before" in first.stdout
    before = started(folder)
    again = run([*command, "+hydra.job.env_set.A=b"], tmp_path)  # how, not what
    assert again.returncode == 0
    assert "1 jobs, 1 of them done before" in again.stdout
    assert started(folder) == before
    assert "GLB-Cost" not in again.stdout


def test_a_job_is_its_configuration_without_hydra() -> None:
    cfg = OmegaConf.create({"a": 1, "b": {"c": "${a}"}, "hydra": {"sweep": {"dir": "x"}}})
    other = OmegaConf.create({"b": {"c": 1}, "a": 1, "hydra": {"launcher": "slurm"}})
    assert config_hash(cfg) == config_hash(other)
    other.b.c = 2
    assert config_hash(cfg) != config_hash(other)


@pytest.mark.parametrize(
    ("launcher", "given"),
    [
        *(("joblib", None), ("joblib", ""), ("joblib", " 1,2")),
        *(("basic", "1"), ("basic", " 1 "), ("basic", "1,2"), ("basic", None), ("basic", "")),
    ],
)
def test_numeric_threads_are_held(
    launcher: str, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries that are loaded already, too."""
    choices = SimpleNamespace(runtime=SimpleNamespace(choices={"hydra/launcher": launcher}))
    monkeypatch.setattr(entry.HydraConfig, "get", lambda: choices)
    monkeypatch.setenv("OMP_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):  # a pool that other tests loaded may know no more than one
            free = [pool["num_threads"] for pool in threadpool_info()]
            entry.hold_threads()
            pools = [pool["num_threads"] for pool in threadpool_info()]
            torchs = torch.get_num_threads()
        assert max(free) == 2
        untouched = launcher == "basic" and not given
        assert pools == free if untouched else set(pools) == {1}
        assert torchs == (2 if untouched else 1)
    finally:
        torch.set_num_threads(before)


def job(folder: Path) -> Job:
    return Job(folder, OmegaConf.create({"a": 1}), [], "benchmark", False)


def test_a_full_disk_is_a_reason_and_not_a_result(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        write_json(tmp_path / "results.json", {"a": 1})

    try:
        reason = job(tmp_path).resume(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert reason is not None
    assert "File too large" in reason
    assert record(tmp_path)["state"] == "running"  # that it failed could not be written either
    assert not (tmp_path / "results.json").exists()
    assert job(tmp_path).resume(lambda: None) is None
    assert record(tmp_path)["state"] == "done"


def test_a_done_job_does_not_run_again_and_gives_way_to_no_other(tmp_path: Path) -> None:
    ran = []
    for _ in range(2):
        job(tmp_path).resume(lambda: ran.append("first"))
    another = Job(tmp_path, OmegaConf.create({"a": 2}), [], "benchmark", False)
    reason = another.resume(lambda: ran.append("second"))
    assert ran == ["first"]
    assert reason is not None
    assert "holds another configuration" in reason


def test_what_the_scheduler_has_queued_again_is_not_failed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        job(tmp_path).resume(lambda: sys.exit(-1))  # as submitit does
    assert record(tmp_path)["state"] == "preempted"
    assert job(tmp_path).resume(lambda: sys.exit(1)) == "exit status 1"
    assert record(tmp_path)["state"] == "failed"


def test_an_empty_record_is_no_result(tmp_path: Path) -> None:
    """As a machine may leave it that stopped; what else is no record is the user's own."""
    (tmp_path / RECORD).touch()
    ran = []
    job(tmp_path).resume(lambda: ran.append(1))
    assert ran


REASONS = {"failed": "a bug", "preempted": "exit status -1"}


class Launcher:
    """Runs jobs in order; one that is told to kill takes the whole launch with it."""

    def __init__(self, behaviour: Callable[[str], str]) -> None:
        self.behaviour = behaviour
        self.launches: list[list[str]] = []

    def launch(self, overrides: Sequence[Sequence[str]], number: int) -> list[SimpleNamespace]:
        self.launches.append([name for (name,) in overrides])
        results = []
        for (name,) in overrides:
            state = self.behaviour(name)
            if state == "refuse":
                raise OSError("no queue")
            done = {"state": state, "config_hash": name, "started": len(self.launches)}
            if state in REASONS:
                done["reason"] = REASONS[state]
            Path(name).mkdir(exist_ok=True)
            write_json(Path(name) / RECORD, done)
            if state in ("running", "preempted"):
                raise RuntimeError("SIGKILL" if state == "running" else "its queue told nothing")
            results.append(SimpleNamespace(_return_value=done.get("reason")))
        return results


def launch(names: str, behaviour: Callable[[str], str]) -> tuple[dict[str, str], Launcher]:
    launcher = Launcher(behaviour)
    jobs = [Planned(Path(name), name, [name]) for name in names]
    failed = _run(launcher, jobs)  # type: ignore[arg-type]
    return {planned.name: reason for planned, reason in failed.items()}, launcher


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_the_job_that_kills_is_found_and_the_others_run() -> None:
    behaviour = {"c": "running", "e": "failed"}
    failed, launcher = launch("abcdef", lambda name: behaviour.get(name, "done"))
    assert failed == {
        "c": "it ended without a result (RuntimeError: SIGKILL)",
        "e": "a bug",
    }
    assert launcher.launches == [["a", "b", "c", "d", "e", "f"], ["c"], ["d", "e", "f"]]


@pytest.mark.usefixtures("here")
def test_a_job_that_was_killed_once_is_done() -> None:
    tries = iter(["running", "done"])
    failed, _ = launch("abc", lambda name: next(tries) if name == "b" else "done")
    assert not failed


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("names", ["b", "abc"])
def test_a_job_that_is_queued_again_has_not_failed(names: str) -> None:
    """Its launcher may take the pause for its end, and more than once."""
    tries = iter(["preempted", "preempted", "done"])
    failed, launcher = launch(names, lambda name: next(tries) if name == "b" else "done")
    assert not failed
    assert launcher.launches.count(["b"]) == 3 - (names == "abc")


@pytest.mark.usefixtures("here")
def test_a_launcher_that_dies_after_a_preemption_ends() -> None:
    tries = iter(["preempted", "refuse"])
    failed, _ = launch("b", lambda _: next(tries))
    assert failed == {"b": "it ended without a result (OSError: no queue)"}


@pytest.mark.usefixtures("here")
def test_a_job_that_cannot_begin_fails_alone() -> None:
    failed, launcher = launch("abc", lambda name: "refuse" if name == "a" else "done")
    assert failed == {"a": "it ended without a result (OSError: no queue)"}
    assert launcher.launches == [["a", "b", "c"], ["a"], ["b"], ["c"]]


@pytest.mark.usefixtures("here")
def test_a_launcher_that_never_works_ends() -> None:
    failed, _ = launch("abc", lambda _: "refuse")
    assert len(failed) == 3


@pytest.mark.slow
def test_ray_runs_what_is_missing(tmp_path: Path) -> None:
    """In an environment of its own: its launcher asks for another cloudpickle than joblib 1.6."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="needs the extra [ray]")
    folder = tmp_path / "sweep"
    jobs = ("launcher=ray", "instance.seed=0,1", "instance.horizon=8")
    done = run(sweep(folder, *jobs), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    before = started(folder)
    assert len(before) == 2
    again = run(sweep(folder, *jobs[:1], "instance.seed=0,1,2", jobs[2]), tmp_path)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "3 jobs, 2 of them done before" in again.stdout + again.stderr
    after = started(folder)
    assert len(after) == 3
    assert before.items() <= after.items()
