"""Training problems: batches of synthetic worlds or of one's own data, new for every step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from equiload.envs import DataError, Instance, Objective
from equiload.envs.checking import checked
from equiload.envs.data import (
    Draw,
    GeneratedSource,
    Ranges,
    ShiftedSource,
    Source,
    Split,
    SyntheticSource,
    world,
)
from equiload.envs.typing import Count, Number, Positive, Share


@dataclass(frozen=True, kw_only=True)
class Problems(ABC):
    """Step ``s`` gives a batch of training draws; the same step always gives the same batch.

    Of each batch the horizon, the reachability and the equity weights are drawn once, its members
    one by one.

    Parameters
    ----------
    batch
        Instances per step.
    horizons
        Slots: each step takes one of these.
    reachability
        ``"full"``, ``"partial"``: likewise.
    equity
        Equity weights are multiplied by a factor drawn log-uniformly from this range, in a share
        ``reweighted`` of the steps.
    moved
        Share of steps whose regions' price and intensity levels are moved by log-normal factors,
        so that a policy does not take the usual levels for granted.
    seed
        Draws ``seed · 10⁷ + s`` of the training split are used, from 10⁶ on.
    """

    batch: Count = 96
    horizons: Annotated[Sequence[Count], Field(min_length=1)] = (168,)
    reachability: Annotated[Sequence[str], Field(min_length=1)] = ("full", "partial")
    equity: tuple[Positive, Positive] = (0.2, 3.0)
    reweighted: Share = 0.0
    moved: Share = 0.0
    seed: Number = 0

    def __call__(self, step: int) -> Instance:
        """See :class:`~equiload.agents.learn.hindsight.Stream`."""
        rng = np.random.default_rng([self.seed, step])
        horizon = int(rng.choice(np.asarray(self.horizons)))
        reachability = str(rng.choice(np.asarray(self.reachability)))
        instance = self._drawn(draw_of(self.seed, step), horizon, reachability, rng)
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

    @abstractmethod
    def _drawn(
        self, draw: Draw, horizon: int, reachability: str, rng: np.random.Generator
    ) -> Instance:
        """A batch of the training split; ``rng`` is the step's."""


@checked
@dataclass(frozen=True, kw_only=True)
class SyntheticStream(Problems):
    """Batches of synthetic worlds, see :class:`Problems`; the fleet is drawn once for a batch.

    Parameters
    ----------
    regions
        Data centers of a fleet, the paper's first; or their regions by name.
    elsewhere
        Share of steps whose regions are drawn from the whole world.
    ranges
        See :class:`~equiload.envs.data.Ranges`.
    world
        The generator with what else it is to be given.
    shift
        All worlds undergo this :func:`~equiload.envs.data.shifted`. Default: none.

    Examples
    --------
    >>> stream = SyntheticStream(batch=4, horizons=[24], regions=3)
    >>> instance = stream(0)
    >>> instance.batch, instance.fleet.datacenters
    ((4,), ('Texas', 'Virginia', 'Georgia'))
    >>> bool((stream(0).trace.price == instance.trace.price).all())
    True
    """

    regions: int | Sequence[str] = 10
    elsewhere: Share = 0.0
    ranges: Mapping[str, Any] = field(default_factory=dict)
    world: GeneratedSource = field(default_factory=SyntheticSource)
    shift: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.regions, int) and not 1 <= self.regions <= len(world()):
            raise DataError(f"regions must lie in 1..{len(world())}, got {self.regions}")

    @property
    def source(self) -> Source:
        """Of fleets in the usual regions."""
        return self._source(self._usual)

    @property
    def _usual(self) -> tuple[str, ...]:
        regions = self.regions
        return tuple(world())[:regions] if isinstance(regions, int) else tuple(regions)

    def _source(self, regions: Sequence[str]) -> Source:
        options: dict[str, Any] = {"regions": regions}
        if self.ranges:
            options["ranges"] = Ranges.of(self.ranges)
        worlds = self.world.varied(**options)
        return worlds if self.shift is None else ShiftedSource(worlds, self.shift)

    def _drawn(
        self, draw: Draw, horizon: int, reachability: str, rng: np.random.Generator
    ) -> Instance:
        regions = self._usual
        if rng.random() < self.elsewhere:
            regions = tuple(rng.choice(tuple(world()), len(regions), replace=False).tolist())
        return self._source(regions).draw(
            draw, horizon=horizon, batch=self.batch, reachability=reachability
        )


