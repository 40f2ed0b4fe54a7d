"""The schema of the configuration: what may be set, of which type and in which range.

YAML holds the values. Hydra is told what there is, so that it refuses what is not; pydantic checks
every value before the program does anything.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, cast

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from equiload.envs import DataError
from equiload.envs.checking import sentence_of
from equiload.envs.gym.actions import scale_of
from equiload.envs.gym.features import PRICE_SCALE
from equiload.envs.make import registered
from equiload.envs.typing import Count, Number, Positive, Share, Size
from equiload.experiments.running import sweep
from equiload.experiments.running.jobs import config_hash

_T = TypeVar("_T")

Split = Literal["train", "validation", "test"]
Reachability = Literal["full", "partial"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Confidence = Annotated[float, Field(gt=0, lt=1)]
#: At least one.
Some = Annotated[list[_T], Field(min_length=1)]
#: From the best to the worst; ``learned`` is the user's own.
Advice = Literal["perfect", "mpc", "noisy", "stale", "greedy", "adversarial", "learned"]
#: ``_target_`` and its arguments, or of the trainers' parts a ``kind`` and options.
Node = dict[str, Any]
#: A name of ``conf/names.yaml``, or a node.
Spec = str | Node


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"a name must be a text that can be printed, got {text!r}")
    return text


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise ValueError(f"expected auto, cpu, mps, cuda or cuda:N, got {text!r}")
    return text


Name = Annotated[str, AfterValidator(_printable)]
Device = Annotated[str, AfterValidator(_device)]


class Section(BaseModel):
    """A part of a configuration: what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ProgramConfig(Section):
    """What every program takes."""

    #: Whether the program keeps its state in its folder, and goes on from it after a kill.
    goes_on: ClassVar[bool] = False

    #: ``_target_`` and its arguments: a :class:`~equiload.envs.data.Source`, or a function that
    #: returns an instance. Where a program chooses draws, its ``seed`` and ``start`` play no part.
    instance: Node
    #: By footprint kind, US$ per unit; kinds that are not named keep the instance's.
    equity_weight: dict[str, Size] | None = None
    #: What if: ``price``, ``outage``, ``carbon`` or ``demand``; see ``equiload.envs.data.shifted``.
    shift: str | None = None
    #: What counts of what the run's folder holds: ``auto``, ``always``, ``never``.
    resume: Literal["auto", "always", "never"] = "auto"

    _job: str = PrivateAttr()

    @property
    def job(self) -> str:
        """Name of the job (:func:`~equiload.experiments.running.jobs.config_hash`)."""
        return self._job

    @classmethod
    def of(cls, cfg: DictConfig) -> Self:
        """Read what Hydra composed.

        Raises
        ------
        DataError
            For the first value that is missing, or that its type or range does not allow.
        """
        try:
            own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
            given = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
            made = cls.model_validate(given)
        except MissingMandatoryValue as error:
            key = error.full_key
            raise DataError(f"{key} must be given: {key}=VALUE") from None
        except OmegaConfBaseException as error:
            raise DataError(" ".join(str(error).split())) from None
        except ValidationError as error:
            raise DataError(sentence_of(error, given, known=cls.model_fields)) from None
        made._job = config_hash(cfg)  # noqa: SLF001 - its own class
        return made


class AlgorithmConfig(Section):
    """A row of a comparison."""

    #: As it stands in tables and results.
    name: Name
    #: A :class:`~equiload.envs.Policy` or an offline solver.
    agent: Node


class AlgorithmsConfig(Section):
    """Of the programs that compare algorithms."""

    #: Rows by key.
    algorithms: dict[str, AlgorithmConfig] = {}
    #: Of the rows ``Learned`` and ``Robust(Learned)``: a path, or a policy that ships.
    checkpoint: str = "default"
    #: Whether a checkpoint's own classes may be imported: code of whoever wrote it.
    trust: bool = False


