"""Logs with a row per request, summed into energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equiload.envs.data.tables.cells import numbers
from equiload.envs.data.tables.messages import about, cell_error
from equiload.envs.data.tables.parts import Part, Reader, named
from equiload.envs.data.tables.slots import Intervals
from equiload.envs.data.tables.units import energy
from equiload.envs.errors import DataError

_YEAR = 366 * 86_400


def read_requests(reader: Reader, parts: Sequence[Part], kind: str, what: str) -> Intervals:
    """Energy of a log with a row per request, by minute; no row means no request."""
    if kind != "demand":
        raise DataError(f"{what}: only demand is read from requests ('energy')")
    amounts, moments = [], []
    for part in parts:
        total = np.zeros(len(part.frame.cells))
        for name, text in part.entry.energy.items():
            with about(what):
                per = energy(text)
            if name == "request":
                total += per
                continue
            cells = part.frame.column(name)
            counts = numbers(cells, part.entry, part.frame.file, "a number of them")
            if (counts < 0).any():
                row = int(np.argmax(counts < 0))
                sentence = f"the value is {counts[row]:g}, expected at least 0"
                raise cell_error(part.frame.file, cells, row, sentence)
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
    inside = reader.within(starts, seconds)
    name = named(parts, kind, what)
    amounts_of = np.asarray(sums[inside], np.float64)
    return Intervals(name, starts[inside], seconds[inside], amounts_of, (60,), amount=True)
