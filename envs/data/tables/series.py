"""One series from its rows: numbers in the project's unit, each for as long as it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.checking import shown
from equiload.envs.data.tables import units
from equiload.envs.data.tables.cells import missing, numbers
from equiload.envs.data.tables.entries import SeriesEntry
from equiload.envs.data.tables.messages import about, cell_error
from equiload.envs.data.tables.parts import Facts, Part, Reader, facts_of, named, parts_of
from equiload.envs.data.tables.requests import read_requests
from equiload.envs.data.tables.slots import Intervals, lasting
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray, TimeArray

#: Cells without a value that are remembered for messages.
_MOST_BLANKS = 10_000


def read(reader: Reader, options: Any, kind: str, what: str) -> tuple[Intervals, Facts]:
    """Read a series of one kind.

    Raises
    ------
    DataError
        Whatever does not fit: file, row, column, value and what was expected.
    """
    parts = parts_of(reader, options, what)
    if parts[0].entry.energy:
        return read_requests(reader, parts, kind, what), facts_of(parts)
    return intervals_of(reader, _of_columns(parts, what), kind, what), facts_of(parts)


def _of_columns(parts: Sequence[Part], what: str) -> list[Part]:
    """The parts with the cells of the column that their entries name."""
    if any(part.entry.column is None for part in parts):
        raise DataError(f"{what}: 'column' is missing")
    return [replace(part, cells=part.frame.column(part.entry.column or "")) for part in parts]


def intervals_of(reader: Reader, parts: Sequence[Part], kind: str, what: str) -> Intervals:
    """The values of the parts' cells in time order."""
    _refuse_mixture(parts, what)
    first, ends = parts[0].entry, parts[0].stamps.ends
    name = named(parts, kind, what)
    lasts = None if first.lasts is None else _duration(first.lasts, what)
    rows = _once(reader, parts, _rows(parts))
    moments, gone = rows["moment"].to_numpy(), rows["gone"].to_numpy()
    declared = rows["declared"].to_numpy() if lasts is None else np.full(len(rows), lasts)
    amount = (units.is_load(kind) or kind == "mix") and (first.unit or "") in units.ENERGY
    judged = reader.judges(moments)
    starts, seconds, steps = lasting(
        moments, declared, reader.slot, name, ends=ends, amount=amount, judged=judged
    )
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
        here = np.flatnonzero(inside & (rows["part"] == k))
        if len(here):
            cells = part.cells.iloc[rows["row"].iloc[here]]
            values[here] = _values(reader, part, cells, moments[here], kind, what)
    zone = first.time_zone if any(part.stamps.zone_used for part in parts) else None
    local = zone if zone is not None and "/" in zone and not zone.startswith("Etc/") else None
    blank = np.flatnonzero(within & gone)[:_MOST_BLANKS]
    cells = rows[["part", "row"]].iloc[blank].itertuples(index=False)
    places = (_blank(parts[part], row) for part, row in cells)
    blanks = dict(zip(starts[blank].tolist(), places, strict=True))
    chosen = starts[inside], seconds[inside], values[inside]
    return Intervals(name, *chosen, steps, amount, local, blanks)


def _rows(parts: Sequence[Part]) -> pd.DataFrame:
    """All rows in time order; of a time that two files have, the value before the gap.

    ``part`` and ``row``: which file's, and where there; ``moment``: UTC; ``declared``: how long
    the file says that the value lasts, seconds; ``gone``: is there no value?
    """
    rows = [
        {
            "part": k,
            "row": np.arange(len(part.cells)),
            "moment": part.stamps.moments,
            "declared": part.stamps.seconds,
            "gone": missing(part.cells, part.entry),
        }
        for k, part in enumerate(parts)
    ]
    return pd.concat(map(pd.DataFrame, rows)).sort_values(["moment", "gone"], kind="stable")


def _once(reader: Reader, parts: Sequence[Part], rows: pd.DataFrame) -> pd.DataFrame:
    """Refuse a time that occurs twice, unless two files say the same of it, or one says nothing."""
    part, row, moments, gone = (rows[name].to_numpy() for name in ("part", "row", "moment", "gone"))
    repeated = np.flatnonzero(moments[1:] == moments[:-1]) + 1
    judged = reader.judges(moments)
    for at in repeated:
        pair = (at - 1, at)
        texts = [str(parts[part[k]].cells.iloc[row[k]]).strip() for k in pair]
        joined = part[at - 1] != part[at]
        if joined and (gone[at] or _alike(texts, parts[part[at - 1]].entry)):
            continue
        if not judged[at]:
            continue
        places = sorted((part[k], row[k]) for k in pair)
        frames = [parts[file].frame for file, _ in places]
        first, again = (f.cells.index[at] for f, (_, at) in zip(frames, places, strict=True))
        if joined:
            raise DataError(
                f"{frames[1].file}, row {again}: for {moments[at]} UTC the value is "
                f"{shown(texts[1])}, but {shown(texts[0])} in row {first} of {frames[0].file}; "
                f"take one of the files away"
            )
        raise DataError(
            f"{frames[1].file}, row {again}: the time {moments[at]} UTC occurs again (first "
            f"in row {first}); a long file needs 'where', local stamps their 'time_zone', a date "
            f"its hour ('time: [date, hour]'), a log of requests its 'energy'"
        )
    return rows.iloc[np.setdiff1d(np.arange(len(rows)), repeated)]


