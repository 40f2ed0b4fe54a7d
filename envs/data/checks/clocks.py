"""Does a series keep the clock it says? Sun, people and heat all tell the time.

Each check compares the series' average day with a template over the same UTC slots, and asks by how
many hours the template must move to fit best.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equiload.envs.data.checks.findings import Finding, Series, Verdict
from equiload.envs.data.clock import sky
from equiload.envs.data.grid import load_shape, system
from equiload.envs.data.requests import request_shape
from equiload.envs.typing import FloatArray

_LEAST_DAYS, _LEAST_SLOTS = 4, 8  # days, and slots per day, that can tell the time
_SUNNY = 0.10  # solar share of generation from which the carbon of a grid shows the sun
# How well the template must fit, and from how many hours on a shift is suspicious, or broken.
_FIT = {"carbon": 0.85, "price": 0.85, "demand": 0.75, "temperature": 0.75, "site_water": 0.75}
_SHIFT = {"carbon": 2.0, "price": 2.25, "demand": 2.0, "temperature": 2.0, "site_water": 2.0}
_BROKEN = 5.0
_WEATHER = 4.0  # hours, over the days, that weather may add to a shift
# Users differ more than suns do: demand is called wrong only where the template fits this well.
_FIT_OF_USERS = 0.92
# Judged by a region far away: fit asked for on top, and hours that local clocks may differ.
_DOUBTFUL_FIT, _DOUBTFUL_SHIFT = 0.05, 1.0
# Days on either side of a change of clocks that are compared, at least and at most.
_AROUND = (14, 42)
# Share of the hour by which a day must move when clocks change (beyond the most it is no matter of
# an hour), and the fit that either side needs. Cooling water stands still in frost: it tells less.
_HOUR = {"carbon": 0.7, "price": 0.7, "demand": 0.6, "temperature": 0.7, "site_water": 0.9}
_HOUR_MOST = 1.6
_HOUR_FIT = {
    "carbon": 0.80,
    "price": 0.80,
    "demand": _FIT_OF_USERS,
    "temperature": 0.80,
    "site_water": 0.95,
}
_SAYS = {
    "carbon": "the carbon intensity of this solar-heavy grid is lowest {} solar noon",
    "price": "the price's day runs {} the residual load that makes prices here",
    "demand": "demand's day runs {} the local day",
    "temperature": "temperature peaks {} the middle of the afternoon",
    "site_water": "cooling water peaks {} the middle of the afternoon",
}


def check_clocks(series: Series) -> Iterator[Finding]:
    """What the series' days say of its clock, and of its summer time."""
    template = _template(series)
    if template is None:
        return
    clock = _clock(series, template)
    yield clock
    # Users far away keep no local clock that could change.
    if series.kind != "demand" or clock.verdict is Verdict.OK:
        finding = _summer_time(series, template)
        if finding is not None:
            yield finding


def check_clock(series: Series) -> Finding | None:
    """Whether the series' day falls where the sun and the local clock put it."""
    template = _template(series)
    return None if template is None else _clock(series, template)


def _clock(series: Series, template: FloatArray) -> Finding:
    day, expected = average_day(series, series.values), average_day(series, template)
    if day is None or expected is None:
        return _finding(series, Verdict.UNSURE, f"fewer than {_LEAST_DAYS} days of regular slots")
    if np.ptp(day) <= 1e-9 * np.abs(day).max() or np.ptp(expected) == 0:
        return _finding(series, Verdict.UNSURE, "the average day is flat")
    lag, fit = best_lag(day, expected)
    doubtful = bool(series.doubt)
    if fit < _FIT[series.kind] + _DOUBTFUL_FIT * doubtful:
        return _finding(series, Verdict.UNSURE, f"no clear rhythm to tell the time by ({fit:.2f})")
    side = f"{abs(lag):.1f} h {'after' if lag > 0 else 'before'}"
    found = _SAYS[series.kind].format(side) + series.doubt
    allowed = _SHIFT[series.kind] + _DOUBTFUL_SHIFT * doubtful
    if series.kind in ("temperature", "site_water"):  # a few days may all be cloudy at noon
        allowed += _WEATHER * series.per_day / len(series.values)
    if abs(lag) < allowed:
        return _finding(series, Verdict.OK, found)
    if series.kind == "demand" and fit < _FIT_OF_USERS:
        return _finding(series, Verdict.UNSURE, f"{found}; its users may live so ({fit:.2f})")
    sure = abs(lag) >= _BROKEN and not doubtful
    verdict = Verdict.BROKEN if sure else Verdict.SUSPICIOUS
    return _finding(series, verdict, found, _advice(series, lag))


def _summer_time(series: Series, template: FloatArray) -> Finding | None:
    """Whether the day moves as it should when local clocks change within the series.

    Users follow the local clock, so that one change tells. Other rhythms drift with the season,
    which the changes of spring and autumn show with opposite signs: they take both.
    """
    if series.per_day < 24 or series.known is None or series.steady:
        return None
    moves = _moves(series, template)
    if series.kind == "demand":
        if not moves:
            return None
        moved = float(np.mean([move for move, _ in moves]))
    else:
        by_side = [[m for m, forward in moves if forward is side] for side in (True, False)]
        if not all(by_side):
            return None
        moved = float(np.mean([np.mean(side) for side in by_side]))
    found = f"the day moves by {moved:+.2f} h against what it follows when clocks go forward"
    if not _HOUR[series.kind] <= abs(moved) <= _HOUR_MOST:
        return _finding(series, Verdict.OK, found, check="summer time")
    advice = (
        "The stamps look like a local clock, or like one that misses summer time: "
        "give the zone that they are in."
    )
    return _finding(series, Verdict.SUSPICIOUS, found, advice, check="summer time")


