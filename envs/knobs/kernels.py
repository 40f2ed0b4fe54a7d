"""The stack of :mod:`~equiload.envs.knobs.stack`, compiled: the same blocks, a site at a time.

What a site sees is a tuple of numbers: they stay in registers, where arrays that are handed from
function to function have their references counted, which takes longer than the arithmetic.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.envs.knobs.completion import Equipment, There
from equiload.envs.knobs.settlement import Tariff
from equiload.envs.typing import FloatArray

# Smallest idle share to divide by: less is none, and then no load changes what is best to have on.
TINY = 1e-30


class Site(NamedTuple):
    """What a site sees: the rows of :attr:`~equiload.envs.knobs.stack.LoadStack.sites`."""

    price: float  # US$/MWh from the grid, its footprint included
    onsite: float  # US$/MWh drawn, whatever its source: on-site footprint
    capacity: float  # MWh of load, and of servers that can be on
    pue: float  # MWh drawn per MWh of load
    generation: float  # MWh of on-site generation at hand
    charge: float  # MWh that the battery can take …
    discharge: float  # … and give
    worth_charged: float  # US$ per MWh taken, θ·η_c
    cost_discharged: float  # US$ per MWh given, θ/η_d + κ
    idle: float  # share of full power that a server draws idling
    hold: float  # US$ that it is worth to have a MWh per slot of capacity on, φ
    start: float  # US$ to switch it on, β
    on_before: float  # MWh per slot that was on before


#: Numbers of four sources of energy: generation, discharge, forgone charge, grid.
Four = tuple[float, float, float, float]


class Sources(NamedTuple):
    """A site's sources of energy: what a MWh costs, MWh, and where they begin and end, in turn."""

    cost: Four
    width: Four
    begin: Four
    end: Four


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


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _site(sites: FloatArray, b: int, i: int) -> Site:
    """What a site sees, of ``sites [13, B, N]``."""
    return Site(
        sites[0, b, i],
        sites[1, b, i],
        sites[2, b, i],
        sites[3, b, i],
        sites[4, b, i],
        sites[5, b, i],
        sites[6, b, i],
        sites[7, b, i],
        sites[8, b, i],
        sites[9, b, i],
        sites[10, b, i],
        sites[11, b, i],
        sites[12, b, i],
    )


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _cheaper(m: int, cost: Four, width: Four) -> float:
    """MWh of the sources that come before source ``m``."""
    total = 0.0
    for other in range(4):
        if cost[other] < cost[m] or (cost[other] == cost[m] and other < m):
            total += width[other]
    return total


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _sources(site: Site) -> Sources:
    """A site's sources of energy."""
    most = 2 * (site.pue * site.capacity + site.charge) + site.generation + site.discharge
    cost = (0.0, site.cost_discharged, site.worth_charged, site.price)
    width = (site.generation, site.discharge, site.charge, most if most != 0.0 else 1.0)
    a, b = _cheaper(0, cost, width), _cheaper(1, cost, width)
    c, d = _cheaper(2, cost, width), _cheaper(3, cost, width)
    end = (a + width[0], b + width[1], c + width[2], d + width[3])
    return Sources(cost, width, (a, b, c, d), end)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _cheaper_than(limit: float, site: Site, sources: Sources) -> float:
    """MWh of servers' draw up to which one more that idles costs at most ``limit``."""
    total = -site.charge
    for m in range(4):
        if site.idle * site.pue * (sources.cost[m] + site.onsite) <= limit:
            total += sources.width[m]
    return total / site.pue


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _on(load: float, keep: float, more: float, site: Site) -> float:
    """Capacity that is best to have on; idling pays up to a draw of ``keep``, or ``more``, MWh."""
    idle = max(site.idle, TINY)
    busy = (1.0 - site.idle) * load
    before = min(site.on_before, site.capacity)
    best = max(min((keep - busy) / idle, before), (more - busy) / idle)
    return max(load, min(best, site.capacity))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _slope(
    load: float, keep: float, more: float, servers: bool, site: Site, sources: Sources
) -> float:
    """US$ per MWh of load more, within a block."""
    idle = site.idle
    on = _on(load, keep, more, site) if servers else load
    at = site.pue * (idle * on + (1.0 - idle) * load) + site.charge
    marginal = site.price
    for m in range(3):
        if sources.end[m] > at and sources.cost[m] <= marginal:
            marginal = sources.cost[m]
    marginal = site.pue * (marginal + site.onsite)
    if not servers:
        return marginal
    before = min(site.on_before, site.capacity)
    saved = site.hold - site.start if on > before else site.hold
    if on <= load:
        slope = marginal - saved
    elif on == before or on == site.capacity:
        slope = (1.0 - idle) * marginal
    else:
        slope = saved * (1.0 - idle) / (idle if idle > TINY else 1.0)
    return slope


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _insert(value: float, capacity: float, load: FloatArray, count: int) -> int:
    """Put a value between 0 and ``capacity`` in its place in ``load[:count]``; the new count."""
    if not 0.0 < value < capacity:
        return count
    k = count
    while k > 0 and load[k - 1] > value:
        load[k] = load[k - 1]
        k -= 1
    load[k] = value
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _bends(servers: bool, site: Site, sources: Sources, load: FloatArray) -> int:
    """Write the loads where the slope may change, ascending, the capacity last: how many."""
    capacity, idle, count = site.capacity, site.idle, 0
    before, busy = min(site.on_before, capacity), 1.0 - idle if idle < 1.0 else 1.0
    for m in range(3):
        if sources.width[m] == 0.0:  # it ends where another does
            continue
        used = (sources.end[m] - site.charge) / site.pue
        count = _insert(used, capacity, load, count)
        if servers:
            count = _insert((used - idle * before) / busy, capacity, load, count)
            count = _insert((used - idle * capacity) / busy, capacity, load, count)
    if servers:
        count = _insert(before, capacity, load, count)
    load[count] = capacity
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _cut(
    site: Site,
    servers: bool,
    b: int,
    first: int,
    load: FloatArray,
    slope: FloatArray,
    width: FloatArray,
) -> None:
    """Write a site's blocks into row ``b``, from column ``first`` on; the last have no width.

    ``load [blocks]`` is room to work in.
    """
    sources = _sources(site)
    keep, more = 0.0, 0.0
    if servers:
        keep = _cheaper_than(site.hold, site, sources)
        more = _cheaper_than(site.hold - site.start, site, sources)
    count, at = _bends(servers, site, sources, load), 0.0
    for k in range(count):
        end = load[k]
        slope[b, first + k] = _slope((at + end) / 2, keep, more, servers, site, sources)
        width[b, first + k] = end - at
        at = end
    for column in range(first + count, first + len(load)):
        slope[b, column], width[b, column] = slope[b, first], 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def blocks(
    sites: FloatArray, servers: bool, most: int, slope: FloatArray, width: FloatArray
) -> None:
    """Slopes and widths of the blocks of ``sites [13, B, N]``, at ``most`` so many of each.

    They are the first columns of ``[B, columns]``.
    """
    _, B, N = sites.shape
    load = np.empty(most)
    for b in range(B):
        for i in range(N):
            _cut(_site(sites, b, i), servers, b, i * most, load, slope, width)