class BenchmarkConfig(AlgorithmsConfig, ProgramConfig):
    """``equiload benchmark``."""

    reachability: Some[Reachability]
    #: Numbers to put beside ours: by reachability, algorithm and quantity.
    published: dict[Reachability, dict[str, dict[str, float]]] | None = None
    figures: bool = True
    #: In a sweep no job writes one: ``equiload report`` does for all.
    report: bool = True


class ScenariosConfig(AlgorithmsConfig, ProgramConfig):
    """``equiload scenarios``."""

    #: YAML: changes by name (docs/scenarios.md).
    file: str
    #: One of them.
    reachability: Reachability = "partial"
    report: bool = True


class TuneConfig(AlgorithmsConfig, ProgramConfig):
    """``equiload tune``: eGLB's parameters, or those of the one row that ``algorithms`` has."""

    reachability: Some[Reachability]
    #: Which draws: ``train``, ``validation`` or ``test``.
    split: Split
    #: Draws of each horizon and reachability.
    draws: Count
    horizons: Some[Count]
    #: What to try of the row, by path in its ``agent`` (``on.share``): every combination.
    parameters: dict[str, Some[Any]] | None = None
    #: What to try of eGLB: every combination.
    step_size: Some[Positive]
    z_max: Some[Size]
    mirror: Some[Literal["euclidean", "entropic"]]
    schedule: Some[Literal["constant", "inverse_sqrt"]]


class ForecastErrorConfig(Section):
    """A way of being wrong."""

    #: Wraps the perfect forecast (``base``) …
    forecaster: Node
    #: … with an error of each of these sizes.
    sizes: Some[Size]


class PredictionsConfig(ProgramConfig):
    """``equiload predictions``."""

    #: One of them.
    reachability: Reachability = "full"
    #: Which draws: ``train``, ``validation`` or ``test``.
    split: Split
    #: How many; none: the instance as it is.
    draws: Annotated[int, Field(ge=2)] | None = None  # an interval needs two
    #: By name. Here and below, null leaves an entry out.
    errors: dict[str, ForecastErrorConfig | None] = {}
    #: By name: a policy that takes a ``forecaster``.
    algorithms: dict[str, Node | None] = {}
    #: Names of those that run in the robust layer besides, at each ρ, …
    wrapped: list[str] = []
    rho: list[Size] = []
    #: … against this expert: ``_target_`` and its arguments.
    expert: Node
    #: By name: a policy that is told nothing of the truth.
    references: dict[str, Node | None] = {}
    #: Of the bootstrap intervals.
    confidence: Confidence = 0.95
    figures: bool = True


class RobustnessConfig(ProgramConfig):
    """``equiload robustness``."""

    #: One of them.
    reachability: Reachability = "full"
    #: ``_target_`` and its arguments: the policy that the guarantee refers to.
    expert: Node
    advice: Some[Advice]
    #: ``_target_`` and its arguments of the kind of advice called ``learned``.
    learned: Node | None = None
    rho: Some[Size]
    #: ``B`` as shares of the expert's ``J``.
    allowance: Some[Size]
    #: Names, or ``_target_`` and arguments.
    method: Some[Spec]
    horizon_aware: bool = False
    #: Of every capacity, the share that the expert leaves free for training work.
    spare: Share = 0.0
    #: Gradient steps of the adversary.
    rounds: Number
    seed: Seed = 0
    figures: bool = True
    #: ``adversarial``: a campaign over random problems instead.
    campaign: Literal["adversarial"] | None = None
    episodes: Count


class ProblemsConfig(Section):
    """Of ``SyntheticStream`` and ``WindowStream``: how training draws are made."""

    batch: Count
    horizons: Some[Count]
    reachability: Some[Reachability]
    moved: Share
    reweighted: Share
    #: From how many times to how many times the equity weights, where they are reweighted.
    equity: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None
    #: Of synthetic worlds alone: how many regions, or their names; …
    regions: Count | Some[str]
    elsewhere: Share
    #: … and what they range over.
    ranges: Node | None = None
    #: Share of steps that take a synthetic world where the source is another.
    synthetic: Share | None = None


