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
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.checking import check_call, checked, refuse_unknown
from equiload.envs.data.bloom10 import bloom10
from equiload.envs.data.disturbed import disturbed, recorded_ranges
from equiload.envs.data.draw import Draw, Split, shape_of
from equiload.envs.data.equipment import Sizes, equip, knobs_of
from equiload.envs.data.ranges import Ranges
from equiload.envs.data.shifted import KINDS, shift
from equiload.envs.data.synthetic import synthetic
from equiload.envs.data.table import table
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance, Trace
from equiload.envs.typing import Count, Number, Share

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

    def draws(self, split: str | Split, horizon: int | None = None) -> int | None:
        """How many different draws of a split there are; none: as many as one likes."""
        del horizon
        Split.of(split)
        return None

    def reachabilities(self) -> tuple[str, ...]:
        """The reachabilities that differ: ``("full", "partial")`` or ``("full",)``."""
        return ("full", "partial")

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


class GeneratedSource(Source):
    """A generator's draws: a function of ``seed``, ``horizon`` and ``reachability``.

    Parameters
    ----------
    make
        Returns an instance, from these keywords and ``options``; where it takes ``batch`` it makes
        batches, where it takes ``equity_weight`` the weights can be changed.
    seed
        Draw of the configured instance.
    options
        What else ``make`` is called with.
    """

    def __init__(
        self, make: Callable[..., Instance], seed: int | str | Draw = 0, **options: Any
    ) -> None:
        self.name = getattr(make, "__name__", type(make).__name__)
        if "reachability" in options:
            raise DataError(
                f"{self.name}: reachability is no option of the source but of whoever asks it for "
                "an instance (of a program: reachability=…, not instance.reachability=…)"
            )
        check_call(self.name, make, seed=seed, **options)
        self._make, self._seed, self._options = make, Draw.of(seed), options
        takes = inspect.signature(make).parameters
        self._takes = set(takes)
        if any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            self._takes |= {"batch", "equity_weight", "horizon"}

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
        options = self._options | {"reachability": reachability}
        if "batch" in self._takes:
            options["batch"] = batch
        elif batch != ():
            raise DataError(f"{self.name} makes one instance at a time, no batch")
        if horizon is not None:
            if "horizon" not in self._takes:
                raise DataError(f"{self.name} takes no horizon")
            options["horizon"] = horizon
        return _instance(self._make(seed=draw, **options), self.name)

    def weighed(self, equity_weight: Mapping[str, float] | None) -> GeneratedSource:
        """See :class:`Source`."""
        if equity_weight is None:
            return self
        if "equity_weight" not in self._takes:
            raise DataError(f"{self.name} takes no equity_weight")
        weights = {**self.instance(horizon=1).objective.equity_weight, **equity_weight}
        other = self.varied(equity_weight=weights)
        other.instance(horizon=1)  # refuses a kind that it cannot draw
        return other

    @property
    def options(self) -> Mapping[str, Any]:
        """What else the generator is called with."""
        return dict(self._options)

    def varied(self, **options: Any) -> GeneratedSource:
        """The same source with some of the generator's options changed."""
        other = copy(self)
        vars(other).update(_options=self._options | options)
        return other

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :class:`Source`: with the options that every draw shares."""
        shared = {k: v for k, v in self._options.items() if k not in ("horizon", "batch")}
        if isinstance(shared.get("ranges"), Ranges):
            shared["ranges"] = dataclasses.asdict(shared["ranges"])
        return {"source": self.name, **shared}


class SyntheticSource(GeneratedSource):
    """The generator: ``options`` are those of :func:`synthetic`, ``seed`` the configured draw's."""

    def __init__(self, seed: int | str | Draw = 0, **options: Any) -> None:
        super().__init__(synthetic, seed, **options)

    @property
    def one_fleet(self) -> bool:
        """Have all draws the same equipment?"""
        sizes = Sizes.of(self._options.get("equipment"))
        return self._options.get("knobs") != "random" and not sizes.drawn_anew

    def side_by_side(self, draws: Sequence[int], **options: Any) -> Instance:
        """Several draws at once, which is faster: ``options`` as of :meth:`draw`."""
        return self.draw(draws, **options)  # type: ignore[arg-type]


