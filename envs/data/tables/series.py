"""One series from its rows: numbers in the project's unit, each for as long as it lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.data.tables.cells import missing, numbers
from equiload.envs.data.tables.entries import SeriesEntry, shown
from equiload.envs.data.tables.parts import Facts, Part, Reader, facts_of, named, parts_of
from equiload.envs.data.tables.requests import read_requests
from equiload.envs.data.tables.slots import Column, lengths
from equiload.envs.data.tables.units import (
    bounds,
    convert,
    is_amount,
    is_power,
    is_share,
    own_unit,
)
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, FloatArray, IntArray, TimeArray

#: Cells without a value that are remembered for messages.
_MOST_BLANKS = 10_000


def read(reader: Reader, options: Any, kind: str, what: str) -> tuple[Column, Facts]:
    """Read a series of one kind.

    Raises
    ------
    DataError
        Whatever does not fit: file, row, column, value and what was expected.
    """
    parts = parts_of(reader, options, what)
    if parts[0].entry.energy:
        return read_requests(reader, parts, kind, what), facts_of(parts)
    for part in parts:
        if part.entry.column is None:
            raise DataError(f"{what}: 'column' is missing")
    cells = [part.frame.column(part.entry.column or "") for part in parts]
    return column_of(reader, parts, cells, kind, what), facts_of(parts)


def column_of(
    reader: Reader, parts: Sequence[Part], cells: Sequence[Any], kind: str, what: str
) -> Column:
    """The values of ``cells``, one series a part, in time order."""
    first = parts[0].entry
    _refuse_mixture(parts, what)
    name = named(parts, kind, what)
    gone = np.concatenate([missing(c, p.entry) for c, p in zip(cells, parts, strict=True)])
    owner = np.repeat(np.arange(len(parts)), [len(c) for c in cells])
    row = np.concatenate([np.arange(len(c)) for c in cells])
    moments = np.concatenate([part.stamps.moments for part in parts])
    declared: IntArray = np.concatenate([part.stamps.seconds for part in parts])
    if first.lasts is not None:
        declared = np.full(len(moments), _duration(first.lasts, what))
    order = np.lexsort((gone, moments))  # of a time that two files have, the value before the gap
    order = _once(reader, parts, cells, order, moments, owner, row, gone)
    moments, gone, owner, row = moments[order], gone[order], owner[order], row[order]
    unit = first.unit or ""
    amount = kind in ("demand", "mix") and is_amount(unit)
    judged = reader.judges(moments)
    grid = _Grid(parts[0].stamps.ends, reader.slot, amount, name)
    starts, seconds, steps = _lasting(moments, declared[order], judged, grid)
    within = reader.within(starts, seconds)
    inside = within & ~gone
    if not inside.any():
        window = "" if reader.begin is None and reader.end is None else " from 'start' to 'end'"
        raise DataError(
            f"{name}: there is no value{window}; its times run from {starts[0]} to {starts[-1]} UTC"
            + ("; if there is no such plant, leave it out of 'fuels'" if kind == "mix" else "")
        )
    values = np.full(len(starts), np.nan)
    for k, part in enumerate(parts):
        here = np.flatnonzero(inside & (owner == k))
        if len(here):
            chosen = cells[k].iloc[row[here]]
            values[here] = _values(reader, part, chosen, moments[here], kind, what)
    zone = first.time_zone if any(part.stamps.zone_used for part in parts) else None
    local = zone if zone is not None and "/" in zone and not zone.startswith("Etc/") else None
    blank = np.flatnonzero(within & gone)[:_MOST_BLANKS]
    places = [_cell(parts[owner[k]], cells[owner[k]], row[k]) for k in blank]
    return Column(
        name,
        starts[inside],
        seconds[inside],
        values[inside],
        steps,
        amount,
        local,
        dict(zip(starts[blank].tolist(), places, strict=True)),
    )


def _refuse_mixture(parts: Sequence[Part], what: str) -> None:
    """Refuse files of one series that mean different things by a stamp, or by a value."""
    first = parts[0]
    for part in parts[1:]:
        if part.stamps.ends != first.stamps.ends:
            sense = "the stamps are the ends of the values in one and their starts in the other"
        elif is_amount(part.entry.unit or "") != is_amount(first.entry.unit or ""):
            sense = (
                f"the values are in {part.entry.unit} in one and {first.entry.unit} in the other"
            )
        else:
            continue
        raise DataError(
            f"{what}: {part.frame.file} cannot be joined with {first.frame.file}: {sense}"
        )


def _cell(part: Part, cells: Any, row: int) -> str:
    """Where a cell without a value stands, and what it says."""
    value = cells.iloc[row]
    text = "" if pd.isna(value) else str(value).strip()
    place = f"{part.frame.file.name}, row {cells.index[row]}, column {str(cells.name)!r}"
    return f"{place} is {shown(text) if text else 'empty'}"


def _values(
    reader: Reader, part: Part, cells: Any, moments: TimeArray, kind: str, what: str
) -> FloatArray:
    """Cells that are there as numbers in the project's unit, within their bounds."""
    candidate, file = part.entry, part.frame.file
    unit = candidate.unit or ""
    label = str(cells.name)
    raw = numbers(cells, candidate, (file, label), f"{kind} in {unit}")
    try:
        rate = _rate(reader, candidate, moments, what)
        base = kind.removeprefix("grid_").removeprefix("site_")
        values = convert(raw, base, unit, rate, footprint_unit=reader.units.get(base))
        if kind == "demand" and is_power(unit):
            values = values * (reader.slot / 3600)
    except DataError as error:
        text = str(error)
        raise DataError(text if what in text else f"{what}: {text}") from None
    low, high = bounds("share" if kind == "demand" and is_share(unit) else base)
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        at = int(np.argmax(bad))
        own = "of capacity" if kind == "demand" and is_share(unit) else own_unit(base)
        raise DataError(
            f"{file}, row {cells.index[at]}, column {label!r}: the value is {values[at]:g} {own}, "
            f"expected {low:g} to {high:g}; is the unit {unit} right?"
        )
    return values


