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
def _place(
    order: IntArray,
    reachable: FloatArray,
    flow: FloatArray,
    unserved: FloatArray,
    room: FloatArray,
) -> None:
    """Fill data centers in the given order, each as far as a maximum flow lets it.

    A data center takes what its gateways have left; then what others have, where gateways that it
    shares with filled ones make way (breadth-first augmenting paths). What a filled one serves
    never falls. Gateways from which no path leads to unserved demand are out for good.
    """
    G, N = flow.shape
    found = np.empty(G, np.int64)  # the data center through which a search met the gateway
    via = np.empty(N, np.int64)  # the gateway whose flow would leave the data center
    queue = np.empty(N, np.int64)
    spent = np.zeros(G, np.bool_)
    left = 0
    for g in range(G):
        left += unserved[g] > 0.0
    for i in order:
        if left == 0:
            return
        for g in range(G):
            if unserved[g] > 0.0 and reachable[g, i] > 0.0 and room[i] > 0.0:
                amount = min(unserved[g], room[i])
                flow[g, i] += amount
                unserved[g] -= amount
                room[i] -= amount
                left -= unserved[g] == 0.0
        while room[i] > 0.0 and left > 0:
            found[:] = -1
            via[:] = -1
            queue[0] = i
            head, tail, end = 0, 1, -1
            while head < tail and end < 0:
                k = queue[head]
                head += 1
                for g in range(G):
                    if found[g] >= 0 or spent[g] or reachable[g, k] == 0.0:
                        continue
                    found[g] = k
                    if unserved[g] > 0.0:
                        end = g
                        break
                    for n in range(N):
                        if via[n] < 0 and flow[g, n] > 0.0 and n != i:
                            via[n] = g
                            queue[tail] = n
                            tail += 1
            if end < 0:
                for g in range(G):
                    spent[g] |= found[g] >= 0
                break
            amount = min(unserved[end], room[i])
            g = end
            while found[g] != i:
                k = found[g]
                g = via[k]
                amount = min(amount, flow[g, k])
            unserved[end] -= amount
            left -= unserved[end] == 0.0
            room[i] -= amount
            g = end
            while True:
                k = found[g]
                flow[g, k] += amount
                if k == i:
                    break
                g = via[k]
                flow[g, k] -= amount


