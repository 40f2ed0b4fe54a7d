"""Blend in one compiled pass, for loads: a fraction of the array operations' time (docs tell).

The bounds are those of :mod:`equiload.robust.safe`, line by line, and a test holds the two equal.
No flag lets the compiler trade accuracy for speed where a bound is computed.
"""

import numpy as np
from numba import njit

from equiload.envs.typing import BoolArray, FloatArray, IntArray

_EPS = float(np.finfo(np.float64).eps)
_TINY = 1e-280


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc"})
def pool(
    allocation: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    blocked: FloatArray,
    tolerance: float,
    load: FloatArray,
) -> bool:
    """Loads of an expert's allocations; is every one of them feasible?

    ``allocation [B, J, N]``, ``demand [B, J]``, ``capacity [B, N]``, ``blocked [J, N]`` (1 where
    not reachable) -> ``load [B, N]``, at least 0. Sums may be taken in any order here.
    """
    B, J, N = allocation.shape
    good = True
    for b in range(B):
        load[b] = 0.0
        total = 0.0
        for j in range(J):
            total += demand[b, j]
        allowed = tolerance * max(total, 1e-300)
        for j in range(J):
            sent = astray = 0.0
            low = 0
            for i in range(N):
                value = allocation[b, j, i]
                low += not value >= -allowed
                sent += value
                astray += abs(value) * blocked[j, i]
                load[b, i] += max(value, 0.0)
            good &= low == 0 and astray <= allowed and abs(sent - demand[b, j]) <= allowed
        for i in range(N):
            good &= load[b, i] - capacity[b, i] <= allowed
    return good


@njit(cache=True, nogil=True, error_model="numpy")
def sound(
    given: FloatArray, demand: FloatArray, capacity: FloatArray, tolerance: float, load: FloatArray
) -> bool:
    """Do an expert's loads ``given [B, N]`` serve all demand within capacity? As :func:`pool`."""
    B, N = given.shape
    good = True
    for b in range(B):
        total = 0.0
        for j in range(demand.shape[1]):
            total += demand[b, j]
        allowed = tolerance * max(total, 1e-300)
        for i in range(N):
            value = given[b, i]
            good &= -allowed <= value <= capacity[b, i] + allowed
            total -= value
            load[b, i] = max(value, 0.0)
        good &= abs(total) <= allowed
    return good


# Branches on what is None are decided when the kernel is compiled: a third of its time.


