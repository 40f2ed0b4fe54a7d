"""Programs run in forked children, which may be killed, starved of disk, or die of bad input.

A fork has everything imported already, so a run takes a fraction of a second. They are forked by a
process of their own: torch does not let one fork that has computed gradients.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, cast

from hydra.core.global_hydra import GlobalHydra

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.agents.learn import LearnedPolicy
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.experiments import cli
from equiload.robust import RobustPolicy

#: Bytes that no run may take, and seconds after which it hangs.
MOST_MEMORY, MOST_SECONDS = 2 << 30, 60.0


def warm() -> None:
    """Import and load what programs use, compiled kernels too, so that forks have it."""
    for program in cli.COMMANDS:
        if program != "sweep":
            import_module(f"equiload.experiments.programs.{program}")
    import_module("torch._dynamo")
    instance = synthetic("test/0", horizon=4)
    for policy in (LearnedPolicy(), RobustPolicy(GLBCost(), EGLB(), rho=0.1)):
        rollout(policy, instance)
    EGLBOff().solve(instance)


#: The name of a function here that makes one, and its arguments.
Fault: TypeAlias = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit status (minus a signal's number), what it said, what it took."""

    status: int
    out: str
    err: str
    seconds: float
    memory: int
    hung: bool

    @property
    def in_a_sentence(self) -> bool:
        """Did it end as README promises that it ends: well, or with a sentence and a status?"""
        return not (self.hung or "Traceback" in self.err or self.memory > MOST_MEMORY)


def run(
    arguments: Sequence[str],
    cwd: Path,
    *,
    fault: Fault | None = None,
    kill_after: float | None = None,
) -> Ended:
    """``equiload`` with these arguments in ``cwd``; the child has a ``fault``."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([arguments, str(cwd), fault, kill_after]) + "\n")
    server.stdin.flush()
    return Ended(**json.loads(server.stdout.readline()))


@cache
def _server() -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(command, **pipes, text=True, env=environment)  # type: ignore[call-overload]
    atexit.register(server.kill)
    return cast("subprocess.Popen[str]", server)


def _run(
    arguments: Sequence[str], cwd: Path, prepare: Callable[[], Any], kill_after: float | None
) -> Ended:
    pipes = [os.pipe() for _ in range(2)]  # of files the child may have none to write
    begin, hung, said = time.monotonic(), False, [b"", b""]
    child = os.fork()
    if child == 0:
        _child(arguments, cwd, prepare, *(ends[1] for ends in pipes))
    for reads, writes in pipes:
        os.close(writes)
        os.set_blocking(reads, False)
    limit = MOST_SECONDS if kill_after is None else kill_after
    while True:
        ended = os.wait4(child, os.WNOHANG)
        for n, (reads, _) in enumerate(pipes):
            with suppress(BlockingIOError):
                said[n] += os.read(reads, 1 << 16)
        if ended[0]:
            break
        if time.monotonic() - begin > limit:
            os.kill(child, signal.SIGKILL)
            hung = kill_after is None
        time.sleep(0.002)
    for reads, _ in pipes:
        os.close(reads)
    out, err = (text.decode(errors="replace") for text in said)
    status, seconds = os.waitstatus_to_exitcode(ended[1]), time.monotonic() - begin
    return Ended(status, out, err, seconds, ended[2].ru_maxrss * 1024, hung)


def _child(
    arguments: Sequence[str], cwd: Path, prepare: Callable[[], Any], out: int, err: int
) -> NoReturn:
    status = 1
    try:
        os.setsid()  # a group of its own: its children die with it
        os.chdir(cwd)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        GlobalHydra.instance().clear()
        os.environ |= {"TTY_COMPATIBLE": "0", "OMP_NUM_THREADS": "1"}
        prepare()
        status = cli.main(arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - what Python would print
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def dying(at: int, *, after: bool) -> Callable[[], None]:
    """Makes a child kill itself at its rename number ``at``, before or after it."""

    def prepare() -> None:
        replace, count = Path.replace, 0

        def replacing(path: Path, target: Any) -> Path:
            nonlocal count
            count += 1
            if count == at and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            moved = replace(path, target)
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return moved

        Path.replace = replacing  # type: ignore[method-assign]

    return prepare


def small_files(most: int) -> Callable[[], None]:
    """Makes every file of a child end at so many bytes, as a full disk would."""

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return prepare


def main() -> None:
    """Serve: a line of JSON for each run, and one for how it ended."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may speak there
    warm()
    for line in sys.stdin:
        arguments, cwd, fault, kill_after = json.loads(line)
        prepare = globals()[fault[0]](**fault[1]) if fault else bool
        answers.write(json.dumps(asdict(_run(arguments, Path(cwd), prepare, kill_after))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