@checked
@dataclass(frozen=True, kw_only=True)
class WindowStream(Problems):
    """Batches of windows of a source's training part, see :class:`Problems`.

    Parameters
    ----------
    source
        Where they come from. A horizon that its training part is too short for is refused.
    """

    source: Source

    def __post_init__(self) -> None:
        for horizon in self.horizons:
            self.source.draws(Split.TRAIN, horizon)  # says so, where there is no such window

    def _drawn(
        self, draw: Draw, horizon: int, reachability: str, rng: np.random.Generator
    ) -> Instance:
        del rng
        return self.source.draw(draw, horizon=horizon, batch=self.batch, reachability=reachability)


@checked
@dataclass(frozen=True, kw_only=True)
class MixedStream:
    """Two streams, of which each step takes one: ``share`` of the steps ``other``'s.

    The footprint kinds of ``other`` are put in the order of ``own``'s.
    """

    own: WindowStream
    other: SyntheticStream
    share: Share

    def __post_init__(self) -> None:
        try:
            _in_order(self.other.source.draw(Draw.train(0), horizon=1), self._kinds)
        except DataError as error:
            raise DataError(
                f"synthetic worlds cannot be mixed with {self.own.source.name} ({error}): train "
                "with problems.synthetic=0"
            ) from None

    def __call__(self, step: int) -> Instance:
        """See :class:`~equiload.agents.learn.hindsight.Stream`."""
        if not self.synthetic(step):
            return self.own(step)
        return _in_order(self.other(step), self._kinds)

    def synthetic(self, step: int) -> bool:
        """Does this step take a synthetic world?"""
        coin = np.random.default_rng([self.own.seed, step, 1])  # apart from the streams' own
        return bool(coin.random() < self.share)

    @cached_property
    def _kinds(self) -> tuple[str, ...]:
        first = self.own.source.draw(Draw.train(0), horizon=min(self.own.horizons))
        return first.trace.footprints


def draw_of(seed: int, step: int) -> Draw:
    """The training draw that a step of a run is made of."""
    return Draw.train(1_000_000 + 10_000_000 * seed + step)


def _in_order(instance: Instance, kinds: tuple[str, ...]) -> Instance:
    """The same problem with its footprint kinds in another order."""
    trace = instance.trace
    if trace.footprints == kinds:
        return instance
    if set(trace.footprints) != set(kinds):
        raise DataError(
            f"they have the footprint kinds {', '.join(trace.footprints)}, the data have "
            f"{', '.join(kinds)}"
        )
    order = [trace.footprints.index(kind) for kind in kinds]
    intensity = trace.intensity[..., order, :, :]
    return instance.replace(trace=trace.replace(footprints=kinds, intensity=intensity))


def _moved(instance: Instance, rng: np.random.Generator) -> Instance:
    """Every region's price and intensities times factors of their own, ``exp(N(0, 0.25²))``."""
    trace, N = instance.trace, len(instance.fleet.datacenters)
    price = np.exp(0.25 * rng.standard_normal((*instance.batch, 1, N)))
    kinds = len(trace.footprints)
    intensity = np.exp(0.25 * rng.standard_normal((*instance.batch, kinds, 1, N)))
    moved = trace.replace(price=trace.price * price, intensity=trace.intensity * intensity)
    return instance.replace(trace=moved)