@njit(cache=True, nogil=True, error_model="numpy")
def assign(
    unit_cost: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: FloatArray,
    out: FloatArray,
    unserved: FloatArray,
) -> float:
    """Cheapest allocation where the cost depends on the data center alone.

    The servable loads form the base of a polymatroid, so the greedy rule is optimal (Edmonds
    1970): in ascending unit cost, each as far as a maximum flow lets it. What no path can place
    is left in ``unserved``.

    ``unit_cost [B, N]``, ``demand [.., G]``, ``capacity [.., N]``, ``reachable [G, N]`` (0 or 1)
    -> ``out [B, G, N]``, ``unserved [B, G]``; returns the largest share of a row's demand that
    found no room.
    """
    B, N = unit_cost.shape
    order = np.empty(N, np.int64)
    worst = 0.0
    for b in range(B):
        out[b][:, :] = 0.0
        unserved[b, :] = demand[b % demand.shape[0]]
        room = capacity[b % capacity.shape[0]].copy()
        _sort(unit_cost[b], order)
        _place(order, reachable, out[b], unserved[b], room)
        left = unserved[b].sum()
        if left > 0.0:
            worst = max(worst, left / demand[b % demand.shape[0]].sum())
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def fill_reach(
    unit_cost: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: FloatArray,
    out: FloatArray,
) -> float:
    """Loads ``out [B, N]`` of what :func:`assign` gives, without keeping any allocation."""
    B, N = unit_cost.shape
    G = reachable.shape[0]
    flow, unserved = np.empty((1, G, N)), np.empty((1, G))
    worst = 0.0
    for b in range(B):
        d, c = b % demand.shape[0], b % capacity.shape[0]
        row = unit_cost[b : b + 1]
        short = assign(row, demand[d : d + 1], capacity[c : c + 1], reachable, flow, unserved)
        worst = max(worst, short)
        for i in range(N):
            out[b, i] = min(flow[0, :, i].sum(), capacity[c, i])
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def _cheapest_paths(
    cost: FloatArray,
    pair_cost: FloatArray,
    reachable: FloatArray,
    flow: FloatArray,
    unserved: FloatArray,
    room: FloatArray,
) -> bool:
    """Successive shortest paths of one problem, into ``flow`` (Edmonds and Karp 1972).

    Potentials keep what is left of every arc's cost at least 0, so that each search is Dijkstra's
    and ends at the first data center with room. At the end they are dual variables: returns
    whether they prove the flow optimal to rounding, which costs too far apart prevent.
    """
    G, N = flow.shape
    unit = np.where(reachable > 0.0, cost + pair_cost, np.inf)
    group, center = np.zeros(G), np.full(N, np.inf)  # potentials
    for g in range(G):
        for i in range(N):
            center[i] = min(center[i], unit[g, i])
    sink = np.inf
    for i in range(N):
        if room[i] > 0.0:
            sink = min(sink, center[i])
        if center[i] == np.inf:
            center[i] = 0.0  # out of reach
    distance, met = np.empty(N), np.empty(G)
    settled = np.empty(G, np.bool_)
    via = np.empty(N, np.int64)  # the group that a path comes to a data center from
    through = np.empty(G, np.int64)  # the data center where it makes way, -1 at the path's start
    for source in range(G):
        while unserved[source] > 0.0:
            distance[:], met[:], via[:], settled[:] = np.inf, np.inf, -1, False
            met[source], through[source] = 0.0, -1
            g, nearest, end = source, np.inf, -1
            while True:
                settled[g] = True
                base = met[g]
                for k in range(N):  # where could this group send?
                    d = base + max(unit[g, k] + group[g] - center[k], 0.0)
                    nearer = d < distance[k]
                    distance[k] = d if nearer else distance[k]
                    via[k] = g if nearer else via[k]
                for k in range(N):
                    if via[k] != g or distance[k] >= nearest:
                        continue
                    if room[k] > 0.0 and distance[k] + max(center[k] - sink, 0.0) < nearest:
                        nearest, end = distance[k] + max(center[k] - sink, 0.0), k
                    for h in range(G):  # who would make way there?
                        if flow[h, k] > 0.0 and distance[k] < met[h]:
                            met[h], through[h] = distance[k], k
                g = -1
                for h in range(G):
                    if not settled[h] and met[h] < (nearest if g < 0 else met[g]):
                        g = h
                if g < 0:
                    break
            if end < 0:
                break
            for i in range(N):
                center[i] -= max(nearest - distance[i], 0.0)
            for g in range(G):
                group[g] -= max(nearest - met[g], 0.0)
            amount = min(unserved[source], room[end])
            k = end
            while through[via[k]] >= 0:
                g = via[k]
                k = through[g]
                amount = min(amount, flow[g, k])
            unserved[source] -= amount
            room[end] -= amount
            k = end
            while True:
                g = via[k]
                flow[g, k] += amount
                if through[g] < 0:
                    break
                k = through[g]
                flow[g, k] -= amount
    gap, size = 0.0, 0.0
    for i in range(N):
        load = 0.0
        for g in range(G):
            if reachable[g, i] == 0.0:
                continue
            load += flow[g, i]
            rest = unit[g, i] + group[g] - center[i]
            gap += flow[g, i] * abs(rest)
            size += flow[g, i] * (abs(cost[i]) + abs(pair_cost[g, i]))
            if rest < 0.0:
                gap -= rest * flow[g].sum()
        if load > 0.0:
            gap += load * max(center[i] - sink, 0.0)
        if room[i] > 0.0 and reachable[:, i].any():
            gap += room[i] * max(sink - center[i], 0.0)
    return gap <= 1e-9 * size


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
    """Cheapest allocation where routing has a cost (capacitated transportation problem).

    The cost of sending a unit from ``g`` to ``i`` is ``unit_cost[i] + pair_cost[g, i]``. What no
    path can place is left in ``unserved``; it is placed nowhere.

    ``unit_cost [B, N]``, ``pair_cost [G, N]``, ``demand [.., G]``, ``capacity [.., N]``,
    ``reachable [G, N]`` (0 or 1) -> ``out [B, G, N]``, ``unserved [B, G]``; returns the largest
    share of a row's demand that found no room, or NaN where rounding hides the optimum.
    """
    B, N = unit_cost.shape
    room = np.empty(N)
    worst = 0.0
    for b in range(B):
        out[b][:, :] = 0.0
        unserved[b, :] = demand[b % demand.shape[0]]
        room[:] = capacity[b % capacity.shape[0]]
        exact = _cheapest_paths(unit_cost[b], pair_cost, reachable, out[b], unserved[b], room)
        left = unserved[b].sum()
        if left > 0.0:
            worst = max(worst, left / demand[b % demand.shape[0]].sum())
        elif not exact:
            return np.nan
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def augment(flow: FloatArray, left: FloatArray, room: FloatArray, reachable: FloatArray) -> None:
    """Place what is ``left`` along augmenting paths, where a given flow leaves no direct way.

    In place: ``flow [B, G, N]``, ``left [B, G]`` (what no path can place stays), ``room [B, N]``.
    """
    order = np.arange(flow.shape[2])
    for b in range(flow.shape[0]):
        _place(order, reachable, flow[b], left[b], room[b])