def _once(
    reader: Reader,
    parts: Sequence[Part],
    cells: Sequence[Any],
    order: IntArray,
    moments: TimeArray,
    owner: IntArray,
    row: IntArray,
    gone: BoolArray,
) -> IntArray:
    """Refuse a time that occurs twice, unless two files say the same of it, or one says nothing."""
    same = np.flatnonzero(np.diff(moments[order]).astype(np.int64) == 0)
    if not len(same):
        return order
    drop = []
    for at in same:
        first, second = int(order[at]), int(order[at + 1])
        texts = [str(cells[owner[k]].iloc[row[k]]).strip() for k in (first, second)]
        joined = owner[first] != owner[second]
        if joined and (gone[second] or _alike(texts, parts[owner[first]].entry)):
            drop.append(at + 1)
            continue
        if not reader.judges(moments[second : second + 1])[0]:
            drop.append(at + 1)
            continue
        first, second = sorted((first, second))
        later, earlier = parts[owner[second]].frame, parts[owner[first]].frame
        if joined:
            raise DataError(
                f"{later.file}, row {later.cells.index[row[second]]}: for {moments[second]} UTC "
                f"the value is {shown(texts[1])}, but {shown(texts[0])} in row "
                f"{earlier.cells.index[row[first]]} of {earlier.file}; take one of the files away"
            )
        raise DataError(
            f"{later.file}, row {later.cells.index[row[second]]}: the time {moments[second]} UTC "
            f"occurs again (first in row {earlier.cells.index[row[first]]}); a long file "
            f"needs 'where', local stamps their 'time_zone', a date its hour "
            f"('time: [date, hour]'), a log of requests its 'energy'"
        )
    return np.delete(order, drop)


