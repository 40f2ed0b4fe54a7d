"""The schema of the configuration: what may be set, and of which type. YAML holds the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class AlgorithmConfig:
    """One row of the benchmark."""

    #: As it stands in tables and results.
    name: str = MISSING
    #: ``_target_`` and its arguments: a :class:`~equiload.envs.Policy` or an offline solver.
    agent: dict[str, Any] = MISSING


@dataclass
class BenchmarkConfig:
    """``python -m equiload.experiments.benchmark``."""

    #: ``_target_`` and its arguments: a function that returns an instance.
    instance: dict[str, Any] = MISSING
    algorithms: dict[str, AlgorithmConfig] = field(default_factory=dict)
    reachability: list[str] = MISSING
    equity_weight: dict[str, float] | None = None
    figures: bool = True


@dataclass
class TuneConfig:
    """``python -m equiload.experiments.tune``."""

    #: ``_target_`` and its arguments, without seed, horizon and reachability.
    instance: dict[str, Any] = MISSING
    #: Training draws of each horizon.
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
