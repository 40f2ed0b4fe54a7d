"""A program that is killed loses nothing, doubles nothing, and goes on when it is run again."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from effort import FAULTS
from forked import run

#: Every so many renames a run is killed; ``make faults`` kills at each.
EVERY = 7 if FAULTS == 1 else 1

TINY = ["instance.horizon=4", "reachability=[full]"]
PROGRAMS: Mapping[str, list[str]] = {
    "benchmark": [
        "benchmark", *TINY, "algorithm=[eglb]", "figures=false", "report=false", "hydra.run.dir=run"
    ],
    "evaluate": ["evaluate", *TINY, "draws=2", "algorithm=[eglb]", "hydra.run.dir=run"],
    "predictions": [
        "predictions", "instance.horizon=4", "draws=2", "figures=false", "wrapped=[]",
        "errors={swap: null, adversary: null, delay: null, bias: null}", "algorithms.learned=null",
        "hydra.run.dir=run",
    ],
    "robustness": [
        "robustness", "instance.horizon=4", "rho=[0.1]", "allowance=[0.0]", "figures=false",
        "advice=[perfect,greedy]", "hydra.run.dir=run",
    ],
    "scenarios": [
        "scenarios", "instance.horizon=4", "algorithm=[eglb]", "report=false", "hydra.run.dir=run",
        f"file={Path(__file__).parents[1] / 'experiments' / 'less.yaml'}",
    ],
    "tune": [
        "tune", "draws=1", "horizons=[4]", "reachability=[full]", "step_size=[1.0]",
        "z_max=[1.0]", "hydra.run.dir=run",
    ],
    "train": [
        "train", "agent.options.steps=2", "evaluate_every=1", "problems.batch=2",
        "problems.horizons=[4]", "validation.draws=1", "validation.horizon=4", "network.hidden=4",
        "final.draws=1", "hydra.run.dir=run",
    ],
    "sweep": [
        "sweep", *TINY, "algorithm=[eglb]", "instance.seed=test/0,test/1", "figures=false",
        "hydra.sweep.dir=run",
    ],
}  # fmt: skip
#: What says when and where, not what.
_PASSING = ("seconds", "versions", "started", "pid", "host", "traceback", "read", "folder")


def without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_time(v) for k, v in value.items() if k not in _PASSING}
    return [without_time(item) for item in value] if isinstance(value, list) else value


def contents(folder: Path) -> dict[str, Any]:
    """What a run's folder holds, but for times: files by name, records and rows by value."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name.startswith((".hydra", "tensorboard")) or path.suffix == ".log":
            continue
        if "/.hydra/" in name or path.name == ".lock":
            continue
        found[name] = None
        if path.suffix == ".json":
            found[name] = without_time(json.loads(path.read_text(encoding="utf-8")))
        elif path.name == "results.parquet":
            found[name] = pq.read_table(path).drop_columns(["seconds"]).to_pylist()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each program leaves that nobody kills."""
    known: dict[str, dict[str, Any]] = {}

    def of(program: str) -> dict[str, Any]:
        if program not in known:
            folder = tmp_path_factory.mktemp(program)
            ended = run(PROGRAMS[program], folder)
            assert ended.status == 0, ended.err
            known[program] = contents(folder / "run")
        return known[program]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_killed_at_a_rename(program: str, whole: Any, tmp_path: Path, tried: Counter[str]) -> None:
    expected = whole(program)
    for at in range(1, 1000, EVERY):
        killed = -signal.SIGKILL
        for after in (False, True):
            folder = tmp_path / f"{at}{after}"
            folder.mkdir()
            killed = run(
                PROGRAMS[program], folder, fault=("dying", {"at": at, "after": after})
            ).status
            if killed != -signal.SIGKILL:
                break
            tried["kills at a rename"] += 1
            again = run(PROGRAMS[program], folder)
            assert again.status == 0, again.err
            assert again.in_a_sentence
            assert contents(folder / "run") == expected, (at, after)
        if killed != -signal.SIGKILL:
            assert at > 1  # there was something to kill
            break


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_killed_at_any_time(program: str, whole: Any, tmp_path: Path, tried: Counter[str]) -> None:
    expected, rng = whole(program), np.random.default_rng(len(program))
    for kill in range(FAULTS):
        folder = tmp_path / str(kill)
        folder.mkdir()
        for _ in range(3):  # killed more than once
            run(PROGRAMS[program], folder, kill_after=rng.uniform(0.05, 1.5))
            tried["kills at any time"] += 1
        again = run(PROGRAMS[program], folder)
        assert again.status == 0, again.err
        assert contents(folder / "run") == expected


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_a_full_disk_is_a_sentence(
    program: str, whole: Any, tmp_path: Path, tried: Counter[str]
) -> None:
    expected = whole(program)
    for most in (0, 700, 5000):
        full = run(PROGRAMS[program], tmp_path, fault=("small_files", {"most": most}))
        tried["full disks"] += 1
        assert full.in_a_sentence, full.err
        assert (full.status != 0) == ("error: " in full.err or "failed" in full.err), full
    again = run(PROGRAMS[program], tmp_path)
    assert again.status == 0, again.err
    assert contents(tmp_path / "run") == expected