def _alike(texts: Sequence[str], entry: SeriesEntry) -> bool:
    """Do two cells say the same, ``3`` and ``3.0`` too?"""
    if texts[0] == texts[1]:
        return True
    try:
        both = numbers(pd.Series(list(texts)), entry, ("", ""), "")
    except DataError:
        return False
    return bool(both[0] == both[1])


@dataclass(frozen=True)
class _Grid:
    """How the values of a series lie in time: do stamps end them, and are they amounts?"""

    ends: bool
    slot: int
    amount: bool
    what: str

    def lengths(
        self, moments: TimeArray, declared: IntArray, judged: BoolArray
    ) -> tuple[IntArray, tuple[int, ...]]:
        """As :func:`equiload.envs.data.tables.slots.lengths` has them."""
        return lengths(moments, declared, self.slot, self.what, amount=self.amount, judged=judged)


def _lasting(
    moments: TimeArray, declared: IntArray, judged: BoolArray, grid: _Grid
) -> tuple[TimeArray, IntArray, tuple[int, ...]]:
    """UTC starts, seconds and the file's steps; values that end at their stamps look backwards."""
    if not grid.ends:
        seconds, steps = grid.lengths(moments, declared, judged)
        return moments, seconds, steps
    mirrored = (-moments.astype(np.int64)[::-1]).astype("datetime64[s]")
    try:
        seconds, steps = grid.lengths(mirrored, declared[::-1], judged[::-1])
    except DataError:
        grid.lengths(moments, declared, judged)  # whose sentence names the time as it is
        raise
    seconds = seconds[::-1]
    return moments - seconds.astype("timedelta64[s]"), seconds, steps


def _duration(text: str, what: str) -> int:
    try:
        seconds = pd.Timedelta(text).total_seconds()
    except ValueError:
        seconds = 0.0
    if not (1 <= seconds <= 400 * 86_400) or text.strip().isdigit():
        raise DataError(f"{what}: 'lasts' must be a time, '60 min' or '1 h' say, got {shown(text)}")
    return int(seconds)


def _rate(
    reader: Reader, candidate: SeriesEntry, moments: TimeArray, what: str
) -> FloatArray | float | None:
    """US$ per unit at each stamp: the last known rate."""
    rate = candidate.rate
    if rate is None:
        return None
    if not isinstance(rate, Mapping):
        try:
            value = float(rate)
        except (TypeError, ValueError):
            value = np.nan
        if not (np.isfinite(value) and value > 0) or isinstance(rate, bool):
            raise DataError(f"'rate' must be a positive number or a series, got {shown(rate)}")
        return value
    starts, values, file = _rates(reader, rate, f"{what}, rate")
    order = np.argsort(starts, kind="stable")
    starts, values = starts[order], values[order]
    index = np.searchsorted(starts, moments, side="right") - 1
    if not len(starts) or (index < 0).any():
        raise DataError(
            f"{file}: rates begin at {starts[0] if len(starts) else 'no time'} UTC, after the "
            f"first price at {moments.min()} UTC"
        )
    low, high = bounds("rate")
    if not ((values >= low) & (values <= high)).all():
        raise DataError(f"{file}: rates must be positive numbers")
    return values[index]


def _rates(reader: Reader, rate: Any, what: str) -> tuple[TimeArray, FloatArray, Path]:
    """Stamps and rates of all files of a series of rates, and the first file."""
    parts = parts_of(reader, {"unit": "US$", **rate}, what)
    starts, values = [], []
    for part in parts:
        if part.entry.column is None:
            raise DataError(f"{what}: 'column' is missing")
        cells = part.frame.column(part.entry.column)
        gone = missing(cells, part.entry)
        place = (part.frame.file, str(cells.name))
        values.append(numbers(cells[~gone], part.entry, place, "US$"))
        starts.append(part.stamps.moments[~gone])
    return np.concatenate(starts), np.concatenate(values), parts[0].frame.file
