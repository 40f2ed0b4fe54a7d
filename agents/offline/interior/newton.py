"""Newton's system ``A·D·Aᵀ·y = r``, by its structure: linear in the number of slots.

In a slot, the balance and the capacity of a site are two rows of its own: they are eliminated by a
formula. What is left of a slot is its block: the groups' demands, then the *states* that link it to
the next slot (servers, batteries, waiting work); and all slots meet in the footprints, the border.
Formulas: docs/interior.md.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.agents.offline.interior import blocks
from equiload.agents.offline.interior.layout import (
    BALANCE,
    BATTERY,
    CAPACITY,
    CHARGE,
    DISCHARGE,
    DONE,
    GENERATION,
    GRID,
    LATE,
    ON,
    SPARE,
    STARTED,
    STOPPED,
    STORED,
    SWITCHED,
    WAITING,
    Network,
    Rows,
    Sizes,
    Vector,
)
from equiload.envs.typing import FloatArray, IntArray

# Rows of the table of what the elimination of a site leaves: the inverse of its two rows …
INVERSE_BALANCE, INVERSE_CROSS, INVERSE_CAPACITY = range(3)
# … and what it is to others; after these, by kind of footprint, that of the balance.
HELD, HELD_BALANCE, BALANCE_LOAD, HELD_LOAD, SHARED, OWN, THROUGH, REST, KEPT, PRICED = range(3, 13)

_RUN = 16  # slots whose blocks are filled and factored while they are in the processor's cache


class Factor(NamedTuple):
    """The factor of a system, see :mod:`~equiload.agents.offline.interior.blocks`.

    Parameters
    ----------
    local
        ``[T, 12 + K, N]``, what the elimination of each site leaves.
    run
        ``[S + 1, n, n + K·R + m]``, some slots' blocks and what they leave to the next one's, with
        ``m`` states and ``n = G + m`` rows.
    rows
        Where the rows of a block end.
    packed
        ``[T, first[n]]``, the factored blocks.
    border, ends
        ``[K·R, K·R]``, and where its rows end.
    """

    local: FloatArray
    run: FloatArray
    rows: blocks.Skyline
    packed: FloatArray
    border: FloatArray
    ends: IntArray

    @staticmethod
    def room(sizes: Sizes, servers: bool, storage: bool) -> "Factor":
        """Room for the factor of such a program."""
        T, N, K, border = sizes.slots, sizes.sites, sizes.kinds, sizes.kinds * sizes.regions
        groups = np.full(sizes.groups + N * servers, N * servers)  # all meet all servers
        stores = N * servers + 1 + np.arange(N * storage + sizes.classes)
        n, m = len(groups) + len(stores), N * (servers + storage) + sizes.classes
        rows = blocks.Skyline.of(np.r_[groups, stores], n + border)
        return Factor(
            np.zeros((T, PRICED + K, N)),
            np.zeros((min(T, _RUN) + 1, n, n + border + m)),
            rows,
            np.zeros((T, rows.first[-1])),
            np.zeros((border, border)),
            np.full(border, border),
        )


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def factorise(d: Vector, net: Network, to: Factor) -> None:
    """Factor ``A·D·Aᵀ``, ``d`` being the diagonal ``D``: 0 where a variable is fixed."""
    _eliminate(d, net, to.local)
    _of_border(d, net, to.local, to.border)
    T, (_, n, width) = len(to.packed), to.run.shape
    passed = np.zeros((width - n, width - n))
    to.run[0] = 0.0
    for first in range(0, T, _RUN):
        last = min(first + _RUN, T)
        to.run[1:] = 0.0
        _of_states(first, last, d, net, to.local, to.run)
        _of_demand(first, last, d, net, to.local, to.run)
        run, packed = to.run[: last - first], to.packed[first:last]
        blocks.factorise(run, to.rows, passed, packed, to.border)
        to.run[0] = to.run[last - first]
    blocks.cholesky(to.border, to.ends)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def solve(d: Vector, net: Network, by: Factor, y: Rows) -> None:
    """Solve ``A·D·Aᵀ·y = r`` in place: ``y`` holds ``r`` first."""
    values, edge = np.zeros((len(by.packed), len(by.rows.end))), y.footprint.ravel()
    _taken(d, net, by.local, y, values, edge)
    blocks.solve(by.packed, by.rows, by.border, values, edge)
    _given(d, net, by.local, values, edge, y)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _eliminate(d: Vector, net: Network, to: FloatArray) -> None:
    """Invert the two rows of every site, written so that nothing cancels."""
    T, _, N = d.site.shape
    loads = np.empty(N)
    for m in range(T * N):
        t, i = m // N, m % N
        if i == 0:
            loads[:] = 0.0
            for p in range(len(net.pair_site)):
                loads[net.pair_site[p]] += d.load[t, p]
        site, local = d.site[t], to[t]
        grid, load, on, spare = site[GRID, i], loads[i], site[ON, i], site[SPARE, i]
        kept = site[GENERATION, i] + site[DISCHARGE, i] + site[CHARGE, i]
        supply = grid + kept
        if load + on + spare == 0.0:  # an outage: the row is empty
            spare = 1.0
        if supply == 0.0:
            supply = 1.0
        a, e = net.per_load[i], net.per_on[i]
        both, by_load, by_on = a + e, a * a * load, e * e * on
        side = load + on + spare
        rest = spare * (by_load + by_on) + load * on * both * both
        one = 1.0 / (supply * side + rest)
        local[INVERSE_BALANCE, i] = side * one
        local[INVERSE_CROSS, i] = (e * on - a * load) * one
        local[INVERSE_CAPACITY, i] = (supply + by_load + by_on) * one
        local[HELD, i] = on * (supply * (load + spare) + spare * by_load) * one
        local[HELD_BALANCE, i] = on * (both * load + e * spare) * one
        local[BALANCE_LOAD, i] = (a * (on + spare) + e * on) * one
        local[HELD_LOAD, i] = on * (supply - e * a * spare) * one
        local[SHARED, i] = (supply + a * a * spare + both * both * on) * one
        local[OWN, i] = (supply * (on + spare) + spare * by_on) * one
        local[THROUGH, i] = net.gain[i] * site[CHARGE, i] + net.loss[i] * site[DISCHARGE, i]
        local[REST, i] = rest * one
        local[KEPT, i] = kept
        for k in range(len(d.highest)):
            drawn = net.drawn[t, k, i] * (grid + kept)
            local[PRICED + k, i] = net.imported[t, k, i] * grid + drawn


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_states(
    first: int, last: int, d: Vector, net: Network, by: FloatArray, to: FloatArray
) -> None:
    """Add servers, batteries and training work to the blocks of slots ``[first, last)``."""
    T, _, N = d.site.shape
    n, (K, R), C = to.shape[1], d.slack.shape, len(net.class_group)
    works, batteries, later = n - C, n - C - N, n + K * R
    servers = n - (to.shape[2] - later)
    apart = later - servers  # from a state to itself in the next slot
    for m in range((last - first) * N):
        t, i = first + m // N, m % N
        site, local, block, after = d.site[t], by[t], to[t - first], to[t - first + 1]
        s, b = servers + i, batteries + i
        inverse, held_balance = local[INVERSE_BALANCE, i], local[HELD_BALANCE, i]
        through, held, stored = local[THROUGH, i], local[HELD, i], site[STORED, i]
        if net.servers:
            block[s, s] += held + site[STARTED, i] + site[STOPPED, i]
            if t < T - 1:
                block[s, s + apart] = -held
                after[s, s] = held
        if net.storage:
            gain, loss = net.gain[i], net.loss[i]
            straight = gain * gain * site[CHARGE, i] + loss * loss * site[DISCHARGE, i]
            block[b, b] += stored + straight - through * through * inverse
            if t < T - 1:
                block[b, b + apart] = -stored
                after[b, b] = stored
            else:
                block[b, b] += d.missing[i]
            if net.servers:
                block[s, b] = through * held_balance
                block[b, s + apart] = -through * held_balance if t < T - 1 else 0.0
        for k in range(K):
            column = n + k * R + net.region[i]
            if net.servers:
                block[s, column] += local[PRICED + k, i] * held_balance
                if t < T - 1:
                    after[s, column] = -local[PRICED + k, i] * held_balance
            if net.storage:
                alone = net.drawn[t, k, i] - local[PRICED + k, i] * inverse
                block[b, column] = through * alone
    for t in range(first, last):
        block, after = to[t - first], to[t - first + 1]
        for c in range(C):
            q, waiting = works + c, d.work[t, WAITING, c]
            block[q, q] += waiting + d.work[t, DONE, c] + d.work[t, LATE, c]
            if t < T - 1:
                block[q, q + apart] = -waiting
                after[q, q] = waiting


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_demand(
    first: int, last: int, d: Vector, net: Network, by: FloatArray, to: FloatArray
) -> None:
    """Add the groups' demands to the blocks of slots ``[first, last)``."""
    T, pairs = d.load.shape
    N, n, (K, R), C = len(net.region), to.shape[1], d.slack.shape, len(net.class_group)
    later, batteries = n + K * R, n - C - N
    servers = n - (to.shape[2] - later)
    for t in range(first, last):
        block, local, load = to[t - first], by[t], d.load[t]
        for p in range(pairs):
            g, i = net.pair_group[p], net.pair_site[p]
            if net.servers:
                block[g, servers + i] = load[p] * local[HELD_LOAD, i]
                block[g, later + i] = -load[p] * local[HELD_LOAD, i] if t < T - 1 else 0.0
            along = load[p] * local[BALANCE_LOAD, i]
            if net.storage:
                block[g, batteries + i] = local[THROUGH, i] * along
            for k in range(K):
                block[g, n + k * R + net.region[i]] += local[PRICED + k, i] * along
            block[g, g] += load[p] * local[OWN, i]
        for s in range(net.shared.shape[1]):
            p, q = net.shared[0, s], net.shared[1, s]
            g, h = net.pair_group[p], net.pair_group[q]
            both = load[p] * load[q] * local[SHARED, net.pair_site[p]]
            block[g, h] -= both
            block[g, g] += both
            block[h, h] += both
        for s in range(len(net.saver_group)):
            g = net.saver_group[s]
            block[g, g] += d.saved[t, s]
        for c in range(C):
            g, done = net.class_group[c], d.work[t, DONE, c]
            block[g, g] += done
            block[g, n - C + c] = -done


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_border(d: Vector, net: Network, by: FloatArray, border: FloatArray) -> None:
    """The footprints' own block."""
    T, (K, R) = len(d.site), d.slack.shape
    border[:] = 0.0
    for k in range(K):
        for r in range(R):
            border[k * R + r, k * R + r] += d.slack[k, r]
            for other in range(R):
                border[k * R + r, k * R + other] += d.highest[k]
    for t in range(T):
        for i in range(len(net.region)):
            grid, rest, kept = d.site[t, GRID, i], by[t, REST, i], by[t, KEPT, i]
            alone = rest + kept * by[t, INVERSE_BALANCE, i]
            for k in range(K):
                e, o = net.imported[t, k, i], net.drawn[t, k, i]
                for h in range(k, K):
                    f, q = net.imported[t, h, i], net.drawn[t, h, i]
                    both = (e * f * alone + (e * q + o * f) * rest) * grid
                    both += o * q * rest * (grid + kept)
                    border[k * R + net.region[i], h * R + net.region[i]] += both


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _taken(
    d: Vector, net: Network, by: FloatArray, right: Rows, values: FloatArray, edge: FloatArray
) -> None:
    """Take all sites out of the right-hand side; both of their rows stay there."""
    T, n = values.shape
    N, (K, R), C, G = len(net.region), d.slack.shape, len(net.class_group), right.demand.shape[1]
    for t in range(T):
        row, local, value = right.site[t], by[t], values[t]
        for g in range(G):
            value[g] = right.demand[t, g]
        for c in range(C):
            value[n - C + c] = right.work[t, c]
        for i in range(N):
            b, c = row[BALANCE, i], row[CAPACITY, i]
            balance = local[INVERSE_BALANCE, i] * b + local[INVERSE_CROSS, i] * c
            capacity = local[INVERSE_CROSS, i] * b + local[INVERSE_CAPACITY, i] * c
            if net.servers:
                held = d.site[t, ON, i] * (capacity - net.per_on[i] * balance)
                value[G + i] += row[SWITCHED, i] - held
                if t < T - 1:
                    values[t + 1, G + i] = held
            if net.storage:
                value[n - C - N + i] = row[BATTERY, i] - local[THROUGH, i] * balance
            for k in range(K):
                edge[k * R + net.region[i]] -= local[PRICED + k, i] * balance
            row[BALANCE, i], row[CAPACITY, i] = balance, capacity
        for p in range(len(net.pair_site)):
            i = net.pair_site[p]
            drawn = net.per_load[i] * row[BALANCE, i] + row[CAPACITY, i]
            value[net.pair_group[p]] += d.load[t, p] * drawn


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _given(
    d: Vector, net: Network, by: FloatArray, values: FloatArray, edge: FloatArray, y: Rows
) -> None:
    """Put all sites back: what others are is known, and changes both of their rows."""
    T, n = values.shape
    N, (K, R), C, G = len(net.region), d.slack.shape, len(net.class_group), y.demand.shape[1]
    lent = np.empty(N)
    for t in range(T):
        row, local, value = y.site[t], by[t], values[t]
        for g in range(G):
            y.demand[t, g] = value[g]
        for c in range(C):
            y.work[t, c] = value[n - C + c]
        lent[:] = 0.0
        for p in range(len(net.pair_site)):
            lent[net.pair_site[p]] += d.load[t, p] * value[net.pair_group[p]]
        for i in range(N):
            b, c = net.per_load[i] * lent[i], lent[i]
            row[SWITCHED, i] = row[BATTERY, i] = 0.0
            if net.servers:
                later = values[t + 1, G + i] if t < T - 1 else 0.0
                held = d.site[t, ON, i] * (value[G + i] - later)
                b += net.per_on[i] * held
                c -= held
                row[SWITCHED, i] = value[G + i]
            if net.storage:
                b -= local[THROUGH, i] * value[n - C - N + i]
                row[BATTERY, i] = value[n - C - N + i]
            for k in range(K):
                b -= local[PRICED + k, i] * edge[k * R + net.region[i]]
            row[BALANCE, i] += local[INVERSE_BALANCE, i] * b + local[INVERSE_CROSS, i] * c
            row[CAPACITY, i] += local[INVERSE_CROSS, i] * b + local[INVERSE_CAPACITY, i] * c
    for k in range(K):
        for r in range(R):
            y.footprint[k, r] = edge[k * R + r]
