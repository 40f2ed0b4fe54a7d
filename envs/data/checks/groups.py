"""What only several regions show together: one series under two names, one market on two clocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from equiload.envs.data.checks.clocks import average_day
from equiload.envs.data.checks.findings import Finding, Series, Verdict
from equiload.envs.data.regions import great_circle
from equiload.envs.typing import FloatArray

_DAY = 24  # hours
_SAME_PLACE_KM = 100.0  # sites nearer than this share weather, grid and market
_WEEKS = 4  # of prices that can be compared
_HOURS = 12  # that they are moved by, at most
#: What is left of two prices without their week must correlate so well at the best shift, and so
#: much less as they are.
_TOGETHER, _BETTER = 0.4, 0.15
_CLOCKS_APART, _SAME_DAY = 3.0, 0.9  # hours, and correlation of days from which they are one
_CLIP = 5.0  # robust deviations, so that single spikes decide nothing


def check_twins(group: Sequence[Series]) -> list[Finding]:
    """Regions whose series of one kind are proportional: one market under two names.

    What is one value throughout is proportional to everything and says nothing.
    """
    moving = [s for s in group if len(s.values) >= _DAY and not s.steady]
    if len(moving) < 2:
        return []
    values = np.stack([series.values for series in moving])
    alike = np.asarray(np.corrcoef(values) > 1 - 1e-9)
    findings = []
    for later, b in enumerate(moving):
        for earlier in np.flatnonzero(alike[later, :later]):
            a = moving[int(earlier)]
            if _same_place(a, b):
                continue
            factor = b.values.std() / a.values.std()
            same = "the same as" if abs(factor - 1) < 1e-9 else f"{factor:.4g} times"
            findings.append(
                Finding(
                    b.region,
                    b.kind,
                    "twins",
                    Verdict.SUSPICIOUS,
                    f"it is exactly {same} that of {a.region}",
                    "One file read twice, or one series converted twice with different factors: "
                    "give each region its own.",
                )
            )
            break
    return findings


def check_common_clock(group: Sequence[Series]) -> Iterator[Finding]:
    """Prices of one market move in the same hour: one whose do not is on another clock.

    Compared are those under one local clock, without what each week repeats, which would follow
    local habits.
    """
    surprises = [_surprises(series) for series in group]
    for i, series in enumerate(group):
        lags = []
        for j, other in enumerate(group):
            a, b = surprises[i], surprises[j]
            if i == j or a is None or b is None or not _one_clock(series, other):
                continue
            lag = _lag(a, b, series.per_day)
            if lag is not None:
                lags.append((lag, other.region))
        if not lags:
            continue
        usual = float(np.median([lag for lag, _ in lags]))
        agree = [name for lag, name in lags if lag == usual]
        if usual == 0 or 2 * len(agree) <= len(lags):
            yield Finding(
                series.region, series.kind, "common clock", Verdict.OK, "it moves with others'"
            )
            continue
        side = f"{abs(usual):g} h {'after' if usual > 0 else 'before'}"
        yield Finding(
            series.region,
            series.kind,
            "common clock",
            Verdict.SUSPICIOUS,
            f"the price moves {side} that of {', '.join(agree)}, with which it shares a market",
            "One of them is on another clock, or stamps the end of the hour: "
            "mend 'time_zone' or 'stamp'.",
        )


def check_shared_day(group: Sequence[Series]) -> Finding | None:
    """Whether demand of places on different clocks runs by one clock.

    Then it is one workload, whose users nobody knows, or local times were read as UTC in all of
    them; the days cannot tell which.
    """
    located = [s for s in group if s.offset is not None and not s.steady]
    days = [average_day(series, series.values) for series in located]
    hours = [0.0 if s.offset is None else float(np.median(s.offset)) / 60 for s in located]
    alike = []
    for i, a in enumerate(days):
        for j, b in enumerate(days[:i]):
            apart = abs((hours[i] - hours[j] + 12) % 24 - 12)
            if a is None or b is None or len(a) != len(b) or apart < _CLOCKS_APART:
                continue
            if np.ptp(a) > 0 and np.ptp(b) > 0:
                alike.append(float(np.corrcoef(a, b)[0, 1]))
    if not alike or np.median(alike) < _SAME_DAY:
        return None
    return Finding(
        located[0].region,
        located[0].kind,
        "clock",
        Verdict.NOTED,
        f"the demand of {len(located)} places on different clocks peaks in the same hour",
        "One workload for all, or local times read as UTC in all of them: if these are local "
        "users, mend 'time_zone'.",
    )


def _same_place(a: Series, b: Series) -> bool:
    if a.location is None or b.location is None or a.kind == "demand":
        return False
    distance = great_circle(np.array([a.location]), np.array([b.location]))[0, 0]
    return bool(distance < _SAME_PLACE_KM)


def _one_clock(a: Series, b: Series) -> bool:
    """Do both series cover the same slots under one local clock?"""
    if a.offset is None or b.offset is None or len(a.stamps) != len(b.stamps):
        return False
    if a.stamps[0] != b.stamps[0] or not np.array_equal(a.offset, b.offset):
        return False
    return not _same_place(a, b)


def _surprises(series: Series) -> FloatArray | None:
    """``[T - 1]``: a price's moves from slot to slot without those of a usual week, clipped."""
    per_week = 7 * series.per_day
    if series.per_day < _DAY or len(series.values) < _WEEKS * per_week or series.steady:
        return None
    moves = np.diff(series.values)
    weeks = len(moves) // per_week
    table = moves[: weeks * per_week].reshape(weeks, per_week)
    moves = moves - np.resize(np.median(table, axis=0), len(moves))
    low, high = np.quantile(moves, [0.25, 0.75])
    spread = float(high - low) / 1.349
    if spread == 0:
        return None
    clipped = np.clip(moves, -_CLIP * spread, _CLIP * spread)
    return np.asarray(clipped - clipped.mean())


def _lag(a: FloatArray, b: FloatArray, per_day: int) -> float | None:
    """Hours by which ``a`` moves after ``b``; none where they have too little in common."""
    n, most = len(a), _HOURS * per_day // _DAY
    cross = np.fft.irfft(np.fft.rfft(a, 2 * n) * np.conj(np.fft.rfft(b, 2 * n)), 2 * n)
    fit = np.concatenate([cross[-most:], cross[: most + 1]])
    fit /= np.linalg.norm(a) * np.linalg.norm(b)
    best = int(fit.argmax())
    if fit[best] < _TOGETHER:
        return None
    return (best - most) * _DAY / per_day if fit[best] > fit[most] + _BETTER else 0.0
