"""One series from one file: long or wide, CSV or Parquet, any clock, any unit, onto UTC slots.

Every error names the file and, where there is one, the row, the column, the value and what was
expected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd

from equiload.envs.data.layouts import LAYOUTS
from equiload.envs.data.units import BOUNDS, NAMES, convert
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray, TimeArray


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a series stands and what its numbers mean.

    Parameters
    ----------
    file
        CSV, or Parquet by its ending; relative to the YAML's folder.
    time
        Column of the time stamps.
    time_zone
        IANA zone that stamps without an offset are in, ``UTC`` say. It has no default: a clock
        nobody declared is how hours get lost.
    column
        Column of the values (wide files), or of the amounts (long files).
    unit
        Unit as in the file.
    rate
        US$ per unit of the price's currency: a number, or a source of its own.
    where
        Rows to take, ``{column: value}``; for long files.
    fuels
        Of a generation mix: ``{fuel: column or columns}``, or, with ``fuel_column``, the codes.
    fuel_column
        Of a long generation mix: column that holds the fuel's code.
    stamp
        ``"start"``, ``"end"`` or ``"range"`` (``start - end`` in one cell).
    time_format
        strptime format of the stamps. Default: ISO 8601.
    skip_rows
        Lines before the header.
    """

    file: Path
    time: str
    time_zone: str
    unit: str
    column: str | None = None
    rate: float | Source | None = None
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fuels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fuel_column: str | None = None
    stamp: str = "start"
    time_format: str | None = None
    skip_rows: int = 0

    @classmethod
    def of(cls, options: Any, folder: Path, what: str) -> Source:
        """Read one series' entry in a table's YAML; ``layout`` fills in what a vendor always does.

        Raises
        ------
        DataError
            A key that is unknown or missing.
        """
        if not isinstance(options, Mapping):
            raise DataError(f"{what} must be a mapping with a file, a time and a unit")
        options = dict(options)
        layout = options.pop("layout", None)
        if layout is not None:
            if layout not in LAYOUTS:
                raise DataError(f"{what}: there is no layout {layout!r}, expected {list(LAYOUTS)}")
            options = {**LAYOUTS[layout], **options}
        known = {field.name for field in dataclasses.fields(cls)}
        for key in options:
            if key not in known:
                raise DataError(f"{what}: there is no option {key!r}, expected {sorted(known)}")
        for key in ("file", "time", "time_zone", "unit"):
            if not isinstance(options.get(key), str):
                raise DataError(f"{what}: {key!r} is missing or not a text")
        if options["time_zone"] not in available_timezones():
            raise DataError(f"{what}: there is no time zone {options['time_zone']!r}")
        if options.get("stamp", "start") not in ("start", "end", "range"):
            raise DataError(f"{what}: 'stamp' must be start, end or range")
        rate = options.get("rate")
        if isinstance(rate, Mapping):
            options["rate"] = cls.of({"unit": "US$", **rate}, folder, f"{what}, rate")
        elif rate is not None and not (isinstance(rate, int | float) and rate > 0):
            raise DataError(f"{what}: 'rate' must be a positive number or a source, got {rate!r}")
        return cls(**{**options, "file": folder / options["file"]})


@dataclass(frozen=True, eq=False)
class Column:
    """A series as read: UTC starts in seconds and values in the project's unit, in time order."""

    source: Source
    kind: str
    stamps: TimeArray
    values: FloatArray

    @property
    def step(self) -> int:
        """Seconds from value to value: the commonest difference."""
        steps = np.diff(self.stamps).astype(np.int64)
        if not len(steps):
            raise DataError(f"{self.source.file}: one row is not a series")
        found, count = np.unique(steps, return_counts=True)
        return int(found[count.argmax()])


def read(source: Source, kind: str) -> Column:
    """Read a series of a kind that :data:`~equiload.envs.data.units.UNITS` knows."""
    if source.column is None:
        raise DataError(f"{source.file}: the series needs a 'column'")
    frame = _frame(source)
    stamps = _stamps(frame, source)
    values = convert(
        _numbers(frame, source, source.column, kind), kind, source.unit, _rate(source, stamps)
    )
    _check_bounds(frame, source, kind, values)
    return _ordered(source, kind, stamps, values, frame)


def read_mix(source: Source) -> dict[str, Column]:
    """Read a generation mix: one column for each fuel that the file has."""
    if not source.fuels:
        raise DataError(f"{source.file}: a generation mix needs 'fuels'")
    frame = _frame(source)
    mix: dict[str, Column] = {}
    for fuel, codes in source.fuels.items():
        names = [codes] if isinstance(codes, str) else list(codes)
        parts = [part for name in names if (part := _fuel(frame, source, name)) is not None]
        if parts:
            total = parts[0]
            for part in parts[1:]:
                total = total.add(part, fill_value=0.0)
            stamps: TimeArray = total.index.to_numpy().astype("datetime64[s]")
            values = convert(total.to_numpy(dtype=np.float64), "mix", source.unit, None)
            mix[fuel] = Column(source, "mix", stamps, values)
    if not mix:
        raise DataError(
            f"{source.file}: none of the fuels {list(source.fuels)} has a column or rows"
        )
    return mix


def _fuel(frame: pd.DataFrame, source: Source, name: str) -> Any:
    """Output of one fuel code as a series over UTC stamps, or nothing where the file has none."""
    column = source.column if source.fuel_column else name
    if source.fuel_column:
        frame = frame[_column(frame, source, source.fuel_column) == name]
    elif name not in frame.columns:
        return None
    if not len(frame) or column is None:
        return None
    numbers = _numbers(frame, source, column, "mix", blank=0.0)
    column_ = _ordered(source, "mix", _stamps(frame, source), numbers, frame)
    return pd.Series(column_.values, index=column_.stamps)


