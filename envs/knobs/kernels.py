"""The stack of :mod:`~equiload.envs.knobs.stack`, compiled: the same blocks, a site at a time.

A site is a column of ``sites [13, M]``: its numbers in the order of the fields of ``Site``.
"""

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray

# Rows of ``sites``.
PRICE, ONSITE, CAPACITY, PUE, GENERATION, CHARGE, DISCHARGE = range(7)
WORTH_CHARGED, COST_DISCHARGED, IDLE, HOLD, START, ON_BEFORE = range(7, 13)
# Smallest idle share to divide by: less is none, and then no load changes what is best to have on.
TINY = 1e-30


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(per_unit: FloatArray, amounts: FloatArray, out: FloatArray) -> None:
    """Sums ``out [B, N]`` over kinds of ``amounts [B, K, N]`` at so much ``per_unit [B, K, N]``."""
    B, K, N = amounts.shape
    for b in range(B):
        out[b] = 0.0
        for k in range(K):
            for i in range(N):
                out[b, i] += per_unit[b, k, i] * amounts[b, k, i]


@njit(cache=True, nogil=True, error_model="numpy")
def last_served(
    unit: FloatArray, capacity: FloatArray, asked: FloatArray, cost: FloatArray
) -> None:
    """``cost [B, 1]`` of the data center where the last of what is ``asked [B, 1]`` finds room.

    The cheapest by ``unit [B, N]`` come first, each up to its ``capacity [B, N]``.
    """
    B, N = unit.shape
    used = np.empty(N, np.bool_)
    for b in range(B):
        used[:] = False
        room = 0.0
        for _ in range(N):
            best = -1
            for i in range(N):
                if not used[i] and (best < 0 or unit[b, i] < unit[b, best]):
                    best = i
            used[best] = True
            cost[b, 0] = unit[b, best]
            room += capacity[b, best]
            if room >= asked[b, 0]:
                break


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _sources(
    site: FloatArray, cost: FloatArray, width: FloatArray, begin: FloatArray, end: FloatArray
) -> None:
    """Sources of a site's energy ``[4]``: generation, discharge, forgone charge, grid."""
    cost[0], cost[1] = 0.0, site[COST_DISCHARGED]
    cost[2], cost[3] = site[WORTH_CHARGED], site[PRICE]
    width[0], width[1], width[2] = site[GENERATION], site[DISCHARGE], site[CHARGE]
    most = 2 * (site[PUE] * site[CAPACITY] + site[CHARGE]) + site[GENERATION] + site[DISCHARGE]
    width[3] = most if most != 0.0 else 1.0
    for m in range(4):
        begin[m] = 0.0
        for other in range(4):
            if cost[other] < cost[m] or (cost[other] == cost[m] and other < m):
                begin[m] += width[other]
        end[m] = begin[m] + width[m]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _cheaper_than(limit: float, site: FloatArray, cost: FloatArray, width: FloatArray) -> float:
    """MWh of servers' draw up to which one more that idles costs at most ``limit``."""
    total: float = -site[CHARGE]
    for m in range(4):
        if site[IDLE] * site[PUE] * (cost[m] + site[ONSITE]) <= limit:
            total += width[m]
    return total / site[PUE]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _on(load: float, keep: float, more: float, site: FloatArray) -> float:
    """Capacity that is best to have on; idling pays up to a draw of ``keep``, or ``more``, MWh."""
    idle = max(site[IDLE], TINY)
    busy = (1.0 - site[IDLE]) * load
    before = min(site[ON_BEFORE], site[CAPACITY])
    best = max(min((keep - busy) / idle, before), (more - busy) / idle)
    on: float = max(load, min(best, site[CAPACITY]))
    return on


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _slope(
    load: float,
    keep: float,
    more: float,
    servers: bool,
    site: FloatArray,
    cost: FloatArray,
    end: FloatArray,
) -> float:
    """US$ per MWh of load more, within a block."""
    idle = site[IDLE]
    on = _on(load, keep, more, site) if servers else load
    at = site[PUE] * (idle * on + (1.0 - idle) * load) + site[CHARGE]
    marginal: float = cost[3]
    for m in range(3):
        if end[m] > at and cost[m] <= marginal:
            marginal = cost[m]
    marginal = site[PUE] * (marginal + site[ONSITE])
    if not servers:
        return marginal
    before = min(site[ON_BEFORE], site[CAPACITY])
    saved: float = site[HOLD] - site[START] if on > before else site[HOLD]
    if on <= load:
        slope = marginal - saved
    elif on == before or on == site[CAPACITY]:
        slope = (1.0 - idle) * marginal
    else:
        slope = saved * (1.0 - idle) / (idle if idle > TINY else 1.0)
    return slope


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _insert(value: float, capacity: float, load: FloatArray, count: int) -> int:
    """Put a value between 0 and ``capacity`` in its place in ``load[:count]``: how many it holds."""
    if not 0.0 < value < capacity:
        return count
    k = count
    while k > 0 and load[k - 1] > value:
        load[k] = load[k - 1]
        k -= 1
    load[k] = value
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _bends(
    servers: bool, site: FloatArray, size: FloatArray, end: FloatArray, load: FloatArray
) -> int:
    """Loads where the slope may change, ascending in ``load``, the capacity last: how many."""
    capacity, idle, count = site[CAPACITY], site[IDLE], 0
    before, busy = min(site[ON_BEFORE], capacity), 1.0 - idle if idle < 1.0 else 1.0
    for m in range(3):
        if size[m] == 0.0:  # it ends where another does
            continue
        used = (end[m] - site[CHARGE]) / site[PUE]
        count = _insert(used, capacity, load, count)
        if servers:
            count = _insert((used - idle * before) / busy, capacity, load, count)
            count = _insert((used - idle * capacity) / busy, capacity, load, count)
    if servers:
        count = _insert(before, capacity, load, count)
    load[count] = capacity
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy")
def blocks(
    sites: FloatArray, servers: bool, most: int, slope: FloatArray, width: FloatArray
) -> None:
    """Slopes and widths of the blocks of load of ``sites [13, B, N]``, ``most`` columns a site.

    They are the first columns of ``[B, columns]``. A site's blocks come first of its own; what is
    left of these has no width.
    """
    _, B, N = sites.shape
    cost, size, begin, end = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    site, load = np.empty(len(sites)), np.empty(most)
    for b in range(B):
        for i in range(N):
            for row in range(len(site)):
                site[row] = sites[row, b, i]
            _sources(site, cost, size, begin, end)
            keep, more = 0.0, 0.0
            if servers:
                keep = _cheaper_than(site[HOLD], site, cost, size)
                more = _cheaper_than(site[HOLD] - site[START], site, cost, size)
            count, at, first = _bends(servers, site, size, end, load), 0.0, i * most
            for k in range(count):
                middle = (at + load[k]) / 2
                slope[b, first + k] = _slope(middle, keep, more, servers, site, cost, end)
                width[b, first + k] = load[k] - at
                at = load[k]
            for column in range(first + count, first + most):
                slope[b, column], width[b, column] = slope[b, first], 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def add_up(columns: FloatArray, first: int, each: int, out: FloatArray) -> None:
    """Sums ``out [B, W]`` of ``each`` of the ``columns [B, M]`` in turn, from the ``first`` on."""
    B, W = out.shape
    for b in range(B):
        at = first
        for w in range(W):
            total = 0.0
            for column in range(at, at + each):
                total += columns[b, column]
            out[b, w] = total
            at += each


@njit(cache=True, nogil=True, error_model="numpy")
def operate(
    sites: FloatArray, servers: bool, load: FloatArray, on: FloatArray, taken: FloatArray
) -> None:
    """What is ``on [M]``, and MWh ``taken [4, M]`` from each source, at ``load [M]``."""
    cost, width, begin, end = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    site = np.empty(len(sites))
    for column in range(len(load)):
        for row in range(len(site)):
            site[row] = sites[row, column]
        x = load[column]
        _sources(site, cost, width, begin, end)
        on[column] = x
        if servers:
            keep = _cheaper_than(site[HOLD], site, cost, width)
            more = _cheaper_than(site[HOLD] - site[START], site, cost, width)
            on[column] = _on(x, keep, more, site)
        at = site[PUE] * (site[IDLE] * on[column] + (1.0 - site[IDLE]) * x) + site[CHARGE]
        for m in range(4):
            taken[m, column] = min(max(at - begin[m], 0.0), width[m])
