"""The rows of files that belong to a series: layouts fitted, rows chosen, stamps read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.data.tables.cells import missing
from equiload.envs.data.tables.clocks import Stamps, stamps
from equiload.envs.data.tables.entries import SeriesEntry, entry
from equiload.envs.data.tables.files import Files, Frame, expanded, listing
from equiload.envs.data.tables.layouts import LAYOUTS
from equiload.envs.data.tables.messages import shown
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
