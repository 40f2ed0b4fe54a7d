"""Compiled dispatch kernels. All in one module: numba's cache misses changes across files.

Every kernel is exact, serial and releases the interpreter lock. Rows are independent problems.
An argument with fewer rows than there are problems repeats (row ``b % rows``).
"""

import numpy as np
from numba import njit

from equiload.envs.typing import BoolArray, FloatArray, IntArray

#: Share of a slot's demand up to which what found no room is rounding.
UNSERVABLE = 1e-9
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
def _send(a: int, b: int, amount: float, flow: FloatArray, used: IntArray, count: IntArray) -> None:
    """Add to ``flow[a, b]``; ``used[a, :count[a]]`` lists the ``b`` where it is above 0."""
    if flow[a, b] == 0.0:
        used[a, count[a]] = b
        count[a] += 1
    flow[a, b] += amount
    if flow[a, b] == 0.0:
        count[a] -= 1
        for u in range(count[a]):
            if used[a, u] == b:
                used[a, u] = used[a, count[a]]
                break


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _search(
    i: int,
    reach: FloatArray,
    unserved: FloatArray,
    spent: BoolArray,
    used: IntArray,
    count: IntArray,
    found: IntArray,
    via: IntArray,
    queue: IntArray,
) -> int:
    """The nearest gateway with unserved demand for which others can make way to ``i``, or −1.

    Breadth-first: ``found [G]`` is the data center through which the search met a gateway, or −1,
    ``via [N]`` the gateway whose flow would leave a data center.
    """
    found[:] = -1
    via[:] = -1
    via[i] = 0  # not to be left
    queue[0] = i
    head, tail = 0, 1
    while head < tail:
        k = queue[head]
        head += 1
        for g in range(len(found)):
            if found[g] >= 0 or spent[g] or reach[k, g] == 0.0:
                continue
            found[g] = k
            if unserved[g] > 0.0:
                return g
            for u in range(count[g]):
                n = used[g, u]
                if via[n] < 0:
                    via[n] = g
                    queue[tail] = n
                    tail += 1
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def _place(
    order: IntArray,
    reach: FloatArray,
    flow: FloatArray,
    unserved: FloatArray,
    room: FloatArray,
    used: IntArray,
    count: IntArray,
) -> None:
    """Fill data centers in the given order, each as far as a maximum flow lets it.

    A data center takes what its gateways have left; then what others have, where gateways that it
    shares with filled ones make way (breadth-first augmenting paths). What a filled one serves
    never falls. Gateways from which no path leads to unserved demand are out for good.

    ``flow [G, N]``, ``reach [N, G]``; ``used`` and ``count`` are :func:`_send`'s.
    """
    G, N = flow.shape
    found, via, queue = np.empty(G, np.int64), np.empty(N, np.int64), np.empty(N, np.int64)
    spent = np.zeros(G, np.bool_)
    left = 0
    for g in range(G):
        left += unserved[g] > 0.0
    for i in order:
        if left == 0:
            return
        for g in range(G):
            if unserved[g] > 0.0 and reach[i, g] > 0.0 and room[i] > 0.0:
                amount = min(unserved[g], room[i])
                _send(g, i, amount, flow, used, count)
                unserved[g] -= amount
                room[i] -= amount
                left -= unserved[g] == 0.0
        while room[i] > 0.0 and left > 0:
            end = _search(i, reach, unserved, spent, used, count, found, via, queue)
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
                _send(g, k, amount, flow, used, count)
                if k == i:
                    break
                g = via[k]
                _send(g, k, -amount, flow, used, count)


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
    G = reachable.shape[0]
    order, reach = np.empty(N, np.int64), reachable.T.copy()
    used, count = np.empty((G, N), np.int64), np.empty(G, np.int64)
    worst = 0.0
    for b in range(B):
        out[b][:, :] = 0.0
        count[:] = 0
        unserved[b, :] = demand[b % demand.shape[0]]
        room = capacity[b % capacity.shape[0]].copy()
        _sort(unit_cost[b], order)
        _place(order, reach, out[b], unserved[b], room, used, count)
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
    order, reach = np.empty(N, np.int64), reachable.T.copy()
    flow, used, count = np.empty((G, N)), np.empty((G, N), np.int64), np.empty(G, np.int64)
    worst = 0.0
    for b in range(B):
        flow[:], count[:] = 0.0, 0
        need, cap = demand[b % demand.shape[0]], capacity[b % capacity.shape[0]]
        unserved, room = need.copy(), cap.copy()
        _sort(unit_cost[b], order)
        _place(order, reach, flow, unserved, room, used, count)
        left = unserved.sum()
        if left > 0.0:
            worst = max(worst, left / need.sum())
        out[b] = np.minimum(flow.sum(0), cap)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def _merit(cost: FloatArray, need: float, room: FloatArray, order: IntArray) -> float:
    """Cost of the last data center that is needed when the cheapest are filled first."""
    _sort(cost, order)
    k = 0
    while k < len(order) - 1 and need > room[order[k]]:
        need -= room[order[k]]
        k += 1
    return float(cost[order[k]])


