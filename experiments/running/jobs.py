"""Jobs: which configuration a run has, and how far it got.

A job is its resolved configuration, without what only says where and how to run it (the node
``hydra``). Its folder holds ``job.json``: ``running`` when it starts and, written last and whole,
``done``, ``failed`` or ``preempted``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from equiload.envs import EquiloadError
from equiload.experiments.running.files import versions, write_json
from equiload.experiments.running.preemption import Preempted

#: Version of the layout of ``job.json``.
SCHEMA = 1
RECORD = "job.json"

#: Status with which submitit ends a job that it has queued again.
REQUEUED = -1


def config_hash(cfg: DictConfig) -> str:
    """Name of a job: 16 hexadecimal digits of the resolved configuration's SHA-256."""
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    content = OmegaConf.to_container(own, resolve=True)
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


#: ``${config_hash:}`` in a configuration, for the folders of a sweep.
OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_), replace=True)
#: ``${draws:test,8}``, for what a sweep goes over: ``test/0,…,test/7``.
OmegaConf.register_new_resolver(
    "draws", lambda split, count: ",".join(f"{split}/{n}" for n in range(count)), replace=True
)


def record(folder: Path) -> dict[str, Any]:
    """Return what ``job.json`` says; nothing if there is none or it cannot be read."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_done(folder: Path, name: str) -> bool:
    """Tell whether this folder holds the finished job of that name."""
    job = record(folder)
    return (job.get("state"), job.get("config_hash")) == ("done", name)


class Job:
    """One run of a task in its folder; ``perform`` keeps ``job.json``."""

    def __init__(self, folder: Path, cfg: DictConfig, overrides: list[str]) -> None:
        self.folder, self.name = folder, config_hash(cfg)
        self._record = {
            "schema": SCHEMA,
            "config_hash": self.name,
            "overrides": overrides,
            "host": platform.node(),
            "pid": os.getpid(),
            "started": time.time(),
            "versions": versions(),
        }

    def perform(self, task: Callable[[], None]) -> None:
        """Run the task; whatever it raises is recorded, and raised on."""
        self._write("running")
        begin = time.perf_counter()
        try:
            task()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            goes_on = isinstance(error, Preempted) or is_requeued(error)
            state = "preempted" if goes_on else "failed"
            own = isinstance(error, EquiloadError | KeyboardInterrupt)
            trace = None if own else traceback.format_exc()
            with suppress(EquiloadError):  # a full disk, say: the error itself is worth more
                self._write(state, reason=reason_of(error), traceback=trace)
            raise
        self._write("done", seconds=time.perf_counter() - begin)

    def resume(self, task: Callable[[], None]) -> str | None:
        """Run the task unless it is done; one process at a time. Returns why it failed.

        The end of a job that its scheduler has queued again is not caught.
        """
        try:
            with FileLock(self.folder / ".lock"):
                if not is_done(self.folder, self.name):
                    self.perform(task)
        except (Exception, SystemExit) as error:
            if is_requeued(error):
                raise
            return reason_of(error)
        return None

    def _write(self, state: str, **more: Any) -> None:
        write_json(self.folder / RECORD, {**self._record, "state": state, **more})


def is_requeued(error: BaseException) -> bool:
    """Tell whether the scheduler ended the job to run it again."""
    return isinstance(error, SystemExit) and error.code == REQUEUED


def reason_of(error: BaseException) -> str:
    """Return one line that says what went wrong."""
    if isinstance(error, SystemExit):
        return f"exit status {error.code}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split())
    return text if isinstance(error, EquiloadError) else f"{type(error).__name__}: {text}"
