"""Compiled dispatch kernels. All in one module: numba's cache misses changes across files.

Every kernel is exact, serial and releases the interpreter lock. Rows are independent problems.
An argument with fewer rows than there are problems repeats (row ``b % rows``).
"""

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray, IntArray

_SMALL = 24  # up to here insertion sort beats the library's sort


@njit(cache=True, nogil=True, error_model="numpy")
def _sort(cost: FloatArray, order: IntArray) -> None:
    """Stable order of ``cost``, ascending, written into ``order``."""
    n = cost.shape[0]
    if n > _SMALL:
        order[:] = np.argsort(cost, kind="mergesort")
        return
    for i in range(n):
        c = cost[i]
        j = i
        while j > 0 and cost[order[j - 1]] > c:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


@njit(cache=True, nogil=True, error_model="numpy")
def fill(unit_cost: FloatArray, demand: FloatArray, capacity: FloatArray, out: FloatArray) -> float:
    """Cheapest loads under full reachability: fill data centers in ascending unit cost.

    ``unit_cost [B, N]``, ``demand [.., J]``, ``capacity [.., N]`` -> ``out [B, N]``; returns the
    largest share of a row's demand that found no room.
    """
    B, N = unit_cost.shape
    order = np.empty(N, np.int64)
    worst = 0.0
    for b in range(B):
        total = demand[b % demand.shape[0]].sum()
        left = total
        cap = capacity[b % capacity.shape[0]]
        _sort(unit_cost[b], order)
        for k in range(N):
            i = order[k]
            load = min(left, cap[i])
            out[b, i] = load
            left -= load
        if left > 0.0:
            worst = max(worst, left / total)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def combine(rows: FloatArray, matrix: FloatArray, out: FloatArray) -> None:
    """``rows [B, J] @ matrix [J, C]`` -> ``out [B, C]``, each row the same in any batch.

    Linear algebra libraries sum a row's terms in another order in another batch.
    """
    for b in range(rows.shape[0]):
        out[b] = 0.0
        for j in range(rows.shape[1]):
            for c in range(matrix.shape[1]):
                out[b, c] += rows[b, j] * matrix[j, c]


@njit(cache=True, nogil=True, error_model="numpy")
def spread(flow: FloatArray, demand: FloatArray, group_of: IntArray, out: FloatArray) -> None:
    """Allocation per gateway from one per group: each gets its share of the group's demand.

    ``flow [B, G, N]``, ``demand [.., J]``, ``group_of [J]`` -> ``out [B, J, N]``.
    """
    B, G, N = flow.shape
    J = len(group_of)
    total = np.empty(G)
    for b in range(B):
        need = demand[b % demand.shape[0]]
        total[:] = 0.0
        for j in range(J):
            total[group_of[j]] += need[j]
        for j in range(J):
            g = group_of[j]
            share = need[j] / total[g] if total[g] > 0.0 else 0.0
            for i in range(N):
                out[b, j, i] = share * flow[b, g, i]


