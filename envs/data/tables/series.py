"""One series from its files: rows chosen, stamps to UTC, cells to numbers in the project's unit."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.data.tables.cells import missing, not_expected, numbers
from equiload.envs.data.tables.clocks import Stamps, stamps
from equiload.envs.data.tables.entries import SeriesEntry, entry, shown
from equiload.envs.data.tables.files import Files, Frame, expanded, listing, plain
from equiload.envs.data.tables.layouts import LAYOUTS
from equiload.envs.data.tables.slots import Column, lengths
from equiload.envs.data.tables.times import Times, read_times, time_zone
from equiload.envs.data.tables.units import (
    bounds,
    convert,
    energy,
    is_amount,
    is_power,
    is_share,
    own_unit,
)
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, FloatArray, IntArray, TimeArray

#: Cells without a value that are remembered for messages.
_MOST_BLANKS = 10_000
_YEAR = 366 * 86_400


@dataclass(frozen=True, eq=False)
class Reader:
    """What reading the series of one YAML file shares.

    Parameters
    ----------
    folder
        Where relative names of files begin.
    slot
        Length of the trace's slots, seconds.
    begin, end
        UTC: rows whose values lie wholly outside are not judged; none: all are.
    units
        Of footprint kinds that the project does not know.
    files, memory
        Files, and rows and stamps of them, that were read already: regions and kinds share them.
    """

    folder: Path
    slot: int
    begin: np.datetime64 | None
    end: np.datetime64 | None
    units: Mapping[str, str] = field(default_factory=dict)
    files: Files = field(default_factory=Files)
    memory: dict[Any, tuple[Frame, Times]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one file that belong to a series, and when they are."""

    entry: SeriesEntry
    frame: Frame
    stamps: Stamps

    def only(self, rows: BoolArray) -> Part:
        """Some of the rows."""
        when = self.stamps
        chosen = Stamps(when.moments[rows], when.seconds[rows], when.ends, when.zone_used)
        return Part(self.entry, self.frame.where(rows), chosen)


@dataclass(frozen=True, eq=False)
class Facts:
    """What was noticed while a series was read, for the checks.

    ``fuels_unmapped`` are in the file and in no mapping, ``fuels_empty`` in the mapping without a
    value in the file.
    """

    entry: SeriesEntry
    files: tuple[Path, ...]
    zone_used: bool
    fuels_unmapped: tuple[str, ...] = ()
    fuels_empty: tuple[str, ...] = ()


