"""Times of a file to UTC: offsets, zones, periods, and the hours that clocks repeat or skip."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta, timezone, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equiload.envs.checking import shown
from equiload.envs.data.tables.entries import Flag, SeriesEntry
from equiload.envs.data.tables.files import Frame
from equiload.envs.data.tables.messages import listing
from equiload.envs.data.tables.times import StampColumn, Times, time_zone
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, IntArray, TimeArray


@dataclass(frozen=True, eq=False)
class Stamps:
    """When the values of a frame's rows begin (or end).

    Parameters
    ----------
    moments
        ``[rows]``, UTC, seconds. Not a time where the row stands for an hour that does not exist.
    seconds
        ``[rows]``: how long a value lasts where its cell says so, otherwise 0.
    ends
        Are these the ends of the values?
    zone_used
        Was the declared zone needed, or do all stamps carry an offset?
    """

    moments: TimeArray
    seconds: IntArray
    ends: bool
    zone_used: bool

    def only(self, rows: BoolArray) -> Stamps:
        """Some of the rows."""
        return replace(self, moments=self.moments[rows], seconds=self.seconds[rows])


def stamps(frame: Frame, entry: SeriesEntry, times: Times, gone: BoolArray, codes: Any) -> Stamps:
    """When the rows' values begin or end.

    Parameters
    ----------
    frame, entry, times
        The rows, how to read them, and their stamps as read.
    gone
        ``[rows]``: which have no value; an hour that does not exist may stand there if empty.
    codes
        ``[rows]``: what is in time order by itself, the fuel of a long generation mix say.

    Raises
    ------
    DataError
        A stamp that does not fit its clock: row, value, and what was expected.
    """
    local, seconds = times.local, times.seconds
    if local.dt.tz is not None and entry.offsets == "ignore":
        local = local.dt.tz_localize(None)
    if local.dt.tz is not None:
        if entry.period is not None:
            raise DataError(
                f"{frame.file}: 'period' counts from local midnight, but the stamps carry an offset"
            )
        return Stamps(_utc(local), seconds, entry.stamp == "end", zone_used=False)
    zone = _zone_of(frame, entry)
    naive = local.to_numpy().astype("datetime64[s]")
    rows = _LocalRows(frame, entry, StampColumn.of(frame, entry), times, gone, codes, zone)
    if entry.period is None:
        return _on_clock(naive, seconds, rows)
    days, passed = naive.astype("datetime64[D]"), _periods(frame, entry)
    if entry.daylight is not None or entry.repeated is not None:  # so hours are those of the clock
        return _on_clock(days.astype("datetime64[s]") + passed, seconds, rows)
    return Stamps(_elapsed(days, passed, rows), seconds, ends=False, zone_used=True)


@dataclass(frozen=True, eq=False)
class _LocalRows:
    """What is known of rows beside their local times."""

    frame: Frame
    entry: SeriesEntry
    place: StampColumn
    times: Times
    gone: BoolArray
    codes: Any
    zone: tzinfo

    def refuse(self, bad: BoolArray, expected: str) -> None:
        """Raise the sentence on the first of the ``bad`` rows, if any is."""
        self.place.refuse(self.times.text, bad, expected)


def _utc(local: Any) -> TimeArray:
    """UTC of a pandas series of times with an offset."""
    return np.asarray(
        local.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    )


def _of_preamble(frame: Frame, entry: SeriesEntry) -> str:
    """The offset of the place that the rows are of, from the table before the header."""
    assert entry.offset_in_preamble is not None
    offsets = frame.preamble[entry.offset_in_preamble]
    rows = [*range(len(offsets))]
    for name, values in entry.where.items():
        if name in frame.preamble:
            rows = [k for k in rows if frame.preamble[name][k] in values]
    choices = {offsets[k] for k in rows}
    if len(choices) != 1:
        raise DataError(
            f"{frame.file}: the lines before the header have {len(choices)} values of "
            f"{entry.offset_in_preamble} for these rows; say whose they are, "
            f"'where: {{location_id: 0}}'"
        )
    return str(choices.pop())


def _zone_of(frame: Frame, entry: SeriesEntry) -> tzinfo:
    """The zone that stamps without an offset are in."""
    if entry.offset_in_preamble is not None and entry.offset_in_preamble in frame.preamble:
        seconds = _of_preamble(frame, entry)
        if not re.fullmatch(r"-?\d{1,5}", seconds) or abs(int(seconds)) > 50_400:
            raise DataError(
                f"{frame.file}: {entry.offset_in_preamble} must be seconds, got {shown(seconds)}"
            )
        return timezone(timedelta(seconds=int(seconds)))
    if entry.time_zone is None:
        raise DataError(
            f"{frame.file}: 'time_zone' is missing: the stamps carry no offset from UTC, so which "
            f"clock are they on? UTC, Europe/Berlin or +02:00 say"
        )
    return time_zone(entry.time_zone)


def _periods(frame: Frame, entry: SeriesEntry) -> npt.NDArray[np.timedelta64]:
    """Time that has passed since midnight when the periods begin."""
    assert entry.period is not None
    seconds = np.zeros(len(frame.cells), dtype=np.int64)
    whole = 1500.0  # 25 hours
    for name, minutes in zip(entry.period, entry.period_minutes, strict=True):
        cells = frame.column(name)
        numbers = pd.to_numeric(cells, errors="coerce")
        most = whole / minutes
        bad = ~((numbers >= 1) & (numbers <= most) & (numbers % 1 == 0)).to_numpy(dtype=bool)
        if bad.any():
            row = int(np.argmax(bad))
            hint = (
                f"; hours from 0 are part of 'time: [date, {name}]'" if numbers.min() == 0 else ""
            )
            place = StampColumn(frame.file, repr(name))
            raise place.error(cells, row, f"a period from 1 to {most:.0f}{hint}")
        seconds += np.rint((numbers.to_numpy() - 1) * minutes * 60).astype(np.int64)
        whole = minutes
    return seconds.astype("timedelta64[s]")


def _elapsed(days: TimeArray, passed: npt.NDArray[np.timedelta64], rows: _LocalRows) -> TimeArray:
    """UTC of periods that count the time since local midnight, days of 23 and 25 hours too."""
    today, tomorrow = (_midnight(days + np.timedelta64(k, "D"), rows.zone) for k in (0, 1))
    moments: TimeArray = today + passed
    beyond = moments >= tomorrow
    if beyond.any():
        row = int(np.argmax(beyond))
        hours = (tomorrow - today)[row] / np.timedelta64(1, "h")
        assert rows.entry.period is not None
        name = rows.entry.period[0]
        place = StampColumn(rows.frame.file, f"{rows.place.label} + {name!r}")
        raise place.error(
            rows.times.text,
            row,
            value=f"{rows.times.text.iloc[row]} {rows.frame.column(name).iloc[row]}",
            expected=f"a period of that day, which has {hours:g} hours on the clock of "
            f"{rows.entry.time_zone}; is the file on a fixed offset? If hours are numbered by the "
            f"clock, name the column that marks the repeated one ('repeated')",
        )
    return moments


def _midnight(days: TimeArray, zone: tzinfo) -> TimeArray:
    unique, at = np.unique(days.astype("datetime64[s]"), return_inverse=True)
    local = pd.Series(unique).dt.tz_localize(
        zone, ambiguous=np.ones(len(unique), bool), nonexistent="shift_forward"
    )
    return _utc(local)[at]


def _on_clock(naive: TimeArray, seconds: IntArray, rows: _LocalRows) -> Stamps:
    """Local stamps to UTC.

    An hour-ending label is named after the hour that begins, so it is moved to that beginning
    first; where that does not fit the clock, the stamps are true local times of the ends.
    """
    if rows.entry.stamp != "end":
        return Stamps(_to_utc(naive, rows), seconds, ends=False, zone_used=True)
    steps = pd.Series(np.diff(np.unique(naive)).astype(np.int64))
    step = int(steps.mode()[0]) if len(steps) else 0  # the commonest
    try:
        moments = _to_utc(naive - np.timedelta64(step, "s"), rows)
        occurrences = pd.DataFrame({"moment": moments, "code": rows.codes})
        if step and not occurrences[~np.isnat(moments) & ~rows.gone].duplicated().any():
            return Stamps(moments + np.timedelta64(step, "s"), seconds, ends=True, zone_used=True)
    except DataError:
        pass  # the sentence of the attempt below is the one on what the file says
    return Stamps(_to_utc(naive, rows), seconds, ends=True, zone_used=True)


def _to_utc(naive: TimeArray, rows: _LocalRows) -> TimeArray:
    """Local times to UTC; the hour that occurs twice by marks, columns or order."""
    local, zone, marks = pd.Series(naive), rows.zone, rows.times.marks
    if isinstance(zone, timezone) or getattr(zone, "key", "") in ("UTC", "Etc/UTC"):
        return _utc(local.dt.tz_localize(zone))
    first, second = (
        local.dt.tz_localize(zone, ambiguous=np.full(len(local), dst), nonexistent="NaT")
        for dst in (True, False)
    )
    skipped = first.isna().to_numpy(dtype=bool)
    rows.refuse(
        skipped & ~rows.gone,
        f"one that exists: the times do not fit the clock of {rows.entry.time_zone}, which skips "
        f"an hour that day; are the stamps in another zone, UTC say?",
    )
    early, late = _utc(first), _utc(second)
    twice = (early != late) & ~skipped
    daylight = _daylight(naive, twice, rows)
    marked = ~np.isnan(marks)
    daylight[marked] = (naive - early).astype(np.int64)[marked] == marks[marked]
    moments: TimeArray = np.where(daylight | ~twice, early, late)
    wrong = marked & ~skipped & ((naive - moments).astype(np.int64) != marks)
    mark = f"UTC{marks[np.argmax(wrong)] / 3600:+g}" if wrong.any() else ""
    rows.refuse(
        wrong,
        f"a mark that fits the clock of {rows.entry.time_zone}, not one of {mark}; does the file "
        f"keep one offset all year? Then say 'time_zone: {mark}'",
    )
    return moments


def _daylight(naive: TimeArray, twice: BoolArray, rows: _LocalRows) -> BoolArray:
    """``[rows]``: of times that occur twice, is it the first one, in daylight saving time?"""
    daylight = np.ones(len(naive), dtype=bool)
    if not twice.any():
        return daylight
    entry, frame = rows.entry, rows.frame
    if entry.daylight is not None:
        return _flagged(frame, entry.daylight, naive[twice])
    if entry.repeated is not None:
        return ~_flagged(frame, entry.repeated, naive[twice])
    for code in pd.unique(rows.codes):
        whole = np.flatnonzero(rows.codes == code)
        if not twice[whole].any():
            continue
        if np.sign(np.diff(naive[whole]).astype(np.int64)).sum() < 0:  # the newest first
            whole = whole[::-1]
        _refuse_disorder(naive, twice, whole, rows)
        order = whole[twice[whole]]
        daylight[order] = _first_pass(naive[order])
    return daylight


def _refuse_disorder(naive: TimeArray, twice: BoolArray, order: IntArray, rows: _LocalRows) -> None:
    """Refuse rows that are in no order where an hour is there twice: nothing tells them apart."""
    both = pd.Series(naive[order])
    if not (both.duplicated() & twice[order]).any():
        return
    day = naive[order].astype("datetime64[D]")
    near = order[np.isin(day, np.unique(day[twice[order]]))]
    back = (np.diff(naive[near]).astype(np.int64) < 0) & ~(twice[near][1:] & twice[near][:-1])
    if back.any():
        row = int(near[int(np.argmax(back)) + 1])
        raise rows.place.error(
            rows.times.text,
            row,
            f"times in order, since the clock of {rows.entry.time_zone} repeats an hour that day "
            f"and nothing else tells which is which; name a column that does ('daylight', "
            f"'repeated')",
        )


def _flagged(frame: Frame, flag: Flag, twice: TimeArray) -> BoolArray:
    """``[rows]``: which a column marks; ``twice`` are the times that the clock repeats."""
    cells = frame.texts(flag.column)
    marked: BoolArray = cells.isin(list(flag.value)).to_numpy(dtype=bool, copy=True)
    if not marked.any() and len(np.unique(twice)) < len(twice):
        raise DataError(
            f"{frame.file}: no row of column {flag.column!r} is {' or '.join(flag.value)}; it has "
            f"{listing([*pd.unique(cells)])}: which marks the hour? Say "
            f"'{{column: {flag.column}, value: ...}}'"
        )
    return marked


def _first_pass(naive: TimeArray) -> BoolArray:
    """Of ambiguous times in the order of the file: those of the first pass of their hour.

    Either the clock jumps back once within each night (01:00 01:30 01:00 01:30), or the times of
    both passes stand in pairs (01:00 01:00 01:30 01:30); what stands alone is of the first pass.
    """
    first = np.ones(len(naive), dtype=bool)
    nights = np.flatnonzero(np.abs(np.diff(naive).astype(np.int64)) > 12 * 3600) + 1
    for rows in np.split(np.arange(len(naive)), nights):
        back = np.flatnonzero(np.diff(naive[rows]).astype(np.int64) < 0)
        if len(back):
            first[rows[back[0] + 1 :]] = False
        else:
            first[rows] = ~pd.Series(naive[rows]).duplicated().to_numpy()
    return first
