"""Values that each last a while onto the regular slots of a trace, gaps refused or filled.

A value lasts until the next stamp, but no longer than is declared (``lasts``, or the end of a
range) or evident from the file. So files may change their step, and a slot is known where values
cover it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.checking import shown
from equiload.envs.data.tables.entries import GapsEntry, record
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, FloatArray, IntArray, TimeArray

#: Slots of all regions; more would fill the memory.
_MOST_SLOTS = 20_000_000
_SUNDAY = 6  # when clocks change in most of the world
#: So many equal steps in a row are no accident of missing rows.
_RUN = 4
#: So many steps in the place of one at the start of a slot neither.
_ALONE = 4


#: UTC: begin and end.
Span = tuple[np.datetime64, np.datetime64]


@dataclass(frozen=True, eq=False)
class Intervals:
    """A series as read: ``[rows]`` UTC starts, lengths in seconds and values, in time order.

    ``what`` names file and series in messages; ``resolutions`` are the steps of the file, seconds,
    the commonest first; ``amount``: values are amounts over their length, not means; ``local``: the
    zone of its stamps, if they were on a local clock; ``blanks``: where cells without a value
    stand, by time.
    """

    what: str
    starts: TimeArray
    seconds: IntArray
    values: FloatArray
    resolutions: tuple[int, ...]
    amount: bool = False
    local: str | None = None
    blanks: Mapping[Any, str] = field(default_factory=dict)

    @property
    def span(self) -> Span:
        """UTC: when the first value begins and the last one ends."""
        return self.starts[0], self.starts[-1] + np.timedelta64(int(self.seconds[-1]), "s")


def lengths(
    starts: TimeArray,
    declared: IntArray | int,
    slot: int,
    what: str,
    *,
    amount: bool = False,
    judged: BoolArray | None = None,
) -> tuple[IntArray, tuple[int, ...]]:
    """How long each value lasts, seconds ``[rows]``, and the steps that the file has.

    Parameters
    ----------
    starts
        ``[rows]`` in time order, none twice.
    declared
        Longest time that a value lasts: one number, or for each row; 0 where nothing is declared.
    slot
        Length of the trace's slots: a coarser step than the commonest is evident up to this.
    what
        File and series, for messages.
    amount
        Are the values amounts? Then one alone is never stretched: it is of its own step.
    judged
        ``[rows]``: those that may be refused; all, if not given.

    Raises
    ------
    DataError
        A single row, or a stamp between the grid of the others.
    """
    apart = np.diff(starts).astype(np.int64)
    longest = np.broadcast_to(np.asarray(declared, dtype=np.int64), starts.shape)
    if not len(apart):
        if longest.any():
            return longest.copy(), (int(longest[0]),)
        raise DataError(
            f"{what}: one row is not a series, unless 'lasts' says how long its value holds"
        )
    whole = 0 if amount else slot
    steps = _resolutions(apart, starts, slot, whole)
    if not longest.any():
        off = apart % min(steps) != 0
        odd = np.flatnonzero(off if judged is None else off & judged[1:] & judged[:-1])
        if len(odd):
            raise DataError(
                f"{what}: the time {starts[odd[0] + 1]} UTC is not on the grid of "
                f"{min(steps) // 60} min that the other times are on; where values last until the "
                f"next stamp, say how long they may ('lasts: {max(60, steps[0] // 60)} min'); a "
                f"log of requests needs its 'energy'"
            )
    seconds = np.append(apart, 0)
    regular = np.append(_evident(apart, starts, steps, slot, whole), False)
    # Before a gap, and at the end, a value lasts as long as the last regular one did.
    last = np.maximum.accumulate(np.where(regular, np.arange(len(starts)), -1))
    usual = np.where(last >= 0, seconds[last], steps[0])
    limit: IntArray = np.where(longest > 0, longest, np.where(regular, seconds, usual))
    limit[-1] = min(limit[-1], max(steps))
    limit[:-1] = np.minimum(apart, limit[:-1])
    return limit, steps


def lasting(
    moments: TimeArray,
    declared: IntArray,
    slot: int,
    what: str,
    *,
    ends: bool,
    amount: bool,
    judged: BoolArray,
) -> tuple[TimeArray, IntArray, tuple[int, ...]]:
    """UTC starts, seconds and the file's steps, as of :func:`lengths`.

    Values that end at their stamps (``ends``) look backwards.
    """
    measured = partial(lengths, slot=slot, what=what, amount=amount)
    if not ends:
        return moments, *measured(moments, declared, judged=judged)
    mirrored = (-moments.astype(np.int64)[::-1]).astype("datetime64[s]")
    try:
        seconds, steps = measured(mirrored, declared[::-1], judged=judged[::-1])
    except DataError:
        measured(moments, declared, judged=judged)  # whose sentence names the time as it is
        raise
    seconds = seconds[::-1]
    return moments - seconds.astype("timedelta64[s]"), seconds, steps


def _resolutions(apart: IntArray, starts: TimeArray, slot: int, whole: int) -> tuple[int, ...]:
    """Steps that the file has on purpose, the commonest first."""
    values, counts = np.unique(apart, return_counts=True)
    usual = int(values[counts.argmax()])
    others = [
        int(step)
        for step in values[np.argsort(-counts, kind="stable")]
        if step != usual and _evident(apart, starts, (int(step),), slot, whole, usual).any()
    ]
    return (usual, *others)


def _evident(
    apart: IntArray,
    starts: TimeArray,
    steps: tuple[int, ...],
    slot: int,
    whole: int,
    usual: int | None = None,
) -> BoolArray:
    """``[rows - 1]``: is the way to the next stamp a step of the file rather than a gap?

    The commonest step is. Another one is where it comes several times in a row; a step as long as a
    slot (``whole``; 0 for none) also alone, if it starts on the slot in the place of four or more
    and is not the only one: quarter hours whose price does not change within an hour are exported
    so.
    """
    usual = steps[0] if usual is None else usual
    evident = apart == usual if usual in steps else np.zeros(len(apart), dtype=bool)
    since = starts[:-1].astype(np.int64)
    for step in steps:
        if step == usual or (step > slot and step > usual):
            continue
        same = apart == step
        runs = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
        for first, after in runs.reshape(-1, 2):
            if after - first >= _RUN:
                evident[first:after] = True
        alone = same & (since % slot == 0)
        if step == whole and step >= _ALONE * usual and alone.sum() >= 2:
            evident |= alone
    return evident


@dataclass(frozen=True, eq=False)
class Slots:
    """The slots of a trace: UTC starts ``[T]`` and their length in seconds."""

    stamps: TimeArray
    seconds: int

    def place(self, column: Intervals, gaps: GapsEntry | None) -> tuple[FloatArray, int]:
        """Values ``[T]`` of a column, and how many of them were filled.

        Means are weighed by time; amounts are spread evenly over their length and summed.

        Raises
        ------
        DataError
            Gaps that may not be filled.
        """
        count = len(self.stamps)
        begin = (column.starts - self.stamps[0]).astype(np.int64)
        end = begin + column.seconds
        inside = (end > 0) & (begin < count * self.seconds)
        begin, end, values = begin[inside], end[inside], column.values[inside]
        if column.amount:
            values = values * (self.seconds / column.seconds[inside])
        first = np.maximum(begin // self.seconds, 0)
        last = np.minimum((end - 1) // self.seconds, count - 1)
        pieces = last - first + 1
        row = np.repeat(np.arange(len(begin)), pieces)
        slot = np.repeat(first, pieces) + (
            np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        )
        low = np.maximum(begin[row], slot * self.seconds)
        high = np.minimum(end[row], (slot + 1) * self.seconds)
        share = (high - low) / self.seconds
        covered = np.bincount(slot, high - low, minlength=count)
        sums = np.bincount(slot, values[row] * share, minlength=count)
        return self._fill(np.asarray(sums, np.float64), covered == self.seconds, column, gaps)

    def _fill(
        self, value: FloatArray, full: BoolArray, column: Intervals, gaps: GapsEntry | None
    ) -> tuple[FloatArray, int]:
        missing = np.flatnonzero(~full)
        if not len(missing):
            return value, 0
        edge = np.flatnonzero(np.diff(np.concatenate([[False], ~full, [False]]).astype(int)))
        runs = edge.reshape(-1, 2)  # first slot of a gap, first slot after it
        longest = int(np.diff(runs).max())
        inner = full[0] and (full[-1] or (gaps is not None and gaps.method == "previous"))
        if gaps is None or longest > gaps.longest or not inner:
            raise DataError(self._sentence(missing, longest, column, gaps))
        known = np.flatnonzero(full)
        if gaps.method == "linear":
            value[missing] = np.interp(missing, known, value[known])
        else:
            value[missing] = value[known[np.searchsorted(known, missing) - 1]]
        return value, len(missing)

    def _sentence(
        self, missing: IntArray, longest: int, column: Intervals, gaps: GapsEntry | None
    ) -> str:
        """Where values are missing, and what may be done about it."""
        allowed = (
            "fill them with 'gaps: {method: linear, longest: ...}', or choose another window with "
            "'start' and 'end'"
            if gaps is None
            else f"gaps of up to {gaps.longest} slots may be filled, between known values"
        )
        first = self.stamps[missing[0]]
        after = first + np.timedelta64(self.seconds, "s")
        cells = [
            cell for when, cell in column.blanks.items() if first <= np.datetime64(when) < after
        ]
        if cells:
            allowed = f"{cells[0]}; {allowed}"
        elif len(missing) == 1 and column.local is not None and _repeated(column.local, first):
            allowed += f" (an hour that the clock of {column.local} repeats: the file has it once)"
        elif len(missing) == 1 and first.item().weekday() == _SUNDAY:
            allowed += " (one hour gone on a Sunday: is this a local clock taken for UTC?)"
        elif min(column.resolutions) < self.seconds and not column.amount:
            allowed += (
                f"; if a value lasts until the next stamp, say so: 'lasts: {_longest(column)} min'"
            )
        return (
            f"{column.what} has no value in {len(missing)} slots, first at {first} UTC, the "
            f"longest gap is {longest} slots; {allowed}"
        )


def _longest(column: Intervals) -> int:
    """Minutes of the longest way to a next stamp that a value does not last."""
    apart = np.diff(column.starts).astype(np.int64)
    short = apart[apart > column.seconds[:-1]]
    return int(short.max() if len(short) else 3600) // 60


def _repeated(zone: str, moment: np.datetime64) -> bool:
    """Is this UTC hour one that the zone's clock shows twice?"""
    local = pd.Timestamp(moment, tz="UTC").tz_convert(zone)
    other = [local.tz_localize(None).tz_localize(zone, ambiguous=dst) for dst in (True, False)]
    return bool(other[0] != other[1])


