"""Newton's system ``A·D·Aᵀ·y = r``, factored by its structure: linear in the number of slots.

In a slot, the balance and the capacity of a site are two rows of its own: they are eliminated by a
formula. What is left of a slot is its *block*: the groups' demands, then the *states* that link it
to the next slot (servers, batteries, waiting work); and all slots meet in the footprints, the
*border*. So a block has columns: its own rows, the next slot's states, the border. Formulas:
docs/interior.md.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

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
from equiload.envs.typing import FloatArray

# Rows of a slot's table of what the elimination of a site leaves: the inverse of its two rows …
INVERSE_BALANCE, INVERSE_CROSS, INVERSE_CAPACITY = range(3)
# … and what it is to others.
HELD, HELD_BALANCE, BALANCE_LOAD, HELD_LOAD, SHARED, OWN, THROUGH, REST, KEPT = range(3, 12)
# A pivot that is so small a share of what it was holds rounding alone: its row says nothing.
_ROUNDING = 1e-14


class Factor(NamedTuple):
    """The Cholesky factor of the system, upper halves; their diagonals hold reciprocals.

    Parameters
    ----------
    local
        ``[T, 12, N]``, what the elimination of each site leaves.
    blocks
        ``[T, n, n + m + K·R]``, with ``m`` states and ``n = G + m`` rows.
    border
        ``[K·R, K·R]``.
    """

    local: FloatArray
    blocks: FloatArray
    border: FloatArray

    @staticmethod
    def room(sizes: Sizes, servers: bool, storage: bool) -> "Factor":
        """Room for the factor of such a program."""
        T, N, border = sizes.slots, sizes.sites, sizes.kinds * sizes.regions
        m = N * (servers + storage) + sizes.classes
        n = sizes.groups + m
        blocks = np.zeros((T, n, n + m + border))
        return Factor(np.zeros((T, 12, N)), blocks, np.zeros((border, border)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _eliminate(D: FloatArray, of_load: FloatArray, net: Network, local: FloatArray) -> None:
    """Invert the two rows of every site, written so that nothing cancels."""
    for i in range(len(of_load)):
        grid, load, on, spare = D[GRID, i], of_load[i], D[ON, i], D[SPARE, i]
        kept = D[GENERATION, i] + D[DISCHARGE, i] + D[CHARGE, i]
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
        local[THROUGH, i] = net.gain[i] * D[CHARGE, i] + net.loss[i] * D[DISCHARGE, i]
        local[REST, i] = rest * one
        local[KEPT, i] = kept


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_sites(
    t: int, D: FloatArray, net: Network, local: FloatArray, block: FloatArray, onward: FloatArray
) -> None:
    """Add a slot's servers and batteries to its block.

    ``onward [N, K]``: the next slot's servers with the footprints.
    """
    N, n = len(net.region), len(block)
    K, C = net.imported.shape[1], len(net.class_group)
    states = N * net.servers + N * net.storage + C
    servers, batteries = n - states, n - C - N
    beyond, edge = states, n + states  # from a state to the next slot's; first column of the border
    R = (block.shape[1] - edge) // max(K, 1)
    for i in range(N):
        inverse, held_balance = local[INVERSE_BALANCE, i], local[HELD_BALANCE, i]
        through, s, b = local[THROUGH, i], servers + i, batteries + i
        if net.servers:
            block[s, s] += local[HELD, i] + D[STARTED, i] + D[STOPPED, i]
            block[s, s + beyond] -= local[HELD, i]
        if net.storage:
            gain, loss = net.gain[i], net.loss[i]
            straight = gain * gain * D[CHARGE, i] + loss * loss * D[DISCHARGE, i]
            block[b, b] += D[STORED, i] + straight - through * through * inverse
            block[b, b + beyond] -= D[STORED, i]
            if net.servers:
                block[s, b] += through * held_balance
                block[b, s + beyond] -= through * held_balance
        for k in range(K):
            column, drawn = edge + k * R + net.region[i], net.drawn[t, k, i]
            grid = net.imported[t, k, i] * D[GRID, i]
            whole = grid + drawn * (D[GRID, i] + local[KEPT, i])
            if net.servers:
                onward[i, k] = whole * held_balance
                block[s, column] += onward[i, k]
            if net.storage:
                block[b, column] += through * (drawn - whole * inverse)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_border(t: int, D: FloatArray, net: Network, local: FloatArray, border: FloatArray) -> None:
    """Add a slot's footprints to the border's own block."""
    K = net.imported.shape[1]
    R = len(border) // max(K, 1)
    for i in range(len(net.region)):
        grid, rest = D[GRID, i], local[REST, i]
        alone = rest + local[KEPT, i] * local[INVERSE_BALANCE, i]
        for k in range(K):
            e, o = net.imported[t, k, i], net.drawn[t, k, i]
            row = k * R + net.region[i]
            for other in range(k, K):
                f, q = net.imported[t, other, i], net.drawn[t, other, i]
                both = e * f * alone * grid + (e * q + o * f) * grid * rest
                both += o * q * (grid + local[KEPT, i]) * rest
                border[row, other * R + net.region[i]] += both


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_demand(
    t: int, D: Vector, net: Network, local: FloatArray, send: FloatArray, block: FloatArray
) -> None:
    """Add a slot's demand rows to its block; ``send [G + 1, N]``: loads of each group, and of all."""
    G, N = len(send) - 1, len(net.region)
    n, K, C = len(block), net.imported.shape[1], len(net.class_group)
    edge = n + n - G
    R = (block.shape[1] - edge) // max(K, 1)
    for g in range(G):
        for i in range(N):
            load = send[g, i]
            if load == 0.0:
                continue
            if net.servers:
                block[g, G + i] = load * local[HELD_LOAD, i]
                block[g, n + i] = -load * local[HELD_LOAD, i]
            along = load * local[BALANCE_LOAD, i]
            if net.storage:
                block[g, n - C - N + i] = local[THROUGH, i] * along
            for k in range(K):
                grid = D.site[t, GRID, i]
                drawn = net.drawn[t, k, i] * (grid + local[KEPT, i])
                whole = net.imported[t, k, i] * grid + drawn
                block[g, edge + k * R + net.region[i]] += whole * along
            others = send[G, i] - load
            block[g, g] += load * (local[OWN, i] + others * local[SHARED, i])
            for h in range(g + 1, G):
                block[g, h] -= load * send[h, i] * local[SHARED, i]
    for s in range(len(net.saver_group)):
        block[net.saver_group[s], net.saver_group[s]] += D.saved[t, s]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_work(t: int, D: Vector, net: Network, block: FloatArray, states: int) -> None:
    """Add a slot's training work to its block."""
    n, C = len(block), len(net.class_group)
    for c in range(C):
        row, group = n - C + c, net.class_group[c]
        waiting, done = D.work[t, WAITING, c], D.work[t, DONE, c]
        block[row, row] += waiting + done + D.work[t, LATE, c]
        block[row, row + states] -= waiting
        block[group, group] += done
        block[group, row] -= done


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _cholesky(block: FloatArray) -> None:
    """Factor the upper half of the square that a block begins with, and divide the rest by it.

    The diagonal then holds reciprocals, 0 where a row says nothing.
    """
    n, width = block.shape
    for p in range(n):
        row, before, j = block[p], block[p, p], 0
        while j + 4 <= p:  # four at once: a row is then read and written a quarter as often
            a, b, c, d = block[j, p], block[j + 1, p], block[j + 2, p], block[j + 3, p]
            for q in range(p, width):
                taken = a * block[j, q] + b * block[j + 1, q]
                row[q] -= taken + (c * block[j + 2, q] + d * block[j + 3, q])
            j += 4
        while j < p:
            a = block[j, p]
            for q in range(p, width):
                row[q] -= a * block[j, q]
            j += 1
        one = 1.0 / np.sqrt(row[p]) if row[p] > _ROUNDING * before else 0.0
        row[p] = one
        for q in range(p + 1, width):
            row[q] *= one


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _carry(
    t: int, D: Vector, net: Network, to: Factor, onward: FloatArray, carried: FloatArray
) -> None:
    """What a slot takes from the next slot's block and from the border: a product with itself.

    Less what the next slot's own rows have of this slot's variables.
    """
    n, N, C = to.blocks.shape[1], len(net.region), len(net.class_group)
    K, R = D.slack.shape
    m = len(carried) - len(to.border)
    beyond = to.blocks[t, :, n:].copy()
    np.dot(beyond.T, beyond, carried)
    for p in range(len(to.border)):
        for q in range(p, len(to.border)):
            to.border[p, q] -= carried[m + p, m + q]
    for i in range(N):
        if net.servers:
            carried[i, i] -= to.local[t, HELD, i]
            for k in range(K):
                carried[i, m + k * R + net.region[i]] += onward[i, k]
        if net.storage:
            carried[m - C - N + i, m - C - N + i] -= D.site[t, STORED, i]
    for c in range(C):
        carried[m - C + c, m - C + c] -= D.work[t, WAITING, c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_horizon(D: Vector, border: FloatArray) -> None:
    """Begin the border with the highest footprints and their slacks."""
    K, R = D.slack.shape
    border[:] = 0.0
    for k in range(K):
        for r in range(R):
            border[k * R + r, k * R + r] += D.slack[k, r]
            for other in range(R):
                border[k * R + r, k * R + other] += D.highest[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def factorise(D: Vector, net: Network, to: Factor) -> None:
    """Factor ``A·D·Aᵀ``; ``D`` is 0 where a variable is fixed."""
    T, n, width = to.blocks.shape
    N, C, W = len(net.region), len(net.class_group), width - n
    m = W - len(to.border)
    G = n - m
    carried, onward = np.zeros((W, W)), np.zeros((N, len(D.highest)))
    send = np.zeros((G + 1, N))
    _of_horizon(D, to.border)
    for t in range(T):
        local, block = to.local[t], to.blocks[t]
        block[:] = 0.0
        for p in range(m):
            for q in range(p, m):
                block[G + p, G + q] = -carried[p, q]
            for q in range(m, W):
                block[G + p, n + q] = -carried[p, q]
        send[G] = 0.0
        for p in range(len(net.pair_site)):
            send[net.pair_group[p], net.pair_site[p]] = D.load[t, p]
            send[G, net.pair_site[p]] += D.load[t, p]
        _eliminate(D.site[t], send[G], net, local)
        _of_sites(t, D.site[t], net, local, block, onward)
        _of_demand(t, D, net, local, send, block)
        _of_work(t, D, net, block, m)
        if net.storage and t == T - 1:
            for i in range(N):
                block[n - C - N + i, n - C - N + i] += D.missing[i]
        _of_border(t, D.site[t], net, local, to.border)
        _cholesky(block)
        _carry(t, D, net, to, onward, carried)
    _cholesky(to.border)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _forward(t: int, right: Rows, D: Vector, net: Network, by: Factor, acc: FloatArray) -> None:
    """Take a slot's sites out of the right-hand side; both of their rows stay there.

    ``acc`` is of a block's columns: it takes the slot's demands and states, and what goes on to the
    next slot and the border.
    """
    n, N, C, G = by.blocks.shape[1], len(net.region), len(net.class_group), right.demand.shape[1]
    K, R, local, row = len(D.highest), D.slack.shape[1], by.local[t], right.site[t]
    edge = len(acc) - K * R
    drawn = np.empty(N)
    for i in range(N):
        b, c = row[BALANCE, i], row[CAPACITY, i]
        balance = local[INVERSE_BALANCE, i] * b + local[INVERSE_CROSS, i] * c
        capacity = local[INVERSE_CROSS, i] * b + local[INVERSE_CAPACITY, i] * c
        drawn[i] = net.per_load[i] * balance + capacity
        if net.servers:
            held = D.site[t, ON, i] * (capacity - net.per_on[i] * balance)
            acc[G + i] += row[SWITCHED, i] - held
            acc[n + i] += held
        if net.storage:
            acc[n - C - N + i] += row[BATTERY, i] - local[THROUGH, i] * balance
        grid = D.site[t, GRID, i]
        for k in range(K):
            whole = net.imported[t, k, i] * grid
            whole += net.drawn[t, k, i] * (grid + local[KEPT, i])
            acc[edge + k * R + net.region[i]] -= whole * balance
    for c in range(C):
        acc[n - C + c] += right.work[t, c]
    for g in range(G):
        acc[g] = right.demand[t, g]
    for p in range(len(net.pair_site)):
        acc[net.pair_group[p]] += D.load[t, p] * drawn[net.pair_site[p]]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _backward(t: int, D: Vector, net: Network, by: Factor, known: FloatArray, y: Rows) -> None:
    """Put a slot's sites back: ``known`` is ``y`` of a block's columns."""
    n, N, C, G = by.blocks.shape[1], len(net.region), len(net.class_group), y.demand.shape[1]
    K, R, local, row = len(D.highest), D.slack.shape[1], by.local[t], y.site[t]
    edge, lent = len(known) - K * R, np.zeros(N)
    for g in range(G):
        y.demand[t, g] = known[g]
    for c in range(C):
        y.work[t, c] = known[n - C + c]
    for p in range(len(net.pair_site)):
        lent[net.pair_site[p]] += D.load[t, p] * known[net.pair_group[p]]
    for i in range(N):
        b = row[BALANCE, i] + net.per_load[i] * lent[i]
        c = row[CAPACITY, i] + lent[i]
        row[SWITCHED, i] = row[BATTERY, i] = 0.0
        if net.servers:
            held = D.site[t, ON, i] * (known[G + i] - known[n + i])
            b += net.per_on[i] * held
            c -= held
            row[SWITCHED, i] = known[G + i]
        if net.storage:
            b -= local[THROUGH, i] * known[n - C - N + i]
            row[BATTERY, i] = known[n - C - N + i]
        grid = D.site[t, GRID, i]
        for k in range(K):
            whole = net.imported[t, k, i] * grid
            whole += net.drawn[t, k, i] * (grid + local[KEPT, i])
            b -= whole * known[edge + k * R + net.region[i]]
        row[BALANCE, i] = local[INVERSE_BALANCE, i] * b + local[INVERSE_CROSS, i] * c
        row[CAPACITY, i] = local[INVERSE_CROSS, i] * b + local[INVERSE_CAPACITY, i] * c


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _down(block: FloatArray, values: FloatArray) -> None:
    """Divide by a factor, and take its rows from what comes after."""
    n, width = block.shape
    for j in range(n):
        value = values[j] * block[j, j]
        values[j] = value
        for q in range(j + 1, width):
            values[q] -= value * block[j, q]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _up(block: FloatArray, values: FloatArray) -> None:
    """Divide by a factor's transpose, with what comes after known."""
    n, width = block.shape
    for j in range(n - 1, -1, -1):
        value = 0.0
        for q in range(j + 1, width):
            value += block[j, q] * values[q]
        values[j] = (values[j] - value) * block[j, j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def solve(D: Vector, net: Network, by: Factor, y: Rows) -> None:
    """Solve ``A·D·Aᵀ·y = r`` in place: ``y`` holds ``r`` first."""
    T, n, width = by.blocks.shape
    border = len(by.border)
    G, m = y.demand.shape[1], width - n - border
    edge = width - border
    acc, halfway = np.zeros(width), np.empty((T, n))
    acc[edge:] = y.footprint.ravel()
    for t in range(T):
        for p in range(m):
            acc[G + p] = acc[n + p]
            acc[n + p] = 0.0
        _forward(t, y, D, net, by, acc)
        _down(by.blocks[t], acc)
        for p in range(n):
            halfway[t, p] = acc[p]
    _down(by.border, acc[edge:])
    _up(by.border, acc[edge:])
    y.footprint[:] = acc[edge:].reshape(y.footprint.shape)
    for p in range(m):
        acc[n + p] = 0.0
    for t in range(T - 1, -1, -1):
        for p in range(n):
            acc[p] = halfway[t, p]
        _up(by.blocks[t], acc)
        _backward(t, D, net, by, acc, y)
        for p in range(m):
            acc[n + p] = acc[G + p]
