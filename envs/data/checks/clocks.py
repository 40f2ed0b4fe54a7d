"""Does a series keep the clock it says? Sun, people and heat all tell the time.

Each check compares the series' average day with a template over the same UTC slots, and asks by how
many hours the template must move to fit best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from equiload.envs.data.checks.findings import Finding, Signal, Verdict
from equiload.envs.data.clock import sky, week_minute
from equiload.envs.data.grid import load_shape, system
from equiload.envs.data.requests import request_shape
from equiload.envs.typing import FloatArray

_LEAST_DAYS, _LEAST_SLOTS = 4, 8  # days, and slots per day, that can tell the time
_SUNNY = 0.10  # solar share of generation from which the carbon of a grid shows the sun
_BROKEN = 5.0  # hours of shift from which it is no longer a matter of habit or weather
_WEATHER = 4.0  # hours, over the days, that weather may add to a shift
# Users differ more than suns do: demand is called wrong only where the template fits this well.
_FIT_OF_USERS = 0.92
# Judged by a region far away: fit asked for on top, and hours that local clocks may differ.
_DOUBTFUL_FIT, _DOUBTFUL_SHIFT = 0.05, 1.0
# Days on either side of a change of clocks that are compared, at least and at most.
_AROUND = (14, 42)
_HOUR_MOST = 1.6  # share of the hour beyond which a day's move is no matter of summer time


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How well the days of one kind of signal tell the time.

    Parameters
    ----------
    fit
        Correlation with its template from which a signal tells the time.
    shift
        Hours from which it is suspicious to run before or after the template.
    hour
        Share of the hour from which a day's move is noted when clocks change.
    hour_fit
        Correlation that the days before and after that change need.
    evidence
        The sentence, around "2.1 h before".
    """

    fit: float
    shift: float
    hour: float
    hour_fit: float
    evidence: str


# Set on sound years as providers publish them and on slips planted there (docs/worlds.md). Cooling
# water stands still in frost, so that the days around a change of clocks tell less.
_RHYTHMS = {
    "carbon": Rhythm(
        0.85,
        2.0,
        0.7,
        0.80,
        "the carbon intensity of this solar-heavy grid is lowest {} solar noon",
    ),
    "price": Rhythm(
        0.85, 2.25, 0.7, 0.80, "the price's day runs {} the residual load that makes prices here"
    ),
    "demand": Rhythm(0.75, 2.0, 0.6, _FIT_OF_USERS, "demand's day runs {} the local day"),
    "solar": Rhythm(0.85, 2.0, 0.7, 0.90, "what the panels give is highest {} solar noon"),
    "temperature": Rhythm(0.75, 2.0, 0.7, 0.80, "temperature peaks {} the middle of the afternoon"),
    "site_water": Rhythm(
        0.75, 2.0, 0.9, 0.95, "cooling water peaks {} the middle of the afternoon"
    ),
}
_WEATHERS = ("temperature", "site_water")


def check_clocks(signal: Signal) -> Iterator[Finding]:
    """What the signal's days say of its clock, and of its summer time."""
    template = _template(signal)
    if template is None:
        return
    clock = _clock(signal, template)
    yield clock
    # Users far away keep no local clock that could change.
    if signal.kind != "demand" or clock.verdict is Verdict.OK:
        yield from _summer_time(signal, template)


def _clock(signal: Signal, template: FloatArray) -> Finding:
    """Whether the signal's day falls where the sun and the local clock put it."""
    finding = partial(signal.finding, "clock")
    rhythm, doubtful = _RHYTHMS[signal.kind], bool(signal.doubt)
    day, expected = average_day(signal, signal.values), average_day(signal, template)
    if day is None or expected is None:
        return finding(Verdict.UNSURE, f"fewer than {_LEAST_DAYS} days of regular slots")
    if np.ptp(day) <= 1e-9 * np.abs(day).max() or np.ptp(expected) == 0:
        return finding(Verdict.UNSURE, "the average day is flat")
    lag, fit = best_lag(day, expected)
    if fit < rhythm.fit + _DOUBTFUL_FIT * doubtful:
        return finding(Verdict.UNSURE, f"no clear rhythm to tell the time by ({fit:.2f})")
    side = f"{abs(lag):.1f} h {'after' if lag > 0 else 'before'}"
    evidence = rhythm.evidence.format(side) + signal.doubt
    allowed = rhythm.shift + _DOUBTFUL_SHIFT * doubtful
    if signal.kind in _WEATHERS:  # a few days may all be cloudy at noon
        allowed += _WEATHER * signal.per_day / len(signal.values)
    if abs(lag) < allowed:
        return finding(Verdict.OK, evidence)
    if signal.kind == "demand" and fit < _FIT_OF_USERS:
        return finding(Verdict.UNSURE, f"{evidence}; its users may live so ({fit:.2f})")
    sure = abs(lag) >= _BROKEN and not doubtful
    verdict = Verdict.BROKEN if sure else Verdict.SUSPICIOUS
    return finding(verdict, evidence, _advice(signal, lag))