def _moves(series: Series, template: FloatArray) -> list[tuple[float, bool]]:
    """Hours that the day moves against its template over each change of clocks that can be judged.

    Relative to the change, so 1 is what a local clock read as UTC gives; and whether clocks go
    forward.
    """
    offset, per_day = series.offset, series.per_day
    assert offset is not None
    changes = np.flatnonzero(np.diff(offset)) + 1
    ends = [0, *changes, len(offset)]
    least = 7 if series.kind == "demand" else _AROUND[0]
    needed = _HOUR_FIT[series.kind]
    moves = []
    for before, change, after in zip(ends[:-2], changes, ends[2:], strict=True):
        days = [min((n // per_day), _AROUND[1]) for n in (change - before, after - change)]
        if min(days) < least:
            continue
        sides = (
            slice(change - days[0] * per_day, change),
            slice(change, change + days[1] * per_day),
        )
        fits = [_lag_of(series.values[side], template[side], per_day) for side in sides]
        if min(fit for _, fit in fits) < needed:
            continue
        moved = (fits[1][0] - fits[0][0] + 12) % 24 - 12
        hours = float(offset[change] - offset[change - 1]) / 60
        moves.append((moved / hours, hours > 0))
    return moves


def _lag_of(values: FloatArray, template: FloatArray, per_day: int) -> tuple[float, float]:
    """:func:`best_lag` of the median days of two series of whole days; no fit where one is flat."""
    day, expected = (_median_day(x.reshape(-1, per_day)) for x in (values, template))
    if np.ptp(day) == 0 or np.ptp(expected) == 0:
        return 0.0, 0.0
    return best_lag(day, expected)


def average_day(series: Series, values: FloatArray) -> FloatArray | None:
    """``[per_day]`` from UTC midnight: median over days, each without its own mean."""
    per_day = series.per_day
    if not per_day or len(values) < _LEAST_DAYS * per_day:
        return None
    first = int(series.stamps[0].astype("datetime64[s]").astype(np.int64) % 86_400)
    shift = first * per_day // 86_400
    days = len(values) // per_day
    table = values[: days * per_day].reshape(days, per_day)
    return np.roll(_median_day(table), shift)


def _median_day(days: FloatArray) -> FloatArray:
    """``[per_day]``: median over ``days [D, per_day]``, each without its own mean."""
    profile: FloatArray = np.median(days - days.mean(1, keepdims=True), axis=0)
    return profile


def best_lag(day: FloatArray, template: FloatArray) -> tuple[float, float]:
    """Hours by which ``day`` runs after ``template`` (−12 to 12), and the correlation there."""
    n = len(day)
    a, b = day - day.mean(), template - template.mean()
    cross = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), n)
    fit = cross / (np.linalg.norm(a) * np.linalg.norm(b))
    best = int(fit.argmax())
    left, top, right = fit[best - 1], fit[best], fit[(best + 1) % n]
    bend = left - 2 * top + right
    peak = best + (0.5 * (left - right) / bend if bend < 0 else 0.0)  # a parabola's
    lag = peak * 24 / n
    return float((lag + 12) % 24 - 12), float(top)


def _template(series: Series) -> FloatArray | None:
    """``[T]``: what the series' day should look like, or none where nothing is expected."""
    if series.nearest is None or series.kind not in _FIT:
        return None
    if series.per_day < _LEAST_SLOTS or 1440 % series.per_day:
        return None
    region = series.nearest[0]
    minutes = 1440 // series.per_day
    year = series.stamps.astype("datetime64[Y]").astype("datetime64[s]")
    slot = ((series.stamps - year) // np.timedelta64(minutes * 60, "s")).astype(np.int64)
    table = sky((region,), minutes)
    if series.kind in ("temperature", "site_water"):
        return np.asarray(table.day[slot, 0])
    if series.kind == "carbon":
        return np.asarray(-table.sun[slot, 0]) if region.solar >= _SUNNY else None
    if series.kind == "demand":
        return _local_week(series, request_shape(minutes))
    if series.kind == "price":
        sun = system((region,), table).solar[0] * table.sun[slot, 0] * 0.75
        return np.asarray(_local_week(series, load_shape(minutes)) - sun)
    return None


def _local_week(series: Series, week: FloatArray) -> FloatArray:
    assert series.offset is not None
    minute = series.stamps.astype("datetime64[m]").astype(np.int64) + 3 * 1440
    local = (minute + series.offset) % (7 * 1440)
    return np.asarray(week[local * len(week) // (7 * 1440)])


def _advice(series: Series, lag: float) -> str:
    """What a shift of this size is likely to be."""
    assert series.offset is not None
    offset = float(np.median(series.offset)) / 60
    for cause, hours in (
        ("local times read as UTC", offset),
        ("times converted from local to UTC twice", -offset),
        ("the time zone applied the wrong way round", 2 * offset),
    ):
        if offset and abs((lag - hours + 12) % 24 - 12) < 1.5:
            return f"That is what {cause} looks like (UTC{offset:+g} here): mend 'time_zone'."
    return "Compare a few rows with the source, and mend 'time_zone' or 'stamp'."


def _finding(
    series: Series, verdict: Verdict, found: str, advice: str = "", check: str = "clock"
) -> Finding:
    return Finding(series.region, series.kind, check, verdict, found, advice)
