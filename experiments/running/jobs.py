"""Jobs: which configuration a run has, what it read, and how far it got.

A job is its resolved configuration, without what only says where and how to run it (the node
``hydra``, and ``resume``). Its folder is its own: by a lock while it runs, and by ``job.json``,
which names what it read and wrote, and says ``claimed`` until what an earlier run left is gone,
then ``running`` and, written last and whole, ``done``, ``failed`` or ``preempted``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from equiload.envs import DataError, EquiloadError
from equiload.envs.reading import code, digest, noting
from equiload.experiments.running.files import (
    DRAFT,
    SCHEMAS,
    versions,
    write_json,
    writing,
    written,
)
from equiload.experiments.running.preemption import Preempted

#: Version of the layout of ``job.json``.
SCHEMA = 1
RECORD, LOCK = "job.json", ".lock"
#: What to do with what is in a run's folder: go on or begin anew, as fits; let what is finished
#: count, whatever changed around it; begin anew.
RESUME = ("auto", "always", "never")
#: Without a record beside them these are a user's own, and no run begins there.
RESULTS = (
    *(*SCHEMAS, "tune.json", "results.csv", "results.parquet", "progress.csv", "training.pt"),
    *("training.safetensors", "best.json", "best.safetensors", "last.json", "last.safetensors"),
    "report/index.html",
)
#: What is of another type in a record is left out of it.
_TYPES = {"config_hash": str, "overrides": list, "read": dict, "versions": dict, "wrote": list}
_ELSEWHERE = "give another folder (hydra.run.dir, hydra.sweep.dir; --output of collect and report)"
_ANEW = f"{_ELSEWHERE}, or begin anew with resume=never"

#: Seconds that a program waits for others that hold a folder for the length of a few writes.
PATIENCE = 60.0
#: Status with which submitit ends a job that it has queued again.
REQUEUED = -1


def config_hash(cfg: DictConfig) -> str:
    """Name of a job: 16 hexadecimal digits of the resolved configuration's SHA-256."""
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in ("hydra", "resume")])
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
    if not isinstance(content, dict):
        return {}
    return {k: value for k, value in content.items() if isinstance(value, _TYPES.get(k, object))}


def resume_of(cfg: DictConfig) -> str:
    """The configuration's ``resume``; :class:`DataError` if it is none of :data:`RESUME`."""
    asked = cfg.get("resume", "auto")
    if asked not in RESUME:
        raise DataError(f"resume must be one of {', '.join(RESUME)}, got {asked!r}")
    return str(asked)


def is_done(job: Mapping[str, Any], name: str) -> bool:
    """Tell whether a record is that of the finished job of that name."""
    return (job.get("state"), job.get("config_hash")) == ("done", name)


def changes(job: Mapping[str, Any]) -> list[str]:
    """What a job used that is otherwise now: packages, equiload's code, files that it read.

    Data that are gone are as they were; a source that is gone may have moved, and is not.
    """
    told = job.get("versions", {})
    found = [name for name, now in versions().items() if told.get(name) != now]
    found += [] if job.get("code") == code() else ["equiload's code"]
    for path, before in job.get("read", {}).items():
        now = digest(path)
        if now != before and (now is not None or path.endswith(".py")):
            found.append(path if path.isprintable() else repr(path))
    return found


@contextmanager
def held(folder: Path, *, wait: float) -> Iterator[None]:
    """Hold a folder against other processes, and remove the drafts of those that were killed.

    Waits so many seconds for another run to end, or for ever if they are negative.

    Raises
    ------
    DataError
        If another run is at work there, or nothing can be written.
    """
    lock = FileLock(folder / LOCK, timeout=wait)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        job = record(folder)
        who = f"process {job.get('pid')!r} on {job.get('host')!r}"
        with suppress(TypeError, ValueError, OverflowError, OSError):
            who += f" since {time.strftime('%F %T', time.localtime(job.get('started')))}"
        raise DataError(
            f"{folder}: another run is at work there ({who}): wait for it, or {_ELSEWHERE}"
        ) from None
    except OSError as error:
        raise DataError(f"{folder}: cannot be written to ({error.strerror})") from None
    try:
        inside = {folder, *((folder / name).parent for name in _wrote(folder, record(folder)))}
        for draft in [path for place in inside for path in place.glob(f"{DRAFT}*")]:
            draft.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def refuse_foreign(path: Path, *, ours: bool) -> None:
    """Refuse to overwrite a file that is there and is none of ours."""
    if path.exists() and not ours:
        raise DataError(f"{path} is of no run here, and would be overwritten: {_ELSEWHERE}")


