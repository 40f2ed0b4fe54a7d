"""The schema of the configuration: what may be set, and of which type. YAML holds the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class BenchmarkConfig:
    """``python -m equiload.experiments.benchmark``."""

    #: ``_target_`` and its arguments: a function that returns an instance.
    instance: dict[str, Any] = MISSING
    #: Rows by key: each a ``name``, as it stands in tables and results, and an ``agent``, the
    #: ``_target_`` and arguments of a :class:`~equiload.envs.Policy` or an offline solver.
    algorithms: dict[str, Any] = field(default_factory=dict)
    reachability: list[str] = MISSING
    #: By footprint kind; kinds that are not named keep the instance's. (A typed dict that may be
    #: null cannot be overridden on the command line.)
    equity_weight: Any = None
    figures: bool = True


@dataclass
class TuneConfig:
    """``python -m equiload.experiments.tune``."""

    #: ``_target_`` and its arguments, without seed, horizon and reachability.
    instance: dict[str, Any] = MISSING
    #: Which draws: ``train``, ``validation`` or ``test``.
    split: str = MISSING
    #: Draws of each horizon and reachability.
    draws: int = MISSING
    horizons: list[int] = MISSING
    reachability: list[str] = MISSING
    #: What to try: every combination.
    step_size: list[float] = MISSING
    z_max: list[float] = MISSING
    mirror: list[str] = MISSING
    schedule: list[str] = MISSING


def register() -> None:
    """Make the schemas known to Hydra; calling it again changes nothing."""
    store = ConfigStore.instance()
    store.store(name="benchmark_schema", node=BenchmarkConfig)
    store.store(name="tune_schema", node=TuneConfig)
