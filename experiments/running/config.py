"""The schema of the configuration: what may be set, and of which type. YAML holds the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from equiload.envs.gym.features import ACTION_SCALE, PRICE_SCALE
from equiload.envs.make import registered
from equiload.experiments.running import sweep


@dataclass
class ProgramConfig:
    """What every program takes."""

    #: ``_target_`` and its arguments: a :class:`~equiload.envs.data.Source`, or a function that
    #: returns an instance. Where a program chooses draws, its ``seed`` and ``start`` play no part.
    instance: dict[str, Any] = MISSING
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's. (A typed dict
    #: that may be null cannot be overridden on the command line.)
    equity_weight: Any = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
    #: What counts of what the run's folder holds: ``auto``, ``always``, ``never``.
    resume: str = "auto"


@dataclass
class AlgorithmsConfig:
    """Of the programs that compare algorithms."""

    #: Rows by key: each a ``name``, as it stands in tables and results, and an ``agent``, the
    #: ``_target_`` and arguments of a :class:`~equiload.envs.Policy` or an offline solver.
    algorithms: dict[str, Any] = field(default_factory=dict)
    #: Of the rows ``Learned`` and ``Robust(Learned)``: a path, or a policy that ships.
    checkpoint: str = "default"
    #: Whether a checkpoint's own classes may be imported: code of whoever wrote it.
    trust: bool = False
    reachability: list[str] = MISSING


@dataclass
class BenchmarkConfig(AlgorithmsConfig, ProgramConfig):
    """``equiload benchmark``."""

    #: Numbers to put beside ours: by reachability, algorithm and quantity.
    published: Any = None
    figures: bool = True
    #: In a sweep no job writes one: ``equiload report`` does for all.
    report: bool = True


@dataclass
class TuneConfig(ProgramConfig):
    """``equiload tune``."""

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
class PredictionsConfig(ProgramConfig):
    """``equiload predictions``."""

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
class RobustnessConfig(ProgramConfig):
    """``equiload robustness``."""

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
    #: Names, or ``_target_`` and arguments.
    method: list[Any] = MISSING
    horizon_aware: bool = False
    #: Gradient steps of the adversary.
    rounds: int = MISSING
    seed: int = 0
    figures: bool = True
    #: ``adversarial``: a campaign over random problems instead.
    campaign: str | None = None
    episodes: int = MISSING


@dataclass
class ProblemsConfig:
    """Of ``SyntheticStream`` and ``WindowStream``: how training draws are made."""

    batch: int = MISSING
    horizons: list[int] = MISSING
    reachability: list[str] = MISSING
    moved: float = MISSING
    reweighted: float = MISSING
    #: From how many times to how many times the equity weights, where they are reweighted.
    equity: list[float] | None = None
    #: Of synthetic worlds alone: how many regions, or their names; …
    regions: Any = MISSING
    elsewhere: float = MISSING
    #: … and what they range over.
    ranges: Any = None
    #: Share of steps that take a synthetic world where the source is another.
    synthetic: float | None = None


@dataclass
class ValidationConfig:
    """Of ``Validation``: what the best policy is chosen by."""

    #: Of synthetic worlds alone: the draw.
    index: int = MISSING
    draws: int = MISSING
    #: Slots.
    horizon: int = MISSING
    reachability: list[str] = MISSING


@dataclass
class FinalConfig:
    """Draws on which the best policy is judged when training has ended.

    Each gives rows of ``results.parquet``; ``horizon`` and ``reachability`` are the validation's.
    """

    split: str = MISSING
    draws: int = MISSING


@dataclass
class RobustConfig:
    """The robust layer around what is trained."""

    #: ``off``, ``through`` (train wrapped) or ``after`` (wrap when trained).
    mode: str = "off"
    rho: float = 0.1
    #: US$.
    allowance: float = 0.0
    #: A name, or ``_target_`` and arguments.
    method: Any = "blend"


@dataclass
class TrainConfig(ProgramConfig):
    """``equiload train``.

    ``agent``, ``network``, ``features``, ``reward``, ``action`` and ``robust.method`` are names of
    ``conf/names.yaml``, or ``_target_`` and arguments (:func:`equiload.envs.make.make`).
    """

    #: ``kind`` (hindsight, ppo, sac, td3), its ``options``, and what else it takes.
    agent: dict[str, Any] = MISSING
    #: ``kind`` (regions, flat), ``hidden``, ``depth``, ``residual``, ….
    network: dict[str, Any] = MISSING
    #: Beside the standard observation.
    features: list[Any] = MISSING
    #: Of ppo, sac and td3: dense, terminal, relative, hindsight_dual.
    reward: Any = None
    #: shadow_prices, routing.
    action: Any = "shadow_prices"
    robust: RobustConfig = field(default_factory=RobustConfig)
    problems: ProblemsConfig = field(default_factory=ProblemsConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    final: FinalConfig = field(default_factory=FinalConfig)
    #: With the feature ``forecast``: wraps the perfect forecast, to one of the error ``sizes``.
    forecaster: Any = None
    action_scale: float = ACTION_SCALE
    price_scale: float = PRICE_SCALE
    #: Checkpoint whose weights to begin with; the network and the observation must be its own.
    init: Any = None
    #: Gradient steps (hindsight) or episodes of all environments from one evaluation to the next.
    evaluate_every: int = MISSING
    seed: int = 0
    device: str = "auto"


@dataclass
class EvaluateConfig(AlgorithmsConfig, ProgramConfig):
    """``equiload evaluate``."""

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
    for program in ProgramConfig.__subclasses__():
        name = program.__name__.removesuffix("Config").lower()
        store.store(name=f"{name}_schema", node=program)
    for key, row in registered("algorithm").items():
        store.store(group="algorithm", name=key, package=f"algorithms.{key}", node=row)