def _frame(source: Source) -> pd.DataFrame:
    path = source.file
    try:
        if path.suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
            if source.time not in frame.columns and frame.index.name == source.time:
                frame = frame.reset_index()
        else:
            frame = pd.read_csv(path, skiprows=source.skip_rows, dtype=str, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    # The row as an editor shows it: the header is one row, and rows count from 1.
    frame.index = pd.RangeIndex(source.skip_rows + 2, source.skip_rows + 2 + len(frame))
    for column, value in source.where.items():
        frame = frame[_column(frame, source, column).astype(str) == str(value)]
    if not len(frame):
        condition = f" where {dict(source.where)}" if source.where else ""
        raise DataError(f"{path}: there are no rows{condition}")
    return frame


def _column(frame: pd.DataFrame, source: Source, name: str) -> Any:
    if name not in frame.columns:
        found = ", ".join(repr(str(c)) for c in frame.columns)
        raise DataError(f"{source.file}: there is no column {name!r}, found {found}")
    return frame[name]


def _numbers(
    frame: pd.DataFrame, source: Source, name: str, kind: str, blank: float | None = None
) -> FloatArray:
    raw = _column(frame, source, name)
    if blank is not None:
        raw = raw.where(~raw.isin(["", "n/e", "-", "N/A"]) & raw.notna(), str(blank))
    values: FloatArray = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = frame.index[int(np.argmax(bad))]
        value = "" if pd.isna(raw.loc[row]) else str(raw.loc[row])
        raise DataError(
            f"{source.file}, row {row}, column {name!r}: the value is {value!r}, "
            f"expected a number ({kind} in {source.unit})"
        )
    return values


def _check_bounds(frame: pd.DataFrame, source: Source, kind: str, values: FloatArray) -> None:
    low, high = BOUNDS[kind]
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(
            f"{source.file}, row {frame.index[at]}, column {source.column!r}: the value is "
            f"{values[at]:g} {NAMES[kind]}, expected {low:g} to {high:g}; "
            f"is the unit {source.unit} right?"
        )


def _stamps(frame: pd.DataFrame, source: Source) -> TimeArray:
    """UTC starts in seconds, one for each row of the frame."""
    raw = _column(frame, source, source.time)
    text = raw.astype(str).str.strip()
    if source.stamp == "range":
        text = text.str.split(" - ", n=1).str[0]
    offset = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    try:
        parsed = pd.to_datetime(
            text,
            format=source.time_format or "ISO8601",
            errors="coerce",
            utc=bool(offset.all()),
        )
    except ValueError:
        row = frame.index[int(np.argmax((offset != offset.iloc[-1]).to_numpy()))]
        raise DataError(
            f"{source.file}, row {row}, column {source.time!r}: the time is {text.loc[row]!r}; "
            "expected all times of a file with an offset from UTC, or none"
        ) from None
    if parsed.isna().any():
        row = frame.index[int(np.argmax(parsed.isna().to_numpy()))]
        expected = source.time_format or "an ISO 8601 time"
        raise DataError(
            f"{source.file}, row {row}, column {source.time!r}: the time is {text.loc[row]!r}, "
            f"expected {expected}"
        )
    moments = parsed.reset_index(drop=True)
    if moments.dt.tz is None:
        moments = _localise(moments, frame, source)
    stamps: TimeArray = (
        moments.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    )
    if source.stamp == "end":
        order = np.unique(stamps)
        if len(order) < 2:
            raise DataError(f"{source.file}: one row is not a series")
        stamps = stamps - np.diff(order).min()
    return stamps


def _localise(moments: Any, frame: pd.DataFrame, source: Source) -> Any:
    """Put naive local times on their zone's clock; the hour that occurs twice, by its order."""
    zone = ZoneInfo(source.time_zone)
    if source.time_zone in ("UTC", "Etc/UTC"):
        return moments.dt.tz_localize("UTC")
    codes = frame[source.fuel_column].to_numpy() if source.fuel_column else np.zeros(len(frame))
    parts = []
    for code in pd.unique(codes):
        part = moments[codes == code].sort_index()
        try:
            parts.append(part.dt.tz_localize(zone, ambiguous="infer"))
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{source.file}, column {source.time!r}: the times do not fit the clock of "
                f"{source.time_zone} ({reason}); on the days when clocks change, local time skips "
                f"an hour or repeats one. Are the stamps in another zone, UTC say?"
            ) from None
    return pd.concat(parts).sort_index()


def _ordered(
    source: Source, kind: str, stamps: TimeArray, values: FloatArray, frame: pd.DataFrame
) -> Column:
    order = np.argsort(stamps, kind="stable")
    same = np.flatnonzero(np.diff(stamps[order]) == np.timedelta64(0, "s"))
    if len(same):
        first, second = (int(order[same[0] + k]) for k in (0, 1))
        raise DataError(
            f"{source.file}, row {frame.index[second]}: the time {stamps[second]} UTC occurs again "
            f"(first in row {frame.index[first]}); a long file needs 'where', and local stamps "
            f"their 'time_zone'"
        )
    return Column(source, kind, stamps[order], values[order])


def _rate(source: Source, stamps: TimeArray) -> FloatArray | float | None:
    """US$ per unit at each stamp: the last known rate."""
    if not isinstance(source.rate, Source):
        return source.rate
    rates = read(source.rate, "rate")
    index = np.searchsorted(rates.stamps, stamps, side="right") - 1
    if (index < 0).any():
        raise DataError(
            f"{source.rate.file}: rates begin at {rates.stamps[0]} UTC, "
            f"after the first price at {stamps.min()} UTC"
        )
    return rates.values[index]
