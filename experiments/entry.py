"""What every entry point shares: Hydra, and errors that end in one sentence."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from equiload.envs import DataError, EquiloadError
from equiload.experiments import config

#: Exit status for input that cannot be used.
BAD_INPUT = 2


def entry_point(config_name: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Turn a function of a configuration into a Hydra program with that configuration's name.

    An :class:`EquiloadError` ends the program with its sentence on standard error and status 2.
    """

    def decorate(task: Callable[[Any], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def guarded(cfg: DictConfig) -> None:
            try:
                task(cfg)
            except EquiloadError as error:
                print(f"error: {error}", file=sys.stderr)  # noqa: T201
                sys.exit(BAD_INPUT)

        config.register()
        program: Callable[[], None] = hydra.main(
            version_base="1.3", config_path="pkg://equiload.conf", config_name=config_name
        )(guarded)
        return program

    return decorate


def build(node: Any, **arguments: Any) -> Any:
    """Instantiate a ``_target_`` node; whatever its user got wrong becomes a :class:`DataError`."""
    try:
        return instantiate(node, **arguments, _convert_="all")
    except MissingMandatoryValue as error:
        raise DataError(f"{error.full_key} must be given: {error.full_key}=VALUE") from None
    except InstantiationException as error:
        if isinstance(error.__cause__, EquiloadError):
            raise error.__cause__ from None
        # A target that cannot be found or called so; errors of its own code keep their traceback.
        if error.__cause__ is None or _raised_by_the_call(error.__cause__):
            raise DataError(" ".join(str(error).split())) from None
        raise


def _raised_by_the_call(error: BaseException) -> bool:
    """Tell whether Python refused the import or the call, rather than code of the callee."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    in_hydra = traceback is not None and "hydra" in traceback.tb_frame.f_code.co_filename
    return in_hydra or isinstance(error, ImportError)


def run_folder() -> Path:
    """Folder of this run, as Hydra made it."""
    return Path(HydraConfig.get().runtime.output_dir)