@njit(cache=True, nogil=True, error_model="numpy")
def _span(first: IntArray | None, r: int) -> tuple[int, int]:
    if first is None:
        return r, r + 1
    return first[r], first[r + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def _member(members: IntArray | None, n: int) -> int:
    if members is None:
        return n
    return int(members[n])


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_step(
    cost: float,
    height: FloatArray,
    rise: float,
    slope: FloatArray,
    mu: FloatArray,
    goal: float,
) -> float:
    """``blend.largest_step`` of one row."""
    K, R = height.shape
    alpha, before = 1.0, -1.0
    for _ in range(K * R + 2):
        start, gain = cost, rise
        for k in range(K):
            top, line = -np.inf, 0
            for r in range(R):
                value = height[k, r] + alpha * slope[k, r]
                line = r if value > top else line
                top = max(top, value)
            start += mu[k] * height[k, line]
            gain += mu[k] * slope[k, line]
        if start + alpha * gain > goal:
            alpha = max((goal - start) / gain, 0.0) if gain > 0.0 else 0.0
        if alpha == before or alpha == 0.0:
            break
        before = alpha
    return alpha


@njit(cache=True, nogil=True, error_model="numpy")
def blend_loads(
    price: FloatArray,
    intensity: FloatArray,
    room: FloatArray,
    pue: FloatArray,
    members: IntArray | None,
    first: IntArray | None,
    mu: FloatArray,
    rho: float,
    allowance: float,
    bound: FloatArray,
    slots_left: int,
    expert: FloatArray,
    advice: FloatArray,
    ahead: FloatArray,
    footprints: FloatArray,
    lefts: FloatArray,
    rights: FloatArray,
    spending: FloatArray,
    lows: FloatArray,
    highs: FloatArray,
    heads: FloatArray,
    breach: BoolArray,
    alpha: FloatArray,
    played: FloatArray,
) -> None:
    """Blend one slot of ``B`` episodes, in load space, and bring the ledgers up to date.

    ``price [B, N]``, ``intensity [B, K, N]``, ``room [B, N]``, ``expert`` and ``advice`` loads
    ``[B, N]``; region ``r`` holds ``members[first[r]:first[r + 1]]``, or data center ``r`` where
    both are none. ``bound [.., K, R]`` is the footprint bound with its room (row ``b % rows``), or
    has no rows: (★). The arrays from ``ahead`` (``D [B]``) to ``breach`` are those of the ledger,
    in its order, and change in place; ``alpha [B]`` and ``played [B, N]`` are written.
    """
    B, K, N = intensity.shape
    R = footprints.shape[2]
    relative = (N + 1 + N + 16) * _EPS  # of SafeSet.step, for one gateway
    unit, rate = np.empty(N), np.empty((K, N))
    away, own = np.empty(N), np.empty((K, R))
    height, slope, reached = np.empty((K, R)), np.empty((K, R)), np.empty((K, R))
    for b in range(B):
        paid = paid_size = saved = saved_size = 0.0
        some = moved = False
        for i in range(N):
            unit[i] = price[b, i] * pue[i]
            away[i] = advice[b, i] - expert[b, i]
            spends, saves = unit[i] * expert[b, i], unit[i] * away[i]
            paid += spends
            paid_size += abs(spends)
            saved += saves
            saved_size += abs(saves)
            some |= expert[b, i] != 0.0
            moved |= away[i] != 0.0
        # SafeSet.follow. Loads of the expert are at least 0, so footprints are their own size.
        tiny = _TINY if some else 0.0
        spent = spending[b] + max(abs(paid) - (relative * paid_size + tiny), 0.0)
        spent = spending[b] = due = spent * (1 - 2 * _EPS)
        for k in range(K):
            peak = 0.0
            for r in range(R):
                added = 0.0
                for n in range(*_span(first, r)):
                    i = _member(members, n)
                    rate[k, i] = intensity[b, k, i] * pue[i]
                    added += rate[k, i] * expert[b, i]
                own[k, r] = added
                error = relative * added + tiny
                lows[b, k, r] = low = (lows[b, k, r] + max(added - error, 0.0)) * (1 - 2 * _EPS)
                highs[b, k, r] = (highs[b, k, r] + (added + error)) * (1 + 2 * _EPS)
                peak = max(peak, low)
            due += mu[k] * peak
        right = (rho * due * (1 - (K + 8) * _EPS) + allowance) * (1 - 2 * _EPS)
        right = rights[b] = max(right, rights[b])
        if bound.shape[0] > 0:
            over = breached = False
            size, left = abs(ahead[b]), ahead[b]
            for k in range(K):
                peak, top = lows[b, k].max(), -np.inf
                for r in range(R):
                    limit, possible = bound[b % bound.shape[0], k, r], 0.0
                    for n in range(*_span(first, r)):
                        i = _member(members, n)
                        possible += rate[k, i] * room[b, i]
                    high, left_over = highs[b, k, r], slots_left * limit
                    fresh = peak - high - left_over
                    fresh = max(fresh - 4 * _EPS * (peak + high + left_over), 0.0)
                    beyond = own[k, r] + (relative * own[k, r] + tiny) > limit
                    breached |= possible > limit
                    over |= beyond
                    heads[b, k, r] = fresh if beyond else max(heads[b, k, r], fresh)
                    top = max(top, footprints[b, k, r] - heads[b, k, r])
                left += mu[k] * top
                size += mu[k] * abs(top)
            breach[b] = breached or over
            left += (K + 8) * _EPS * size
            if over or left < lefts[b]:
                lefts[b] = left
        # SafeSet.leave, first all the way to the advice, then as far as the largest step.
        share = 1.0
        for i in range(N):
            played[b, i] = advice[b, i]
        for attempt in range(2):
            tiny = _TINY if moved else 0.0
            error = relative * saved_size + tiny
            rise = saved + error
            cost = ahead[b] + rise
            cost = cost + 2 * _EPS * abs(cost) + 2 * _EPS * abs(saved)
            left, size = cost, abs(cost)
            margin = paid_size + saved_size + abs(ahead[b]) + right
            for k in range(K):
                top, most = -np.inf, 0.0
                for r in range(R):
                    added = much = 0.0
                    for n in range(*_span(first, r)):
                        i = _member(members, n)
                        more = rate[k, i] * away[i]
                        added += more
                        much += abs(more)
                    before, head = footprints[b, k, r], heads[b, k, r]
                    slope[k, r] = added + (relative * much + tiny)
                    total = before + slope[k, r]
                    total = total + 2 * _EPS * abs(total) + 2 * _EPS * abs(added)
                    reached[k, r] = total
                    top = max(top, total - head)
                    height[k, r] = before - head
                    most = max(most, own[k, r] + abs(added) + abs(before) + head)
                left += mu[k] * top
                size += mu[k] * abs(top)
                margin += mu[k] * most
            left += (K + 8) * _EPS * size
            certified = np.isfinite(left) and left <= right
            if certified or attempt == 1:
                break
            goal = right - 4 * relative * margin
            share = _largest_step(ahead[b], height, rise, slope, mu, goal)
            if share == 0.0:
                break
            saved = saved_size = 0.0
            moved = False
            for i in range(N):
                played[b, i] = expert[b, i] + share * away[i]
                away[i] = played[b, i] - expert[b, i]
                saves = unit[i] * away[i]
                saved += saves
                saved_size += abs(saves)
                moved |= away[i] != 0.0
        if certified:
            ahead[b], lefts[b] = cost, left
            for k in range(K):
                for r in range(R):
                    footprints[b, k, r] = reached[k, r]
        else:
            share = 0.0
            for i in range(N):
                played[b, i] = expert[b, i]
        alpha[b] = share
