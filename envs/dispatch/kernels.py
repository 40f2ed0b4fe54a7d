"""Compiled dispatch kernels. All in one module: numba's cache misses changes across files.

Every kernel is exact, serial and releases the interpreter lock. Rows are independent problems.
An argument with fewer rows than there are problems repeats (row ``b % rows``).
"""

import numpy as np
from numba import njit

from equiload.envs.typing import BoolArray, FloatArray, IntArray

#: Share of a slot's demand up to which what found no room is rounding.
UNSERVABLE = 1e-9
# Up to so many data centers insertion sort beats the library's sort; both are stable, and give the
# same order.
_SMALL = 64


@njit(cache=True, nogil=True, error_model="numpy")
def _sort(cost: FloatArray, order: IntArray) -> None:
    """Stable order of ``cost``, ascending, written into ``order``: ties to the lower index."""
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


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _usable(cost: FloatArray, room: FloatArray, usable: IntArray, its_cost: FloatArray) -> int:
    """Number of data centers with room; which they are, and their cost, first in the last two.

    To sort is most of a greedy rule's work: what has no room is left out.
    """
    count = 0
    for i in range(len(cost)):  # without a branch, which no processor could foretell
        usable[count], its_cost[count] = i, cost[i]
        count += room[i] > 0.0
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def fill(unit_cost: FloatArray, demand: FloatArray, capacity: FloatArray, out: FloatArray) -> float:
    """Cheapest loads under full reachability: fill data centers in ascending unit cost.

    ``unit_cost [B, N]``, ``demand [.., J]``, ``capacity [.., N]`` -> ``out [B, N]``; returns the
    largest share of a row's demand that found no room.

    Invariant: a data center gets load only once all cheaper ones are full.
    """
    B, N = unit_cost.shape
    order, usable, cost = np.empty(N, np.int64), np.empty(N, np.int64), np.empty(N)
    worst = 0.0
    for b in range(B):
        asked = demand[b % demand.shape[0]].sum()
        remaining = asked
        cap = capacity[b % capacity.shape[0]]
        count = _usable(unit_cost[b], cap, usable, cost)
        _sort(cost[:count], order[:count])
        out[b] = 0.0
        for k in range(count):
            i = usable[order[k]]
            load = min(remaining, cap[i])
            out[b, i] = load
            remaining -= load
        if remaining > 0.0:
            worst = max(worst, remaining / asked)
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
def unserved(
    demand: FloatArray,
    capacity: FloatArray,
    offset: FloatArray,
    member: FloatArray,
    out: FloatArray,
) -> None:
    """By how much ``demand [B, G]`` exceeds the tightest cut -> ``out [B]``.

    ``capacity [.., N]``, the cuts' ``offset [G, C]`` and ``member [C, N]``.
    """
    for b in range(len(demand)):
        total, least = demand[b].sum(), np.inf
        room = capacity[b % len(capacity)]
        for c in range(len(member)):
            served = 0.0
            for g in range(len(offset)):
                served += demand[b, g] * offset[g, c]
            for i in range(member.shape[1]):
                served += room[i] * member[c, i]
            least = min(least, served)
        out[b] = max(total - least, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def spread(flow: FloatArray, demand: FloatArray, group_of: IntArray, out: FloatArray) -> None:
    """Allocation per gateway from one per group: each gets its share of the group's demand.

    ``flow [B, G, N]``, ``demand [.., J]``, ``group_of [J]`` -> ``out [B, J, N]``. A group's rows
    sum to its flow, so loads stay what they were.
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

    Invariant: after each data center, ``value[c]`` is cut ``c``'s bound on what those taken so far
    can serve, and their loads sum to the smallest of them, ``rank_before``.
    """
    B, N = unit_cost.shape
    C = member.shape[0]
    worst = 0.0
    order, usable, cost = np.empty(N, np.int64), np.empty(N, np.int64), np.empty(N)
    value, counts = np.empty(C), member.T.copy()
    for b in range(B):
        cap = capacity[b % capacity.shape[0]]
        count = _usable(unit_cost[b], cap, usable, cost)
        _sort(cost[:count], order[:count])
        rank_before = np.inf
        total = 0.0  # all demand: of the cut without a data center
        for c in range(C):
            value[c] = offset[b % offset.shape[0], c]
            rank_before = min(rank_before, value[c])
            total = max(total, value[c])
        out[b] = 0.0
        for k in range(count):
            i = usable[order[k]]
            rank = np.inf
            for c in range(C):
                value[c] += counts[i, c] * cap[i]
                rank = min(rank, value[c])
            out[b, i] = min(rank - rank_before, cap[i])
            rank_before = rank
            if rank >= total:
                break
        if rank_before < total:
            worst = max(worst, (total - rank_before) / total)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def _send(a: int, b: int, amount: float, flow: FloatArray, used: IntArray, count: IntArray) -> None:
    """Add to ``flow[a, b]``; ``used[a, :count[a]]`` lists the ``b`` where it is above 0.

    The lists keep searches from looking at pairs without flow, which are most of them.
    """
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
    exhausted: BoolArray,
    used: IntArray,
    count: IntArray,
    entry: IntArray,
    via: IntArray,
    queue: IntArray,
) -> int:
    """The nearest gateway with unserved demand for which others can make way to ``i``, or −1.

    Breadth-first: ``entry [G]`` is the data center through which the search met a gateway, or −1,
    ``via [N]`` the gateway whose flow would leave a data center.
    """
    entry[:] = -1
    via[:] = -1
    via[i] = 0  # not to be left
    queue[0] = i
    head, tail = 0, 1
    while head < tail:
        k = queue[head]
        head += 1
        for g in range(len(entry)):
            if entry[g] >= 0 or exhausted[g] or reach[k, g] == 0.0:
                continue
            entry[g] = k
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

    Invariant: a gateway's flow and its ``unserved`` sum to its demand, a data center's flow and its
    ``room`` to its capacity; ``waiting`` counts the gateways with unserved demand.
    """
    G, N = flow.shape
    entry, via, queue = np.empty(G, np.int64), np.empty(N, np.int64), np.empty(N, np.int64)
    exhausted = np.zeros(G, np.bool_)
    waiting = 0
    for g in range(G):
        waiting += unserved[g] > 0.0
    for i in order:
        if waiting == 0:
            return
        for g in range(G):
            if unserved[g] > 0.0 and reach[i, g] > 0.0 and room[i] > 0.0:
                amount = min(unserved[g], room[i])
                _send(g, i, amount, flow, used, count)
                unserved[g] -= amount
                room[i] -= amount
                waiting -= unserved[g] == 0.0
        while room[i] > 0.0 and waiting > 0:
            end = _search(i, reach, unserved, exhausted, used, count, entry, via, queue)
            if end < 0:
                for g in range(G):
                    exhausted[g] |= entry[g] >= 0
                break
            amount = min(unserved[end], room[i])
            g = end
            while entry[g] != i:
                k = entry[g]
                g = via[k]
                amount = min(amount, flow[g, k])
            unserved[end] -= amount
            waiting -= unserved[end] == 0.0
            room[i] -= amount
            g = end
            while True:
                k = entry[g]
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
        unplaced = unserved[b].sum()
        if unplaced > 0.0:
            worst = max(worst, unplaced / demand[b % demand.shape[0]].sum())
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
        unplaced = unserved.sum()
        if unplaced > 0.0:
            worst = max(worst, unplaced / need.sum())
        out[b] = np.minimum(flow.sum(0), cap)  # rounding may pass the limit
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
    own_cost: FloatArray,
    price: FloatArray,
    supply: FloatArray,
    room: FloatArray,
    group_price: FloatArray,
    served: FloatArray,
    users: IntArray,
    count: IntArray,
) -> None:
    """Send each group's supply where that is cheapest at these prices, full or not.

    Writes what a unit costs it into ``group_price``, and 0 to ``supply`` where it may go nowhere;
    ``room`` falls below 0 where a data center is overloaded. Of several cheapest ones those with
    room come first.
    """
    N = len(price)
    for g in range(len(supply)):
        group_price[g], cheapest = np.inf, 0
        for i in range(N):
            if own_cost[g, i] + price[i] < group_price[g]:
                group_price[g], cheapest = own_cost[g, i] + price[i], i
        if group_price[g] == np.inf:
            group_price[g], supply[g] = 0.0, 0.0
        remaining = supply[g]
        for i in range(N):
            if remaining > 0.0 and room[i] > 0.0 and own_cost[g, i] + price[i] == group_price[g]:
                amount = min(remaining, room[i])
                _send(i, g, amount, served, users, count)
                room[i] -= amount
                remaining -= amount
        if remaining > 0.0:
            _send(cheapest, g, remaining, served, users, count)
            room[cheapest] -= remaining


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _nearest(
    source: int,
    own_cost: FloatArray,
    price: FloatArray,
    group_price: FloatArray,
    room: FloatArray,
    users: IntArray,
    count: IntArray,
    distance: FloatArray,
    group_distance: FloatArray,
    arriving: IntArray,
    leaving: IntArray,
    settled: BoolArray,
) -> tuple[int, float]:
    """The data center with room that is nearest to the overloaded ``source``, or −1; how far.

    Dijkstra's search over groups, since reduced costs are at least 0 at these prices. Of the
    shortest paths, ``arriving [N]`` is the group that comes to a data center and ``leaving
    [G + 1]`` the data center where a group makes way; ``distance [N]`` and ``group_distance
    [G + 1]`` are how far.
    """
    distance[:], group_distance[:], arriving[:], settled[:] = np.inf, np.inf, -1, False
    distance[source] = 0.0
    for u in range(count[source]):
        group_distance[users[source, u]] = 0.0
        leaving[users[source, u]] = source
    nearest, end = np.inf, -1
    while True:
        g = -1
        for h in range(len(group_distance)):
            if not settled[h] and group_distance[h] < (nearest if g < 0 else group_distance[g]):
                g = h
        if g < 0:
            return end, nearest
        settled[g] = True
        base = group_distance[g] - group_price[g]
        for k in range(len(distance)):  # where could this group go?
            d = max(base + own_cost[g, k] + price[k], group_distance[g])
            nearer = d < distance[k]
            distance[k] = d if nearer else distance[k]
            arriving[k] = g if nearer else arriving[k]
        for k in range(len(distance)):
            if arriving[k] != g or distance[k] >= nearest:
                continue
            if room[k] > 0.0:
                nearest, end = distance[k], k
                continue
            for u in range(count[k]):  # who would make way there?
                h = users[k, u]
                if distance[k] < group_distance[h]:
                    group_distance[h], leaving[h] = distance[k], k


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
    that is not full. Prices keep every reduced cost at least 0, so that each search is
    Dijkstra's and ends at the first such one. At the end they are dual variables: returns whether
    they prove the flow optimal to rounding, which costs too far apart prevent.

    ``unserved [G]`` is the demand at the beginning.

    Invariant: every group is served all of its supply, by data centers that are among the cheapest
    for it at these prices; below 0, ``room`` says by how much a data center is overloaded. Long,
    for its arrays are made once for all paths.
    """
    G, N = pair_cost.shape
    own_cost = np.empty((G + 1, N))  # cost of a group at a data center, but for the latter's price
    own_cost[:G] = np.where(reachable > 0.0, pair_cost, np.inf)
    own_cost[G] = -cost
    supply = np.empty(G + 1)
    supply[:G] = unserved
    supply[G] = max(capacity.sum() - unserved.sum(), 0.0)
    served = np.zeros((N, G + 1))
    users, count = np.empty((N, G + 1), np.int64), np.zeros(N, np.int64)  # _send's
    arriving, leaving = np.empty(N, np.int64), np.empty(G + 1, np.int64)
    price = np.maximum(cost, _merit(cost, unserved.sum(), capacity, arriving))
    group_price, room = np.empty(G + 1), capacity.copy()
    _go_cheapest(own_cost, price, supply, room, group_price, served, users, count)
    distance, group_distance = np.empty(N), np.empty(G + 1)
    settled = np.empty(G + 1, np.bool_)
    for source in range(N):
        while room[source] < 0.0:
            end, nearest = _nearest(
                source, own_cost, price, group_price, room, users, count,
                distance, group_distance, arriving, leaving, settled,
            )  # fmt: skip
            if end < 0:
                break
            for i in range(N):
                price[i] += max(nearest - distance[i], 0.0)
            for g in range(G + 1):
                group_price[g] += max(nearest - group_distance[g], 0.0)
            amount = min(-room[source], room[end])
            k = end
            while k != source:
                g = arriving[k]
                k = leaving[g]
                amount = min(amount, served[k, g])
            room[source] += amount
            room[end] -= amount
            k = end
            while k != source:
                g = arriving[k]
                _send(k, g, amount, served, users, count)
                k = leaving[g]
                _send(k, g, -amount, served, users, count)
    exact = _proven(cost, own_cost, price, group_price, supply, served)
    _take_back(room, served, flow, unserved)
    return exact


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _take_back(
    room: FloatArray, served: FloatArray, flow: FloatArray, unserved: FloatArray
) -> None:
    """Write ``flow [G, N]`` without what still overloads a data center: it has no place anywhere.

    ``served [N, G + 1]`` and ``room [N]`` are brought within capacity, the group of what capacity
    is not needed last in ``served`` and first to make way; ``unserved [G]`` is the demand before.
    """
    N, G = served.shape[0], flow.shape[0]
    for i in range(N):
        for g in range(G, -1, -1):
            if room[i] < 0.0 and served[i, g] > 0.0:
                amount = min(served[i, g], -room[i])
                served[i, g] -= amount
                room[i] += amount
    flow[:] = served[:, :G].T
    for g in range(G):
        unplaced = unserved[g] - flow[g].sum()
        unserved[g] = unplaced if unplaced > 1e-15 * unserved[g] else 0.0  # less is rounding


