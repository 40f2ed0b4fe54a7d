"""Sweeps that go on where they stopped: Hydra's basic sweeper, minus what is done already.

Jobs are told apart by their resolved configuration and leave ``job.json`` in their folders
(:mod:`equiload.experiments.running.jobs`). A launcher that dies with a worker loses nothing: jobs
that had not begun are launched again, those that were running one by one, and one that dies alone
has failed.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from equiload.envs import DataError, EquiloadError
from equiload.experiments.running.files import replacing, write_json
from equiload.experiments.running.jobs import (
    LOCK,
    PATIENCE,
    RECORD,
    changes,
    config_hash,
    held,
    is_done,
    reason_of,
    record,
    refuse_foreign,
    resume_of,
)

#: Version of the layout of ``sweep.json``.
SCHEMA = 1
_CONFIG, _JOBS = "multirun.yaml", "sweep.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Planned:
    """A job of a sweep: its folder, its configuration's hash, and what it overrides."""

    folder: Path
    name: str
    overrides: Sequence[str]
    resume: str = "auto"

    def remains(self) -> bool:
        """Is there anything to run? If it was done before, the log says why."""
        job = record(self.folder)
        if not is_done(job, self.name) or self.resume == "never":
            return True
        changed = [] if self.resume == "always" else changes(job)
        if changed:
            log.info("%s runs again, changed: %s", self.folder.name, "; ".join(changed))
        return bool(changed)


def run_sweep(sweeper: BasicSweeper, arguments: list[str]) -> None:
    """Run what is not done; exit status 1 if anything failed, 2 if nothing can be run."""
    assert sweeper.config is not None
    assert sweeper.launcher is not None
    folder = Path(sweeper.config.hydra.sweep.dir)
    try:
        jobs = _plan(sweeper, folder, arguments)
        ours = (folder / LOCK).exists() or any(folder.glob(f"*/{RECORD}"))
        for name in (_CONFIG, _JOBS):
            refuse_foreign(folder / name, ours=ours)
        with held(folder, wait=PATIENCE), replacing(folder / _CONFIG) as draft:
            OmegaConf.save(sweeper.config, draft)
    except (EquiloadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    remaining = [job for job in jobs if job.remains()]
    log.info("%d jobs, %d of them done before", len(jobs), len(jobs) - len(remaining))
    failed = _run(sweeper.launcher, remaining)
    _report(folder, jobs, failed)
    if failed:
        sys.exit(1)


def _plan(sweeper: BasicSweeper, folder: Path, arguments: list[str]) -> list[Planned]:
    """Every combination once, in the sweep's order."""
    assert sweeper.config is not None
    assert sweeper.hydra_context is not None
    loader = sweeper.hydra_context.config_loader
    assignments = [*(f"{key}={value}" for key, value in sweeper.params.items()), *arguments]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(assignments)
    (combinations,) = sweeper.split_arguments(overrides, None)
    jobs: dict[Path, Planned] = {}
    for combination in combinations:
        cfg = loader.load_sweep_config(sweeper.config, list(combination))
        try:
            place = folder / str(cfg.hydra.sweep.subdir)
            job = Planned(place, config_hash(cfg), combination, resume_of(cfg))
        except OmegaConfBaseException as error:
            raise DataError(f"{' '.join(combination)}: {' '.join(str(error).split())}") from None
        if jobs.setdefault(job.folder, job).name != job.name:
            raise DataError(f"two jobs share the folder {job.folder}: leave hydra.sweep.subdir")
    return list(jobs.values())


def _run(launcher: Launcher, jobs: Sequence[Planned]) -> dict[Planned, str]:
    """Launch until every job has ended; the reasons of those that failed."""
    failed: dict[Planned, str] = {}
    if hasattr(launcher, "joblib"):
        launcher.joblib |= {"initializer": _end_with, "initargs": (os.getpid(),)}
    batches = [list(jobs)] if jobs else []
    while batches:
        batch = batches.pop(0)
        before = {job: record(job.folder) for job in batch}
        try:
            returns = launcher.launch([job.overrides for job in batch], 0)
        except Exception as error:  # noqa: BLE001 - whatever a launcher may die of
            more, lost = _sort(batch, reason_of(error), before)
            failed |= lost
            batches += more
        else:
            reasons = [_reason(result) for result in returns]
            failed |= {j: r for j, r in zip(batch, reasons, strict=True) if r is not None}
    return failed


def _reason(result: Any) -> str | None:
    """Why a job failed, as it returned it."""
    reason = result._return_value  # noqa: SLF001 - the property raises it
    return reason_of(reason) if isinstance(reason, BaseException) else reason


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, however that ends (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it has ended already
            os._exit(1)


def _sort(
    batch: Sequence[Planned], error: str, before: Mapping[Planned, Mapping[str, Any]]
) -> tuple[list[list[Planned]], dict[Planned, str]]:
    """What to launch again after a launcher died, and what has failed.

    A record that was there ``before`` is of an earlier try. A job that its scheduler has queued
    again has not failed, whatever its launcher took the pause for: launched once more, it is run
    by whichever of the two begins first, and is done for the other.
    """
    found = {job: record(job.folder) for job in batch}
    new = {job: {} if entry == before[job] else entry for job, entry in found.items()}
    records = {job: entry for job, entry in new.items() if not is_done(entry, job.name)}
    failed = {j: str(r["reason"]) for j, r in records.items() if r.get("state") == "failed"}
    begun = [job for job, entry in records.items() if entry and job not in failed]
    waiting = [job for job, entry in records.items() if not entry]
    if len(batch) == 1 and not any(r.get("state") == "preempted" for r in records.values()):
        return [], failed | dict.fromkeys(begun + waiting, f"it ended without a result ({error})")
    nothing_began = len(waiting) == len(batch)
    again = [[job] for job in waiting] if nothing_began else [waiting] if waiting else []
    return [[job] for job in begun] + again, failed


def _report(folder: Path, jobs: Sequence[Planned], failed: dict[Planned, str]) -> None:
    """Write ``sweep.json`` and say what failed, and why."""
    lines = [
        {
            "folder": str(job.folder.relative_to(folder)),
            "config_hash": job.name,
            "overrides": list(job.overrides),
            "state": "failed" if job in failed else "done",
            "reason": failed.get(job),
        }
        for job in jobs
    ]
    for job, reason in failed.items():
        print(f"failed: {job.folder.name}, {' '.join(job.overrides)}: {reason}", file=sys.stderr)  # noqa: T201
    done = len(jobs) - len(failed)
    print(f"{done} of {len(jobs)} jobs done, {len(failed)} failed: {folder}", file=sys.stderr)  # noqa: T201
    # A full disk must not hide what was said above.
    with suppress(EquiloadError, OSError), held(folder, wait=PATIENCE):
        write_json(folder / _JOBS, {"schema": SCHEMA, "jobs": lines})


@dataclass
class _Config:
    """As of Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.equiload_sweeper.ResumingSweeper"
    #: Jobs are never launched in parts.
    max_batch_size: int | None = None
    #: Values to sweep by default: ``{instance.seed: "range(8)"}``.
    params: dict[str, str] | None = None


def register() -> None:
    """Make the sweeper known to Hydra; calling it again changes nothing."""
    plugins = Plugins.instance()  # it loads Hydra's basic sweeper anew: ours must come after it
    from hydra_plugins.equiload_sweeper import ResumingSweeper

    plugins.register(ResumingSweeper)  # an editable install is not scanned
    ConfigStore.instance().store(group="hydra/sweeper", name="resuming", node=_Config)
