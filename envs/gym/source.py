"""Where an environment's episodes come from: a name, a generator, or instances at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from equiload.envs.checking import check_call, shown
from equiload.envs.data.draw import Split
from equiload.envs.data.source import RecordedSource, Source, SyntheticSource, named_source
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance, Objective
from equiload.envs.make import instantiated
from equiload.envs.series import Series
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import FloatArray, IntArray, TimeArray


class Window(NamedTuple):
    """What ``reset(options=…)`` may fix of an episode; random otherwise.

    ``start`` is the first slot's number in the problem, ``member`` the problem's in a batch.
    """

    start: int | None = None
    member: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> Window:
        """Read the options of a reset.

        Raises
        ------
        DataError
            For another option, or one that is no whole number.
        """
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            raise DataError(f"reset options must be a mapping, got {shown(options)}")
        unknown = [name for name in options if name not in cls._fields]
        if unknown:
            known = ", ".join(cls._fields)
            raise DataError(f"unknown reset option {unknown[0]!r}, expected {known}")
        check_call("reset options", cls, **options)
        return cls(**options)


@runtime_checkable
class InstanceGenerator(Protocol):
    """Draws problems on one fleet."""

    def __call__(self, rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        """Return a fresh instance with leading axes ``batch``, every draw taken from ``rng``."""
        ...


# So many slots are drawn at once for one environment, if its episodes are short.
_AHEAD = 1024

#: What ``instance=`` accepts.
InstanceLike: TypeAlias = str | Mapping[str, Any] | Source | Instance | InstanceGenerator


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
        arrays = {name: array.take(rows, axis=0) for name, array in self.pool.named().items()}
        return Slot(**arrays, index=t, timestamp=self.timestamps[rows])

    def instance(self, index: int | slice = slice(None)) -> Instance:
        """One episode (or several) as an instance: all of it, for what may know the future."""
        rows = np.asarray(self.first[index])[..., None] + np.arange(self.setting.horizon)
        series = self.pool.map(lambda array: np.moveaxis(array[rows], rows.ndim - 1, -2))
        fleet, objective = self.setting.fleet, self.setting.objective
        return Instance.of_series(fleet, objective, series, self.timestamps[rows], "episode")


@dataclass(frozen=True, eq=False)
class Drawn:
    """Problems of some generators, ``each`` of them for one: every episode takes the next.

    They were drawn at once, which is faster, and are one pool of slots (see :class:`Episodes`), on
    one ``fleet``. ``each`` is 0 where there is one pool for all.
    """

    rngs: tuple[np.random.Generator, ...]
    fleet: Fleet
    pool: Series
    timestamps: TimeArray
    each: int
    taken: int = 0

    def left(self, rngs: Sequence[np.random.Generator]) -> bool:
        """Is there a problem left, and are these the generators whose it is?"""
        same = len(rngs) == len(self.rngs) and all(map(is_, rngs, self.rngs))
        return not self.each or (same and self.taken < self.each)

    def next(self) -> Drawn:
        """One problem of each is played."""
        return replace(self, taken=self.taken + 1) if self.each else self


class EpisodeSampler:
    """Draws episodes, each from its own random generator.

    Parameters
    ----------
    instance
        A source, by name (``"synthetic"``, ``"table:my-world.yaml"``) or itself: each episode is a
        training draw, of a recorded trace a window of the training part (but
        ``"synthetic:test/3"`` is that one draw). A generator that draws a fresh problem for each
        episode. Or an :class:`Instance`; of a batch of instances each episode takes one at random.
        Any of them by ``_target_`` and arguments, too.
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
        named = reachability if isinstance(reachability, str) else None
        source = named_source(instance) if isinstance(instance, str) else instantiated(instance)
        if isinstance(source, Source):
            name = instance if isinstance(instance, str) else None
            problems = _of_source(source.weighed(equity_weight), name, horizon, named)
            reachability, equity_weight = None if named else reachability, None
        elif named not in (None, "full"):
            raise DataError(
                f"reachability {reachability!r} is a name that only a source knows: "
                "pass 'full' or a matrix [gateways, data centers]"
            )
        elif not (isinstance(source, Instance) or callable(source)):
            raise DataError(
                f"instance must be a source or its name, a generator or an Instance, got {source!r}"
            )
        else:
            problems = source
        self._problems = problems
        self._reachability, self._equity_weight = reachability, equity_weight
        # What the fleet is, and how long the problems are: a generator's first is no episode.
        known = self._problem(np.random.default_rng(0))
        self._slots = known.horizon
        length = self._slots if horizon is None else horizon
        if not 1 <= length <= self._slots:
            raise DataError(f"horizon must lie in 1..{self._slots}, got {horizon}")
        #: Of one episode.
        self.setting = replace(Setting.of(known), horizon=length, batch=())
        self._pool = _pool(known) if isinstance(problems, Instance) else None
        self._members = int(np.prod(known.batch, dtype=np.int64))

    def draw(
        self,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any] | None = None,
        drawn: Drawn | None = None,
    ) -> tuple[Episodes, Drawn]:
        """One episode per generator, and the problems they are of, to hand in the next time.

        ``options`` may fix ``start`` and ``member`` of the window; ``drawn`` are problems that the
        generators still have from the last time.
        """
        window = Window.of(options)
        if drawn is None or not drawn.left(rngs):
            drawn = self._drawn(rngs)
        first = np.empty(len(rngs), np.int64)
        for b, rng in enumerate(rngs):
            if self._pool is None:
                member = b * drawn.each + drawn.taken
            else:
                member = _pick(rng, "member", self._members - 1, window.member)
            last = self._slots - self.setting.horizon
            first[b] = member * self._slots + _pick(rng, "start", last, window.start)
        setting = replace(self.setting, fleet=drawn.fleet, batch=(len(rngs),))
        return Episodes(setting, drawn.pool, drawn.timestamps, first), drawn.next()

    def _drawn(self, rngs: Sequence[np.random.Generator]) -> Drawn:
        fleet = self.setting.fleet
        if self._pool is not None:
            return Drawn(tuple(rngs), fleet, *self._pool, each=0)
        if isinstance(self._problems, _TrainingDraws) and self._problems.ahead:
            each = max(1, _AHEAD // self._slots)
            together = self._changed(self._problems.side_by_side(rngs, each))
            return Drawn(tuple(rngs), fleet, *_pool(together), each)
        each, problems = 1, [self._problem(rng) for rng in rngs]
        if not all(map(self._same_world, problems)):
            raise DataError(
                "a generator must draw every problem on the same fleet, but for the sizes of what "
                "there is beside routing"
            )
        if not problems[0].fleet.same_as(fleet):
            fleet = problems[0].fleet
        if not all(problem.fleet.same_as(fleet) for problem in problems):
            raise DataError(
                "episodes in lock-step share one fleet, and the sizes of these differ: play one at "
                "a time, in gymnasium.make_vec by vectorization_mode='sync'"
            )
        pools, clocks = zip(*map(_pool, problems), strict=True)
        names = pools[0].named()
        arrays = {name: np.concatenate([getattr(pool, name) for pool in pools]) for name in names}
        return Drawn(tuple(rngs), fleet, Series(**arrays), np.concatenate(clocks), each)

    def _same_world(self, drawn: Instance) -> bool:
        """Is a problem as the first one was, but for the sizes of what there is beside routing?"""
        mine, its = self.setting.fleet, drawn.fleet
        parts: dict[str, Any] = {name: getattr(mine, name) for name in mine.knobs}
        return (
            drawn.horizon == self._slots
            and drawn.objective.equity_weight == self.setting.objective.equity_weight
            and Setting.of(drawn).knobs == self.setting.knobs
            and (mine.training and mine.training.classes) == (its.training and its.training.classes)
            and (its.same_as(mine) or its.replace(**parts).same_as(mine))
        )

    def _problem(self, rng: np.random.Generator) -> Instance:
        """The instance, or one that is drawn, with the reachability and the weights asked for."""
        instance = self._problems
        if not isinstance(instance, Instance):
            instance = instance(rng, ())
            if not isinstance(instance, Instance) or instance.batch:
                raise DataError("the generator must return one Instance for an empty batch")
        return self._changed(instance)

    def _changed(self, instance: Instance) -> Instance:
        if isinstance(self._reachability, str):
            instance = instance.with_full_reachability()
        elif self._reachability is not None:
            reachable: Any = np.asarray(self._reachability)
            instance = instance.replace(fleet=instance.fleet.replace(reachable=reachable))
        if self._equity_weight is not None:
            instance = instance.replace(objective=Objective(equity_weight=self._equity_weight))
        return instance


@dataclass(frozen=True)
class _TrainingDraws:
    """A source's training draws as a generator: the seed is drawn from the episode's."""

    source: Source
    horizon: int | None
    reachability: str

    def __call__(self, rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        return self.source.draw(_seed(rng), batch=batch, **self._options)

    @property
    def ahead(self) -> bool:
        """Is it faster to draw several at once?"""
        return isinstance(self.source, SyntheticSource) and self.source.one_fleet

    def side_by_side(self, rngs: Sequence[np.random.Generator], each: int) -> Instance:
        """``[len(rngs), each]``: members of a draw for each generator; the first is its call's."""
        assert isinstance(self.source, SyntheticSource)
        seeds = [_seed(rng) for rng in rngs]
        return self.source.side_by_side(seeds, batch=each, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {"reachability": self.reachability, "horizon": self.horizon}


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _of_source(
    source: Source, name: str | None, horizon: int | None, reachability: str | None
) -> Instance | InstanceGenerator:
    """What episodes are windows of; ``name`` is the source's where it was given by name."""
    if isinstance(source, RecordedSource):
        reachability = reachability or "partial"
        if not source.stress:
            return source.stretch(Split.TRAIN, reachability=reachability)
    elif name not in (None, "synthetic"):  # the one draw that is named
        return source.instance(reachability=reachability or "full")
    return _TrainingDraws(source, horizon, reachability or "full")


def _pool(instance: Instance) -> tuple[Series, TimeArray]:
    """Every slot of every member: series ``[members · T, ...]``, and when it begins."""
    lead = len(instance.batch)

    def rows(array: FloatArray) -> FloatArray:
        slots = np.moveaxis(array, -2, lead)
        return np.ascontiguousarray(slots.reshape(-1, *slots.shape[lead + 1 :]))

    timestamps = instance.trace.timestamps.reshape(-1).astype("datetime64[s]")
    return instance.series.map(rows), timestamps


def _pick(rng: np.random.Generator, name: str, last: int, fixed: int | None) -> int:
    if fixed is None:
        return int(rng.integers(last + 1)) if last else 0
    if not 0 <= fixed <= last:
        raise DataError(f"the reset option {name} must lie in 0..{last}, got {fixed}")
    return int(fixed)