@njit(cache=True, nogil=True, error_model="numpy")
def fill_cuts(
    unit_cost: FloatArray,
    offset: FloatArray,
    capacity: FloatArray,
    member: FloatArray,
    out: FloatArray,
) -> float:
    """Cheapest loads under partial reachability, by the greedy rule for polymatroids.

    The servable loads form the base of a polymatroid with rank
    ``f(S) = min_c offset[c] + Σ_{i in S} member[c, i]·capacity[i]`` (one ``c`` for each cut of the
    gateway–data-center graph), so taking data centers in ascending unit cost, each as far as ``f``
    lets it, is optimal (Edmonds 1970).

    ``unit_cost [B, N]``, ``offset [.., C]``, ``capacity [.., N]``, ``member [C, N]``; returns the
    largest share of a row's demand that found no room.
    """
    B, N = unit_cost.shape
    C = member.shape[0]
    worst = 0.0
    order = np.empty(N, np.int64)
    value = np.empty(C)
    for b in range(B):
        cap = capacity[b % capacity.shape[0]]
        _sort(unit_cost[b], order)
        before = np.inf
        total = 0.0  # all demand: of the cut without a data center
        for c in range(C):
            value[c] = offset[b % offset.shape[0], c]
            before = min(before, value[c])
            total = max(total, value[c])
        for k in range(N):
            i = order[k]
            rank = np.inf
            for c in range(C):
                value[c] += member[c, i] * cap[i]
                rank = min(rank, value[c])
            out[b, i] = min(rank - before, cap[i])
            before = rank
        if before < total:
            worst = max(worst, (total - before) / total)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def _augment(
    cost: FloatArray,
    pair_cost: FloatArray,
    reachable: FloatArray,
    flow: FloatArray,
    unserved: FloatArray,
    room: FloatArray,
) -> None:
    """Successive shortest paths of one problem, from a cheapest ``flow`` for its own loads.

    Costs so far apart that rounding makes a cycle look cheap leave NaN in ``unserved``.
    """
    G, N = flow.shape
    distance = np.empty(N)
    previous = np.empty(N, np.int64)  # the data center that a path comes from, -1 at its start
    via = np.empty(N, np.int64)  # the gateway whose load it moves along the way
    for g in range(G):
        left = unserved[g]
        while left > 0.0:
            for i in range(N):
                previous[i] = -1
                via[i] = g
                distance[i] = cost[i] + pair_cost[g, i] if reachable[g, i] > 0 else np.inf
            for _ in range(N):  # label correcting: settles in at most N rounds
                settled = True
                for i in range(N):
                    if distance[i] == np.inf:
                        continue
                    for h in range(G):
                        if flow[h, i] <= 0.0:
                            continue
                        base = distance[i] - cost[i] - pair_cost[h, i]
                        for k in range(N):
                            if reachable[h, k] > 0 and k != i:
                                d = base + cost[k] + pair_cost[h, k]
                                # A smaller gain is rounding, and could circle for ever.
                                size = abs(distance[i]) + abs(cost[i]) + abs(pair_cost[h, i])
                                size += abs(cost[k]) + abs(pair_cost[h, k])
                                if d < distance[k] - 1e-15 * size:
                                    distance[k] = d
                                    previous[k] = i
                                    via[k] = h
                                    settled = False
                if settled:
                    break
            end = -1
            for i in range(N):
                found = room[i] > 0.0 and distance[i] < np.inf
                if found and (end < 0 or distance[i] < distance[end]):
                    end = i
            if end < 0:
                break
            amount = min(left, room[end])
            k = end
            for _ in range(N):
                if previous[k] < 0:
                    break
                amount = min(amount, flow[via[k], previous[k]])
                k = previous[k]
            if previous[k] >= 0:  # a cycle
                left = np.nan
                break
            room[end] -= amount
            left -= amount
            k = end
            while True:
                flow[via[k], k] += amount
                if previous[k] < 0:
                    break
                flow[via[k], previous[k]] -= amount
                k = previous[k]
        unserved[g] = left


@njit(cache=True, nogil=True, error_model="numpy")
def transport(
    unit_cost: FloatArray,
    pair_cost: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: FloatArray,
    out: FloatArray,
    unserved: FloatArray,
) -> float:
    """Cheapest allocation by successive shortest paths (capacitated transportation problem).

    The cost of sending a unit from ``g`` to ``i`` is ``unit_cost[i] + pair_cost[g, i]``. What no
    augmenting path can place is left in ``unserved``; it is placed nowhere.

    ``unit_cost [B, N]``, ``pair_cost [G, N]``, ``demand [.., G]``, ``capacity [.., N]``,
    ``reachable [G, N]`` (0 or 1) -> ``out [B, G, N]``, ``unserved [B, G]``; returns the largest
    share of a row's demand that found no room.
    """
    B, N = unit_cost.shape
    room = np.empty(N)
    worst = 0.0
    for b in range(B):
        out[b][:, :] = 0.0
        unserved[b, :] = demand[b % demand.shape[0]]
        room[:] = capacity[b % capacity.shape[0]]
        _augment(unit_cost[b], pair_cost, reachable, out[b], unserved[b], room)
        left = unserved[b].sum()
        if not left <= 0.0:  # NaN too
            worst = max(worst, left / demand[b % demand.shape[0]].sum())
            if np.isnan(left):
                return np.nan
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def augment(flow: FloatArray, left: FloatArray, room: FloatArray, reachable: FloatArray) -> None:
    """Place what is ``left`` along augmenting paths, where a given flow leaves no direct way.

    In place: ``flow [B, G, N]``, ``left [B, G]`` (what no path can place stays), ``room [B, N]``.
    """
    B, G, N = flow.shape
    unit, pair = np.zeros(N), np.zeros((G, N))
    for b in range(B):
        _augment(unit, pair, reachable, flow[b], left[b], room[b])
