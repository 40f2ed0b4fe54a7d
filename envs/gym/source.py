"""Where an environment's episodes come from: a name, a generator, or instances at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from equiload.envs.data.draw import Split
from equiload.envs.data.source import RecordedSource, Source, named_source
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance, Objective
from equiload.envs.series import Series
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import FloatArray, IntArray, TimeArray

_OPTIONS = ("start", "member")


@runtime_checkable
class InstanceGenerator(Protocol):
    """Draws problems on one fleet."""

    def __call__(self, rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        """Return a fresh instance with leading axes ``batch``, every draw taken from ``rng``."""
        ...


#: What ``instance=`` accepts.
InstanceLike: TypeAlias = str | Source | Instance | InstanceGenerator


@dataclass(frozen=True, eq=False)
class Episodes:
    """``B`` episodes of equal horizon on one fleet, as stretches of one pool of slots.

    Episode ``b`` is the pool's slots from ``first[b]`` on. So a slot of all episodes is one gather
    of each series, and windows of the same trace share its memory.

    Parameters
    ----------
    setting
        Of the ``B`` episodes.
    pool
        The series with slots in front: ``[slots, N]``, of the intensity ``[slots, K, N]``.
    timestamps
        ``[slots]``.
    first
        ``[B]``.
    """

    setting: Setting
    pool: Series
    timestamps: TimeArray
    first: IntArray

    def slot(self, t: int) -> Slot:
        """Slot ``t`` of every episode, with leading axis ``[B]``: copies of that slot alone."""
        rows = self.first + t
        return Slot.at(
            self.pool.map(lambda array: array.take(rows, axis=0)), t, self.timestamps[rows]
        )

    def instance(self, index: int | slice = slice(None)) -> Instance:
        """One episode (or several) as an instance: all of it, for what may know the future."""
        rows = np.asarray(self.first[index])[..., None] + np.arange(self.setting.horizon)
        series = self.pool.map(lambda array: np.moveaxis(array[rows], rows.ndim - 1, -2))
        fleet, objective = self.setting.fleet, self.setting.objective
        return Instance.of_series(fleet, objective, series, self.timestamps[rows], "episode")


class EpisodeSampler:
    """Draws episodes, each from its own random generator.

    Parameters
    ----------
    instance
        A source, by name (``"synthetic"``, ``"table:my-world.yaml"``) or itself: each episode is a
        training draw, of a recorded trace a window of the training part (but
        ``"synthetic:test/3"`` is that one draw). A generator that draws a fresh problem for each
        episode. Or an :class:`Instance`; of a batch of instances each episode takes one at random.
    horizon
        Slots per episode, a random window of the problem drawn. Default: all of it.
    reachability
        ``"full"``, a matrix ``[J, N]``, of a source also ``"partial"`` (its own), or none: as the
        instance or the recorded trace has it, ``"full"`` of draws.
    equity_weight
        ``μ_k`` by footprint kind, US$ per unit, of a source those to change. Default: the
        instance's.
    """

    def __init__(
        self,
        instance: InstanceLike,
        *,
        horizon: int | None = None,
        reachability: str | FloatArray | None = None,
        equity_weight: Mapping[str, float] | None = None,
    ) -> None:
        if isinstance(instance, str):
            instance = _named(instance, reachability)
            if isinstance(instance, Instance) and isinstance(reachability, str):
                reachability = None  # it has it
        if isinstance(instance, Source):
            source = instance.weighed(equity_weight)
            instance = _of_source(source, horizon, reachability)
            matrix = None if isinstance(reachability, str) else reachability
            reachability, equity_weight = matrix, None
        elif isinstance(instance, _Synthetic):
            if not (reachability is None or isinstance(reachability, str)):
                raise DataError("a named instance takes its reachability by name")
            reachability = None
        elif isinstance(reachability, str) and reachability != "full":
            raise DataError(
                f"reachability {reachability!r} is a name that only a source knows: "
                "pass 'full' or a matrix [gateways, data centers]"
            )
        elif not (isinstance(instance, Instance) or callable(instance)):
            raise DataError(
                "instance must be a source or its name, a generator or an Instance, got "
                f"{instance!r}"
            )
        self._change = _Change(reachability, equity_weight)
        self._generator = None if isinstance(instance, Instance) else instance
        if self._generator is None:
            known = self._change(cast("Instance", instance))
        else:  # what the fleet is, and how long the problems are; not one of the episodes
            known = self._generated(np.random.default_rng(0))
        self._slots = known.horizon
        length = self._slots if horizon is None else int(horizon)
        if not 1 <= length <= self._slots:
            raise DataError(f"horizon must lie in 1..{self._slots}, got {horizon}")
        #: Of one episode.
        self.setting = Setting(known.fleet, known.objective, length)
        self._pool = None if self._generator else _pool(known)
        self._members = int(np.prod(known.batch, dtype=np.int64))

    def draw(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> Episodes:
        """One episode per generator; ``options`` may fix ``start`` and ``member`` of the window."""
        options = dict(options or {})
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            raise DataError(f"unknown reset option {unknown[0]!r}, expected {', '.join(_OPTIONS)}")
        horizon = self.setting.horizon
        last = self._slots - horizon
        if self._pool is None:
            windows = []
            for rng in rngs:
                drawn = self._generated(rng)
                if not self._same_world(drawn):
                    raise DataError("a generator must draw every problem on the same fleet")
                windows.append(drawn.window(_pick(rng, "start", last, options), horizon))
            pools, clocks = zip(*map(_pool, windows), strict=True)
            arrays = zip(*(pool.arrays() for pool in pools), strict=True)
            pool, timestamps = Series(*map(np.concatenate, arrays)), np.concatenate(clocks)
            first = np.arange(len(rngs)) * horizon
        else:
            (pool, timestamps), first = self._pool, np.empty(len(rngs), np.int64)
            for b, rng in enumerate(rngs):
                member = _pick(rng, "member", self._members - 1, options)
                first[b] = member * self._slots + _pick(rng, "start", last, options)
        return Episodes(replace(self.setting, batch=(len(rngs),)), pool, timestamps, first)

    def _same_world(self, drawn: Instance) -> bool:
        setting = self.setting
        return (
            drawn.horizon == self._slots
            and drawn.objective.equity_weight == setting.objective.equity_weight
            and drawn.fleet.same_as(setting.fleet)
        )

    def _generated(self, rng: np.random.Generator) -> Instance:
        drawn = cast("InstanceGenerator", self._generator)(rng, ())
        if not isinstance(drawn, Instance) or drawn.batch:
            raise DataError("the generator must return one Instance for an empty batch")
        return self._change(drawn)


@dataclass(frozen=True)
class _Change:
    """Options that alter the instances as they come."""

    reachability: str | FloatArray | None
    equity_weight: Mapping[str, float] | None

    def __call__(self, instance: Instance) -> Instance:
        if isinstance(self.reachability, str):
            instance = instance.with_full_reachability()
        elif self.reachability is not None:
            reachable: Any = np.asarray(self.reachability)
            instance = instance.replace(fleet=instance.fleet.replace(reachable=reachable))
        if self.equity_weight is not None:
            instance = instance.replace(objective=Objective(equity_weight=self.equity_weight))
        return instance


class _Synthetic:
    """The synthetic generator with its defaults; seeds are drawn from the episode's generator."""

    def __init__(self, reachability: str) -> None:
        self.reachability = reachability

    def __call__(self, rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        from equiload.envs.data import synthetic

        seed = int(rng.integers(2**31))  # of the training split
        return synthetic(seed, batch=batch, reachability=self.reachability)


@dataclass(frozen=True)
class _TrainingDraws:
    """A source's training draws as a generator."""

    source: Source
    horizon: int | None
    reachability: str

    def __call__(self, rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        seed = int(rng.integers(2**31))
        return self.source.draw(
            seed, reachability=self.reachability, horizon=self.horizon, batch=batch
        )


def _named(name: str, reachability: str | FloatArray | None) -> InstanceLike:
    if name == "synthetic":
        return _Synthetic(reachability if isinstance(reachability, str) else "full")
    source = named_source(name)
    if isinstance(source, RecordedSource):
        return source
    partial = isinstance(reachability, str) and reachability == "partial"
    return source.instance(reachability="partial" if partial else "full")  # the draw named


def _of_source(
    source: Source, horizon: int | None, reachability: str | FloatArray | None
) -> InstanceLike:
    recorded = isinstance(source, RecordedSource)
    default = "partial" if recorded else "full"
    name = reachability if isinstance(reachability, str) else default
    if isinstance(source, RecordedSource) and not source.stress:
        return source.stretch(Split.TRAIN, reachability=name)
    return _TrainingDraws(source, horizon, name)


def _pool(instance: Instance) -> tuple[Series, TimeArray]:
    """Every slot of every member: series ``[members · T, ...]``, and when it begins."""
    lead = len(instance.batch)

    def rows(array: FloatArray) -> FloatArray:
        slots = np.moveaxis(array, -2, lead)
        return np.ascontiguousarray(slots.reshape(-1, *slots.shape[lead + 1 :]))

    timestamps = instance.trace.timestamps.reshape(-1).astype("datetime64[s]")
    return instance.series.map(rows), timestamps


def _pick(rng: np.random.Generator, name: str, last: int, options: Mapping[str, Any]) -> int:
    if name not in options:
        return int(rng.integers(last + 1)) if last else 0
    value = int(options[name])
    if not 0 <= value <= last:
        raise DataError(f"the reset option {name} must lie in 0..{last}, got {options[name]}")
    return value