class RecordedSource(Source):
    """One recorded trace, and windows of it as draws.

    The trace's slots are split by time into train, validation and test, ``gap`` slots apart, so
    that no window of one overlaps a window of another. A training draw begins anywhere in its part;
    windows of validation and test do not overlap each other, so there is a number of them.

    Parameters
    ----------
    read
        Reads the instance with its own (partial) reachability, given changes of equity weights or
        none: they may add kinds to what is read; or the instance itself.
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
    ranges
        Stress: ``outages``, ``flash_crowds`` and ``utilisation`` as of
        :class:`~equiload.envs.data.Ranges`, drawn anew for every draw. Default: as recorded.
    knobs, equipment
        What to add that the trace has not, as of :func:`~equiload.envs.data.synthetic`.
    """

    @checked
    def __init__(
        self,
        read: Instance | Callable[[Mapping[str, float] | None], Instance],
        *,
        name: str = "recorded",
        seed: int | str | Draw | None = None,
        start: int | str | None = None,
        horizon: Count | None = None,
        split: Sequence[Share] = SPLIT,
        gap: Number | None = None,
        ranges: Mapping[str, Any] | None = None,
        equity_weight: Mapping[str, float] | None = None,
        knobs: str | Sequence[str] | None = None,
        equipment: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self._read, self._weight = name, read, equity_weight
        self._knobs, sizes = knobs_of(knobs), Sizes.of(equipment)
        if sizes.drawn_anew:
            raise DataError(
                f"{name}: equipment {sizes.drawn_anew[0]!r} is a range, and only the generator "
                "draws sizes: give a number"
            )
        self._equipment = sizes.low
        self._seed = None if seed is None else Draw.of(seed)
        self._start, self._horizon, self._split, self._gap = start, horizon, split, gap
        if seed is not None and start is not None:
            raise DataError(f"{name}: seed={seed} and start={start} both choose the stretch")
        if len(split) != 3 or abs(sum(split) - 1) > 1e-9:
            raise DataError(
                "split must be three shares (train, validation, test) that sum to 1, got "
                f"{list(split)}"
            )
        self._ranges = recorded_ranges(name, ranges)

    @cached_property
    def recorded(self) -> Instance:
        """All of the trace, with its own reachability."""
        read = self._read
        instance = read if isinstance(read, Instance) else read(self._weight)
        _instance(instance, self.name)
        instance = equip(instance, self._knobs, self._equipment)
        return instance if self._weight is None else instance.weighed(self._weight)

    def instance(self, *, reachability: str = "full", horizon: int | None = None) -> Instance:
        """See :class:`Source`."""
        if self._seed is not None:
            return self.draw(self._seed, reachability=reachability, horizon=horizon)
        whole = self.recorded
        if whole.batch:
            return _reaching(whole, reachability)
        first = self._first()
        available = whole.horizon - first
        length = self._length(horizon, available)
        if length > available:
            raise DataError(
                f"{self.name}: horizon={length} is more than the {available} slots that there are"
                f"{f' from {self._start} on' if first else ''}; null takes them all"
            )
        if length < whole.horizon:
            whole = whole.window(first, length)
        return _reaching(self._stressed(whole, Draw.train(0)), reachability)

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
        shape = shape_of(batch)
        if len(shape) > 1:
            raise DataError(f"{self.name}: a batch of windows has one axis, got {shape}")
        length = self._length(horizon, self._slots_of(draw.split))
        members = [_member(draw, k) for k in range(shape[0] if shape else 1)]
        windows = [
            self._stressed(self.recorded.window(self._start_of(member, length), length), member)
            for member in members
        ]
        return _drawn(_reaching(_stacked(windows) if shape else windows[0], reachability), draw)

    def draws(self, split: str | Split, horizon: int | None = None) -> int | None:
        """See :class:`Source`."""
        split = Split.of(split)
        slots = self._slots_of(split)
        length = self._length(horizon, slots)
        if slots < length:
            remedy = f"a horizon of {slots} at most, or " if slots else ""
            raise DataError(
                f"{self.name}: the {split.name.lower()} part has {slots or 'none'} of the "
                f"{self.recorded.horizon} slots, and a window takes {length}: give {remedy}another "
                f"split than {list(self._split)} or gap than {self._slots_apart}"
            )
        return None if split is Split.TRAIN else slots // length

    def reachabilities(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return ("full",) if self.recorded.fleet.full else ("full", "partial")

    def weighed(self, equity_weight: Mapping[str, float] | None) -> RecordedSource:
        """See :class:`Source`."""
        if equity_weight is None:
            return self
        other = copy(self)
        vars(other).update(_weight={**(self._weight or {}), **equity_weight})
        vars(other).pop("recorded", None)  # to be read with these weights
        assert other.recorded  # refuses a kind that there are no data of
        return other

    def part(self, split: Split) -> tuple[int, int]:
        """First slot of a split's part of the trace, and the slot after its last."""
        trace = self.recorded.trace
        if trace.batch:
            raise DataError(f"{self.name}: a batch of traces has no parts to draw windows from")
        edges = np.rint(np.concatenate([[0], np.cumsum(self._split)]) * trace.horizon).astype(int)
        low, high = int(edges[split.value]), int(edges[split.value + 1])
        return low + (self._slots_apart if low else 0), high

    def stretch(self, split: str | Split, *, reachability: str = "full") -> Instance:
        """All of a split's part as one instance, which windows can be taken from without copies."""
        low, high = self.part(Split.of(split))
        if high <= low:
            self.draws(split, 1)  # says why there is none
        return _reaching(self.recorded.window(low, high - low), reachability)

    @property
    def stress(self) -> bool:
        """Do draws differ from what was recorded?"""
        return bool(self._ranges)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :class:`Source`: with the UTC span of every part, and the slots between them."""
        trace = self.recorded.trace
        spans = {}
        for split in () if trace.batch else Split:
            low, high = self.part(split)
            if high > low:
                ends = f"{trace.timestamps[low]}Z", f"{trace.timestamps[high - 1]}Z"
                spans[split.name.lower()] = [*ends, high - low]
        ranges = {"ranges": self._ranges} if self._ranges else {}
        parts = {"gap": self._slots_apart, "parts": spans}
        return {"source": self.name, **trace.provenance, **parts, **ranges}

    @property
    def _slots_apart(self) -> int:
        trace = self.recorded.trace
        if self._gap is not None or trace.horizon < 2:
            return self._gap or 0
        return int(np.timedelta64(1, "D") / (trace.timestamps[1] - trace.timestamps[0]))

    @checked
    def _length(self, horizon: Count | None, available: int) -> int:
        """Slots of an instance or a draw."""
        return horizon or self._horizon or max(available, 1)

    def _slots_of(self, split: Split) -> int:
        low, high = self.part(split)
        return max(high - low, 0)

    def _stressed(self, instance: Instance, draw: Draw) -> Instance:
        if not self._ranges:
            return instance
        if instance.batch:
            raise DataError(f"{self.name}: ranges are for one trace, not for a batch")
        stamps = self.recorded.trace.timestamps[:2]
        minutes = float(np.diff(stamps)[0] / np.timedelta64(1, "m")) if len(stamps) > 1 else 60.0
        (rng,) = draw.generator().spawn(1)  # apart from the stream that chose the window
        return disturbed(instance, self._ranges, rng, minutes)

    def _first(self) -> int:
        stamps, start = self.recorded.trace.timestamps, self._start
        if start is None:
            return 0
        if isinstance(start, str):
            try:
                time = np.datetime64(start.removesuffix("Z"), "s")
            except ValueError:
                raise DataError(f"start must be a slot or a UTC time, got {start!r}") from None
            slot = int(np.searchsorted(stamps, time))
            if slot >= len(stamps) or stamps[slot] != time:
                raise DataError(
                    f"{self.name}: no slot starts at {start}; they run from {stamps[0]} to "
                    f"{stamps[-1]} UTC"
                )
            return slot
        if not 0 <= start < len(stamps):
            raise DataError(f"{self.name}: start must lie in 0..{len(stamps) - 1}, got {start}")
        return start

    def _start_of(self, draw: Draw, length: int) -> int:
        """First slot of a draw's window."""
        count = self.draws(draw.split, length)
        low, high = self.part(draw.split)
        if count is None:
            return int(draw.generator().integers(low, high - length + 1))
        if draw.index >= count:
            name = draw.split.name.lower()
            there_are = f"only {name}/0" if count == 1 else f"{name}/0 to {name}/{count - 1}"
            raise DataError(
                f"{self.name}: there is no {name}/{draw.index}; windows of {length} slots fit "
                f"{count} times into the {name} part: {there_are}"
            )
        # Spread over the whole part; they cannot overlap, being at least `length` apart.
        return low + (draw.index * (high - low - length)) // max(count - 1, 1)


class TableSource(RecordedSource):
    """One's own data: the YAML file at ``path``, options as of :class:`RecordedSource`."""

    def __init__(self, path: str | Path, **options: Any) -> None:
        _known("table", options)
        self.path = Path(path)
        options.setdefault("name", self.path.name)
        super().__init__(lambda weight: table(path, equity_weight=weight), **options)


class Bloom10Source(RecordedSource):
    """The paper's published trace under ``root``, options as of :class:`RecordedSource`."""

    def __init__(self, root: str | Path, **options: Any) -> None:
        _known("bloom10", options)
        options.setdefault("name", "bloom10")
        super().__init__(lambda _: bloom10(root, reachability="partial"), **options)


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
        return _drawn(_stacked(members), Draw.of(draw))

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


def shifted_source(kind: str, seed: int | str | Draw = 0, **options: Any) -> ShiftedSource:
    """Shifted draws of the generator; ``seed`` and ``options`` as of :class:`SyntheticSource`."""
    return ShiftedSource(SyntheticSource(seed, **options), kind)


def source_of(given: Any) -> Source:
    """The source that a configuration or a caller means: itself, or one around an instance.

    Raises
    ------
    DataError
        For anything else.
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, Instance):
        return RecordedSource(given, name=given.name)
    raise DataError(f"expected a source of instances, or an Instance, got {type(given).__name__}")


#: What :func:`named_source` understands.
NAMES = (
    "synthetic or synthetic:test/3, a table's YAML file or table:FILE, a folder with the bloom10 "
    "trace or bloom10:FOLDER"
)


def named_source(text: str) -> Source:
    """The source that a text names: on a command line, or as an environment's ``instance``.

    Raises
    ------
    DataError
        If it names none.
    """
    kind, _, rest = text.partition(":")
    if kind == "synthetic":
        return SyntheticSource(int(rest) if rest.isdecimal() else rest or 0)
    if kind == "table" and rest:
        return TableSource(rest)
    if kind == "bloom10" and rest:
        return Bloom10Source(rest)
    path = Path(text)
    if path.is_dir():
        return Bloom10Source(path)
    if path.suffix in (".yaml", ".yml"):
        return TableSource(path)
    raise DataError(f"there is no instance named {text!r}, expected {NAMES}")


def _known(name: str, options: Mapping[str, Any]) -> None:
    _, *expected = inspect.signature(RecordedSource).parameters
    refuse_unknown(f"{name} option", options, expected)


def _member(draw: Draw, member: int) -> Draw:
    """The draw of a batch's member: of validation and test another window, so another draw."""
    if draw.split is Split.TRAIN:
        return draw.of_member(draw.member + member)
    return Draw(draw.split, draw.index + draw.member + member)


def _instance(given: Any, name: str) -> Instance:
    if not isinstance(given, Instance):
        raise DataError(f"{name}: expected an Instance, got {type(given).__name__}")
    return given


def _reaching(instance: Instance, reachability: str) -> Instance:
    if reachability not in ("full", "partial"):
        raise DataError(f"reachability must be 'full' or 'partial', got {reachability!r}")
    return instance.with_full_reachability() if reachability == "full" else instance


def _stacked(members: Sequence[Instance]) -> Instance:
    return members[0].replace(trace=Trace.stack([member.trace for member in members]))


def _drawn(instance: Instance, draw: Draw) -> Instance:
    provenance = {**instance.trace.provenance, "draw": str(draw)}
    trace = dataclasses.replace(instance.trace, provenance=provenance)
    return instance.replace(trace=trace)