class Job:
    """One run of a task in its folder; ``perform`` keeps ``job.json``.

    ``program`` is what runs it; ``goes_on`` says that it keeps its state in the folder, and goes on
    from there after a kill.
    """

    def __init__(
        self, folder: Path, cfg: DictConfig, overrides: list[str], program: str, goes_on: bool
    ) -> None:
        self.folder, self.name = folder, config_hash(cfg)
        self._resume, self._goes_on = resume_of(cfg), goes_on
        self._wrote: set[str] = set()
        self._record: dict[str, Any] = {
            "schema": SCHEMA,
            "program": program,
            "config_hash": self.name,
            "overrides": overrides,
            "host": platform.node(),
            "pid": os.getpid(),
            "started": time.time(),
            "versions": versions(),
            "code": code(),
            "read": {},
        }

    def perform(self, task: Callable[[], None], *, again: bool = True) -> bool:
        """Run the task in its folder; whatever it raises is recorded, and raised on.

        ``again``: whether a job that is done runs once more, and otherwise one runs anew whose
        data or code have changed. Returns whether it ran.

        Raises
        ------
        DataError
            If the folder holds anything else than this job.
        """
        self._refuse_foreign()
        with held(self.folder, wait=0 if again else -1):
            if not self._claim(again=again):
                return False
            self._run(task)
        return True

    def resume(self, task: Callable[[], None]) -> str | None:
        """Run the task unless it is done; one process at a time. Returns why it failed.

        The end of a job that its scheduler has queued again is not caught.
        """
        try:
            self.perform(task, again=False)
        except (Exception, SystemExit) as error:
            if is_requeued(error):
                raise
            return reason_of(error)
        return None

    def _refuse_foreign(self) -> None:
        """Refuse a folder where a user's own files would give way."""
        if "config_hash" in record(self.folder):
            return
        path = self.folder / RECORD  # an empty one is what a machine that stopped may leave
        own = RESULTS if not path.exists() else [RECORD] if path.stat().st_size else []
        for name in own:
            refuse_foreign(self.folder / name, ours=False)

    def _claim(self, *, again: bool) -> bool:
        """Make the folder this job's; tells whether there is anything to run."""
        job, program = record(self.folder), self._record["program"]
        state, wrote = job.get("state"), _wrote(self.folder, job)
        same = (job.get("config_hash"), job.get("program", program)) == (self.name, program)
        if self._resume == "never":
            same = False
        elif job and not same:
            left = [n for n in wrote if not n.startswith(".") and (self.folder / n).exists()]
            if state == "done" or left:  # what failed and left nothing is in nobody's way
                raise DataError(f"{self.folder} holds {self._other(job)}: {_ANEW}")
        done = same and state == "done"
        goes_on = same and self._goes_on and state not in ("done", "claimed")
        changed = changes(job) if self._resume == "auto" and (done or goes_on) else []
        if changed and (goes_on or again):
            raise DataError(
                f"{self.folder} holds this run as it was before {', '.join(changed)} changed: "
                f"{_ANEW}, or let that be with resume=always"
            )
        self._wrote = wrote
        if (done and not changed) or goes_on:
            self._record["read"] = dict(job.get("read", {}))
            if goes_on or (again and self._resume == "auto"):
                return True
            written.append(self.folder / RECORD)  # as good as this run's own
            return False
        self._write("claimed")
        for name in list(wrote if "wrote" in job else wrote & set(RESULTS)):
            if (self.folder / name).is_file():
                (self.folder / name).unlink()
            self._wrote.discard(name)
        return True

    def _other(self, job: Mapping[str, Any]) -> str:
        """What a folder holds instead of this job."""
        if job.get("program", self._record["program"]) != self._record["program"]:
            return f"a run of {job['program']!r}"
        there, here = job.get("overrides", []), self._record["overrides"]
        differ = [f"there {word}" for word in there if word not in here]
        differ += [f"here {word}" for word in here if word not in there]
        told = ", ".join(differ)
        brief = f" ({told})" if 0 < len(differ) < 5 and told.isprintable() else ""
        return f"another configuration{brief}"

    def _run(self, task: Callable[[], None]) -> None:
        self._write("running")
        begin = time.perf_counter()
        token = writing.set(self._note_write)
        try:
            with noting(self._note_read):
                task()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            goes_on = isinstance(error, Preempted) or is_requeued(error)
            state = "preempted" if goes_on else "failed"
            own = isinstance(error, EquiloadError | KeyboardInterrupt)
            trace = None if own else traceback.format_exc()
            with suppress(EquiloadError):  # a full disk, say: the error itself is worth more
                self._write(state, reason=reason_of(error), traceback=trace)
            raise
        finally:
            writing.reset(token)
        self._write("done", seconds=time.perf_counter() - begin)

    def _note_read(self, path: str, found: str) -> None:
        read = self._record["read"]
        told = found if read.get(path, found) == found else "it changed during the run"
        if read.get(path) != told and not Path(path).absolute().is_relative_to(self.folder):
            read[path] = told
            self._write("running")  # so that the record of a killed run has it, too

    def _note_write(self, path: Path) -> None:
        if path.is_relative_to(self.folder) and path != self.folder / RECORD:
            name = str(path.relative_to(self.folder))
            if name not in self._wrote:
                if path.exists():
                    raise DataError(f"{path} is no file of this run, and is not overwritten")
                self._wrote.add(name)
                self._write("running")  # first, so that nothing it writes is ever a stranger's

    def _write(self, state: str, **more: Any) -> None:
        content = {**self._record, "wrote": sorted(self._wrote), "state": state, **more}
        write_json(self.folder / RECORD, content)


def _wrote(folder: Path, job: Mapping[str, Any]) -> set[str]:
    """Files in a folder that a job wrote; where an earlier version made the record, all."""
    names = job.get("wrote", [])
    if job and "wrote" not in job:
        names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    here = folder.resolve()
    return {str(n) for n in names if (folder / str(n)).resolve().is_relative_to(here)}


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