@njit(cache=True, nogil=True, error_model="numpy")
def _go_cheapest(
    rest: FloatArray,
    price: FloatArray,
    supply: FloatArray,
    room: FloatArray,
    paid: FloatArray,
    sent: FloatArray,
    users: IntArray,
    count: IntArray,
) -> None:
    """Send each group's supply where that is cheapest at these prices, full or not.

    Writes what a unit costs it into ``paid``, and 0 to ``supply`` where it may go nowhere; ``room``
    falls below 0 where a data center is overloaded. Of several cheapest ones those with room come
    first.
    """
    N = len(price)
    for g in range(len(supply)):
        paid[g], best = np.inf, 0
        for i in range(N):
            if rest[g, i] + price[i] < paid[g]:
                paid[g], best = rest[g, i] + price[i], i
        if paid[g] == np.inf:
            paid[g], supply[g] = 0.0, 0.0
        left = supply[g]
        for i in range(N):
            if left > 0.0 and room[i] > 0.0 and rest[g, i] + price[i] == paid[g]:
                amount = min(left, room[i])
                _send(i, g, amount, sent, users, count)
                room[i] -= amount
                left -= amount
        if left > 0.0:
            _send(best, g, left, sent, users, count)
            room[best] -= left


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _nearest(
    source: int,
    rest: FloatArray,
    price: FloatArray,
    paid: FloatArray,
    room: FloatArray,
    users: IntArray,
    count: IntArray,
    distance: FloatArray,
    met: FloatArray,
    through: IntArray,
    leaving: IntArray,
    settled: BoolArray,
) -> tuple[int, float]:
    """The data center with room that is nearest to the overloaded ``source``, or −1; how far.

    Dijkstra's search over groups, since what is left of costs at these prices is at least 0. Of the
    shortest paths, ``through [N]`` is the group that comes to a data center and ``leaving [G + 1]``
    the data center where a group makes way; ``distance [N]`` and ``met [G + 1]`` are how far.
    """
    distance[:], met[:], through[:], settled[:] = np.inf, np.inf, -1, False
    distance[source] = 0.0
    for u in range(count[source]):
        met[users[source, u]] = 0.0
        leaving[users[source, u]] = source
    nearest, end = np.inf, -1
    while True:
        g = -1
        for h in range(len(met)):
            if not settled[h] and met[h] < (nearest if g < 0 else met[g]):
                g = h
        if g < 0:
            return end, nearest
        settled[g] = True
        base = met[g] - paid[g]
        for k in range(len(distance)):  # where could this group go?
            d = max(base + rest[g, k] + price[k], met[g])
            nearer = d < distance[k]
            distance[k] = d if nearer else distance[k]
            through[k] = g if nearer else through[k]
        for k in range(len(distance)):
            if through[k] != g or distance[k] >= nearest:
                continue
            if room[k] > 0.0:
                nearest, end = distance[k], k
                continue
            for u in range(count[k]):  # who would make way there?
                h = users[k, u]
                if distance[k] < met[h]:
                    met[h], leaving[h] = distance[k], k