def _alike(texts: Sequence[str], entry: SeriesEntry) -> bool:
    """Do two cells say the same, ``3`` and ``3.0`` too?"""
    if texts[0] == texts[1]:
        return True
    try:
        both = numbers(pd.Series(list(texts)), entry, "", "")
    except DataError:
        return False
    return bool(both[0] == both[1])


def _refuse_mixture(parts: Sequence[Part], what: str) -> None:
    """Refuse files of one series that mean different things by a stamp, or by a value."""
    first = parts[0]
    for part in parts[1:]:
        amounts = [(each.entry.unit or "") in units.ENERGY for each in (part, first)]
        if part.stamps.ends != first.stamps.ends:
            sense = "the stamps are the ends of the values in one and their starts in the other"
        elif amounts[0] != amounts[1]:
            sense = (
                f"the values are in {part.entry.unit} in one and {first.entry.unit} in the other"
            )
        else:
            continue
        raise DataError(
            f"{what}: {part.frame.file} cannot be joined with {first.frame.file}: {sense}"
        )


def _blank(part: Part, row: int) -> str:
    """Where a cell without a value stands, and what it says."""
    value = part.cells.iloc[row]
    text = "" if pd.isna(value) else str(value).strip()
    column = str(part.cells.name)
    place = f"{part.frame.file.name}, row {part.cells.index[row]}, column {column!r}"
    return f"{place} is {shown(text) if text else 'empty'}"


def _values(
    reader: Reader, part: Part, cells: Any, moments: TimeArray, kind: str, what: str
) -> FloatArray:
    """Cells that are there as numbers in the project's unit, within their bounds."""
    entry, file, unit = part.entry, part.frame.file, part.entry.unit or ""
    base = units.base_kind(kind)
    raw = numbers(cells, entry, file, f"{kind} in {unit}")
    with about(what, unless=what):
        rate = _rate(reader, entry, moments, what)
        values = units.convert(raw, base, unit, rate, footprint_unit=reader.units.get(base))
    if units.is_load(kind) and unit in units.POWER:
        values = values * (reader.slot / 3600)
    if units.is_load(kind) and unit in units.SHARES:
        base = f"share of {kind}"
    if odd := units.out_of_bounds(values, base):
        raise cell_error(file, cells, odd[0], f"{odd[1]}; is the unit {unit} right?")
    return values


def _duration(text: str, what: str) -> int:
    try:
        seconds = pd.Timedelta(text).total_seconds()
    except ValueError:
        seconds = 0.0
    if not (1 <= seconds <= 400 * 86_400) or text.strip().isdigit():
        raise DataError(f"{what}: 'lasts' must be a time, '60 min' or '1 h' say, got {shown(text)}")
    return int(seconds)


def _rate(
    reader: Reader, entry: SeriesEntry, moments: TimeArray, what: str
) -> FloatArray | float | None:
    """US$ per unit at each stamp: the last known rate."""
    rate = entry.rate
    if not isinstance(rate, dict):
        return rate
    starts, values, file = _rates(reader, rate, f"{what}, rate")
    order = np.argsort(starts, kind="stable")
    starts, values = starts[order], values[order]
    index = np.searchsorted(starts, moments, side="right") - 1
    if not len(starts) or (index < 0).any():
        raise DataError(
            f"{file}: rates begin at {starts[0] if len(starts) else 'no time'} UTC, after the "
            f"first price at {moments.min()} UTC"
        )
    if units.out_of_bounds(values, "rate"):
        raise DataError(f"{file}: rates must be positive numbers")
    return values[index]


def _rates(reader: Reader, rate: Any, what: str) -> tuple[TimeArray, FloatArray, Path]:
    """Stamps and rates of all files of a series of rates, and the first file."""
    parts = parts_of(reader, {"unit": "US$", **rate}, what)
    starts, values = [], []
    for part in _of_columns(parts, what):
        gone = missing(part.cells, part.entry)
        values.append(numbers(part.cells[~gone], part.entry, part.frame.file, "US$"))
        starts.append(part.stamps.moments[~gone])
    return np.concatenate(starts), np.concatenate(values), parts[0].frame.file