class Terms(NamedTuple):
    """At what a slot is cleared.

    US$/MWh: ``grid`` and ``onsite [B, N]`` with footprints, ``stored [B, N]`` and ``waiting
    [B, C]`` after the slot, ``hold [B, N]`` for what is on. MWh: ``on_before [B, N]``, and the
    ``least`` and ``most [.., N]`` that may be stored after the slot.
    """

    grid: FloatArray
    onsite: FloatArray
    stored: FloatArray
    waiting: FloatArray
    hold: FloatArray
    on_before: FloatArray
    least: FloatArray
    most: FloatArray


class Offers(NamedTuple):
    """What there is to dispatch.

    ``sites [13, B, N]``; the ``costs`` of columns, US$/MWh, and the ``rooms`` that they have, MWh:
    the sites' blocks, what gateways can save, work that may wait, and that may be given up. What is
    ``asked [B, J + C]`` of them: demand and work.
    """

    sites: FloatArray
    costs: FloatArray
    rooms: FloatArray
    asked: FloatArray


@njit(cache=True, nogil=True, error_model="numpy")
def offer(
    equipment: Equipment,
    tariff: Tariff,
    there: There,
    terms: Terms,
    servers: bool,
    most: int,
    offers: Offers,
) -> None:
    """Write the ``offers`` of a slot; a site has at ``most`` so many blocks."""
    pue, idle, _, most_in, most_out, into, out, _, share, steps = equipment
    wear, start, late, quality = tariff
    capacity, demand, generation, stored, due, ceiling = there
    grid, onsite, worth, waiting, hold, on_before, low, high = terms
    sites, costs, rooms, asked = offers
    (B, N), J, C = capacity.shape, len(share), len(late)
    load = np.empty(most)
    for b in range(B):
        lowest, highest = b % len(low), b % len(high)
        for i in range(N):
            room = max(high[highest, i] - stored[b, i], 0.0) / into[i]
            held = max(stored[b, i] - low[lowest, i], 0.0) * out[i]
            site = Site(
                price=grid[b, i],
                onsite=onsite[b, i],
                capacity=capacity[b, i],
                pue=pue[i],
                generation=generation[b, i],
                charge=min(most_in[i], room),
                discharge=min(most_out[i], held),
                worth_charged=worth[b, i] * into[i],
                cost_discharged=worth[b, i] / out[i] + wear[i],
                idle=idle[i],
                hold=hold[b, i],
                start=start[i],
                on_before=on_before[b, i],
            )
            for row in range(len(site)):
                sites[row, b, i] = site[row]
            _cut(site, servers, b, i * most, load, costs, rooms)
        column = N * most
        for j in range(J):
            asked[b, j] = demand[b, j]
            for h in range(len(steps)):
                costs[b, column] = quality[j, h]
                rooms[b, column] = demand[b, j] * share[j] * steps[h]
                column += 1
        for c in range(C):
            asked[b, J + c] = due[b, c]
            # To give up is dearer than to wait, or there is no waiting.
            may_wait = min(due[b, c], ceiling[b, c]) if waiting[b, c] < late[c] else 0.0
            costs[b, column + c], rooms[b, column + c] = waiting[b, c], may_wait
            costs[b, column + C + c], rooms[b, column + C + c] = late[c], due[b, c] - may_wait