def resolved(reader: Reader, options: Any, what: str) -> list[tuple[SeriesEntry, Frame]]:
    """Every file of a series with the options that hold for it.

    A layout may know several generations of an export; each file takes the first that fits it.
    """
    if not isinstance(options, Mapping):
        raise DataError(f"{what} must be a number, or a mapping with a file, a time and a unit")
    layout = options.get("layout")
    variants: Sequence[Mapping[str, Any]] = ({},)
    if layout is not None:
        if not isinstance(layout, str) or layout not in LAYOUTS:
            near = difflib.get_close_matches(str(layout), LAYOUTS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f", expected one of {[*LAYOUTS]}"
            raise DataError(f"{what}: there is no layout {shown(layout)}{hint}")
        variants = LAYOUTS[layout]
    entries = [entry(SeriesEntry, {**variant, **options}, what) for variant in variants]
    for candidate in entries[:1]:
        _complete(candidate, what)
    paths = expanded(reader.folder, entries[0].file or ())
    return [_fitting(reader, path, entries) for path in paths]


def _fitting(
    reader: Reader, path: Path, entries: Sequence[SeriesEntry]
) -> tuple[SeriesEntry, Frame]:
    """The first entry that fits a file; of generation mixes, the one that knows most of its fuels.

    Raises
    ------
    DataError
        What is wrong with the first, if none fits.
    """
    refusal: DataError | None = None
    fitting: list[tuple[tuple[int, int], SeriesEntry, Frame]] = []
    for candidate in entries:
        wanted = _wanted(candidate)
        try:
            frame = reader.files.frame(path, candidate, wanted)
            for name in wanted:
                frame.column(name)
            if len(entries) > 1 and len(frame.cells):  # generations may differ in their stamps only
                read_times(frame.where(slice(0, 1)), candidate)
            fitting.append((_fuels_known(frame, candidate), candidate, frame))
        except DataError as error:
            refusal = refusal or error
    if not fitting:
        assert refusal is not None
        raise refusal
    _, candidate, frame = max(fitting, key=lambda fit: fit[0])
    return candidate, frame


def _complete(candidate: SeriesEntry, what: str) -> None:
    """Refuse an entry that lacks what every file needs."""
    for name in ("file", "time"):
        if getattr(candidate, name) is None:
            raise DataError(f"{what}: {name!r} is missing or not a text")
    if candidate.unit is None and not candidate.energy:
        raise DataError(f"{what}: 'unit' is missing or not a text")
    if candidate.time_zone is not None:
        try:
            time_zone(candidate.time_zone)
        except DataError as error:
            raise DataError(f"{what}: {error}") from None
    if candidate.period is not None and len(candidate.period) != len(candidate.period_minutes):
        raise DataError(f"{what}: 'period_minutes' must be as many numbers as 'period' has columns")
    if candidate.thousands is not None and candidate.thousands == candidate.decimal:
        raise DataError(f"{what}: decimal and thousands cannot both be {candidate.decimal!r}")


def _wanted(candidate: SeriesEntry) -> list[str]:
    """Columns that an entry names; those of fuels may be absent."""
    names = [*(candidate.time or ()), *(candidate.period or ()), *candidate.where]
    optional = (candidate.column, candidate.fuel_column)
    flags = (candidate.daylight, candidate.repeated)
    names += [name for name in optional if name is not None]
    names += [flag.column for flag in flags if flag is not None]
    return names + [name for name in candidate.energy if name != "request"]


def _fuels_known(frame: Frame, candidate: SeriesEntry) -> tuple[int, int]:
    """How many columns of a wide mix an entry knows, and minus the number that it names."""
    names = [name for codes in candidate.fuels.values() for name in codes]
    if not names or candidate.fuel_column is not None:
        return 0, 0
    count = sum(frame.has(name) for name in names)
    if not count:
        raise DataError(
            f"{frame.file}: none of the fuels {list(candidate.fuels)} has a column, found "
            f"{listing(frame.header)}{frame.hint}"
        )
    return count, -len(names)


def parts_of(reader: Reader, options: Any, what: str) -> list[Part]:
    """The files of a series, their rows chosen and their stamps read."""
    parts = []
    for candidate, whole in resolved(reader, options, what):
        frame, times = _rows(reader, whole, candidate)
        columns = _value_columns(frame, candidate)
        gone = np.logical_and.reduce([missing(cells, candidate) for cells in columns])
        codes = None
        if candidate.fuel_column is not None:
            codes = frame.column(candidate.fuel_column).astype(str).to_numpy()
        when = stamps(frame, candidate, times, gone, codes)
        part = Part(candidate, frame, when)
        exists = ~np.isnat(when.moments)
        parts.append(part if exists.all() else part.only(exists))
    return parts


def _rows(reader: Reader, whole: Frame, candidate: SeriesEntry) -> tuple[Frame, Times]:
    """The chosen rows of a file and their stamps."""
    key = (
        id(whole),
        tuple(sorted(candidate.where.items())),
        candidate.time,
        candidate.time_format,
        candidate.time_zone,  # which says what marks of a clock mean
        candidate.stamp,
        candidate.period,
    )
    if key not in reader.memory:
        frame = _where(whole, candidate)
        reader.memory[key] = frame, read_times(frame, candidate)
    return reader.memory[key]


def _where(frame: Frame, candidate: SeriesEntry) -> Frame:
    rows = np.ones(len(frame.cells), dtype=bool)
    for name, values in candidate.where.items():
        cells = frame.column(name)
        same = cells.astype(str).str.strip().isin(values).to_numpy(dtype=bool)
        if not same.any():  # 9 for 09, 1 for 1.0
            wanted = pd.to_numeric(pd.Series(values), errors="coerce")
            same = pd.to_numeric(cells, errors="coerce").isin(wanted.dropna()).to_numpy(dtype=bool)
        if not same.any():
            there = listing([str(v).strip() for v in pd.unique(cells)[:100]])
            raise DataError(
                f"{frame.file}: there are no rows where {{{name!r}: {listing(values)}}}; column "
                f"{name!r} holds {there or 'nothing'}"
            )
        rows &= same
    if not rows.any():
        condition = " and ".join(f"{k!r}: {listing(v)}" for k, v in candidate.where.items())
        raise DataError(
            f"{frame.file}: there are no rows" + (f" where {condition}" if condition else "")
        )
    return frame.where(rows)


def _value_columns(frame: Frame, candidate: SeriesEntry) -> list[Any]:
    """The cells that hold the values of an entry."""
    if candidate.energy:
        return [frame.column(n) for n in candidate.energy if n != "request"] or [
            frame.column((candidate.time or ("",))[0])
        ]
    if candidate.column is not None:
        return [frame.column(candidate.column)]
    names = [name for codes in candidate.fuels.values() for name in codes]
    present = [frame.column(name) for name in names if frame.has(name)]
    if not present:
        raise DataError(f"{frame.file}: the series needs a 'column'")
    return present


def read(reader: Reader, options: Any, kind: str, what: str) -> tuple[Column, Facts]:
    """Read a series of one kind.

    Raises
    ------
    DataError
        Whatever does not fit: file, row, column, value and what was expected.
    """
    parts = parts_of(reader, options, what)
    if parts[0].entry.energy:
        return _requests(reader, parts, kind, what), _facts(parts)
    for part in parts:
        if part.entry.column is None:
            raise DataError(f"{what}: 'column' is missing")
    cells = [part.frame.column(part.entry.column or "") for part in parts]
    return _column(reader, parts, cells, kind, what), _facts(parts)


def _facts(parts: Sequence[Part], **fuels: tuple[str, ...]) -> Facts:
    files = tuple(dict.fromkeys(part.frame.file for part in parts))
    used = any(part.stamps.zone_used for part in parts)
    return Facts(parts[0].entry, files, used, **fuels)


def _column(
    reader: Reader, parts: Sequence[Part], cells: Sequence[Any], kind: str, what: str
) -> Column:
    """The values of ``cells``, one series a part, in time order."""
    first = parts[0].entry
    name = _named(parts, kind, what)
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
    judged = _judged(reader, moments)
    grid = _Grid(parts[0].stamps.ends, reader.slot, amount, name)
    starts, seconds, steps = _lasting(moments, declared[order], judged, grid)
    within = _within(reader, starts, seconds)
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


def _cell(part: Part, cells: Any, row: int) -> str:
    """Where a cell without a value stands, and what it says."""
    value = cells.iloc[row]
    text = "" if pd.isna(value) else str(value).strip()
    place = f"{part.frame.file.name}, row {cells.index[row]}, column {str(cells.name)!r}"
    return f"{place} is {shown(text) if text else 'empty'}"


def _named(parts: Sequence[Part], kind: str, what: str) -> str:
    files = list(dict.fromkeys(str(part.frame.file) for part in parts))
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    region = what.rpartition(": ")[2]
    return f"{files[0]}{more}: {region if kind in region else kind}"


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
        if not _judged(reader, moments[second : second + 1])[0]:
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
        place = ""
        raise DataError(
            f"{later.file}, row {later.cells.index[row[second]]}: the time {moments[second]} UTC "
            f"occurs again (first in row {earlier.cells.index[row[first]]}{place}); a long file "
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


def _judged(reader: Reader, moments: TimeArray) -> BoolArray:
    """``[rows]``: do the times lie from 'start' to 'end'?"""
    inside = np.ones(len(moments), dtype=bool)
    if reader.begin is not None:
        inside &= moments >= reader.begin
    if reader.end is not None:
        inside &= moments < reader.end
    return inside


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


def _within(reader: Reader, starts: TimeArray, seconds: IntArray) -> BoolArray:
    inside = np.ones(len(starts), dtype=bool)
    if reader.begin is not None:
        inside &= starts + seconds.astype("timedelta64[s]") > reader.begin
    if reader.end is not None:
        inside &= starts < reader.end
    return inside


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


def read_mix(reader: Reader, options: Any, what: str) -> tuple[dict[str, list[Column]], Facts]:
    """Read a generation mix: by fuel, the columns whose sum it is."""
    parts = parts_of(reader, options, what)
    if not parts[0].entry.fuels:
        raise DataError(f"{what}: a generation mix needs 'fuels'")
    mix: dict[str, list[Column]] = {}
    empty: list[str] = []
    for fuel, codes in _codes(parts, what).items():
        for code in codes:
            column = _fuel(reader, parts, code, what)
            if column is None:
                empty += [code] * _has_code(parts, code)
            else:
                mix.setdefault(fuel, []).append(column)
    if not mix:
        raise DataError(
            f"{parts[0].frame.file}: none of the fuels {list(parts[0].entry.fuels)} has a column "
            f"or rows"
        )
    return mix, _facts(parts, fuels_unmapped=_unmapped(parts), fuels_empty=tuple(empty))


def _codes(parts: Sequence[Part], what: str) -> dict[str, list[str]]:
    """The codes of each fuel, of all generations of an export that the files are of."""
    codes: dict[str, list[str]] = {}
    for candidate in {id(part.entry): part.entry for part in parts}.values():
        for fuel, names in candidate.fuels.items():
            if len(set(names)) < len(names):
                raise DataError(f"{what}: a code of {fuel} is named twice")
            codes[fuel] = list(dict.fromkeys([*codes.get(fuel, []), *names]))
    return codes


def _has_code(parts: Sequence[Part], code: str) -> bool:
    return any(len(_rows_of(part, code)[1]) for part in parts)


def _rows_of(part: Part, code: str) -> tuple[Part, Any]:
    """The rows of one fuel code and their cells."""
    candidate, frame = part.entry, part.frame
    if candidate.fuel_column is None:
        if not frame.has(code):
            return part.only(np.zeros(len(frame.cells), dtype=bool)), frame.cells.iloc[:0, 0]
        return part, frame.column(code)
    here = (frame.column(candidate.fuel_column).astype(str).str.strip() == code).to_numpy(
        dtype=bool
    )
    chosen = part.only(here)
    return chosen, chosen.frame.column(candidate.column or "")


def _fuel(reader: Reader, parts: Sequence[Part], code: str, what: str) -> Column | None:
    """Output of one fuel code, or none where nothing of the kind exists.

    That is so where no row has it, all cells of the window say "not expected", or all cells of the
    files are blank. Anything else that is missing is a gap: never 0.
    """
    knows = [any(code in codes for codes in part.entry.fuels.values()) for part in parts]
    rows = [_rows_of(p, code) if known else None for p, known in zip(parts, knows, strict=True)]
    if not any(pair is not None and len(pair[1]) for pair in rows):
        return None
    # An older or newer generation of the export has no such code, its fuels go by other names.
    both = [
        _nothing(p, code) if pair is None else pair for p, pair in zip(parts, rows, strict=True)
    ]
    pairs = [pair for pair in both if len(pair[1])]
    cells = [cell for _, cell in pairs]
    window = [c[_judged(reader, p.stamps.moments)] for p, c in pairs]
    if all(not_expected(cell) for cell in window if len(cell)):
        return None
    if all((cell.isna() | (cell.astype(str).str.strip() == "")).all() for cell in cells):
        return None
    return _column(reader, [part for part, _ in pairs], cells, "mix", f"{what} ({code})")


def _nothing(part: Part, code: str) -> tuple[Part, Any]:
    """The times of a file, and zeros."""
    rows = np.zeros(len(part.frame.cells), dtype=bool)
    rows[np.unique(part.stamps.moments, return_index=True)[1]] = True
    chosen = part.only(rows)
    return chosen, pd.Series(0.0, index=chosen.frame.cells.index, name=code)


def _unmapped(parts: Sequence[Part]) -> tuple[str, ...]:
    """Fuels of the files that run in some row and that no entry of the mapping names."""
    return tuple(
        dict.fromkeys(code for part in parts for code in _others(part) if _runs(part, code))
    )


def _others(part: Part) -> list[str]:
    """Codes of a file, or columns that look like its fuels', which are not mapped."""
    mapped = {code for codes in part.entry.fuels.values() for code in codes}
    if part.entry.fuel_column is not None:
        codes = part.frame.column(part.entry.fuel_column).astype(str).str.strip()
        return [code for code in pd.unique(codes) if code and code not in mapped]
    columns = {plain(code) for code in mapped}
    present = [name for name in part.frame.header if name in columns]
    head = os.path.commonprefix(present)  # noqa: RUF071 - characters are what is compared
    tail = os.path.commonprefix([name[::-1] for name in present])[::-1]  # noqa: RUF071
    if len(present) < 2 or len(head) + len(tail) < 6:
        return []  # nothing tells columns of fuels from others
    return [
        name
        for name in part.frame.header
        if name not in columns and name.startswith(head) and name.endswith(tail)
    ]


def _runs(part: Part, code: str) -> bool:
    """Has any row of a fuel code a value above zero, or one that would have to be read to tell?"""
    _, cells = _rows_of(part, code)
    there = cells[~missing(cells, part.entry)]
    return bool((pd.to_numeric(there, errors="coerce").fillna(1.0) > 0).any())


def _requests(reader: Reader, parts: Sequence[Part], kind: str, what: str) -> Column:
    """Energy of a log with a row per request, by minute; no row means no request."""
    if kind != "demand":
        raise DataError(f"{what}: only demand is read from requests ('energy')")
    amounts, moments = [], []
    for part in parts:
        total = np.zeros(len(part.frame.cells))
        for name, text in part.entry.energy.items():
            try:
                per = energy(text)
            except DataError as error:
                raise DataError(f"{what}: {error}") from None
            if name == "request":
                total += per
                continue
            cells = part.frame.column(name)
            counts = numbers(cells, part.entry, (part.frame.file, name), "a number of them")
            if (counts < 0).any():
                at = int(np.argmax(counts < 0))
                raise DataError(
                    f"{part.frame.file}, row {cells.index[at]}, column {name!r}: the value is "
                    f"{counts[at]:g}, expected at least 0"
                )
            total += per * counts
        amounts.append(total)
        moments.append(part.stamps.moments)
    when, amount = np.concatenate(moments), np.concatenate(amounts)
    first, last = when.min(), when.max()
    if (last - first).astype(np.int64) > 100 * _YEAR:
        raise DataError(f"{what}: the requests run from {first} to {last} UTC, expected one log")
    # A log that starts within a few requests' time of a slot's edge covers the slot.
    quiet = max(60.0, 10.0 * (last - first).astype(np.int64) / max(len(when) - 1, 1))
    begin, end = int(first.astype(np.int64)) // 60 * 60, int(last.astype(np.int64)) // 60 * 60 + 60
    begin -= begin % reader.slot if begin % reader.slot <= quiet else 0
    end += -end % reader.slot if -end % reader.slot <= quiet else 0
    minute = (when.astype(np.int64) - begin) // 60
    sums = np.bincount(minute, amount, minlength=(end - begin) // 60)
    starts = np.datetime64(begin, "s") + 60 * np.arange(len(sums)).astype("timedelta64[s]")
    seconds = np.full(len(sums), 60, dtype=np.int64)
    inside = _within(reader, starts, seconds)
    name = _named(parts, kind, what)
    amounts_of = np.asarray(sums[inside], np.float64)
    return Column(name, starts[inside], seconds[inside], amounts_of, (60,), amount=True)