def gaps_of(options: Any, path: object) -> GapsEntry | None:
    """Read ``refuse`` (none) or ``{method: linear, longest: 3}``."""
    if options == "refuse":
        return None
    if not isinstance(options, dict):
        raise DataError(
            f"{path}: gaps must be 'refuse' or {{method: linear or previous, longest: slots}}, got "
            f"{shown(options)}"
        )
    return record(GapsEntry, options, f"{path}: gaps")


def common_slots(
    spans: Sequence[Span],
    seconds: int,
    begin: np.datetime64 | None,
    end: np.datetime64 | None,
    path: object,
    *,
    regions: int = 1,
) -> Slots:
    """The slots from ``begin`` to ``end``, or the longest window that every span covers."""
    first = max((span[0] for span in spans), default=begin)
    last = min((span[1] for span in spans), default=end)
    if first is None or last is None:
        raise DataError(f"{path}: no series has a file, so 'start' and 'end' must say when it is")
    start = first if begin is None else begin
    if begin is None:  # on a whole slot since midnight
        start = start + np.timedelta64(int(-start.astype(np.int64) % seconds), "s")
    stop = last if end is None else end
    length = int((stop - start) / np.timedelta64(1, "s"))
    count = length // seconds
    if begin is not None and end is not None and length % seconds:
        raise DataError(
            f"{path}: from start to end it is {length / 60:g} min, no whole number of slots of "
            f"{seconds // 60} min"
        )
    if count < 1 or (spans and (start >= last or stop <= first)):
        raise DataError(
            f"{path}: the series have no slot in common"
            + (" with 'start' and 'end'" if begin is not None or end is not None else "")
            + f": the last to begin does so at {first} UTC, the first to end at {last} UTC"
        )
    if count * regions > _MOST_SLOTS:
        raise DataError(
            f"{path}: from {start} to {stop} UTC there are {count} slots of {regions} regions, "
            f"more than {_MOST_SLOTS}; is a time wrong?"
        )
    return Slots(start + np.arange(count) * np.timedelta64(seconds, "s"), seconds)


def moment(name: str, value: str | None, path: object) -> np.datetime64 | None:
    """A UTC time of the YAML: a date, a time, one with an offset."""
    if value is None:
        return None
    stamp = pd.to_datetime(value, format="ISO8601", errors="coerce")
    if stamp is pd.NaT or not re.match(r"\d{4}-", value):
        raise DataError(
            f"{path}: {name} must be a UTC time, 2024-03-01T00:00 say, got {value[:60]!r}"
        )
    if stamp.tzinfo is not None:
        stamp = stamp.tz_convert("UTC").tz_localize(None)
    return np.datetime64(stamp.to_datetime64(), "s")
