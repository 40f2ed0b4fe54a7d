"""What every trainer makes of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from equiload.agents import EGLB
from equiload.agents.forecast import Perfect
from equiload.agents.learn.checkpoint import load_checkpoint
from equiload.agents.learn.hindsight import Stream
from equiload.agents.learn.policy import deepened, shipped
from equiload.agents.learn.problems import MixedStream, SyntheticStream, WindowStream, draw_of
from equiload.envs import DataError, Instance
from equiload.envs.data import (
    Draw,
    GeneratedSource,
    ShiftedSource,
    Source,
    SyntheticSource,
)
from equiload.envs.forecast import Forecaster
from equiload.envs.gym.features import make_features
from equiload.envs.make import called, instantiated, label_of, target_of
from equiload.experiments.running.config import TrainConfig
from equiload.robust import EnvironmentLayer

#: Share of synthetic worlds where one's own data are trained on and nothing is said. A year has
#: only some forty weeks to train on: the other half of the steps are problems never seen before.
_SHARE = 0.5
#: Slots that the generator can make, where the data's own are of another length it makes hours.
_MINUTES = (5, 15, 30, 60)
#: Options of ``problems`` that mean the same for windows as for synthetic worlds.
_COMMON = ("batch", "horizons", "reachability", "equity", "reweighted", "moved")


def make_stream(cfg: TrainConfig, source: Source) -> Stream:
    """Batches of training draws: synthetic worlds, windows of one's own data, or both by share.

    Raises
    ------
    DataError
        For problems that do not go together, or that the source has no room for.
    """
    worlds, windows = _streams(cfg, source)
    if windows is None:
        return worlds
    share = synthetic_share(cfg, source)
    return MixedStream(own=windows, other=worlds, share=share) if share else windows


def synthetic_share(cfg: TrainConfig, source: Source) -> float:
    """Share of the steps that take a synthetic world; 1 where there are no other data."""
    if _generator(source) is not None:
        return 1.0
    share = cfg.problems.synthetic
    one_fleet = _one_fleet(cfg)
    if share is None:
        return 0.0 if one_fleet else _SHARE
    if share and one_fleet:
        raise DataError(
            f"{one_fleet} knows one fleet, so synthetic worlds cannot be mixed with {source.name}: "
            f"train with problems.synthetic=0, got {share}"
        )
    return float(share)


def _streams(cfg: TrainConfig, source: Source) -> tuple[SyntheticStream, WindowStream | None]:
    """The stream of synthetic worlds, and of the source's windows if it is another."""
    options = {k: v for k, v in vars(cfg.problems).items() if k != "synthetic" and v is not None}
    common = {key: options[key] for key in _COMMON if key in options} | {"seed": cfg.seed}
    generator, windows = _generator(source), None
    if generator is not None:
        options["regions"] = generator.options.get("regions", options.get("regions", 10))
        ranges = generator.options.get("ranges")
        options["ranges"] = options.get("ranges") or ({} if ranges is None else ranges)
    else:
        windows = WindowStream(source=source, **common)
        generator = _like(source.draw(Draw.train(0), horizon=min(windows.horizons)))
    shift = source.kind if isinstance(source, ShiftedSource) else None
    options |= {"seed": cfg.seed, "world": generator, "shift": shift}
    return called("problems", SyntheticStream, **options), windows


def _generator(source: Source) -> GeneratedSource | None:
    """The synthetic world, if that is what the source draws."""
    base = source.base if isinstance(source, ShiftedSource) else source
    if isinstance(base, GeneratedSource) and base.name == SyntheticSource().name:
        return base
    return None


def _like(own: Instance) -> SyntheticSource:
    """The generator with the footprint kinds, equity weights and slots of a recorded trace."""
    options: dict[str, Any] = {"equity_weight": dict(own.objective.equity_weight)}
    apart = np.diff(own.trace.timestamps[:2]) / np.timedelta64(1, "m")
    if len(apart) and apart[0] in _MINUTES:
        options["slot_minutes"] = int(apart[0])
    return SyntheticSource(**options)


def _one_fleet(cfg: TrainConfig) -> str:
    """What of the configuration can only be trained on one fleet; empty: nothing."""
    for kind, spec in (("network", cfg.network), ("action", cfg.action)):
        if getattr(target_of(kind, spec), "one_fleet", False):
            return f"{kind}={label_of(spec)}"
    return ""


def features_of(cfg: TrainConfig, instance: Instance, step: int = 0) -> Any:
    """Features beside the standard observation, of the problems of a step.

    The perfect forecast is made wrong for them, to a size that differs from step to step.
    """
    forecaster: Forecaster | None = None
    if cfg.forecaster is not None:
        node = dict(cfg.forecaster)
        sizes, index = node.pop("sizes"), draw_of(cfg.seed, step).index
        size = float(np.random.default_rng([cfg.seed, index]).choice(np.asarray(sizes)))
        forecaster = instantiated({**node, "base": Perfect(instance), "size": size})
    return make_features(cfg.features, forecaster)


def layer_of(cfg: TrainConfig) -> Callable[[], EnvironmentLayer] | None:
    """Makes the robust layer to train through; none, if not so trained."""
    robust = cfg.robust
    if robust.mode != "through":
        return None
    if robust.method != "blend":
        raise DataError("robust=through trains through the method blend: leave robust.method")
    return lambda: EnvironmentLayer(EGLB(), rho=robust.rho, allowance=robust.allowance)


def init_weights(cfg: TrainConfig) -> dict[str, Tensor] | None:
    """Weights of the checkpoint to begin with; none if there is none."""
    if cfg.init is None:
        return None
    checkpoint = load_checkpoint(shipped(cfg.init))
    if list(checkpoint.observation.get("features", ())) != list(cfg.features):
        raise DataError(
            f"init {cfg.init!r} looks at the features {checkpoint.observation.get('features')}, "
            f"this run at {list(cfg.features)}"
        )
    return deepened(checkpoint, int(cfg.network.get("depth") or 0))
