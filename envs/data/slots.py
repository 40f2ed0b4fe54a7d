"""Columns of any step onto the regular slots of a trace, gaps reported or filled on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equiload.envs.data.sources import Column
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray, TimeArray

_SUNDAY = 6  # when clocks change in most of the world


@dataclass(frozen=True)
class Gaps:
    """What to do about slots without a value.

    Parameters
    ----------
    method
        ``"refuse"``, ``"linear"`` between neighbours, or ``"previous"`` value.
    longest
        Longest run of slots that may be filled.
    """

    method: str = "refuse"
    longest: int = 0

    @classmethod
    def of(cls, options: Any) -> Gaps:
        """Read ``refuse`` or ``{method: linear, longest: 3}``."""
        if options in (None, "refuse"):
            return cls()
        try:
            gaps = cls(**options)
        except TypeError:
            gaps = cls("")
        whole = isinstance(gaps.longest, int) and gaps.longest >= 1
        if gaps.method not in ("linear", "previous") or not whole:
            raise DataError(
                f"gaps must be 'refuse' or {{method: linear or previous, longest: slots}}, "
                f"got {options!r}"
            )
        return gaps


@dataclass(frozen=True, eq=False)
class Slots:
    """The slots of a trace: UTC starts ``[T]`` and their length in seconds."""

    stamps: TimeArray
    seconds: int

    def place(self, column: Column, gaps: Gaps, *, total: bool = False) -> tuple[FloatArray, int]:
        """Values ``[T]`` of a column, and how many of them were filled.

        Finer columns are averaged over a slot, or summed where they are amounts (``total``).

        Raises
        ------
        DataError
            A step that does not divide the slot, stamps off the slots' grid, or gaps that may not
            be filled.
        """
        file, step = column.source.file, column.step
        if step > self.seconds or self.seconds % step:
            raise DataError(
                f"{file}: {column.kind} has a value every {step // 60} min, expected one every "
                f"{self.seconds // 60} min or a whole fraction of that"
            )
        since = (column.stamps - self.stamps[0]).astype(np.int64)
        off = np.flatnonzero(since % step)
        if len(off):
            raise DataError(
                f"{file}: the time {column.stamps[off[0]]} UTC is not on the grid of {step // 60} "
                f"min that the other times and the slots are on"
            )
        slot = since // self.seconds
        inside = (slot >= 0) & (slot < len(self.stamps))
        count = np.bincount(slot[inside], minlength=len(self.stamps))
        sums = np.bincount(slot[inside], column.values[inside], minlength=len(self.stamps))
        value: FloatArray = np.asarray(sums / (1 if total else np.maximum(count, 1)), np.float64)
        return self._fill(value, count == self.seconds // step, column, gaps)

    def _fill(
        self, value: FloatArray, full: np.ndarray[Any, Any], column: Column, gaps: Gaps
    ) -> tuple[FloatArray, int]:
        missing = np.flatnonzero(~full)
        if not len(missing):
            return value, 0
        edge = np.flatnonzero(np.diff(np.concatenate([[False], ~full, [False]]).astype(int)))
        runs = edge.reshape(-1, 2)  # first slot of a gap, first slot after it
        longest = int(np.diff(runs).max())
        inner = full[0] and (full[-1] or gaps.method == "previous")
        if gaps.method == "refuse" or longest > gaps.longest or not inner:
            allowed = (
                "fill them with 'gaps: {method: linear, longest: ...}', or choose another window"
                if gaps.method == "refuse"
                else f"gaps of up to {gaps.longest} slots may be filled, between known values"
            )
            if len(missing) == 1 and self.stamps[missing[0]].item().weekday() == _SUNDAY:
                allowed += " (one hour gone on a Sunday: is this a local clock taken for UTC?)"
            raise DataError(
                f"{column.source.file}: {column.kind} has no value in {len(missing)} slots, first "
                f"at {self.stamps[missing[0]]} UTC, the longest gap is {longest} slots; {allowed}"
            )
        known = np.flatnonzero(full)
        if gaps.method == "linear":
            value[missing] = np.interp(missing, known, value[known])
        else:
            value[missing] = value[known[np.searchsorted(known, missing) - 1]]
        return value, len(missing)


def common_slots(columns: list[Column], seconds: int, start: Any, end: Any) -> Slots:
    """The slots from ``start`` to ``end``, or the longest window that every column covers."""
    first = max(c.stamps[0] for c in columns)
    last = min(c.stamps[-1] + np.timedelta64(c.step, "s") for c in columns)
    begin = first if start is None else _moment("start", start)
    stop = last if end is None else _moment("end", end)
    if start is None:  # on a whole slot since midnight
        begin = begin + np.timedelta64(int(-begin.astype(np.int64) % seconds), "s")
    count = int((stop - begin) / np.timedelta64(seconds, "s"))
    if count < 1:
        raise DataError(
            f"the series have no slot in common: the last to begin does so at {first} UTC, "
            f"the first to end at {last} UTC"
        )
    return Slots(begin + np.arange(count) * np.timedelta64(seconds, "s"), seconds)


def _moment(name: str, value: Any) -> np.datetime64:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    try:
        return np.datetime64(text.removesuffix("Z").removesuffix("+00:00"), "s")
    except ValueError:
        raise DataError(f"{name} must be a UTC time, 2024-03-01T00:00 say, got {value!r}") from None
