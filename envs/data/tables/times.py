"""Stamps of a file as texts to times: formats, counts, ranges, marks, and what to say of others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd

from equiload.envs.checking import shown
from equiload.envs.data.tables.entries import SeriesEntry
from equiload.envs.data.tables.files import Frame
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, IntArray

_SINCE = re.compile(r"(milliseconds|seconds|minutes|hours|days) since (.+)")
_UNITS = {"milliseconds": "ms", "seconds": "s", "minutes": "min", "hours": "h", "days": "D"}
#: An offset from UTC at the end of an ISO 8601 time of day; a year behind a dash is none.
_OFFSET = (
    r"(?:\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?|T\d{2,6}(?:\.\d+)?)\s*(?:Z|[+-]\d{2}(?::?\d{2})?)$"
)
_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_MARK = r"(?<=\d)\s*\(?([A-Z]{2,5})\)?\s*$"
#: How German exports call Central European Time.
_ALSO = {"MEZ": "CET", "MESZ": "CEST"}
_UTC = ("UTC", "GMT")
#: From here workbooks count days, on whatever clock their cells are.
_EXCEL = pd.Timestamp("1899-12-30")
_EPOCH = pd.Timestamp("1970-01-01")
#: A date and perhaps a time in one run of digits; seconds since 1970 do not look so before 2030.
_DIGITS = re.compile(
    r"(?:19|20)\d\d(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-4])(?:[0-5]\d){0,2}"
)
_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y"),
)
_HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
#: What a stamp may be that is not ISO 8601, to be told to the user.
_USUAL = (
    *(day + hour for day in _DAYS for hour in _HOURS),
    *("%H:%M %d-%m-%Y", "%H:%M %d.%m.%Y"),
)
#: The same for digits alone, by their number.
_COMPACT = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DIRECTIVES = {
    **dict.fromkeys("dmMSjIH", r"\d{1,3}"),
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "f": r"\d+",
    "p": r"[AaPp]\.?[Mm]\.?",
    "z": r"(?:Z|[+-]\d{2}:?\d{2})",
    "%": "%",
}
_HOUR_24 = re.compile(r"(?P<before>.*[T ])24(?P<after>:00(?::00)?\s*(?:Z|[+-]\d{2}:?\d{2})?)")


@dataclass(frozen=True, eq=False)
class Times:
    """The stamps of a frame as texts and as times on their own clock.

    ``local`` are times with an offset or without, ``seconds`` as of :class:`Stamps`, ``marks`` the
    offsets in seconds of rows that name the clock in force, not a number elsewhere.
    """

    text: Any
    local: Any
    seconds: IntArray
    marks: Any


def read_times(frame: Frame, entry: SeriesEntry) -> Times:
    """Parse the stamps of a frame.

    Raises
    ------
    DataError
        A stamp that is no time: row, value, and what was expected.
    """
    if entry.period is not None and entry.stamp != "start":
        raise DataError(f"{frame.file}: with 'period', 'stamp' is start: periods count from 1")
    if entry.time_format is not None and "%Z" in entry.time_format:  # marks are read apart
        shorter = re.sub(r"\s*\(?%Z\)?", "", entry.time_format)
        entry = entry.model_copy(update={"time_format": shorter})
    names = entry.time or ()
    columns = [frame.column(name) for name in names]
    place = StampColumn.of(frame, entry)
    seconds = np.zeros(len(columns[0]), dtype=np.int64)
    marks = np.full(len(columns[0]), np.nan)
    if len(columns) == 1 and pd.api.types.is_datetime64_any_dtype(columns[0]):
        return Times(columns[0].astype(str), columns[0], seconds, marks)
    pieces = [_piece(cells, k, entry) for k, cells in enumerate(columns)]
    text = pieces[0]
    for more in pieces[1:]:
        text = text + " " + more
    if entry.stamp == "range":
        text, seconds = _ranges(text, entry, place)
    text, marks = _marks(text, entry, place)
    return Times(text, _parsed(text, entry, place), seconds, marks)


def _piece(cells: Any, at: int, entry: SeriesEntry) -> Any:
    """A column of stamps as texts; a workbook's dates as the format's part for them wants it."""
    formats = (entry.time_format or "").split(" ")
    if pd.api.types.is_datetime64_any_dtype(cells) and len(formats) == len(entry.time or ()) > 1:
        return cells.dt.strftime(formats[at])
    return cells.astype(str).str.strip()


@dataclass(frozen=True)
class StampColumn:
    """Where stamps stand, for messages."""

    file: Path
    label: str

    @classmethod
    def of(cls, frame: Frame, entry: SeriesEntry) -> StampColumn:
        """The columns that an entry takes the stamps from."""
        return cls(frame.file, " + ".join(repr(name) for name in entry.time or ()))

    def error(self, text: Any, row: int, expected: str, value: object = None) -> DataError:
        """The sentence on one of the stamps; ``value`` if more than its text is to be shown."""
        value = str(text.iloc[row] if value is None else value)
        return DataError(
            f"{self.file}, row {text.index[row]}, column {self.label}: the time is {shown(value)}, "
            f"expected {expected}"
        )

    def refuse(self, text: Any, bad: BoolArray, expected: str) -> None:
        """Raise the sentence on the first of the ``bad`` stamps, if any is."""
        if bad.any():
            raise self.error(text, int(np.argmax(bad)), expected)


def _parsed(text: Any, entry: SeriesEntry, place: StampColumn) -> Any:
    """Times with an offset or without, a series."""
    form = entry.time_format
    since = None if form is None else _SINCE.fullmatch(form)
    if since is not None:
        return _since(text, since, entry, place)
    if form is not None and "%" not in form:
        raise DataError(
            f"{place.file}: time_format {form!r} has no directive such as %Y; expected "
            f"strptime's, '%d.%m.%Y %H:%M' say, or 'seconds since 1970-01-01'"
        )
    offset = text.str.contains(_OFFSET, regex=True).to_numpy(dtype=bool)
    if form is not None:
        offset = np.full(len(text), "%z" in form)
    _refuse_counts(text, form, place)
    try:
        parsed = _read(text, form, utc=bool(offset.all()))
    except ValueError:
        if offset.all() or not offset.any():
            raise _format_error(text, form, place, "") from None
        other = int(np.argmax(offset != offset[-1]))
        expected = "all times of a file with an offset from UTC, or none"
        raise place.error(text, other, expected) from None
    parsed = _midnights(text, parsed, form)
    bad = parsed.isna().to_numpy(dtype=bool)
    if form is None:  # "now" and "today" are times to the parser
        bad = bad | ~text.str[:1].str.isdigit().to_numpy(dtype=bool)
    if bad.any():
        names = ~text[bad].str[:1].str.isdigit().to_numpy(dtype=bool)
        around = _around(bad) if names.all() else ""
        raise _format_error(text[bad], form, place, around)
    return parsed


def _read(text: Any, form: str | None, *, utc: bool) -> Any:
    try:
        return pd.to_datetime(text, format=form or "ISO8601", errors="coerce", utc=utc)
    except re.error as error:  # a directive that stands twice
        raise ValueError(str(error)) from None


def _refuse_counts(text: Any, form: str | None, place: StampColumn) -> None:
    """A count of seconds since 1970 is not ISO 8601, though some of its digits may be."""
    if form is not None or not len(text):
        return
    digits = str(text.iloc[0])
    if not re.fullmatch(r"\d{1,7}|[34]\d{4}\.\d+|\d{9,13}(\.\d+)?", digits):
        return
    if _DIGITS.fullmatch(digits):
        return  # a date, which fits no ISO 8601
    if re.fullmatch(r"[34]\d{4}(\.\d+)?", digits):
        raise place.error(
            text, 0, "an ISO 8601 time; is it Excel's number? Say 'days since 1899-12-30'"
        )
    unit = "milliseconds" if len(digits.split(".")[0]) >= 12 else "seconds"
    start = "1970-01-01" if len(digits.split(".")[0]) >= 9 else "2024-01-01"
    raise place.error(
        text, 0, f"an ISO 8601 time; is it a count? Say 'time_format: {unit} since {start}'"
    )


def _around(bad: BoolArray) -> str:
    """The option that leaves out the rows that are no times, if all stand at one end."""
    count = int(bad.sum())
    if count == len(bad) or count > 20:
        return ""
    if bad[:count].all():
        return f"; if these are units or notes, say 'skip_after_header: {count}' (or more)"
    if bad[-count:].all():
        return f"; if these are totals or notes, say 'skip_footer: {count}'"
    return ""


def _usual(text: Any) -> str:
    """Which of the usual formats all of these texts are in."""
    some = text.drop_duplicates().iloc[:500]
    if some.str.fullmatch(_DIGITS).all() and some.str.len().nunique() == 1:
        return f"say 'time_format: \"{_COMPACT[len(some.iloc[0])]}\"'"
    fit = [form for form in _USUAL if not _read(some, form, utc=False).isna().any()]
    if not fit:
        return "a 'time_format'"
    if len(fit) == 1:
        return f"say 'time_format: \"{fit[0]}\"'"
    choices = " or ".join(f'"{form}"' for form in fit[:3])
    return f"a 'time_format', which may be {choices}: the file does not tell"


def _format_error(bad: Any, form: str | None, place: StampColumn, around: str) -> DataError:
    """The sentence on the first of the texts that are no times."""
    if form is None:
        return place.error(bad, 0, f"an ISO 8601 time{around or f', or {_usual(bad)}'}")
    unknown = re.findall(r"%(.)", form)
    odd = [code for code in unknown if code not in "aAwdbBmyYHIpMSfzZjUWcxX%GuV"]
    hint = f" (%{odd[0]} is no directive of strptime's)" if odd else ""
    if "%s" in form:
        hint = " (for seconds since 1970 say 'seconds since 1970-01-01')"
    if re.search(r"\b2[5-9]$", bad.iloc[0]) and "%H" in form:
        hint = "; hours that count to 25 are a 'period' of 60 'period_minutes'"
    if not hint and not around and not _read(bad, None, utc=True).isna().any():
        hint = "; these are ISO 8601, say 'time_format: null'"
    elif not hint and not around and (usual := _usual(bad)) != "a 'time_format'":
        hint = f"; {usual}"
    return place.error(bad, 0, f"the time_format {form!r}{hint or around}")


def _since(text: Any, since: re.Match[str], entry: SeriesEntry, place: StampColumn) -> Any:
    """``seconds since 2024-01-01``: counted from a time on the declared clock, by default UTC.

    Since 1970 seconds count from UTC whatever is declared; Excel's days are no elapsed time but the
    clock's own readings.
    """
    try:
        origin = pd.Timestamp(since[2])
    except ValueError:
        origin = pd.NaT
    if origin is pd.NaT:
        raise DataError(
            f"{place.file}: time_format must be 'seconds since 1970-01-01' say, with a UTC "
            f"time, got {since[0]!r}"
        )
    counts = pd.to_numeric(text, errors="coerce")
    bad = ~np.isfinite(counts.to_numpy(dtype=np.float64))
    if not bad.any():
        bad = (counts.abs() * pd.Timedelta(1, _UNITS[since[1]]).total_seconds() > 8e9).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        hint = (
            "; are they milliseconds?" if since[1] == "seconds" and counts.iloc[row] > 1e11 else ""
        )
        raise place.error(text, row, f"a number of {since[0]}{hint}")
    passed = pd.to_timedelta(counts, unit=_UNITS[since[1]])
    if origin == _EPOCH and len(passed) and passed.max() < pd.Timedelta(days=3650):
        raise place.error(text, 0, f"{since[0]} later than 1980; are they seconds?")
    if since[1] in ("minutes", "hours", "days"):  # whose fractions are never exact
        passed = passed.dt.round("s")
    if origin == _EXCEL:
        return origin + passed
    if origin.tz is None:
        zone = entry.time_zone if entry.time_zone is not None and origin != _EPOCH else "UTC"
        origin = origin.tz_localize(time_zone(zone))
    return origin.tz_convert("UTC") + passed


def _midnights(text: Any, parsed: Any, form: str | None) -> Any:
    """Read hour 24 as midnight of the next day."""
    late = np.flatnonzero(parsed.isna().to_numpy(dtype=bool))
    if not len(late):
        return parsed
    pattern = _HOUR_24 if form is None else _hour_pattern(form)
    if pattern is None:
        return parsed
    parts = [pattern.fullmatch(str(text.iloc[row])) for row in late]
    rows = [row for row, part in zip(late, parts, strict=True) if part]
    zeroed = [f"{part['before']}00{part['after']}" for part in parts if part]
    if rows:
        midnight = _read(pd.Series(zeroed), form, utc=parsed.dt.tz is not None)
        parsed = parsed.copy()
        parsed.iloc[rows] = (midnight + pd.Timedelta(days=1)).to_numpy()
    return parsed


@lru_cache
def _hour_pattern(form: str) -> re.Pattern[str] | None:
    """Texts of a strptime format whose hour is 24, split there."""
    pieces, hour = [], False
    for piece in re.findall(r"%.|[^%]+", form):
        if piece == "%H" and not hour:
            pieces.append(r")24(?P<after>")
            hour = True
        elif piece.startswith("%"):
            pieces.append(_DIRECTIVES.get(piece[1:], r"\S+"))
        else:
            pieces.append(re.escape(piece))
    return re.compile(rf"(?P<before>{''.join(pieces)})") if hour else None


def _ranges(text: Any, entry: SeriesEntry, place: StampColumn) -> tuple[Any, IntArray]:
    """The first time of ``start - end``, and the seconds between them where they are positive."""
    between = r"\s+(?:[-–—]|to)\s+|/(?=\d{4}-)|\s*[-–—]\s*(?=\d{1,2}(?::\d{2}){0,2}$)"
    both = text.str.split(between, n=1, regex=True)
    first, last = both.str[0], both.str[1]
    place.refuse(text, last.isna().to_numpy(dtype=bool), "'start - end'")
    short = last.str.fullmatch(r"\d{1,2}(?::\d{2}){0,2}")  # an end without its date: the same day's
    if short.all():
        day = first.str.replace(r"\d{1,2}(?::\d{2}){0,2}$", "", regex=True)
        last = day + last
    heads, tails = (_parsed(_marks(part, entry, place)[0], entry, place) for part in (first, last))
    apart = (tails - heads).dt.total_seconds().to_numpy(dtype=np.float64)
    return first, np.maximum(apart, 0.0).astype(np.int64)


def _marks(text: Any, entry: SeriesEntry, place: StampColumn) -> tuple[Any, Any]:
    """Split a mark of the clock in force off the stamps, ``(CEST)`` or ``EST``: its offset, s.

    On a fixed offset a mark that never changes says nothing more.
    """
    nothing = np.full(len(text), np.nan)
    if entry.time_format is not None and re.search("%z|since", entry.time_format):
        return text, nothing
    if not text.str[-2:-1].str.isalpha().any():  # much faster than to look for marks
        return text, nothing
    tails = text.str.extract(_MARK)[0]
    if tails.isna().all():
        return text, nothing
    if entry.time_format is None and tails.isin(_UTC).all():
        return text.str.replace(_MARK, "Z", regex=True), nothing
    same = tails.nunique(dropna=False) == 1
    if entry.time_zone is not None and same and isinstance(time_zone(entry.time_zone), timezone):
        return text.str.replace(_MARK, "", regex=True), nothing
    ahead = _abbreviations(entry.time_zone)
    ahead = ahead | {other: ahead[name] for other, name in _ALSO.items() if name in ahead}
    marked = tails.isin(list(ahead)).to_numpy(dtype=bool)
    foreign = tails.notna().to_numpy(dtype=bool) & ~marked & ~tails.isin(["AM", "PM"]).to_numpy()
    names = f" ({', '.join(ahead)})" if ahead else ""
    expected = f"a mark of the clock of the 'time_zone' {entry.time_zone}{names}"
    place.refuse(text, foreign, expected)
    stripped = text.where(~marked, text.str.replace(_MARK, "", regex=True))
    return stripped, tails.map(ahead).astype(float).to_numpy()


@lru_cache
def _abbreviations(zone: str | None) -> dict[str, float]:
    """What the zone's clock is called over the years, and the seconds it is then ahead of UTC."""
    if zone is None or zone not in available_timezones():
        return {}
    moments = [datetime(y, m, 1, tzinfo=ZoneInfo(zone)) for y in range(1990, 2038) for m in (1, 7)]
    return {
        name: ahead.total_seconds()
        for moment in moments
        if (name := moment.tzname())
        and name.isalpha()
        and (ahead := moment.utcoffset()) is not None
    }


@lru_cache
def time_zone(name: str) -> tzinfo:
    """A zone by its IANA name, or a fixed offset: ``+02:00``, ``GMT+2``, ``UTC-5``.

    Raises
    ------
    DataError
        For anything else.
    """
    fixed = _FIXED.fullmatch(name.replace(" ", ""))
    if fixed is not None:
        minutes = int(fixed[2]) * 60 + int(fixed[3] or 0)
        if minutes <= 14 * 60:
            return timezone(timedelta(minutes=minutes if fixed[1] == "+" else -minutes))
    if name not in available_timezones():
        raise DataError(
            f"there is no time zone {name!r}, expected an IANA name (Europe/Berlin) or an offset "
            f"(+02:00, GMT+2)"
        )
    return ZoneInfo(name)