@njit(cache=True, nogil=True, error_model="numpy")
def _proven(
    cost: FloatArray,
    own_cost: FloatArray,
    price: FloatArray,
    group_price: FloatArray,
    supply: FloatArray,
    served: FloatArray,
) -> bool:
    """Do the dual variables prove the flow optimal, to 1e-9 of what all terms come to?

    ``reduced`` costs are 0 where something is served and at least 0 elsewhere, but for rounding
    (complementary slackness): the ``gap`` is what the flow can be from the optimum.
    """
    N, G = served.shape
    gap, size = 0.0, 0.0
    for g in range(G):
        for i in range(N):
            reduced = own_cost[g, i] + price[i] - group_price[g]
            if served[i, g] > 0.0:
                gap += served[i, g] * abs(reduced)
                size += served[i, g] * (abs(cost[i]) + abs(own_cost[g, i]) if g < G - 1 else 0.0)
            if reduced < 0.0:
                gap -= reduced * supply[g]
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
        unplaced, total = unserved[b].sum(), demand[b % demand.shape[0]].sum()
        if not exact and unplaced <= UNSERVABLE * total:
            return np.nan
        if unplaced > 0.0:
            worst = max(worst, unplaced / total)
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
def augment(
    flow: FloatArray, unserved: FloatArray, room: FloatArray, reachable: FloatArray
) -> None:
    """Place what is ``unserved`` along augmenting paths, where a given flow leaves no direct way.

    In place: ``flow [B, G, N]``, ``unserved [B, G]`` (what no path can place stays) and
    ``room [B, N]``.
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
        _place(order, reach, flow[b], unserved[b], room[b], used, count)
