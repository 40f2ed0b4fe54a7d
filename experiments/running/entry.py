"""What every entry point shares: Hydra, resuming sweeps, and errors that end in one sentence."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from threadpoolctl import threadpool_limits

from equiload.envs import EquiloadError
from equiload.envs.errors import printable
from equiload.envs.validation import stated
from equiload.experiments.running import config
from equiload.experiments.running.files import replacing
from equiload.experiments.running.jobs import Job
from equiload.experiments.running.options import explained
from equiload.experiments.running.preemption import Preempted

#: Exit status for input that cannot be used, and for a job that goes on when it is run again.
BAD_INPUT, AGAIN = 2, 75
#: As shells have it, of a program that Ctrl-C ended.
INTERRUPTED = 130


def program(name: str) -> Callable[[], None]:
    """Return the Hydra program ``name``: ``perform`` of the module in ``programs``, configured.

    The module is loaded once its configuration has been read: help and refusals are not kept
    waiting.

    An :class:`EquiloadError`, and what the system refuses (a full disk, say), end the program
    with one sentence on standard error and status 2, Ctrl-C with status 130.
    Its folder is claimed for its configuration first (:mod:`equiload.experiments.running.jobs`).
    In a sweep (``-m``) a job that is done already does not run again, and one that fails ends
    alone: :mod:`equiload.experiments.running.sweep`.
    """
    module, schema = f"equiload.experiments.programs.{name}", config.SCHEMAS[name]

    def task(cfg: DictConfig) -> str | None:
        # They tell of every PDF, and of every axis whose places are named by numbers.
        for chatty in ("fontTools", "matplotlib.category"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        sweeps = HydraConfig.get().mode == RunMode.MULTIRUN

        def perform(settings: Any) -> None:
            _write_down(cfg)
            import_module(module).perform(settings)

        try:
            settings = None if sweeps else schema.of(cfg)  # before anything is written
            job = Job(run_folder(), cfg, config.overrides(), name, schema.goes_on)
            if sweeps:
                hold_threads()
                return job.resume(lambda: perform(schema.of(cfg)))
            if not job.perform(lambda: perform(settings)):
                print(f"{run_folder()}: done before, with resume=always nothing is run")  # noqa: T201
        except (EquiloadError, OSError, Preempted) as error:
            print(f"error: {printable(error)}", file=sys.stderr)  # noqa: T201
            sys.exit(AGAIN if isinstance(error, Preempted) else BAD_INPUT)
        except KeyboardInterrupt:
            print(f"interrupted; what was finished is in {run_folder()}", file=sys.stderr)  # noqa: T201
            sys.exit(INTERRUPTED)
        return None

    task.__module__ = module  # Hydra's name of the job
    config.register()
    configured: Callable[[], None] = hydra.main(
        version_base="1.3", config_path="pkg://equiload.conf", config_name=name
    )(task)

    def main() -> None:
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raised, not printed
        try:
            configured()
        except (HydraException, OmegaConfBaseException, OSError, ValueError) as error:
            known = HydraException | OmegaConfBaseException | OSError
            cause = error if isinstance(error, known) else error.__cause__  # of its log file
            if not isinstance(cause, known):
                raise
            said = explained(cause, name, sys.argv[1:])
            print(f"error: {printable(said)}", file=sys.stderr)  # noqa: T201
            sys.exit(BAD_INPUT)

    return main


def _write_down(cfg: DictConfig) -> None:
    """Write the settings into the run's folder; Hydra would not ask whose folder it is."""
    hydra: Any = HydraConfig.instance().cfg
    written = {"config": cfg, "hydra": hydra, "overrides": hydra.hydra.overrides.task}
    for name, content in written.items():
        with replacing(run_folder() / ".hydra" / f"{name}.yaml") as draft:
            OmegaConf.save(content, draft)


def hold_threads() -> None:
    """Hold numeric libraries to ``OMP_NUM_THREADS`` (1 where jobs run side by side).

    The variable alone does not reach libraries that are loaded already.
    """
    side_by_side = HydraConfig.get().runtime.choices["hydra/launcher"] != "basic"
    wanted = stated("OMP_NUM_THREADS")
    if wanted is None and side_by_side:
        os.environ["OMP_NUM_THREADS"] = "1"  # for what is loaded from here on
        wanted = 1
    if wanted is None:
        return
    if "numba" in sys.modules:  # first: its thread pool, when made, sets OpenMP's number anew
        numba = sys.modules["numba"]
        numba.set_num_threads(min(wanted, numba.config.NUMBA_NUM_THREADS))
    threadpool_limits(wanted)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(wanted)


def run_folder() -> Path:
    """Folder of this run, as Hydra made it."""
    return Path(HydraConfig.get().runtime.output_dir)
