"""Logs with a row per job, as work that arrives and may wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from equiload.envs.checking import refuse_unknown
from equiload.envs.data.tables import units
from equiload.envs.data.tables.cells import numbers
from equiload.envs.data.tables.clocks import stamps
from equiload.envs.data.tables.entries import SeriesEntry, YamlEntry, record
from equiload.envs.data.tables.messages import about, cell_error
from equiload.envs.data.tables.parts import Part, Reader, parts_of
from equiload.envs.data.tables.slots import Slots
from equiload.envs.data.tables.times import read_times
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray, IntArray, TimeArray

#: Options of a series that a log of jobs has no use for.
_OTHERS = {"constant", "column", "unit", "rate", "stamp", "lasts", "fuels", "fuel_column", "energy"}
_HOUR = np.timedelta64(3600, "s")
_ROUNDING = 1e-6  # hours


class JobsEntry(YamlEntry):
    """What the columns of a log hold, each with what one of its units is; ``time`` is the arrival.

    Parameters
    ----------
    size
        Power while it runs, summed: ``{gpus: 0.7 kW}``, or ``{load: MW}``.
    duration
        ``{elapsed: s}``.
    deadline
        ``{due: time}``, or hours (or another time) after the arrival: ``{due: h}``.
    """

    size: dict[str, str] = Field(min_length=1)
    duration: dict[str, str] = Field(min_length=1, max_length=1)
    deadline: dict[str, str] | None = Field(default=None, min_length=1, max_length=1)


def read_jobs(
    reader: Reader, options: Any, waits: Mapping[str, float], slots: Slots, what: str
) -> dict[str, FloatArray]:
    """``[T]`` MWh by class of work that would run in each slot if every job began as it arrives.

    A job's work may wait for its slack, the hours from its end to its deadline; it belongs to the
    class that may wait (``waits``, hours) longest and no longer than that.

    Raises
    ------
    DataError
        A job that cannot end by its deadline, or whose slack is below that of every class.
    """
    entry, series = _entries(options, what)
    (column,) = entry.duration
    if entry.deadline is None and len(waits) > 1:
        raise DataError(f"{what} need a 'deadline' to tell the classes {', '.join(waits)} apart")
    names = sorted(waits, key=lambda name: waits[name])
    limits = np.array([waits[name] for name in names])
    work = np.zeros((len(names), len(slots.stamps)))
    for whole in parts_of(reader, {**series, "column": column, "unit": "h"}, what):
        hours = _column(whole, entry.duration, "time", what)
        begin = (whole.stamps.moments - slots.stamps[0]) / _HOUR
        inside = (begin + hours > 0) & (begin < len(slots.stamps) * slots.seconds / 3600)
        if not inside.any():
            continue
        part, begin, hours = whole.only(inside), begin[inside], hours[inside]
        power = _column(part, entry.size, "power", what)
        of = _classes(part, entry, hours, limits, what)
        for c in range(len(names)):
            mine = of == c
            work[c] += running(begin[mine], hours[mine], power[mine], slots)
    return dict(zip(names, work, strict=True))


def running(begin: FloatArray, hours: FloatArray, power: FloatArray, slots: Slots) -> FloatArray:
    """``[T]``, MWh of jobs that run from ``begin`` (hours after the first slot's) at a power in MW.

    The energy up to any moment is linear between the moments at which a job begins or ends.
    """
    if not len(begin):
        return np.zeros(len(slots.stamps))
    at = np.concatenate([begin, begin + hours])
    order = np.argsort(at, kind="stable")
    at, drawn = at[order], np.cumsum(np.concatenate([power, -power])[order])
    energy = np.concatenate([[0.0], np.cumsum(drawn[:-1] * np.diff(at))])
    edges = np.arange(len(slots.stamps) + 1) * (slots.seconds / 3600)
    work = np.diff(np.interp(edges, at, energy))
    # A difference of sums is off by rounding where nothing runs.
    return np.where(work > 1e-12 * energy.max(), work, 0.0)


def _entries(options: Any, what: str) -> tuple[JobsEntry, dict[str, Any]]:
    """What the columns of the log hold, and the options that say how to read its rows."""
    if not isinstance(options, Mapping):
        raise DataError(f"{what} must be a mapping with a file, a time, a size and a duration")
    reading = set(SeriesEntry.model_fields) - _OTHERS
    with about(what):
        refuse_unknown("option", options, sorted({*reading, *JobsEntry.model_fields}))
    own = {key: options[key] for key in JobsEntry.model_fields if key in options}
    return record(JobsEntry, own, what), {k: v for k, v in options.items() if k in reading}


def _column(part: Part, columns: Mapping[str, str], kind: str, what: str) -> FloatArray:
    """``[rows]``: the sum of columns, each times what one of its units is."""
    total = np.zeros(len(part.stamps.moments))
    for name, text in columns.items():
        with about(f"{what}: {name}"):  # a unit alone is one of it
            each = units.quantity(text if text[:1].isdigit() else f"1 {text}", kind)
        cells = part.frame.column(name)
        counts = numbers(cells, part.entry, part.frame.file, f"a {kind} in {text}")
        if (counts < 0).any():
            row = int(np.argmax(counts < 0))
            sentence = f"the value is {counts[row]:g}, expected at least 0"
            raise cell_error(part.frame.file, cells, row, sentence)
        total += each * counts
    return total


def _classes(
    part: Part, entry: JobsEntry, hours: FloatArray, waits: FloatArray, what: str
) -> IntArray:
    """``[rows]``: the class of each job, a row of the ascending ``waits``."""
    if entry.deadline is None:
        return np.zeros(len(hours), dtype=np.int64)
    ((name, unit),) = entry.deadline.items()
    if unit == "time":
        limit = (_moments(part, name) - part.stamps.moments) / _HOUR
    else:
        limit = _column(part, entry.deadline, "time", what)
    slack = limit - hours
    of = np.searchsorted(waits, slack + _ROUNDING, side="right") - 1
    if (of < 0).any():
        row = int(np.argmax(of < 0))
        sentence = (
            f"the job lasts {hours[row]:g} h and must end within {limit[row]:g} h of its arrival"
        )
        if slack[row] + _ROUNDING >= 0:
            sentence += f", so it may wait less than any class ({waits[0]:g} h)"
        raise cell_error(part.frame.file, part.frame.column(name), row, sentence)
    return of.astype(np.int64)


def _moments(part: Part, name: str) -> TimeArray:
    """``[rows]``, UTC: a column of times, written as the arrivals are."""
    entry = part.entry.model_copy(update={"time": (name,), "period": None})
    gone = np.zeros(len(part.frame.cells), dtype=bool)
    codes: Any = np.zeros(len(gone))
    times = stamps(part.frame, entry, read_times(part.frame, entry), gone, codes)
    return times.moments
