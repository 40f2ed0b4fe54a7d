"""Sweeps on a real Slurm: `.ci/slurm` sets one up; elsewhere these tests are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from equiload.experiments.programs.collect import collect
from equiload.experiments.running.jobs import RECORD, record

WORKS = shutil.which("sinfo") and subprocess.run(["sinfo"], check=False).returncode == 0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WORKS, reason="there is no Slurm here (.ci/slurm sets one up)"),
]

PREEMPTED = """
import pathlib, time
from equiload.agents import GLBCost
from equiload.experiments.running.preemption import preemption_warning

class Trained(GLBCost):
    def __init__(self, checkpoint):
        path = pathlib.Path(checkpoint)
        if path.exists():
            return  # it goes on where it was
        path.with_suffix(".begun").touch()
        with preemption_warning() as warning:
            while not warning:
                time.sleep(0.05)
            path.touch()
            warning.obey()
"""


def sweep(cwd: Path, folder: str, *overrides: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "equiload.experiments.cli",
        "benchmark",
        "-m",
        "experiment=smoke",
    ]
    return subprocess.Popen(
        [*command, *overrides, f"hydra.sweep.dir={cwd / folder}"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


def rows(folder: Path) -> pd.DataFrame:
    table, skipped = collect(folder)
    assert not skipped
    # Times differ, and the launcher is part of what was typed.
    return table.to_pandas().drop(columns=["seconds", "overrides"])


def test_slurm_and_joblib_give_equal_results(tmp_path: Path) -> None:
    finish(sweep(tmp_path, "slurm", "launcher=slurm", "hydra.launcher.mem_gb=1"))
    finish(sweep(tmp_path, "joblib", "launcher=joblib"))
    ours, theirs = rows(tmp_path / "slurm"), rows(tmp_path / "joblib")
    assert len(ours) == 2 * 2 * 3
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_a_preempted_job_saves_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(PREEMPTED)
    saved = tmp_path / "saved"
    agent = f"{{_target_: long.Trained, checkpoint: {saved}}}"
    process = sweep(
        tmp_path,
        "sweep",
        "launcher=slurm",
        "hydra.launcher.mem_gb=1",
        f"+algorithms.trained={{name: Trained, agent: {agent}}}",
        "instance.seed=test/0",
    )
    while not saved.with_suffix(".begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(0.2)
    queue = subprocess.run(["squeue", "-h", "-o", "%A"], capture_output=True, text=True, check=True)
    (number,) = queue.stdout.split()
    subprocess.run(["scancel", "--signal", "USR2", number], check=True)
    while process.poll() is None:  # Slurm holds requeued jobs back for two minutes
        hurry = ["scontrol", "update", f"JobId={number}", "StartTime=now"]
        subprocess.run(hurry, check=False, capture_output=True)
        time.sleep(0.5)
    finish(process)
    assert saved.exists()
    (path,) = (tmp_path / "sweep").glob(f"*/{RECORD}")
    assert record(path.parent)["state"] == "done"
    assert len(rows(tmp_path / "sweep")) == 2 * 4