@njit(cache=True, nogil=True, error_model="numpy")
def _cheapest_paths(
    cost: FloatArray,
    pair_cost: FloatArray,
    reachable: FloatArray,
    capacity: FloatArray,
    flow: FloatArray,
    unserved: FloatArray,
) -> bool:
    """Cheapest flow of one problem, by successive shortest paths (Edmonds and Karp 1972).

    What capacity is not needed is one more group, which all data centers serve at no cost, so that
    all are full. Prices at which supply meets demand where routing is free begin; each group goes
    where it is cheapest for it; then what overloads a data center moves along shortest paths to one
    that is not full. Prices keep what is left of every cost at least 0, so that each search is
    Dijkstra's and ends at the first such one. At the end they are dual variables: returns whether
    they prove the flow optimal to rounding, which costs too far apart prevent.

    ``unserved [G]`` is the demand at the beginning.
    """
    G, N = pair_cost.shape
    rest = np.empty((G + 1, N))  # cost of a group at a data center, but for the latter's price
    rest[:G] = np.where(reachable > 0.0, pair_cost, np.inf)
    rest[G] = -cost
    supply = np.empty(G + 1)
    supply[:G] = unserved
    supply[G] = max(capacity.sum() - unserved.sum(), 0.0)
    sent = np.zeros((N, G + 1))
    users, count = np.empty((N, G + 1), np.int64), np.zeros(N, np.int64)  # _send's
    through, leaving = np.empty(N, np.int64), np.empty(G + 1, np.int64)
    price = np.maximum(cost, _merit(cost, unserved.sum(), capacity, through))
    paid, room = np.empty(G + 1), capacity.copy()
    _go_cheapest(rest, price, supply, room, paid, sent, users, count)
    distance, met = np.empty(N), np.empty(G + 1)
    settled = np.empty(G + 1, np.bool_)
    for source in range(N):
        while room[source] < 0.0:
            end, nearest = _nearest(
                source, rest, price, paid, room, users, count, distance, met, through, leaving,
                settled,
            )  # fmt: skip
            if end < 0:
                break
            for i in range(N):
                price[i] += max(nearest - distance[i], 0.0)
            for g in range(G + 1):
                paid[g] += max(nearest - met[g], 0.0)
            amount = min(-room[source], room[end])
            k = end
            while k != source:
                g = through[k]
                k = leaving[g]
                amount = min(amount, sent[k, g])
            room[source] += amount
            room[end] -= amount
            k = end
            while k != source:
                g = through[k]
                _send(k, g, amount, sent, users, count)
                k = leaving[g]
                _send(k, g, -amount, sent, users, count)
    exact = _proven(cost, rest, price, paid, supply, sent)
    for i in range(N):  # what overloads it still has found no place
        for g in range(G, -1, -1):
            if room[i] < 0.0 and sent[i, g] > 0.0:
                amount = min(sent[i, g], -room[i])
                sent[i, g] -= amount
                room[i] += amount
    flow[:] = sent[:, :G].T
    for g in range(G):
        left = unserved[g] - flow[g].sum()
        unserved[g] = left if left > 1e-15 * unserved[g] else 0.0
    return exact


@njit(cache=True, nogil=True, error_model="numpy")
def _proven(
    cost: FloatArray,
    rest: FloatArray,
    price: FloatArray,
    paid: FloatArray,
    supply: FloatArray,
    sent: FloatArray,
) -> bool:
    """Do the dual variables prove the flow optimal, to 1e-9 of what all terms come to?"""
    N, G = sent.shape
    gap, size = 0.0, 0.0
    for g in range(G):
        for i in range(N):
            left = rest[g, i] + price[i] - paid[g]
            if sent[i, g] > 0.0:
                gap += sent[i, g] * abs(left)
                size += sent[i, g] * (abs(cost[i]) + abs(rest[g, i]) if g < G - 1 else 0.0)
            if left < 0.0:
                gap -= left * supply[g]
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
    worst = 0.0
    for b in range(unit_cost.shape[0]):
        unserved[b, :] = demand[b % demand.shape[0]]
        room = capacity[b % capacity.shape[0]]
        exact = _cheapest_paths(unit_cost[b], pair_cost, reachable, room, out[b], unserved[b])
        left, total = unserved[b].sum(), demand[b % demand.shape[0]].sum()
        if not exact and left <= UNSERVABLE * total:
            return np.nan
        if left > 0.0:
            worst = max(worst, left / total)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def transport_load(
    unit_cost: FloatArray,
    pair_cost: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: FloatArray,
    out: FloatArray,
    routing: FloatArray,
) -> float:
    """Loads ``out [B, N]`` and routing costs ``routing [B]`` of what :func:`transport` gives."""
    G, N = pair_cost.shape
    flow, unserved = np.empty((1, G, N)), np.empty((1, G))
    worst = 0.0
    for b in range(unit_cost.shape[0]):
        d, c = b % demand.shape[0], b % capacity.shape[0]
        need, room = demand[d : d + 1], capacity[c : c + 1]
        short = transport(unit_cost[b : b + 1], pair_cost, need, room, reachable, flow, unserved)
        if np.isnan(short):
            return short
        worst = max(worst, short)
        out[b], routing[b] = 0.0, 0.0
        for g in range(G):
            for i in range(N):
                out[b, i] += flow[0, g, i]
                routing[b] += flow[0, g, i] * pair_cost[g, i]
        out[b] = np.minimum(out[b], room[0])
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def augment(flow: FloatArray, left: FloatArray, room: FloatArray, reachable: FloatArray) -> None:
    """Place what is ``left`` along augmenting paths, where a given flow leaves no direct way.

    In place: ``flow [B, G, N]``, ``left [B, G]`` (what no path can place stays), ``room [B, N]``.
    """
    B, G, N = flow.shape
    order, reach = np.arange(N), reachable.T.copy()
    used, count = np.empty((G, N), np.int64), np.empty(G, np.int64)
    for b in range(B):
        count[:] = 0
        for g in range(G):
            for i in range(N):
                if flow[b, g, i] > 0.0:
                    used[g, count[g]] = i
                    count[g] += 1
        _place(order, reach, flow[b], left[b], room[b], used, count)
