"""Blend in one compiled pass, for loads: a fraction of the array operations' time (docs tell).

The kernels are those of :mod:`equiload.robust.safe` and :mod:`equiload.robust.blend` by the same
names, line by line, for episode ``b`` of a batch; a test holds the two equal. No flag lets the
compiler trade accuracy for speed where a bound is computed.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.envs.typing import Array, FloatArray, IntArray

_EPS = float(np.finfo(np.float64).eps)
_TINY = 1e-280
#: US$ of the expert's that the right side does not count.
LEAST_DUE = 1e-200


# Tuples that kernels read stand in the kernels' file: numba's cache would not see that the order of
# their fields has changed in another.


class Ledger(NamedTuple):
    """Where the layer stands against its expert after a slot, as bounds on the exact numbers.

    Parameters
    ----------
    cost
        ``[...]``, US$: at least ``D = F − F^π``.
    footprint
        ``[..., K, R]``: at least ``Δ = S − S^π``.
    left
        ``[...]``, US$: at least the left side of the condition.
    right
        ``[...]``, US$: at most its right side.
    spent
        ``[...]``, US$: at most ``G = Σ |f^π|``.
    low, high
        ``[..., K, R]``: at most and at least ``S^π``.
    head
        ``[..., K, R]``: at most ``h``, by how much a region's expert footprint is out of reach of
        the highest for the rest of the horizon. Zero without a declared bound.
    breach
        ``[...]`` bool: did this slot exceed the declared bound ``Ē``?
    """

    cost: Array
    footprint: Array
    left: Array
    right: Array
    spent: Array
    low: Array
    high: Array
    head: Array
    breach: Array


class Condition(NamedTuple):
    """The condition over an episode, and the data centers that it weighs.

    ``mu [K]``, ``rho``, ``allowance`` US$; ``bound [.., K, R]`` is the footprint bound with its
    room (row ``b % rows``), or has no rows: (★). ``pue [N]``; region ``r`` holds
    ``members[first[r]:first[r + 1]]``, or data center ``r`` where both are none.
    """

    mu: FloatArray
    rho: float
    allowance: float
    bound: FloatArray
    pue: FloatArray
    members: IntArray | None
    first: IntArray | None


# `sound` asks of loads what `envs.feasibility` asks of allocations: they are blended many thousands
# at a time, and array operations would ask for longer than the blend takes.


@njit(cache=True, nogil=True, error_model="numpy")
def sound(
    given: FloatArray, demand: FloatArray, capacity: FloatArray, tolerance: float, load: FloatArray
) -> bool:
    """Do an expert's loads ``given [B, N]`` serve ``demand [B, J]`` within ``capacity [B, N]``?

    ``load [B, N]`` gets them, at least 0.
    """
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


# Branches on what is None are decided when the kernel is compiled: a third of its time. Footprints
# are computed where they are used, and again if need be: an array of them between two loops makes
# the compiler vectorise rows too short for it, at twice the time.


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


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _cost(load: FloatArray, price: FloatArray, pue: FloatArray) -> tuple[float, float, float]:
    """``cost`` and ``size`` of ``SafeSet.effect``, and what underflow may take from its sums."""
    cost = size = 0.0
    moved = False
    for i in range(len(load)):
        paid = price[i] * pue[i] * load[i]
        cost += paid
        size += abs(paid)
        moved |= load[i] != 0.0
    return cost, size, _TINY if moved else 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _footprint(
    load: FloatArray,
    intensity: FloatArray,
    pue: FloatArray,
    members: IntArray | None,
    first: IntArray | None,
    r: int,
) -> tuple[float, float]:
    """``footprint`` of ``SafeSet.effect`` in region ``r``, and the same with its terms positive."""
    added = size = 0.0
    for n in range(*_span(first, r)):
        i = _member(members, n)
        more = intensity[i] * pue[i] * load[i]
        added += more
        size += abs(more)
    return added, size


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _relative(datacenters: int) -> float:
    """Rounding of ``SafeSet.effect`` with one gateway: no sum passes through more."""
    return (2 * datacenters + 17) * _EPS


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    price: FloatArray,
    intensity: FloatArray,
    room: FloatArray,
    expert: FloatArray,
    slots_left: int,
    condition: Condition,
    ledger: Ledger,
) -> None:
    """``SafeSet.follow``: the ledgers once the expert's own loads are played.

    No right side falls. No left side rises, unless the expert itself broke the declared bound.
    """
    mu, rho, allowance, bound, pue, members, first = condition
    cost, footprint, left, right, spent, low, high, head, breach = ledger
    B, K, R = footprint.shape
    relative = _relative(len(pue))
    for b in range(B):
        paid, size, tiny = _cost(expert[b], price[b], pue)
        due = (spent[b] + max(abs(paid) - (relative * size + tiny), 0.0)) * (1 - 2 * _EPS)
        spent[b] = due
        over = breached = False
        side, scale = cost[b], abs(cost[b])
        for k in range(K):
            peak = 0.0
            for r in range(R):
                own, much = _footprint(expert[b], intensity[b, k], pue, members, first, r)
                error = relative * much + tiny
                lowest = (low[b, k, r] + max(own - error, 0.0)) * (1 - 2 * _EPS)
                low[b, k, r] = lowest
                high[b, k, r] = (high[b, k, r] + (own + error)) * (1 + 2 * _EPS)
                peak = max(peak, lowest)
            due += mu[k] * peak
            if len(bound) == 0:
                continue
            top = -np.inf
            for r in range(R):
                limit = bound[b % len(bound), k, r]
                own, much = _footprint(expert[b], intensity[b, k], pue, members, first, r)
                possible, _ = _footprint(room[b], intensity[b, k], pue, members, first, r)
                left_over = slots_left * limit
                fresh = peak - high[b, k, r] - left_over
                fresh = max(fresh - 4 * _EPS * (peak + high[b, k, r] + left_over), 0.0)
                beyond = own + (relative * much + tiny) > limit
                breached |= possible > limit
                over |= beyond
                # Where the expert kept to the bound, the exact head-room has not shrunk.
                head[b, k, r] = fresh if beyond else max(head[b, k, r], fresh)
                top = max(top, footprint[b, k, r] - head[b, k, r])
            side += mu[k] * top
            scale += mu[k] * abs(top)
        due = due if due > LEAST_DUE else 0.0
        due = (rho * due * (1 - (K + 8) * _EPS) + allowance) * (1 - 2 * _EPS)
        right[b] = max(due, right[b])
        if len(bound) > 0:
            breach[b] = breached or over
            side += (K + 8) * _EPS * scale
            if over or side < left[b]:
                left[b] = side


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _depart(
    b: int,
    away: FloatArray,
    price: FloatArray,
    intensity: FloatArray,
    condition: Condition,
    followed: Ledger,
    slope: FloatArray,
    reached: FloatArray,
) -> tuple[float, float, float, float]:
    """``SafeSet.leave`` by a step ``away [N]``: ``cost`` and ``left`` after it, its cost and size.

    ``slope [K, R]``, what it adds with its error, and the footprints ``reached`` are written. The
    ledger is the caller's to write, where the left side is certain to be low enough.
    """
    mu, _, _, _, pue, members, first = condition
    before, footprint, _, _, _, _, _, head, _ = followed
    K, R = reached.shape
    relative = _relative(len(pue))
    paid, size, tiny = _cost(away, price[b], pue)
    rise = paid + (relative * size + tiny)
    cost = before[b] + rise
    cost = cost + 2 * _EPS * abs(cost) + 2 * _EPS * abs(paid)
    left, scale = cost, abs(cost)
    for k in range(K):
        top = -np.inf
        for r in range(R):
            added, much = _footprint(away, intensity[b, k], pue, members, first, r)
            slope[k, r] = added + (relative * much + tiny)
            total = footprint[b, k, r] + slope[k, r]
            total = total + 2 * _EPS * abs(total) + 2 * _EPS * abs(added)
            reached[k, r] = total
            top = max(top, total - head[b, k, r])
        left += mu[k] * top
        scale += mu[k] * abs(top)
    return cost, left + (K + 8) * _EPS * scale, rise, size


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _margin(
    b: int,
    expert: FloatArray,
    away: FloatArray,
    price: FloatArray,
    intensity: FloatArray,
    size: float,
    condition: Condition,
    followed: Ledger,
    height: FloatArray,
) -> float:
    """``SafeSet.margin``, for a step of that ``size``; ``height = Δ − h [K, R]`` is written."""
    mu, _, _, _, pue, members, first = condition
    cost, footprint, _, right, _, _, _, head, _ = followed
    _, paid_size, _ = _cost(expert[b], price[b], pue)
    margin: float = paid_size + size + abs(cost[b]) + right[b]
    for k in range(len(mu)):
        most = 0.0
        for r in range(footprint.shape[2]):
            own, _ = _footprint(expert[b], intensity[b, k], pue, members, first, r)
            added, _ = _footprint(away, intensity[b, k], pue, members, first, r)
            most = max(most, own + abs(added) + abs(footprint[b, k, r]) + head[b, k, r])
            height[k, r] = footprint[b, k, r] - head[b, k, r]
        margin += mu[k] * most
    return 4 * _relative(len(pue)) * margin


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_step(
    cost: float, height: FloatArray, rise: float, slope: FloatArray, mu: FloatArray, goal: float
) -> float:
    """``blend.largest_step`` of one episode.

    ``φ(α) = cost + α·rise + Σ_k μ_k max_r (height + α·slope)``.
    """
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
def _leave(
    price: FloatArray,
    intensity: FloatArray,
    expert: FloatArray,
    advice: FloatArray,
    condition: Condition,
    ledger: Ledger,
    alpha: FloatArray,
    played: FloatArray,
) -> None:
    """``blend``: all the way to the advice, or as far as the largest step, or not at all.

    A ledger is written only where its left side is certain to be at most its right side.
    """
    ahead, footprint, lefts, right, _, _, _, _, _ = ledger
    mu = condition.mu
    (B, N), (_, K, R) = advice.shape, footprint.shape
    away = np.empty(N)
    height, slope, reached = np.empty((K, R)), np.empty((K, R)), np.empty((K, R))
    for b in range(B):
        for i in range(N):
            away[i] = advice[b, i] - expert[b, i]
            played[b, i] = advice[b, i]
        share = 1.0
        for attempt in range(2):
            cost, left, rise, size = _depart(
                b, away, price, intensity, condition, ledger, slope, reached
            )
            certified = np.isfinite(left) and left <= right[b]
            if certified or attempt == 1:
                break
            margin = _margin(b, expert, away, price, intensity, size, condition, ledger, height)
            share = _largest_step(ahead[b], height, rise, slope, mu, right[b] - margin)
            if share == 0.0:
                break
            for i in range(N):
                played[b, i] = expert[b, i] + share * away[i]
                away[i] = played[b, i] - expert[b, i]
        alpha[b] = share if certified else 0.0
        if certified:
            ahead[b], lefts[b] = cost, left
            for k in range(K):
                for r in range(R):
                    footprint[b, k, r] = reached[k, r]
        else:
            for i in range(N):
                played[b, i] = expert[b, i]


@njit(cache=True, nogil=True, error_model="numpy")
def blend_loads(
    price: FloatArray,
    intensity: FloatArray,
    room: FloatArray,
    expert: FloatArray,
    advice: FloatArray,
    slots_left: int,
    condition: Condition,
    ledger: Ledger,
    alpha: FloatArray,
    played: FloatArray,
) -> None:
    """Blend one slot of ``B`` episodes, in load space, and bring the ledger up to date.

    ``price [B, N]``, ``intensity [B, K, N]``, ``room [B, N]``, ``expert`` and ``advice`` loads
    ``[B, N]``, at least 0. The ledger's arrays change in place; ``alpha [B]`` and
    ``played [B, N]`` are written.
    """
    _follow(price, intensity, room, expert, slots_left, condition, ledger)
    _leave(price, intensity, expert, advice, condition, ledger, alpha, played)


@njit(cache=True, nogil=True, error_model="numpy")
def follow_effect(
    intensity: FloatArray,
    room: FloatArray,
    cost: FloatArray,
    footprint: FloatArray,
    slots_left: int,
    condition: Condition,
    before: Ledger,
    after: Ledger,
) -> None:
    """``SafeSet.follow``: the ledgers once the expert's decision is played, whatever it is.

    Its ``cost [2.., B]`` and ``footprint [2, B, K, R]``, each with its error. ``room [B, N]`` and
    ``intensity [B, K, N]`` as in :func:`blend_loads`; every array of ``after`` is written.
    """
    mu, rho, allowance, bound, pue, members, first = condition
    B, K, R = before.footprint.shape
    for b in range(B):
        after.cost[b], after.footprint[b] = before.cost[b], before.footprint[b]
        after.left[b], after.breach[b] = before.left[b], before.breach[b]
        paid = abs(cost[0, b]) - cost[1, b]
        spent = (before.spent[b] + (paid if paid > 0.0 else paid * 0.0)) * (1 - 2 * _EPS)
        after.spent[b] = spent
        side = scale = peaks = 0.0
        over = possible = False
        for k in range(K):
            peak = -np.inf
            for r in range(R):
                own, error = footprint[0, b, k, r], footprint[1, b, k, r]
                least = own - error
                least = least if least > 0.0 else least * 0.0
                low = (before.low[b, k, r] + least) * (1 - 2 * _EPS)
                after.low[b, k, r] = low
                after.high[b, k, r] = (before.high[b, k, r] + (own + error)) * (1 + 2 * _EPS)
                peak = max(peak, low)
            peaks += mu[k] * peak
            top = -np.inf
            for r in range(R):
                head, high = before.head[b, k, r], after.high[b, k, r]
                if len(bound) > 0:
                    limit = bound[b % len(bound), k, r]
                    left_over = slots_left * limit
                    fresh = peak - high - left_over
                    fresh = fresh - 4 * _EPS * (peak + high + left_over)
                    fresh = fresh if fresh > 0.0 else fresh * 0.0
                    beyond = footprint[0, b, k, r] + footprint[1, b, k, r] > limit
                    most, _ = _footprint(room[b], intensity[b, k], pue, members, first, r)
                    possible |= most > limit
                    over |= beyond
                    # Where the expert kept to the bound, the exact head-room has not shrunk.
                    head = fresh if beyond or head <= fresh else head
                after.head[b, k, r] = head
                top = max(top, before.footprint[b, k, r] - head)
            side += mu[k] * top
            scale += mu[k] * abs(top)
        due = spent + peaks
        due = rho * (due if due > LEAST_DUE else due * 0.0)
        due = (due * (1 - (K + 8) * _EPS) + allowance) * (1 - 2 * _EPS)
        after.right[b] = due if due > before.right[b] else before.right[b]
        if len(bound) > 0:
            after.breach[b] = possible or over
            side = before.cost[b] + side + (K + 8) * _EPS * (abs(before.cost[b]) + scale)
            if over or side < before.left[b]:
                after.left[b] = side