def _summer_time(signal: Signal, template: FloatArray) -> Iterator[Finding]:
    """Whether the day moves as it should when local clocks change within the signal.

    Users follow the local clock, so that one change tells. Other rhythms drift with the season,
    which the changes of spring and autumn show with opposite signs: they take both.
    """
    if signal.per_day < 24 or signal.known is None or signal.steady:
        return
    moves = _moves(signal, template)
    sides = (
        [[move for move, _ in moves]]
        if signal.kind == "demand"
        else [[move for move, forward in moves if forward is side] for side in (True, False)]
    )
    if not all(sides):
        return
    moved = float(np.mean([np.mean(side) for side in sides]))
    evidence = f"the day moves by {moved:+.2f} h against what it follows when clocks go forward"
    if not _RHYTHMS[signal.kind].hour <= abs(moved) <= _HOUR_MOST:
        yield signal.finding("summer time", Verdict.OK, evidence)
        return
    advice = (
        "The stamps look like a local clock, or like one that misses summer time: "
        "give the zone that they are in."
    )
    yield signal.finding("summer time", Verdict.SUSPICIOUS, evidence, advice)


def _moves(signal: Signal, template: FloatArray) -> list[tuple[float, bool]]:
    """Hours that the day moves against its template over each change of clocks that can be judged.

    Relative to the change, so 1 is what a local clock read as UTC gives; and whether clocks go
    forward.
    """
    offset, per_day = signal.offset, signal.per_day
    assert offset is not None
    changes = np.flatnonzero(np.diff(offset)) + 1
    ends = [0, *changes, len(offset)]
    least = 7 if signal.kind == "demand" else _AROUND[0]
    needed = _RHYTHMS[signal.kind].hour_fit
    moves = []
    for before, change, after in zip(ends[:-2], changes, ends[2:], strict=True):
        days = [min((n // per_day), _AROUND[1]) for n in (change - before, after - change)]
        if min(days) < least:
            continue
        sides = (
            slice(change - days[0] * per_day, change),
            slice(change, change + days[1] * per_day),
        )
        fits = [_lag_of(signal.values[side], template[side], per_day) for side in sides]
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


def average_day(signal: Signal, values: FloatArray) -> FloatArray | None:
    """``[per_day]`` from UTC midnight: median over days, each without its own mean."""
    per_day = signal.per_day
    if not per_day or len(values) < _LEAST_DAYS * per_day:
        return None
    first = int(signal.stamps[0].astype("datetime64[s]").astype(np.int64) % 86_400)
    shift = first * per_day // 86_400
    days = len(values) // per_day
    table = values[: days * per_day].reshape(days, per_day)
    return np.roll(_median_day(table), shift)


def _median_day(days: FloatArray) -> FloatArray:
    """``[per_day]``: median over ``days [D, per_day]``, each without its own mean."""
    return np.asarray(np.median(days - days.mean(1, keepdims=True), axis=0))


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


def _template(signal: Signal) -> FloatArray | None:
    """``[T]``: what the series' day should look like, or none where nothing is expected."""
    if signal.nearest is None or signal.kind not in _RHYTHMS:
        return None
    if signal.per_day < _LEAST_SLOTS or 1440 % signal.per_day:
        return None
    region = signal.nearest[0]
    minutes = 1440 // signal.per_day
    year = signal.stamps.astype("datetime64[Y]").astype("datetime64[s]")
    slot = ((signal.stamps - year) // np.timedelta64(minutes * 60, "s")).astype(np.int64)
    table = sky((region,), minutes)
    if signal.kind in _WEATHERS:
        return np.asarray(table.day[slot, 0])
    if signal.kind == "solar":
        return np.asarray(table.sun[slot, 0])
    if signal.kind == "carbon":
        return np.asarray(-table.sun[slot, 0]) if region.solar >= _SUNNY else None
    assert signal.offset is not None
    week_slot = week_minute(signal.stamps, signal.offset) // minutes
    if signal.kind == "demand":
        return np.asarray(request_shape(minutes)[week_slot])
    # Of prices: the load that the sun leaves, whose irradiance middling clouds cut to 0.75.
    sun = system((region,), table).solar[0] * table.sun[slot, 0] * 0.75
    return np.asarray(load_shape(minutes)[week_slot] - sun)


def _advice(signal: Signal, lag: float) -> str:
    """What a shift of this size is likely to be."""
    assert signal.offset is not None
    offset = float(np.median(signal.offset)) / 60
    for cause, hours in (
        ("local times read as UTC", offset),
        ("times converted from local to UTC twice", -offset),
        ("the time zone applied the wrong way round", 2 * offset),
    ):
        if offset and abs((lag - hours + 12) % 24 - 12) < 1.5:
            return f"That is what {cause} looks like (UTC{offset:+g} here): mend 'time_zone'."
    return "Compare a few rows with the source, and mend 'time_zone' or 'stamp'."
