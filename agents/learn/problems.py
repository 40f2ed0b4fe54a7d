"""Training problems: batches of the synthetic world, drawn anew for every gradient step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equiload.envs import DataError, Instance, Objective
from equiload.envs.data import Draw, Ranges, synthetic, world


@dataclass(frozen=True, kw_only=True)
class SyntheticStream:
    """Step ``s`` gives a batch of training draws; the same step always gives the same batch.

    Of each batch the horizon, the reachability, the fleet and the equity weights are drawn once,
    its worlds one by one.

    Parameters
    ----------
    batch
        Instances per step.
    horizons
        Slots: each step takes one of these.
    reachability
        ``"full"``, ``"partial"``: likewise.
    regions
        Data centers of a fleet.
    elsewhere
        Share of steps whose regions are drawn from the whole world. The others take the paper's.
    equity
        Equity weights are multiplied by a factor drawn log-uniformly from this range, in a share
        ``reweighted`` of the steps.
    moved
        Share of steps whose regions' price and intensity levels are moved by log-normal factors,
        so that a policy does not take the world's usual levels for granted.
    ranges
        See :class:`~equiload.envs.data.Ranges`.
    seed
        Draws ``seed · 10⁷ + s`` of the training split are used, from 10⁶ on.
    """

    batch: int = 96
    horizons: Sequence[int] = (168,)
    reachability: Sequence[str] = ("full", "partial")
    regions: int = 10
    elsewhere: float = 0.0
    equity: tuple[float, float] = (0.2, 3.0)
    reweighted: float = 0.0
    moved: float = 0.0
    ranges: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.batch >= 1 and self.horizons and self.reachability):
            raise DataError("a stream needs a batch of at least 1, horizons and reachability")
        if not 1 <= self.regions <= len(world()):
            raise DataError(f"regions must lie in 1..{len(world())}, got {self.regions}")
        for name in ("elsewhere", "reweighted", "moved"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name} must be a share from 0 to 1, got {getattr(self, name)}")

    def __call__(self, step: int) -> Instance:
        """See :class:`~equiload.agents.learn.hindsight.Stream`."""
        rng = np.random.default_rng([self.seed, step])
        horizon = int(rng.choice(np.asarray(self.horizons)))
        reachability = str(rng.choice(np.asarray(self.reachability)))
        names = tuple(world())
        regions = names[: self.regions]
        if rng.random() < self.elsewhere:
            regions = tuple(rng.choice(names, self.regions, replace=False).tolist())
        instance = synthetic(
            Draw.train(1_000_000 + 10_000_000 * self.seed + step),
            horizon=horizon,
            batch=self.batch,
            reachability=reachability,
            regions=regions,
            ranges=Ranges.of(self.ranges),
        )
        if instance.fleet.dispatch.cuts is None:  # too many reaches for a soft dispatch
            instance = instance.with_full_reachability()
        if rng.random() < self.reweighted:
            factor = float(np.exp(rng.uniform(*np.log(self.equity))))
            weights = instance.objective.equity_weight
            scaled = {kind: factor * weight for kind, weight in weights.items()}
            instance = instance.replace(objective=Objective(equity_weight=scaled))
        if rng.random() < self.moved:
            instance = _moved(instance, rng)
        return instance


def _moved(instance: Instance, rng: np.random.Generator) -> Instance:
    """Every region's price and intensities times factors of their own, ``exp(N(0, 0.25²))``."""
    trace, N = instance.trace, len(instance.fleet.datacenters)
    price = np.exp(0.25 * rng.standard_normal((*instance.batch, 1, N)))
    kinds = len(trace.footprints)
    intensity = np.exp(0.25 * rng.standard_normal((*instance.batch, kinds, 1, N)))
    return instance.replace(
        trace=dataclasses.replace(
            trace, price=trace.price * price, intensity=trace.intensity * intensity
        )
    )
