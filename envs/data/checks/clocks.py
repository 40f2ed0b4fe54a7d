"""Does a series keep the clock it says? Sun, people and heat all tell the time.

Each check compares the series' average day with a template over the same UTC slots, and asks by how
many hours the template must move to fit best.
"""

from __future__ import annotations

import numpy as np

from equiload.envs.data.checks.findings import Finding, Series, Verdict
from equiload.envs.data.clock import sky, utc_offset
from equiload.envs.data.grid import load_shape, system
from equiload.envs.data.regions import Region
from equiload.envs.data.requests import request_shape
from equiload.envs.typing import FloatArray

_LEAST_DAYS, _LEAST_SLOTS = 4, 8  # days, and slots per day, that can tell the time
_SUNNY = 0.10  # solar share of generation from which the carbon of a grid shows the sun
# How well the template must fit, and from how many hours on a shift is suspicious, or broken.
_FIT = {"carbon": 0.85, "price": 0.85, "demand": 0.75, "temperature": 0.75, "site_water": 0.75}
_SHIFT = {"carbon": 2.0, "price": 2.25, "demand": 2.0, "temperature": 2.0, "site_water": 2.0}
_BROKEN = 5.0
_SAYS = {
    "carbon": "the carbon intensity of this solar-heavy grid is lowest {} solar noon",
    "price": "the price's day runs {} the residual load that makes prices here",
    "demand": "demand's day runs {} the local day",
    "temperature": "temperature peaks {} the middle of the afternoon",
    "site_water": "cooling water peaks {} the middle of the afternoon",
}


def check_clock(series: Series) -> Finding | None:
    """Whether the series' day falls where the sun and the local clock put it."""
    template = _template(series)
    if template is None:
        return None
    day, expected = average_day(series, series.values), average_day(series, template)
    if day is None or expected is None:
        return _finding(series, Verdict.UNSURE, f"fewer than {_LEAST_DAYS} days of regular slots")
    if np.ptp(day) <= 1e-9 * np.abs(day).max() or np.ptp(expected) == 0:
        return _finding(series, Verdict.UNSURE, "the average day is flat")
    lag, fit = best_lag(day, expected)
    if fit < _FIT[series.kind]:
        return _finding(series, Verdict.UNSURE, f"no clear rhythm to tell the time by ({fit:.2f})")
    side = f"{abs(lag):.1f} h {'after' if lag > 0 else 'before'}"
    found = _SAYS[series.kind].format(side)
    if abs(lag) < _SHIFT[series.kind]:
        return _finding(series, Verdict.OK, found)
    verdict = Verdict.BROKEN if abs(lag) >= _BROKEN else Verdict.SUSPICIOUS
    return _finding(series, verdict, found, _advice(series, lag))


def check_summer_time(series: Series) -> Finding | None:
    """Whether a human rhythm moves by the hour when local clocks change within the series."""
    region, per_day = series.known, series.per_day
    if region is None or series.kind != "demand" or per_day < 24:
        return None
    offset = utc_offset(region.zone, series.stamps)
    change = np.flatnonzero(np.diff(offset))
    if len(change) != 1 or min(change[0], len(offset) - change[0]) < 7 * per_day:
        return None
    local = _template(series)
    if local is None:
        return None
    cut = int(change[0]) + 1
    lag = [
        _phase(series.values[part], local[part], per_day)
        for part in (slice(cut % per_day, cut), slice(cut, None))
    ]
    if None in lag:
        return None
    moved = (lag[1] - lag[0] + 12) % 24 - 12  # type: ignore[operator]
    hour = abs(int(offset[cut]) - int(offset[cut - 1])) / 60
    found = f"the day moves by {moved:+.2f} h against local time when clocks change"
    if abs(moved) < 0.6 * hour:
        return _finding(series, Verdict.OK, found, check="summer time")
    advice = "The stamps look like a local clock all year, or like one without summer time: give "
    return _finding(
        series, Verdict.SUSPICIOUS, found, advice + "the zone they are in.", check="summer time"
    )


def average_day(series: Series, values: FloatArray) -> FloatArray | None:
    """``[per_day]`` from UTC midnight: median over days, each without its own mean."""
    per_day = series.per_day
    if not per_day or len(values) < _LEAST_DAYS * per_day:
        return None
    first = int(series.stamps[0].astype("datetime64[s]").astype(np.int64) % 86_400)
    shift = first * per_day // 86_400
    days = len(values) // per_day
    table = values[: days * per_day].reshape(days, per_day)
    profile: FloatArray = np.median(table - table.mean(1, keepdims=True), axis=0)
    return np.roll(profile, shift)


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


def _phase(values: FloatArray, template: FloatArray, per_day: int) -> float | None:
    """Hours by which the daily wave of ``values`` runs after the template's."""
    days = len(values) // per_day
    wave = np.exp(-2j * np.pi * np.arange(days * per_day) / per_day)
    a, b = (np.sum(x[: days * per_day] * wave) for x in (values, template))
    return None if abs(a * b) == 0 else float(-np.angle(a / b) * 24 / (2 * np.pi))


def _template(series: Series) -> FloatArray | None:
    """``[T]``: what the series' day should look like, or none where nothing is expected."""
    region = series.known
    if region is None or series.per_day < _LEAST_SLOTS or 1440 % series.per_day:
        return None
    minutes = 1440 // series.per_day
    year = series.stamps.astype("datetime64[Y]").astype("datetime64[s]")
    slot = ((series.stamps - year) // np.timedelta64(minutes * 60, "s")).astype(np.int64)
    table = sky((region,), minutes)
    if series.kind in ("temperature", "site_water"):
        return np.asarray(table.day[slot, 0])
    if series.kind == "carbon":
        return np.asarray(-table.sun[slot, 0]) if region.solar >= _SUNNY else None
    if series.kind == "demand":
        return _local_week(series, region, request_shape(minutes))
    if series.kind == "price":
        sun = system((region,), table).solar[0] * table.sun[slot, 0] * 0.75
        return np.asarray(_local_week(series, region, load_shape(minutes)) - sun)
    return None


def _local_week(series: Series, region: Region, week: FloatArray) -> FloatArray:
    minute = series.stamps.astype("datetime64[m]").astype(np.int64) + 3 * 1440
    local = (minute + utc_offset(region.zone, series.stamps)) % (7 * 1440)
    return np.asarray(week[local * len(week) // (7 * 1440)])


def _advice(series: Series, lag: float) -> str:
    """What a shift of this size is likely to be."""
    region = series.known
    assert region is not None
    offset = float(np.median(utc_offset(region.zone, series.stamps))) / 60
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
