"""Where instances come from: the interface that every program speaks, and its implementations.

A source gives the instance that it is configured for, and draws of the splits ``train``,
``validation`` and ``test`` if it has any. The generator draws worlds; of a recorded trace (a table
of one's own, the published one) a draw is a window, and the splits are parts of its time. What a
source cannot do it says in one sentence, a :class:`DataError`.
"""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.data.bloom10 import bloom10
from equiload.envs.data.draw import Draw, Split
from equiload.envs.data.ranges import Ranges
from equiload.envs.data.shifted import KINDS, shift
from equiload.envs.data.synthetic import synthetic
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance, Objective, Trace

#: Share of a recorded trace's slots that belongs to train, validation and test, in this order.
SPLIT = (0.7, 0.15, 0.15)


class Source(ABC):
    """Where instances come from.

    ``reachability`` is ``"full"`` (every gateway may use every data center), or ``"partial"``: the
    source's own. ``horizon`` is in slots; none: the source's own.
    """

    #: Names the source in messages and tables.
    name: str

    @abstractmethod
    def instance(self, *, reachability: str = "full", horizon: int | None = None) -> Instance:
        """The one instance that the source is configured for."""

    @abstractmethod
    def draw(
        self,
        draw: int | str | Draw,
        *,
        reachability: str = "full",
        horizon: int | None = None,
        batch: int | Sequence[int] = (),
    ) -> Instance:
        """A draw of a split, or a batch: ``"test/7"``; a whole number is a training draw."""

    @abstractmethod
    def draws(self, split: str | Split, horizon: int | None = None) -> int | None:
        """How many different draws of a split there are; none: as many as one likes."""

    @abstractmethod
    def reachabilities(self) -> tuple[str, ...]:
        """The reachabilities that differ: ``("full", "partial")`` or ``("full",)``."""

    @abstractmethod
    def weighed(self, equity_weight: Mapping[str, float] | None) -> Source:
        """The same source with some equity weights changed or kinds added; none: as it is.

        Raises
        ------
        DataError
            A footprint kind of which the source has no data.
        """

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What a checkpoint or a result should know of where its data came from."""
        return {"source": self.name}


class SyntheticSource(Source):
    """The generator: ``options`` are those of :func:`synthetic`, ``seed`` the configured draw's."""

    name = "synthetic"

    def __init__(self, seed: int | str | Draw = 0, **options: Any) -> None:
        try:
            inspect.signature(synthetic).bind(seed, **options)
        except TypeError as error:
            raise DataError(f"synthetic: {error}") from None
        self._seed, self._options = Draw.of(seed), options

    def instance(self, *, reachability: str = "full", horizon: int | None = None) -> Instance:
        """See :class:`Source`."""
        batch = self._options.get("batch", ())
        return self.draw(self._seed, reachability=reachability, horizon=horizon, batch=batch)

    def draw(
        self,
        draw: int | str | Draw,
        *,
        reachability: str = "full",
        horizon: int | None = None,
        batch: int | Sequence[int] = (),
    ) -> Instance:
        """See :class:`Source`."""
        options = self._options | {"reachability": reachability, "batch": batch}
        if horizon is not None:
            options["horizon"] = horizon
        return synthetic(draw, **options)

    def draws(self, split: str | Split, horizon: int | None = None) -> int | None:
        """See :class:`Source`."""
        del split, horizon
        return None

    def reachabilities(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return ("full", "partial")

    def weighed(self, equity_weight: Mapping[str, float] | None) -> SyntheticSource:
        """See :class:`Source`."""
        if equity_weight is None:
            return self
        weights = {**self.instance(horizon=1).objective.equity_weight, **equity_weight}
        return self.varied(equity_weight=weights)

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the generator that were given."""
        return dict(self._options)

    def varied(self, **options: Any) -> SyntheticSource:
        """The same source with some options of the generator changed."""
        return SyntheticSource(self._seed, **self._options | options)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :class:`Source`: with the options that every draw shares."""
        shared = {k: v for k, v in self._options.items() if k not in ("horizon", "batch")}
        if isinstance(shared.get("ranges"), Ranges):
            shared["ranges"] = dataclasses.asdict(shared["ranges"])
        return {"source": self.name, **shared}


class RecordedSource(Source):
    """One recorded trace, and windows of it as draws.

    The trace's slots are split by time into train, validation and test, ``gap`` slots apart, so
    that no window of one overlaps a window of another. A training draw begins anywhere in its part;
    windows of validation and test do not overlap each other, so there is a number of them.

    Parameters
    ----------
    read
        Reads the instance with its own (partial) reachability, given equity weights or none; or the
        instance itself.
    name
        See :class:`Source`.
    seed
        Draw to be the configured instance, ``"test/3"`` say. Default: none, but a stretch …
    start
        … that begins here: a slot, or a UTC time. Default: the first slot.
    horizon
        Slots of the instance and of draws. Default: all that there are.
    split
        Shares of train, validation and test.
    gap
        Slots between them. Default: a day.
    """

    def __init__(
        self,
        read: Instance | Callable[[Mapping[str, float] | None], Instance],
        *,
        name: str = "recorded",
        seed: int | str | Draw | None = None,
        start: int | str | None = None,
        horizon: int | None = None,
        split: Sequence[float] = SPLIT,
        gap: int | None = None,
        equity_weight: Mapping[str, float] | None = None,
    ) -> None:
        self.name, self._read, self._weight = name, read, equity_weight
        self._seed = None if seed is None else Draw.of(seed)
        self._start, self._horizon, self._split, self._gap = start, horizon, split, gap
        shares = [*split] if isinstance(split, Sequence) else []
        if len(shares) != 3 or not all(isinstance(s, int | float) and s >= 0 for s in shares):
            raise DataError(f"split must be three shares (train, validation, test), got {split!r}")
        if abs(sum(shares) - 1) > 1e-9:
            raise DataError(f"the shares of split must sum to 1, got {list(split)}")
        for what, value in (("horizon", horizon), ("gap", gap)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value >= (what == "horizon")):
                raise DataError(f"{what} must be a whole number of slots, got {value!r}")

    @cached_property
    def recorded(self) -> Instance:
        """All of the trace, with its own reachability."""
        if isinstance(self._read, Instance):
            instance = self._read
            if self._weight is not None:
                instance = _reweighted(instance, self._weight)
        else:
            instance = self._read(self._weight)
        if not isinstance(instance, Instance):
            raise DataError(f"{self.name}: expected an Instance, got {type(instance).__name__}")
        return instance

    def instance(self, *, reachability: str = "full", horizon: int | None = None) -> Instance:
        """See :class:`Source`."""
        if self._seed is not None:
            return self.draw(self._seed, reachability=reachability, horizon=horizon)
        whole = self._reaching(reachability)
        if whole.batch:
            return whole
        first = self._first()
        length = horizon or self._horizon or whole.horizon - first
        if (first, length) == (0, whole.horizon):
            return whole
        return whole.window(first, length)

    def draw(
        self,
        draw: int | str | Draw,
        *,
        reachability: str = "full",
        horizon: int | None = None,
        batch: int | Sequence[int] = (),
    ) -> Instance:
        """See :class:`Source`; members of a batch of validation or test are consecutive windows."""
        draw = Draw.of(draw)
        shape = (batch,) if isinstance(batch, int) else tuple(int(axis) for axis in batch)
        length = horizon or self._horizon or self._longest(draw.split)
        starts = [self._window(draw, b, length) for b in range(int(np.prod(shape, dtype=int)))]
        whole = self._reaching(reachability)
        if not shape:
            return _drawn(whole.window(starts[0], length), draw)
        stacked = Trace.stack([whole.trace.window(start, length) for start in starts])
        if len(shape) > 1:
            raise DataError(f"{self.name}: a batch of windows has one axis, got {shape}")
        return _drawn(whole.replace(trace=stacked), draw)

    def draws(self, split: str | Split, horizon: int | None = None) -> int | None:
        """See :class:`Source`."""
        split = Split[split.upper()] if isinstance(split, str) else split
        length = horizon or self._horizon or self._longest(split)
        low, high = self.part(split)
        if high - low < length:
            raise DataError(
                f"{self.name}: the {split.name.lower()} part has {max(high - low, 0)} slots of "
                f"{self.recorded.horizon}, fewer than a window of {length}: give a shorter "
                f"horizon, or another split than {list(self._split)}"
            )
        return None if split is Split.TRAIN else (high - low) // length

    def reachabilities(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return ("full",) if self.recorded.fleet.full else ("full", "partial")

    def weighed(self, equity_weight: Mapping[str, float] | None) -> RecordedSource:
        """See :class:`Source`."""
        if equity_weight is None:
            return self
        weights = {**self.recorded.objective.equity_weight, **equity_weight}
        return RecordedSource(
            self._read,
            name=self.name,
            seed=self._seed,
            start=self._start,
            horizon=self._horizon,
            split=self._split,
            gap=self._gap,
            equity_weight=weights,
        )

    def part(self, split: Split) -> tuple[int, int]:
        """First slot of a split's part of the trace, and the slot after its last."""
        trace = self.recorded.trace
        if trace.batch:
            raise DataError(f"{self.name}: a batch of traces has no parts to draw windows from")
        edges = np.rint(np.concatenate([[0], np.cumsum(self._split)]) * trace.horizon).astype(int)
        low, high = int(edges[split.value]), int(edges[split.value + 1])
        return low + (self.gap if low else 0), high

    @property
    def gap(self) -> int:
        """Slots between one part and the next."""
        stamps = self.recorded.trace.timestamps
        if self._gap is not None or len(stamps) < 2:
            return self._gap or 0
        return int(np.timedelta64(1, "D") / (stamps[1] - stamps[0]))

    def stretch(self, split: Split, *, reachability: str = "full") -> Instance:
        """All of a split's part of the trace: what its windows are taken from."""
        low, high = self.part(split)
        if high <= low:
            self.draws(split, 1)  # which says that there is none
        return self._reaching(reachability).window(low, high - low)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :class:`Source`: with the gap and the UTC span of every part."""
        stamps = self.recorded.trace.timestamps
        spans = {}
        for split in Split:
            low, high = self.part(split)
            if high > low:
                ends = f"{stamps[low]}Z", f"{stamps[high - 1]}Z"
                spans[split.name.lower()] = [*ends, high - low]
        read = self.recorded.trace.provenance
        return {"source": self.name, **read, "gap": self.gap, "parts": spans}

    def _reaching(self, reachability: str) -> Instance:
        if reachability not in ("full", "partial"):
            raise DataError(f"reachability must be full or partial, got {reachability!r}")
        return self._full if reachability == "full" else self.recorded

    @cached_property
    def _full(self) -> Instance:
        """With one fleet for all draws, whose dispatch is prepared once."""
        return self.recorded.with_full_reachability()

    def _first(self) -> int:
        stamps, start = self.recorded.trace.timestamps, self._start
        if start is None:
            return 0
        if isinstance(start, bool) or not isinstance(start, int):
            try:
                wanted = np.datetime64(str(start).removesuffix("Z"), "s")
            except ValueError:
                raise DataError(f"start must be a slot or a UTC time, got {start!r}") from None
            found = int(np.searchsorted(stamps, wanted))
            if found >= len(stamps) or stamps[found] != wanted:
                raise DataError(
                    f"{self.name}: no slot starts at {start}; they run from {stamps[0]} to "
                    f"{stamps[-1]} UTC"
                )
            return found
        if not 0 <= start < len(stamps):
            raise DataError(f"{self.name}: start must lie in 0..{len(stamps) - 1}, got {start}")
        return start

    def _longest(self, split: Split) -> int:
        low, high = self.part(split)
        return max(high - low, 1)

    def _window(self, draw: Draw, member: int, length: int) -> int:
        """First slot of a draw's window."""
        count = self.draws(draw.split, length)
        low, high = self.part(draw.split)
        if count is None:
            return int(draw.of_member(member).generator().integers(low, high - length + 1))
        number = draw.index + draw.member + member
        if number >= count:
            name = draw.split.name.lower()
            raise DataError(
                f"{self.name}: the {name} part has room for {count} windows of {length} slots, "
                f"{name}/0 to {name}/{count - 1}; there is no {name}/{number}"
            )
        # Spread over the whole part; they cannot overlap, being at least `length` apart.
        return low + (number * (high - low - length)) // max(count - 1, 1)


class TableSource(RecordedSource):
    """One's own data: the YAML file at ``path``, options as of :class:`RecordedSource`."""

    def __init__(self, path: str | Path, **options: Any) -> None:
        from equiload.envs.data.table import table  # which loads pandas

        options.setdefault("name", Path(path).name)
        super().__init__(lambda weight: table(path, equity_weight=weight), **options)


class Bloom10Source(RecordedSource):
    """The paper's published trace under ``root``, options as of :class:`RecordedSource`."""

    def __init__(self, root: str | Path, **options: Any) -> None:
        options.setdefault("name", "bloom10")
        super().__init__(
            lambda weight: bloom10(root, reachability="partial", equity_weight=weight), **options
        )


class ShiftedSource(Source):
    """Another source whose instances all undergo a :func:`~equiload.envs.data.shifted.shift`."""

    def __init__(self, base: Source, kind: str) -> None:
        if kind not in KINDS:
            raise DataError(f"the shift must be one of {', '.join(KINDS)}, got {kind!r}")
        self.base, self.kind = base, kind
        self.name = f"{base.name}, shifted ({kind})"

    def instance(self, *, reachability: str = "full", horizon: int | None = None) -> Instance:
        """See :class:`Source`."""
        whole = self.base.instance(reachability=reachability, horizon=horizon)
        label = whole.trace.provenance.get("draw", "train/0")
        return shift(whole, self.kind, Draw.of(str(label)))

    def draw(
        self,
        draw: int | str | Draw,
        *,
        reachability: str = "full",
        horizon: int | None = None,
        batch: int | Sequence[int] = (),
    ) -> Instance:
        """See :class:`Source`."""
        drawn = self.base.draw(draw, reachability=reachability, horizon=horizon, batch=batch)
        if not drawn.batch:
            return shift(drawn, self.kind, Draw.of(draw))
        if len(drawn.batch) > 1:
            raise DataError(f"{self.name}: a batch has one axis, got {drawn.batch}")
        members = [shift(drawn[b], self.kind, Draw.of(draw)) for b in range(drawn.batch[0])]
        stacked = Trace.stack([member.trace for member in members])
        return _drawn(members[0].replace(trace=stacked), Draw.of(draw))

    def draws(self, split: str | Split, horizon: int | None = None) -> int | None:
        """See :class:`Source`."""
        return self.base.draws(split, horizon)

    def reachabilities(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return self.base.reachabilities()

    def weighed(self, equity_weight: Mapping[str, float] | None) -> ShiftedSource:
        """See :class:`Source`."""
        return ShiftedSource(self.base.weighed(equity_weight), self.kind)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :class:`Source`."""
        return {**self.base.provenance, "shifted": self.kind}


def source_of(found: Any) -> Source:
    """The source that a configuration or a caller means: itself, or one around an instance.

    Raises
    ------
    DataError
        For anything else.
    """
    if isinstance(found, Source):
        return found
    if isinstance(found, Instance):
        return RecordedSource(found, name=found.name)
    raise DataError(f"expected a source of instances, or an Instance, got {type(found).__name__}")


def _reweighted(instance: Instance, weights: Mapping[str, float]) -> Instance:
    unknown = [kind for kind in weights if kind not in instance.trace.footprints]
    if unknown:
        raise DataError(
            f"{instance.name} has no data of the footprint {unknown[0]!r}, only of "
            f"{', '.join(instance.trace.footprints)}"
        )
    return instance.replace(objective=Objective(equity_weight=weights))


def _drawn(instance: Instance, draw: Draw) -> Instance:
    provenance = {**instance.trace.provenance, "draw": str(draw)}
    trace = dataclasses.replace(instance.trace, provenance=provenance)
    return instance.replace(trace=trace)
