"""Where an environment's episodes come from: a name, a generator, or instances at hand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from equiload.envs.data.draw import Split
from equiload.envs.data.source import RecordedSource, Source, named_source
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.policy import Slot
from equiload.envs.typing import FloatArray, IntArray

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
    """``B`` episodes of equal horizon on one fleet, as rows of one table.

    ``table [rows, D]`` holds price, intensity, demand, capacity and the clock of a slot side by
    side; episode ``b`` is the rows from ``first[b]`` on. So a slot of all episodes is one gather,
    and windows of the same trace share its memory.
    """

    fleet: Fleet
    objective: Objective
    horizon: int
    table: FloatArray
    first: IntArray

    def slot(self, t: int) -> Slot:
        """Slot ``t`` of every episode, with leading axis ``[B]``: copies of that slot alone."""
        rows = self.table.take(self.first + t, axis=0)
        price, intensity, demand, capacity, clock = self._columns
        K, N = len(self.objective.footprints), len(self.fleet.datacenters)
        return Slot(
            t,
            rows[:, clock].astype(np.int64).view("datetime64[s]")[:, 0],
            rows[:, price],
            rows[:, intensity].reshape(-1, K, N),
            rows[:, demand],
            rows[:, capacity],
        )

    def instance(self, index: int | slice = slice(None)) -> Instance:
        """One episode (or several) as an instance: all of it, for what may know the future."""
        first = np.asarray(self.first[index])
        rows = self.table[first[..., None] + np.arange(self.horizon)]
        price, intensity, demand, capacity, clock = self._columns
        K, N = len(self.objective.footprints), len(self.fleet.datacenters)
        by_kind = rows[..., intensity].reshape(*rows.shape[:-1], K, N)
        full = self.fleet.capacity
        up = np.divide(
            rows[..., capacity], full, out=np.ones((*rows.shape[:-1], N)), where=full > 0
        )
        trace = Trace(
            price=rows[..., price],
            intensity=np.moveaxis(by_kind, -2, -3),
            demand=rows[..., demand],
            timestamps=rows[..., clock.start].astype(np.int64).astype("datetime64[s]"),
            footprints=self.objective.footprints,
            availability=None if (up == 1.0).all() else up,
        )
        return Instance(fleet=self.fleet, trace=trace, objective=self.objective, name="episode")

    @cached_property
    def _columns(self) -> tuple[slice, ...]:
        N, J = len(self.fleet.datacenters), len(self.fleet.gateways)
        K = len(self.objective.footprints)
        ends = np.cumsum([0, N, K * N, J, N, 1]).tolist()
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))


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
        self.fleet, self.objective = known.fleet, known.objective
        self._slots = known.horizon
        self.horizon = self._slots if horizon is None else int(horizon)
        if not 1 <= self.horizon <= self._slots:
            raise DataError(f"horizon must lie in 1..{self._slots}, got {horizon}")
        self._pool = None if self._generator else _table(known)
        self._members = int(np.prod(known.batch, dtype=np.int64))

    def draw(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> Episodes:
        """One episode per generator; ``options`` may fix ``start`` and ``member`` of the window."""
        options = dict(options or {})
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            raise DataError(f"unknown reset option {unknown[0]!r}, expected {', '.join(_OPTIONS)}")
        last = self._slots - self.horizon
        if self._pool is None:
            pieces = []
            for rng in rngs:
                drawn = self._generated(rng)
                if not _same_fleet(drawn, self.fleet, self.objective, self._slots):
                    raise DataError("a generator must draw every problem on the same fleet")
                start = _pick(rng, "start", last, options)
                pieces.append(_table(drawn)[start : start + self.horizon])
            table, first = np.concatenate(pieces), np.arange(len(pieces)) * self.horizon
        else:
            table, first = self._pool, np.empty(len(rngs), np.int64)
            for b, rng in enumerate(rngs):
                member = _pick(rng, "member", self._members - 1, options)
                first[b] = member * self._slots + _pick(rng, "start", last, options)
        return Episodes(self.fleet, self.objective, self.horizon, table, first)

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


def _table(instance: Instance) -> FloatArray:
    """``[members · T, D]``: every slot of every member as one row."""
    trace, lead = instance.trace, instance.trace.price.shape[:-1]
    seconds = trace.timestamps.astype("datetime64[s]").astype(np.int64)
    columns = (
        trace.price,
        np.moveaxis(trace.intensity, -3, -2).reshape(*lead, -1),
        trace.demand,
        instance.capacity,
        seconds[..., None].astype(np.float64),
    )
    joined: FloatArray = np.concatenate(columns, axis=-1)
    return joined.reshape(-1, joined.shape[-1])


def _pick(rng: np.random.Generator, name: str, last: int, options: Mapping[str, Any]) -> int:
    if name not in options:
        return int(rng.integers(last + 1)) if last else 0
    value = int(options[name])
    if not 0 <= value <= last:
        raise DataError(f"the reset option {name} must lie in 0..{last}, got {options[name]}")
    return value


def _same_fleet(drawn: Instance, fleet: Fleet, objective: Objective, slots: int) -> bool:
    new = drawn.fleet
    return (
        drawn.horizon == slots
        and drawn.objective.equity_weight == objective.equity_weight
        and (new.datacenters, new.gateways, new.regions)
        == (fleet.datacenters, fleet.gateways, fleet.regions)
        and all(
            np.array_equal(getattr(new, name), getattr(fleet, name))
            for name in ("capacity", "reachable", "region_of", "pue", "routing_cost")
        )
    )
