"""What only several regions show together: one series under two names, one market on two clocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from equiload.envs.data.checks.clocks import average_day
from equiload.envs.data.checks.findings import Finding, Signal, Verdict
from equiload.envs.data.checks.values import robust_spread
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


def check_twins(group: Sequence[Signal]) -> Iterator[Finding]:
    """Regions whose series of one kind are proportional: one market under two names.

    What is one value throughout is proportional to everything and says nothing.
    """
    moving = [s for s in group if len(s.values) >= _DAY and not s.steady]
    if len(moving) < 2:
        return
    alike = np.asarray(np.corrcoef(np.stack([s.values for s in moving])) > 1 - 1e-9)
    for later, signal in enumerate(moving):
        twins = (moving[int(earlier)] for earlier in np.flatnonzero(alike[later, :later]))
        twin = next((other for other in twins if not _same_place(other, signal)), None)
        if twin is None:
            continue
        factor = signal.values.std() / twin.values.std()
        same = "the same as" if abs(factor - 1) < 1e-9 else f"{factor:.4g} times"
        yield signal.finding(
            "twins",
            Verdict.SUSPICIOUS,
            f"it is exactly {same} that of {twin.region}",
            "One file read twice, or one series converted twice with different factors: "
            "give each region its own.",
        )


def check_common_clock(group: Sequence[Signal]) -> Iterator[Finding]:
    """Prices of one market move in the same hour: one whose do not is on another clock.

    Compared are those under one local clock, without what each week repeats, which would follow
    local habits.
    """
    surprises = [(s, _surprises(s)) for s in group if _one_axis(s, group[0])]
    moves = [(s, moves) for s, moves in surprises if moves is not None]
    if len(moves) < 2:
        return
    prices = [price for price, _ in moves]
    lags = _lags(np.stack([surprise for _, surprise in moves]), prices[0].per_day)
    for price, lags_to in zip(prices, lags, strict=True):
        partners = [
            (float(lag), other.region)
            for lag, other in zip(lags_to, prices, strict=True)
            if not np.isnan(lag) and other is not price and _one_clock(price, other)
        ]
        if not partners:
            continue
        usual = float(np.median([lag for lag, _ in partners]))
        agree = [name for lag, name in partners if lag == usual]
        if usual == 0 or 2 * len(agree) <= len(partners):
            yield price.finding("common clock", Verdict.OK, "it moves with others'")
            continue
        side = f"{abs(usual):g} h {'after' if usual > 0 else 'before'}"
        yield price.finding(
            "common clock",
            Verdict.SUSPICIOUS,
            f"the price moves {side} that of {', '.join(agree)}, with which it shares a market",
            "One of them is on another clock, or stamps the end of the hour: "
            "mend 'time_zone' or 'stamp'.",
        )


def check_shared_day(group: Sequence[Signal]) -> Finding | None:
    """Whether demand of places on different clocks runs by one clock.

    Then it is one workload, whose users nobody knows, or local times were read as UTC in all of
    them; the days cannot tell which.
    """
    telling = [
        (s, s.offset, day)
        for s in group
        if s.offset is not None
        and (day := average_day(s, s.values)) is not None
        and np.ptp(day) > 0
    ]
    if len(telling) < 2 or len({len(day) for _, _, day in telling}) > 1:
        return None
    hours = [float(np.median(offset)) / 60 for _, offset, _ in telling]
    apart = np.abs((np.subtract.outer(hours, hours) + 12) % 24 - 12)
    correlation = np.asarray(np.corrcoef(np.stack([day for _, _, day in telling])))
    alike = correlation[apart >= _CLOCKS_APART]
    if len(alike) == 0 or np.median(alike) < _SAME_DAY:
        return None
    return telling[0][0].finding(
        "clock",
        Verdict.NOTED,
        f"the demand of {len(telling)} places on different clocks peaks in the same hour",
        "One workload for all, or local times read as UTC in all of them: if these are local "
        "users, mend 'time_zone'.",
    )


def _same_place(a: Signal, b: Signal) -> bool:
    if a.location is None or b.location is None or a.kind == "demand":
        return False
    distance = great_circle(np.array([a.location]), np.array([b.location]))[0, 0]
    return bool(distance < _SAME_PLACE_KM)


def _one_axis(a: Signal, b: Signal) -> bool:
    """Do both series cover the same slots?"""
    return len(a.stamps) == len(b.stamps) and bool((a.stamps[[0, -1]] == b.stamps[[0, -1]]).all())


def _one_clock(a: Signal, b: Signal) -> bool:
    """Do two series over the same slots, of different places, share a local clock?"""
    if a.offset is None or b.offset is None or not np.array_equal(a.offset, b.offset):
        return False
    return not _same_place(a, b)


def _surprises(signal: Signal) -> FloatArray | None:
    """``[T - 1]``: a price's moves from slot to slot without those of a usual week, clipped."""
    per_week = 7 * signal.per_day
    if signal.per_day < _DAY or len(signal.values) < _WEEKS * per_week or signal.steady:
        return None
    moves = np.diff(signal.values)
    weeks = len(moves) // per_week
    table = moves[: weeks * per_week].reshape(weeks, per_week)
    moves = moves - np.resize(np.median(table, axis=0), len(moves))
    spread = robust_spread(moves)
    if spread == 0:
        return None
    clipped = np.clip(moves, -_CLIP * spread, _CLIP * spread)
    return np.asarray(clipped - clipped.mean())


def _lags(moves: FloatArray, per_day: int) -> FloatArray:
    """``[N, N]``: hours by which row ``i`` of ``moves [N, T]`` moves after row ``j``.

    nan where they have too little in common.
    """
    most = _HOURS * per_day // _DAY
    rows = moves / np.linalg.norm(moves, axis=1, keepdims=True)
    count = rows.shape[1]
    later = [rows[:, k:] @ rows[:, : count - k].T for k in range(most + 1)]
    fit = np.stack([*(matrix.T for matrix in later[:0:-1]), *later])
    best = fit.argmax(axis=0)
    top = fit.max(axis=0)
    lag = np.where(top > fit[most] + _BETTER, (best - most) * _DAY / per_day, 0.0)
    return np.asarray(np.where(top < _TOGETHER, np.nan, lag))
