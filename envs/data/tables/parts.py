"""The rows of files that belong to a series: layouts fitted, rows chosen, stamps read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.checking import refuse_unknown
from equiload.envs.data.tables.cells import missing
from equiload.envs.data.tables.clocks import Stamps, stamps
from equiload.envs.data.tables.entries import SeriesEntry, record
from equiload.envs.data.tables.files import Files, Frame, expanded
from equiload.envs.data.tables.layouts import LAYOUTS
from equiload.envs.data.tables.messages import about, listing
from equiload.envs.data.tables.times import Times, read_times, time_zone
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, IntArray, TimeArray


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

    def within(self, starts: TimeArray, seconds: IntArray) -> BoolArray:
        """``[rows]``: do values that last so long reach into the window?"""
        inside = np.ones(len(starts), dtype=bool)
        if self.begin is not None:
            inside &= starts + seconds.astype("timedelta64[s]") > self.begin
        if self.end is not None:
            inside &= starts < self.end
        return inside

    def judges(self, moments: TimeArray) -> BoolArray:
        """``[rows]``: do the times lie from ``begin`` to ``end``?"""
        return self.within(moments, np.ones(len(moments), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one file that belong to a series, when they are, and the cells of their values.

    ``cells`` is a column of the frame; none until one is chosen.
    """

    entry: SeriesEntry
    frame: Frame
    stamps: Stamps
    cells: Any = None

    def only(self, rows: BoolArray) -> Part:
        """Some of the rows."""
        cells = None if self.cells is None else self.cells[rows]
        return Part(self.entry, self.frame.where(rows), self.stamps.only(rows), cells)


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


def parts_of(reader: Reader, options: Any, what: str) -> list[Part]:
    """The files of a series, their rows chosen and their stamps read."""
    entries = _entries(options, what)
    paths = expanded(reader.folder, entries[0].file or ())
    fitting = [_fitting(reader, path, entries) for path in paths]
    parts = []
    for entry, whole in fitting:
        frame, times = _rows(reader, whole, entry)
        columns = _value_columns(frame, entry)
        gone = np.logical_and.reduce([missing(cells, entry) for cells in columns])
        codes: Any = np.zeros(len(frame.cells))
        if entry.fuel_column is not None:
            codes = frame.column(entry.fuel_column).astype(str).to_numpy()
        part = Part(entry, frame, stamps(frame, entry, times, gone, codes))
        exists = ~np.isnat(part.stamps.moments)
        parts.append(part if exists.all() else part.only(exists))
    return parts


def _entries(options: Any, what: str) -> list[SeriesEntry]:
    """What a series' options say, for each generation of an export that its layout knows."""
    if not isinstance(options, Mapping):
        raise DataError(f"{what} must be a number, or a mapping with a file, a time and a unit")
    layout = options.get("layout")
    variants: Sequence[Mapping[str, Any]] = ({},)
    if layout is not None:
        with about(what):
            refuse_unknown("layout", [layout], LAYOUTS)
        variants = LAYOUTS[layout]
    entries = [record(SeriesEntry, {**variant, **options}, what) for variant in variants]
    with about(what):
        _refuse_incomplete(entries[0])
    return entries


def _refuse_incomplete(entry: SeriesEntry) -> None:
    """Refuse an entry that lacks what every file needs."""
    for name in ("file", "time"):
        if getattr(entry, name) is None:
            raise DataError(f"{name!r} is missing or not a text")
    if entry.unit is None and not entry.energy:
        raise DataError("'unit' is missing or not a text")
    if entry.time_zone is not None:
        time_zone(entry.time_zone)
    if entry.period is not None and len(entry.period) != len(entry.period_minutes):
        raise DataError("'period_minutes' must be as many numbers as 'period' has columns")
    if entry.thousands is not None and entry.thousands == entry.decimal:
        raise DataError(f"decimal and thousands cannot both be {entry.decimal!r}")


