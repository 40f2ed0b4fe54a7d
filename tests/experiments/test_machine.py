"""Faults of the machine: one sentence each, and the same command works once the cause is gone."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.figure import Figure

from equiload.agents.learn.checkpoint import load_checkpoint
from equiload.envs.errors import DataError, EquiloadError, printable
from equiload.experiments import cli
from equiload.experiments.programs.train import save_checkpoint
from equiload.experiments.running import files
from equiload.experiments.trainers.tensors import write_tensors

TINY = ["instance.horizon=4", "algorithm=[glb_cost]", "reachability=[full]", "figures=false"]
TRAINING = [
    *("agent.options.steps=1", "evaluate_every=1", "problems.batch=2", "problems.horizons=[24]"),
    *("validation.draws=1", "validation.horizon=24", "network.hidden=8", "final.draws=0"),
]
#: What the system says, of whatever is opened for writing or put in its place below a folder.
FAULTS = {
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "read-only": OSError(errno.EROFS, "Read-only file system"),
    "forbidden": PermissionError(errno.EACCES, "Permission denied"),
    "too large": OSError(errno.EFBIG, "File too large"),
}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path, OSError], None]]:
    """Has nothing written below a folder from now on: neither made, opened nor renamed there."""
    with monkeypatch.context() as patch:

        def breaks(folder: Path, fault: OSError) -> None:
            def refuse(path: Any) -> None:
                if isinstance(path, str | os.PathLike) and Path(path).is_relative_to(folder):
                    raise type(fault)(*fault.args)

            def refusing(function: Callable[..., Any], at: int = 0) -> Callable[..., Any]:
                def instead(*args: Any, **more: Any) -> Any:
                    refuse(args[at])
                    return function(*args, **more)

                return instead

            def opening(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
                if set(mode) & set("wax+"):
                    refuse(file)
                return real(file, mode, *args, **more)

            real = io.open
            patch.setattr("builtins.open", opening)
            patch.setattr(io, "open", opening)
            patch.setattr(os, "replace", refusing(os.replace, 1))
            patch.setattr(os, "rename", refusing(os.rename, 1))
            patch.setattr(os, "mkdir", refusing(os.mkdir))
            mkstemp = files.tempfile.mkstemp

            def no_draft(*args: Any, **more: Any) -> Any:
                refuse(more.get("dir"))
                return mkstemp(*args, **more)

            patch.setattr(files.tempfile, "mkstemp", no_draft)

        breaks.undo = patch.undo  # type: ignore[attr-defined]
        yield breaks
    loud = logging.getLogger()
    for handler in [h for h in loud.handlers if isinstance(h, logging.FileHandler)]:
        handler.close()  # Hydra's keep what opened files then
        loud.removeHandler(handler)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that ended well."""
    folder = tmp_path_factory.mktemp("run")
    assert cli.main(["benchmark", *TINY, "report=false", f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["benchmark", "collect", "report", "example", "portrait"])
def test_what_cannot_be_written_is_one_sentence(
    command: str,
    fault: str,
    run: Path,
    broken: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "there"
    target.mkdir()
    words = {
        "benchmark": ["benchmark", *TINY, "report=false", f"hydra.run.dir={target}"],
        "collect": ["collect", str(run), "--output", str(target / "all")],
        "report": ["report", str(run), "--output", str(target)],
        "example": ["data", "example", str(target)],
        "portrait": ["data", "portrait", "synthetic", "--output", str(target / "page.png")],
    }[command]
    broken(target, FAULTS[fault])
    assert status(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert str(FAULTS[fault].strerror) in error
    assert not [path for path in target.rglob("*") if path.is_file() and path.name != ".lock"]
    if fault == "full":
        broken.undo()
        assert status(words) == 0


def status(words: list[str]) -> int:
    """Exit status; Hydra and argparse end programs themselves."""
    try:
        return cli.main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


@contextlib.contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


CHECKPOINT = load_checkpoint(Path(__file__).parents[2] / "agents/learn/trained/default")
TABLE = pa.table({"x": np.random.default_rng(0).random(100_000)})
WRITERS: dict[str, Callable[[Path], object]] = {
    "training.pt": lambda path: write_tensors(path, {"a": torch.rand(100_000)}),
    "best.safetensors": lambda path: save_checkpoint(path.with_suffix(""), CHECKPOINT),
    "x.json": lambda path: files.write_json(path, ["x" * 9000]),
    "x.csv": lambda path: files.write_csv(path, [{"a": "x" * 9000}]),
    "x.parquet": lambda path: replaced(path, lambda draft: pq.write_table(TABLE, draft)),
    "x.pdf": lambda path: replaced(path, Figure((3, 3)).savefig),
    "x.png": lambda path: replaced(path, Figure((30, 30)).savefig),
}


def replaced(path: Path, write: Callable[[Path], object]) -> None:
    with files.replacing(path) as draft:
        write(draft)


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_ends_in_one_sentence(name: str, tmp_path: Path) -> None:
    """The system's own limit, which torch, safetensors and Arrow meet in ways of their own."""
    before = tmp_path / name
    before.write_text("old")
    with no_file_longer_than(500), pytest.raises(DataError, match=rf"{name}: cannot be written \("):
        WRITERS[name](before)
    assert before.read_text() == "old"
    assert list(tmp_path.iterdir()) == [before]
    WRITERS[name](before)
    assert before.stat().st_size > 500


@pytest.mark.slow
def test_training_goes_on_when_there_is_room_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *TRAINING, f"hydra.run.dir={tmp_path / 'run'}"]
    with no_file_longer_than(20_000):
        assert status(words) == 2
    assert "training.pt: cannot be written (File too large)" in capsys.readouterr().err
    assert status(words) == 0
    assert json.loads((tmp_path / "run" / "job.json").read_text())["state"] == "done"


def test_kernels_run_where_none_can_be_kept(tmp_path: Path) -> None:
    """Neither the package nor the home folder can be written: the system says so to numba."""
    code = """
import os
make = os.makedirs
def makedirs(name, *args, **more):
    if "__pycache__" in str(name):
        raise OSError(30, "Read-only file system", str(name))
    return make(name, *args, **more)
os.makedirs = makedirs
import numpy as np
from equiload.envs.gym.kernels import features  # the package's own, and one that is compiled here
from numba import njit
assert not features.stats.cache_path
@njit(cache=True)
def double(x):
    return 2 * x
assert double(2) == 4
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    home = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "NUMBA_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, **home},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["doctor"], ["data", "check", "synthetic"], ["sweep", *TINY]])
def test_a_number_of_threads_that_is_none(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2,x")
    assert status(words) == 2
    assert capsys.readouterr().err.startswith("error: OMP_NUM_THREADS must be a whole number")


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x9b31m", "\x07", "\u202e", "\udc80", "\x00"])
def test_no_error_moves_the_terminal(text: str) -> None:
    for shown in (printable(text), str(EquiloadError(text))):
        assert shown.isprintable()
        shown.encode()