@njit(cache=True, nogil=True, error_model="numpy")
def share_out(
    taken: FloatArray,
    asked: FloatArray,
    each: tuple[int, int],
    load: FloatArray,
    saved: FloatArray,
    late: FloatArray,
    done: FloatArray,
) -> None:
    """Whose what is ``taken`` is: ``load [B, N]``, ``saved [B, J]``, ``late`` and ``done [B, C]``.

    ``taken`` of the columns of :class:`Offers`, of which ``each`` site and gateway has so many.
    """
    (B, N), J, C = load.shape, saved.shape[1], late.shape[1]
    for b in range(B):
        load[b], saved[b] = 0.0, 0.0
        column = 0
        for i in range(N):
            for _ in range(each[0]):
                load[b, i] += taken[b, column]
                column += 1
        for j in range(J):
            for _ in range(each[1]):
                saved[b, j] += taken[b, column]
                column += 1
        for c in range(C):
            late[b, c] = taken[b, column + C + c]
            left = asked[b, J + c] - (taken[b, column + c] + late[b, c])
            done[b, c] = max(left, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def send_out(sends: FloatArray, load: FloatArray, allocation: FloatArray, work: FloatArray) -> None:
    """``allocation [B, J, N]`` and ``work [B, C, N]`` of what all rows send ``[B, J + C, N]``.

    And the ``load [B, N]`` that they come to.
    """
    (B, J, N), C = allocation.shape, work.shape[1]
    for b in range(B):
        load[b] = 0.0
        for j in range(J):
            for i in range(N):
                allocation[b, j, i] = sends[b, j, i]
                load[b, i] += sends[b, j, i]
        for c in range(C):
            for i in range(N):
                work[b, c, i] = sends[b, J + c, i]
                load[b, i] += sends[b, J + c, i]


@njit(cache=True, nogil=True, error_model="numpy")
def operate(
    sites: FloatArray, servers: bool, load: FloatArray, on: FloatArray, taken: FloatArray
) -> None:
    """What is ``on [B, N]``, and MWh ``taken [4, B, N]`` from each source, at ``load [B, N]``."""
    B, N = load.shape
    for b in range(B):
        for i in range(N):
            site, x = _site(sites, b, i), load[b, i]
            sources = _sources(site)
            n = x
            if servers:
                keep = _cheaper_than(site.hold, site, sources)
                more = _cheaper_than(site.hold - site.start, site, sources)
                n = _on(x, keep, more, site)
            on[b, i] = n
            at = site.pue * (site.idle * n + (1.0 - site.idle) * x) + site.charge
            for m in range(4):
                taken[m, b, i] = min(max(at - sources.begin[m], 0.0), sources.width[m])