def _fitting(
    reader: Reader, path: Path, entries: Sequence[SeriesEntry]
) -> tuple[SeriesEntry, Frame]:
    """The first entry that fits a file; of generation mixes, the one that knows most of its fuels.

    Where none fits, what is wrong with the first is raised.
    """
    refusals: list[DataError] = []
    fitting: list[tuple[tuple[int, int], SeriesEntry, Frame]] = []
    for entry in entries:
        columns = _columns_of(entry)
        try:
            frame = reader.files.frame(path, entry, columns)
            for name in columns:
                frame.column(name)
            if len(entries) > 1 and len(frame.cells):  # generations may differ in their stamps only
                read_times(frame.where(slice(0, 1)), entry)
            fitting.append((_fuels_known(frame, entry), entry, frame))
        except DataError as error:
            refusals.append(error)
    if not fitting:
        raise refusals[0]
    _, entry, frame = max(fitting, key=lambda fit: fit[0])
    return entry, frame


def _columns_of(entry: SeriesEntry) -> list[str]:
    """Columns that an entry names; those of fuels may be absent."""
    flags = [flag.column for flag in (entry.daylight, entry.repeated) if flag is not None]
    single = [name for name in (entry.column, entry.fuel_column) if name is not None]
    amounts = [name for name in entry.energy if name != "request"]
    return [*(entry.time or ()), *(entry.period or ()), *entry.where, *single, *flags, *amounts]


def _fuels_known(frame: Frame, entry: SeriesEntry) -> tuple[int, int]:
    """How many columns of a wide mix an entry knows, and minus the number that it names."""
    names = [name for codes in entry.fuels.values() for name in codes]
    if not names or entry.fuel_column is not None:
        return 0, 0
    count = sum(frame.has(name) for name in names)
    if not count:
        raise DataError(
            f"{frame.file}: none of the fuels {list(entry.fuels)} has a column, found "
            f"{listing(frame.header)}{frame.hint}"
        )
    return count, -len(names)


def _rows(reader: Reader, whole: Frame, entry: SeriesEntry) -> tuple[Frame, Times]:
    """The chosen rows of a file and their stamps."""
    # The zone, too, says what a stamp means: what marks of a clock stand for.
    stamped = entry.time, entry.time_format, entry.time_zone, entry.stamp, entry.period
    key = id(whole), tuple(sorted(entry.where.items())), stamped
    if key not in reader.memory:
        frame = _where(whole, entry)
        reader.memory[key] = frame, read_times(frame, entry)
    return reader.memory[key]


def _where(frame: Frame, entry: SeriesEntry) -> Frame:
    rows = np.ones(len(frame.cells), dtype=bool)
    for name, values in entry.where.items():
        cells = frame.column(name)
        same = frame.texts(name).isin(values).to_numpy(dtype=bool)
        if not same.any():  # 9 for 09, 1 for 1.0
            numbers = pd.to_numeric(pd.Series(values), errors="coerce").dropna()
            same = pd.to_numeric(cells, errors="coerce").isin(numbers).to_numpy(dtype=bool)
        if not same.any():
            present = listing([str(v).strip() for v in pd.unique(cells)[:100]])
            raise DataError(
                f"{frame.file}: there are no rows where {{{name!r}: {listing(values)}}}; column "
                f"{name!r} holds {present or 'nothing'}"
            )
        rows &= same
    if not rows.any():
        condition = " and ".join(f"{k!r}: {listing(v)}" for k, v in entry.where.items())
        raise DataError(
            f"{frame.file}: there are no rows" + (f" where {condition}" if condition else "")
        )
    return frame.where(rows)


def _value_columns(frame: Frame, entry: SeriesEntry) -> list[Any]:
    """The cells that hold the values of an entry."""
    if entry.energy:
        return [frame.column(n) for n in entry.energy if n != "request"] or [
            frame.column((entry.time or ("",))[0])
        ]
    if entry.column is not None:
        return [frame.column(entry.column)]
    names = [name for codes in entry.fuels.values() for name in codes]
    present = [frame.column(name) for name in names if frame.has(name)]
    if not present:
        raise DataError(f"{frame.file}: the series needs a 'column'")
    return present


def facts_of(parts: Sequence[Part], **fuels: tuple[str, ...]) -> Facts:
    """What was noticed while the parts were read."""
    files = tuple(dict.fromkeys(part.frame.file for part in parts))
    used = any(part.stamps.zone_used for part in parts)
    return Facts(parts[0].entry, files, used, **fuels)


def named(parts: Sequence[Part], kind: str, what: str) -> str:
    """Files and series, as messages name them."""
    files = list(dict.fromkeys(str(part.frame.file) for part in parts))
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    region = what.rpartition(": ")[2]
    return f"{files[0]}{more}: {region if kind in region else kind}"
