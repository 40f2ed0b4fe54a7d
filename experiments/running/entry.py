"""What every entry point shares: Hydra, resuming sweeps, and errors that end in one sentence."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from threadpoolctl import threadpool_limits

from equiload.envs import DataError, EquiloadError
from equiload.envs.make import instantiated
from equiload.envs.validation import stated
from equiload.experiments.running import config
from equiload.experiments.running.jobs import Job
from equiload.experiments.running.preemption import Preempted

#: Exit status for input that cannot be used, and for a job that goes on when it is run again.
BAD_INPUT, AGAIN = 2, 75
#: As shells have it, of a program that Ctrl-C ended.
INTERRUPTED = 130


def entry_point(config_name: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Turn a function of a configuration into a Hydra program with that configuration's name.

    An :class:`EquiloadError` ends the program with its sentence on standard error and status 2,
    Ctrl-C with status 130.
    In a sweep (``-m``) a job that is done already does not run again, and one that fails ends
    alone: :mod:`equiload.experiments.running.sweep`.
    """

    def decorate(task: Callable[[Any], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def guarded(cfg: DictConfig) -> str | None:
            logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every PDF
            job = Job(run_folder(), cfg, list(HydraConfig.get().overrides.task))
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                hold_threads()
                return job.resume(functools.partial(task, cfg))
            try:
                job.perform(functools.partial(task, cfg))
            except (EquiloadError, Preempted) as error:
                print(f"error: {error}", file=sys.stderr)  # noqa: T201
                sys.exit(BAD_INPUT if isinstance(error, EquiloadError) else AGAIN)
            except KeyboardInterrupt:
                print(f"interrupted; what was finished is in {run_folder()}", file=sys.stderr)  # noqa: T201
                sys.exit(INTERRUPTED)
            return None

        config.register()
        program: Callable[[], None] = hydra.main(
            version_base="1.3", config_path="pkg://equiload.conf", config_name=config_name
        )(guarded)
        return program

    return decorate


def build(node: Any, **arguments: Any) -> Any:
    """Build a ``_target_`` node; whatever its user got wrong becomes a :class:`DataError`."""
    return instantiated({**plain(node), **arguments})


def plain(node: Any) -> Any:
    """A node of the configuration as dictionaries and lists, its interpolations resolved."""
    if isinstance(node, Mapping) and not OmegaConf.is_config(node):
        return {key: plain(value) for key, value in node.items()}
    if not OmegaConf.is_config(node):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise DataError(f"{error.full_key} must be given: {error.full_key}=VALUE") from None


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
