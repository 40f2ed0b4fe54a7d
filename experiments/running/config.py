"""The schema of the configuration: what may be set, and of which type. YAML holds the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from equiload.experiments.running import sweep


@dataclass
class BenchmarkConfig:
    """``equiload benchmark``."""

    #: ``_target_`` and its arguments: a :class:`~equiload.envs.data.Source`, or a function that
    #: returns an instance.
    instance: dict[str, Any] = MISSING
    #: Rows by key: each a ``name``, as it stands in tables and results, and an ``agent``, the
    #: ``_target_`` and arguments of a :class:`~equiload.envs.Policy` or an offline solver.
    algorithms: dict[str, Any] = field(default_factory=dict)
    #: Of the rows ``Learned`` and ``Robust(Learned)``: a path, or a policy that ships.
    checkpoint: str = "default"
    reachability: list[str] = MISSING
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's. (A typed dict
    #: that may be null cannot be overridden on the command line.)
    equity_weight: Any = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
    #: Numbers to put beside ours: by reachability, algorithm and quantity.
    published: Any = None
    figures: bool = True
    #: In a sweep no job writes one: ``equiload report`` does for all.
    report: bool = True


@dataclass
class TuneConfig:
    """``equiload tune``."""

    #: As for the benchmark; draws and horizons are chosen below.
    instance: dict[str, Any] = MISSING
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's. (A typed dict
    #: that may be null cannot be overridden on the command line.)
    equity_weight: Any = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
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


@dataclass
class PredictionsConfig:
    """``equiload predictions``."""

    #: As for the benchmark; draws are chosen below.
    instance: dict[str, Any] = MISSING
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's. (A typed dict
    #: that may be null cannot be overridden on the command line.)
    equity_weight: Any = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
    #: One of them.
    reachability: str = "full"
    #: Which draws: ``train``, ``validation`` or ``test``.
    split: str = MISSING
    #: How many; none: the instance as it is.
    draws: int | None = None
    #: By name: a ``forecaster`` that wraps the perfect one (``base``), and ``sizes`` of its error.
    #: Here and below, null leaves an entry out.
    errors: dict[str, Any] = field(default_factory=dict)
    #: By name: a policy that takes a ``forecaster``.
    algorithms: dict[str, Any] = field(default_factory=dict)
    #: Names of those that run in the robust layer besides, at each ρ, …
    wrapped: list[str] = field(default_factory=list)
    rho: list[float] = field(default_factory=list)
    #: … against this expert: ``_target_`` and its arguments.
    expert: dict[str, Any] = MISSING
    #: By name: a policy that is told nothing of the truth.
    references: dict[str, Any] = field(default_factory=dict)
    #: Of the bootstrap intervals.
    confidence: float = 0.95
    figures: bool = True


@dataclass
class RobustnessConfig:
    """``equiload robustness``."""

    #: ``_target_`` and its arguments: a :class:`~equiload.envs.data.Source`, or a function that
    #: returns an instance.
    instance: dict[str, Any] = MISSING
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's. (A typed dict
    #: that may be null cannot be overridden on the command line.)
    equity_weight: Any = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
    #: One of them.
    reachability: str = "full"
    #: ``_target_`` and its arguments: the policy that the guarantee refers to.
    expert: dict[str, Any] = MISSING
    advice: list[str] = MISSING
    #: ``_target_`` and its arguments of the kind of advice called ``learned``.
    learned: Any = None
    rho: list[float] = MISSING
    #: ``B`` as shares of the expert's ``J``.
    allowance: list[float] = MISSING
    method: list[str] = MISSING
    horizon_aware: bool = False
    #: Gradient steps of the adversary.
    rounds: int = MISSING
    seed: int = 0
    figures: bool = True
    #: ``adversarial``: a campaign over random problems instead.
    campaign: str | None = None
    episodes: int = MISSING


@dataclass
class TrainConfig:
    """``equiload train``."""

    #: ``kind`` (hindsight, ppo, sac, td3), its ``options``, and what else it takes.
    agent: dict[str, Any] = MISSING
    #: Of ``make_network``: ``kind`` (regions, flat), ``hidden``, ``depth``, ``residual``, ….
    network: dict[str, Any] = MISSING
    #: Features beside the standard observation, by name.
    features: list[str] = MISSING
    #: Reward scheme of ppo, sac and td3: dense, terminal, relative, hindsight_dual.
    reward: Any = None
    #: ``mode`` (off, through: train wrapped, after: wrap when trained), ``rho``, ``allowance``.
    robust: dict[str, Any] = MISSING
    #: ``_target_`` and its arguments of a source, whose training split is trained on; a recorded
    #: one's horizon and start play no part.
    instance: dict[str, Any] = MISSING
    #: By footprint kind; kinds that are not named keep the source's.
    equity_weight: Any = None
    #: What happens to every draw: price, outage, carbon or demand.
    shift: str | None = None
    #: Of ``SyntheticStream`` and ``WindowStream``: how training draws are made; ``synthetic``: the
    #: share of steps that take a synthetic world where the source is another.
    problems: dict[str, Any] = MISSING
    #: Of ``Validation``: what it is chosen by.
    validation: dict[str, Any] = MISSING
    #: ``draws`` of a ``split`` on which the best policy is judged when training has ended, a row of
    #: ``results.parquet`` each; ``horizon`` and ``reachability`` are the validation's.
    final: dict[str, Any] = MISSING
    #: With the feature ``forecast``: wraps the perfect forecast, to one of the error ``sizes``.
    forecaster: Any = None
    action_scale: float = 4.0
    price_scale: float = 100.0
    #: Checkpoint whose weights to begin with; the network and the observation must be its own.
    init: Any = None
    #: Gradient steps (hindsight) or episodes of all environments from one evaluation to the next.
    evaluate_every: int = MISSING
    seed: int = 0
    device: str = "auto"
    #: ``auto``: go on from what is in the run's folder; ``never``: begin anew.
    resume: str = "auto"


@dataclass
class EvaluateConfig:
    """``equiload evaluate``."""

    #: As for the benchmark; with ``draws`` those are chosen below.
    instance: dict[str, Any] = MISSING
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's. (A typed dict
    #: that may be null cannot be overridden on the command line.)
    equity_weight: Any = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
    #: As for the benchmark.
    algorithms: dict[str, Any] = field(default_factory=dict)
    #: Of the rows ``Learned`` and ``Robust(Learned)``: a path, or a policy that ships.
    checkpoint: str = "default"
    reachability: list[str] = MISSING
    #: Which draws: ``train``, ``validation`` or ``test``.
    split: str = MISSING
    #: How many; none: the instance as it is.
    draws: int | None = None
    #: The first one's number.
    first: int = 0
    #: Whose gap is to be closed.
    baseline: str = "eGLB"
    confidence: float = 0.95


def register() -> None:
    """Make schemas and sweeper known to Hydra; calling it again changes nothing."""
    sweep.register()
    store = ConfigStore.instance()
    store.store(name="benchmark_schema", node=BenchmarkConfig)
    store.store(name="tune_schema", node=TuneConfig)
    store.store(name="predictions_schema", node=PredictionsConfig)
    store.store(name="evaluate_schema", node=EvaluateConfig)
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="robustness_schema", node=RobustnessConfig)
