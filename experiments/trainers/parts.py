"""What every trainer makes of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from equiload.agents import EGLB
from equiload.agents.forecast import Perfect
from equiload.agents.learn.checkpoint import load_checkpoint
from equiload.agents.learn.observation import make_features
from equiload.agents.learn.policy import deepened, shipped
from equiload.agents.learn.problems import SyntheticStream
from equiload.envs import DataError, Instance
from equiload.envs.data import Draw
from equiload.envs.forecast import Forecaster
from equiload.experiments.config import TrainConfig
from equiload.experiments.entry import build
from equiload.robust import EnvironmentLayer


def make_stream(cfg: TrainConfig) -> SyntheticStream:
    """Batches of training draws."""
    return SyntheticStream(**{**dict(cfg.problems), "seed": cfg.seed})


def features_of(cfg: TrainConfig, instance: Instance) -> Any:
    """Features beside the standard observation."""
    return make_features(cfg.features, _forecaster(cfg, instance))


def layer_of(cfg: TrainConfig) -> Callable[[], EnvironmentLayer] | None:
    """Makes the robust layer to train through; none, if not so trained."""
    robust = dict(cfg.robust)
    if robust["mode"] != "through":
        return None
    return lambda: EnvironmentLayer(EGLB(), rho=robust["rho"], allowance=robust["allowance"])


def given_weights(cfg: TrainConfig) -> dict[str, Tensor] | None:
    """Weights of the checkpoint to begin with; none if there is none."""
    if cfg.init is None:
        return None
    checkpoint = load_checkpoint(shipped(str(cfg.init)))
    if list(checkpoint.observation.get("features", ())) != list(cfg.features):
        raise DataError(
            f"init {cfg.init!r} looks at the features {checkpoint.observation.get('features')}, "
            f"this run at {list(cfg.features)}"
        )
    return deepened(checkpoint, int(cfg.network.get("depth", 0)))


def _forecaster(cfg: TrainConfig, instance: Instance) -> Forecaster | None:
    """The perfect forecast made wrong, to a size that differs from batch to batch."""
    if cfg.forecaster is None:
        return None
    node = dict(cfg.forecaster)
    sizes, index = node.pop("sizes"), Draw.of(instance.trace.provenance["draw"].split("[")[0]).index
    size = float(np.random.default_rng([cfg.seed, index]).choice(np.asarray(sizes)))
    forecaster: Forecaster = build(node, base=Perfect(instance), size=size)
    return forecaster
