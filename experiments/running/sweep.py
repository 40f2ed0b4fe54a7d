"""Sweeps that go on where they stopped: Hydra's basic sweeper, minus what is done already.

Jobs are told apart by their resolved configuration and leave ``job.json`` in their folders
(:mod:`equiload.experiments.running.jobs`). A launcher that dies with a worker loses nothing: jobs
that had not begun are launched again, those that were running one by one, and one that dies alone
has failed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
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
from equiload.experiments.running.jobs import RECORD, config_hash, is_done, reason_of, record

#: Version of the layout of ``sweep.json``.
SCHEMA = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Planned:
    """A job of a sweep: its folder, its configuration's hash, and what it overrides."""

    folder: Path
    name: str
    overrides: Sequence[str]

    @property
    def done(self) -> bool:
        """Has it been run to its end?"""
        return is_done(self.folder, self.name)


def run_sweep(sweeper: BasicSweeper, arguments: list[str]) -> None:
    """Run what is not done; exit status 1 if anything failed, 2 if nothing can be run."""
    assert sweeper.config is not None
    assert sweeper.launcher is not None
    folder = Path(sweeper.config.hydra.sweep.dir)
    try:
        jobs = _plan(sweeper, folder, arguments)
        with replacing(folder / "multirun.yaml") as draft:
            OmegaConf.save(sweeper.config, draft)
    except EquiloadError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    remaining = [job for job in jobs if not job.done]
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
            job = Planned(folder / str(cfg.hydra.sweep.subdir), config_hash(cfg), combination)
        except OmegaConfBaseException as error:
            raise DataError(f"{' '.join(combination)}: {' '.join(str(error).split())}") from None
        if jobs.setdefault(job.folder, job).name != job.name:
            raise DataError(f"two jobs share the folder {job.folder}: leave hydra.sweep.subdir")
    return list(jobs.values())


def _run(launcher: Launcher, jobs: Sequence[Planned]) -> dict[Planned, str]:
    """Launch until every job has ended; the reasons of those that failed."""
    failed: dict[Planned, str] = {}
    batches = [list(jobs)] if jobs else []
    while batches:
        batch = batches.pop(0)
        for job in batch:
            if not job.done:
                (job.folder / RECORD).unlink(missing_ok=True)  # of an earlier try
        try:
            returns = launcher.launch([job.overrides for job in batch], 0)
        except Exception as error:  # noqa: BLE001 - whatever a launcher may die of
            more, lost = _sort(batch, reason_of(error))
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


def _sort(batch: Sequence[Planned], error: str) -> tuple[list[list[Planned]], dict[Planned, str]]:
    """What to launch again after a launcher died, and what has failed."""
    records = {job: record(job.folder) for job in batch if not job.done}
    failed = {job: str(entry["reason"]) for job, entry in records.items() if "reason" in entry}
    begun = [job for job, entry in records.items() if entry and job not in failed]
    waiting = [job for job, entry in records.items() if not entry]
    if len(batch) == 1:
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
    with suppress(EquiloadError):  # a full disk must not hide what was said above
        write_json(folder / "sweep.json", {"schema": SCHEMA, "jobs": lines})


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