class ValidationConfig(Section):
    """Of ``Validation``: what the best policy is chosen by."""

    #: Of synthetic worlds alone: the draw.
    index: Number
    draws: Count
    #: Slots.
    horizon: Count
    reachability: Some[Reachability]


class FinalConfig(Section):
    """Draws on which the best policy is judged when training has ended.

    Each gives rows of ``results.parquet``; ``horizon`` and ``reachability`` are the validation's.
    """

    split: Split
    draws: Number


class RobustConfig(Section):
    """The robust layer around what is trained."""

    #: ``through``: train wrapped; ``after``: wrap when trained.
    mode: Literal["off", "through", "after"] = "off"
    rho: Size = 0.1
    #: US$.
    allowance: Size = 0.0
    method: Spec = "blend"


class TrainConfig(ProgramConfig):
    """``equiload train``.

    ``agent``, ``network``, ``features``, ``reward``, ``action`` and ``robust.method`` are names of
    ``conf/names.yaml``, or ``_target_`` and arguments (:func:`equiload.envs.make.make`).
    """

    goes_on: ClassVar[bool] = True

    #: ``kind`` (hindsight, ppo), its ``options``, and what else it takes.
    agent: Node
    #: ``kind`` (regions, flat), ``hidden``, ``depth``, ``residual``, ….
    network: Node
    #: Beside the standard observation.
    features: list[Spec]
    #: Of ppo: relative_percent, percent, dense, terminal, relative, hindsight_dual.
    reward: Spec | None = None
    #: shadow_prices, routing, residual.
    action: Spec = "shadow_prices"
    #: Slots per action, of ppo.
    hold: Count = 1
    robust: RobustConfig
    problems: ProblemsConfig
    validation: ValidationConfig
    final: FinalConfig
    #: With the feature ``forecast``: wraps the perfect forecast, to one of the error ``sizes``.
    forecaster: Node | None = None
    #: Logits per unit of action; null: the action's own.
    action_scale: Positive | None = None
    price_scale: Positive = PRICE_SCALE
    #: Checkpoint whose weights to begin with; the network and the observation must be its own.
    init: str | None = None
    #: Gradient steps (hindsight) or episodes of all environments from one evaluation to the next.
    evaluate_every: Count
    seed: Seed = 0
    device: Device = "auto"

    @property
    def scale(self) -> float:
        """Logits per unit of action."""
        return scale_of(self.action, self.action_scale)


class EvaluateConfig(AlgorithmsConfig, ProgramConfig):
    """``equiload evaluate``."""

    reachability: Some[Reachability]
    #: Which draws: ``train``, ``validation`` or ``test``.
    split: Split
    #: How many; none: the instance as it is.
    draws: Count | None = None
    #: The first one's number.
    first: Number = 0
    #: Whose gap is to be closed.
    baseline: str = "eGLB"
    confidence: Confidence = 0.95


def overrides() -> list[str]:
    """What the command line overrides, as it was typed: interpolations are not resolved."""
    typed = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return cast("list[str]", typed)


#: By program.
SCHEMAS = {
    schema.__name__.removesuffix("Config").lower(): schema
    for schema in ProgramConfig.__subclasses__()
}


def register() -> None:
    """Make schemas and sweeper known to Hydra; calling it again changes nothing."""
    sweep.register()
    store = ConfigStore.instance()
    for program, schema in SCHEMAS.items():
        store.store(name=f"{program}_schema", node=_options(schema))
    for key, row in registered("algorithm").items():
        store.store(group="algorithm", name=key, package=f"algorithms.{key}", node=row)


def _options(schema: type[Section]) -> dict[str, Any]:
    """What there is to set, and what it is if nobody says."""
    options: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            options[name] = _options(kind)
        else:
            options[name] = MISSING if field.is_required() else field.default
    return options
