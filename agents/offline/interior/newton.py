"""Newton's system ``A·D·Aᵀ·y = r``, factored by its structure: linear in the number of slots.

In a slot, the balance and the capacity of a site are two rows of its own: they are eliminated by a
formula. So are the groups' demands, by a small Cholesky factor. What is left links a slot to the
next (servers, batteries, waiting work: the *states*) and to the footprints (the *border*): block
tridiagonal with a border. Formulas: docs/interior.md.
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
    """The Cholesky factor of the system, and room to work in.

    With ``m`` states, ``G`` groups and ``W = m + K·R``: next states, then the border.

    Parameters
    ----------
    local
        ``[T, 12, N]``, what the elimination of each site leaves.
    demand
        ``[T, G, G]``, factor of the demand rows; reciprocals on its diagonal, as below.
    demand_states
        ``[T, G, m]``, their part on the slot's states.
    states
        ``[T, m, m]``, factor of the states.
    panel
        ``[T, m + G, W]``, parts of states and demands on the next slot's states and the border.
    border
        ``[K·R, K·R]``.
    """

    local: FloatArray
    demand: FloatArray
    demand_states: FloatArray
    states: FloatArray
    panel: FloatArray
    border: FloatArray

    @staticmethod
    def room(sizes: Sizes, servers: bool, storage: bool) -> "Factor":
        """Room for the factor of such a program."""
        T, N, G, border = sizes.slots, sizes.sites, sizes.groups, sizes.kinds * sizes.regions
        m = N * (servers + storage) + sizes.classes
        return Factor(
            np.zeros((T, 12, N)),
            np.zeros((T, G, G)),
            np.zeros((T, G, m)),
            np.zeros((T, m, m)),
            np.zeros((T, m + G, m + border)),
            np.zeros((border, border)),
        )


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
    t: int,
    D: FloatArray,
    net: Network,
    local: FloatArray,
    diagonal: FloatArray,
    panel: FloatArray,
    onward: FloatArray,
) -> None:
    """Add a slot's servers and batteries to its diagonal block and its panel.

    ``onward [N, K]``: the next slot's servers with the footprints.
    """
    N = len(net.region)
    K, R = net.imported.shape[1], (panel.shape[1] - len(diagonal)) // max(net.imported.shape[1], 1)
    m, first = len(diagonal), N if net.servers else 0
    for i in range(N):
        inverse, held_balance = local[INVERSE_BALANCE, i], local[HELD_BALANCE, i]
        through, b = local[THROUGH, i], first + i
        if net.servers:
            diagonal[i, i] += local[HELD, i] + D[STARTED, i] + D[STOPPED, i]
            panel[i, i] -= local[HELD, i]
        if net.storage:
            charge, discharge = D[CHARGE, i], D[DISCHARGE, i]
            gain, loss = net.gain[i], net.loss[i]
            straight = gain * gain * charge + loss * loss * discharge
            diagonal[b, b] += D[STORED, i] + straight - through * through * inverse
            panel[b, b] -= D[STORED, i]
            if net.servers:
                diagonal[i, b] += through * held_balance
                panel[b, i] -= through * held_balance
        for k in range(K):
            column, drawn = m + k * R + net.region[i], net.drawn[t, k, i]
            grid = net.imported[t, k, i] * D[GRID, i]
            whole = grid + drawn * (D[GRID, i] + local[KEPT, i])
            if net.servers:
                onward[i, k] = whole * held_balance
                panel[i, column] += onward[i, k]
            if net.storage:
                panel[b, column] += through * (drawn - whole * inverse)


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
    t: int,
    D: Vector,
    net: Network,
    local: FloatArray,
    send: FloatArray,
    of_load: FloatArray,
    block: FloatArray,
    states: FloatArray,
    beyond: FloatArray,
) -> None:
    """The demand rows: their ``block [G, G]``, parts on ``states`` and on what is ``beyond``."""
    G, N = send.shape
    K, m = net.imported.shape[1], states.shape[1]
    R, first = (beyond.shape[1] - m) // max(K, 1), N if net.servers else 0
    block[:], states[:], beyond[:] = 0.0, 0.0, 0.0
    for g in range(G):
        for i in range(N):
            load = send[g, i]
            if load == 0.0:
                continue
            if net.servers:
                states[g, i] = load * local[HELD_LOAD, i]
                beyond[g, i] = -load * local[HELD_LOAD, i]
            along = load * local[BALANCE_LOAD, i]
            if net.storage:
                states[g, first + i] = local[THROUGH, i] * along
            for k in range(K):
                grid = D.site[t, GRID, i]
                drawn = net.drawn[t, k, i] * (grid + local[KEPT, i])
                whole = net.imported[t, k, i] * grid + drawn
                beyond[g, m + k * R + net.region[i]] += whole * along
            others = of_load[i] - load
            block[g, g] += load * (local[OWN, i] + others * local[SHARED, i])
            for h in range(g + 1, G):
                block[g, h] -= load * send[h, i] * local[SHARED, i]
    first += N if net.storage else 0
    for c in range(len(net.class_group)):
        g, done = net.class_group[c], D.work[t, DONE, c]
        block[g, g] += done
        states[g, first + c] = -done
    for s in range(len(net.saver_group)):
        block[net.saver_group[s], net.saver_group[s]] += D.saved[t, s]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _cholesky(block: FloatArray, beside: FloatArray, beyond: FloatArray) -> None:
    """Factor the upper half of a block in place, and apply its inverse to what stands beside it.

    The diagonal then holds reciprocals, 0 where a row says nothing.
    """
    n = len(block)
    before = np.empty(n)
    for j in range(n):
        before[j] = block[j, j]
    for j in range(n):
        pivot = block[j, j]
        one = 1.0 / np.sqrt(pivot) if pivot > _ROUNDING * before[j] else 0.0
        block[j, j] = one
        for q in range(j + 1, n):
            block[j, q] *= one
        for q in range(beside.shape[1]):
            beside[j, q] *= one
        for q in range(beyond.shape[1]):
            beyond[j, q] *= one
        for p in range(j + 1, n):
            factor = block[j, p]
            if factor == 0.0:
                continue
            for q in range(p, n):
                block[p, q] -= factor * block[j, q]
            for q in range(beside.shape[1]):
                beside[p, q] -= factor * beside[j, q]
            for q in range(beyond.shape[1]):
                beyond[p, q] -= factor * beyond[j, q]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _carry(
    t: int, D: Vector, net: Network, to: Factor, onward: FloatArray, carried: FloatArray
) -> None:
    """What a slot takes from the next slot's block and from the border: the panel's product.

    Less what the next slot's own rows have of this slot's variables.
    """
    N, K, m = len(net.region), len(D.highest), to.states.shape[1]
    R, panel = D.slack.shape[1], to.panel[t]
    np.dot(panel.T, panel, carried)
    for p in range(len(to.border)):
        for q in range(p, len(to.border)):
            to.border[p, q] -= carried[m + p, m + q]
    first = 0
    if net.servers:
        for i in range(N):
            carried[i, i] -= to.local[t, HELD, i]
            for k in range(K):
                carried[i, m + k * R + net.region[i]] += onward[i, k]
        first += N
    if net.storage:
        for i in range(N):
            carried[first + i, first + i] -= D.site[t, STORED, i]
        first += N
    for c in range(len(net.class_group)):
        carried[first + c, first + c] -= D.work[t, WAITING, c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_horizon(D: Vector, to: Factor) -> None:
    """Begin the border with the highest footprints and their slacks."""
    K, R = D.slack.shape
    to.border[:] = 0.0
    for k in range(K):
        for r in range(R):
            to.border[k * R + r, k * R + r] += D.slack[k, r]
            for other in range(R):
                to.border[k * R + r, k * R + other] += D.highest[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def factorise(D: Vector, net: Network, to: Factor) -> None:
    """Factor ``A·D·Aᵀ``; ``D`` is 0 where a variable is fixed."""
    T, _, N = D.site.shape
    G, m, W = to.demand.shape[1], to.states.shape[1], to.panel.shape[2]
    C, K = len(net.class_group), len(D.highest)
    carried, onward = np.zeros((W, W)), np.zeros((N, K))
    send, of_load = np.zeros((G, N)), np.empty(N)
    _of_horizon(D, to)
    for t in range(T):
        local, block, panel, beyond = to.local[t], to.states[t], to.panel[t, :m], to.panel[t, m:]
        demand, states = to.demand[t], to.demand_states[t]
        for p in range(m):
            for q in range(p, m):
                block[p, q] = -carried[p, q]
            for q in range(m):
                panel[p, q] = 0.0
            for q in range(m, W):
                panel[p, q] = -carried[p, q]
        of_load[:] = 0.0
        for p in range(D.load.shape[1]):
            send[net.pair_group[p], net.pair_site[p]] = D.load[t, p]
            of_load[net.pair_site[p]] += D.load[t, p]
        _eliminate(D.site[t], of_load, net, local)
        _of_sites(t, D.site[t], net, local, block, panel, onward)
        for c in range(C):
            waiting, row = D.work[t, WAITING, c], m - C + c
            block[row, row] += waiting + D.work[t, DONE, c] + D.work[t, LATE, c]
            panel[row, row] -= waiting
        if net.storage and t == T - 1:
            for i in range(N):
                block[m - C - N + i, m - C - N + i] += D.missing[i]
        _of_border(t, D.site[t], net, local, to.border)
        _of_demand(t, D, net, local, send, of_load, demand, states, beyond)
        _cholesky(demand, states, beyond)
        for g in range(G):
            for p in range(m):
                factor = states[g, p]
                if factor != 0.0:
                    for q in range(p, m):
                        block[p, q] -= factor * states[g, q]
                    for q in range(W):
                        panel[p, q] -= factor * beyond[g, q]
        _cholesky(block, panel, beyond[:, :0])
        _carry(t, D, net, to, onward, carried)
    _cholesky(to.border, beyond[:, :0], beyond[:, :0])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _forward(
    t: int, right: Rows, D: Vector, net: Network, by: Factor, state: FloatArray, acc: FloatArray
) -> None:
    """Take a slot's sites and demands out of the right-hand side; both rows of a site stay there.

    ``state [m]`` takes the slot's states, ``acc [W]`` what goes on to the next slot and the border.
    """
    N, m, C, G = len(net.region), len(state), len(net.class_group), right.demand.shape[1]
    K, R, local = len(D.highest), D.slack.shape[1], by.local[t]
    row, first = right.site[t], N if net.servers else 0
    drawn = np.empty(N)
    for i in range(N):
        b, c = row[BALANCE, i], row[CAPACITY, i]
        balance = local[INVERSE_BALANCE, i] * b + local[INVERSE_CROSS, i] * c
        capacity = local[INVERSE_CROSS, i] * b + local[INVERSE_CAPACITY, i] * c
        drawn[i] = net.per_load[i] * balance + capacity
        if net.servers:
            held = D.site[t, ON, i] * (capacity - net.per_on[i] * balance)
            state[i] += row[SWITCHED, i] - held
            acc[i] += held
        if net.storage:
            state[first + i] += row[BATTERY, i] - local[THROUGH, i] * balance
        grid = D.site[t, GRID, i]
        for k in range(K):
            whole = net.imported[t, k, i] * grid
            whole += net.drawn[t, k, i] * (grid + local[KEPT, i])
            acc[m + k * R + net.region[i]] -= whole * balance
    for c in range(C):
        state[m - C + c] += right.work[t, c]
    for p in range(D.load.shape[1]):
        right.demand[t, net.pair_group[p]] += D.load[t, p] * drawn[net.pair_site[p]]
    for g in range(G):
        value = right.demand[t, g] * by.demand[t, g, g]
        right.demand[t, g] = value
        for h in range(g + 1, G):
            right.demand[t, h] -= value * by.demand[t, g, h]
        for p in range(m):
            state[p] -= value * by.demand_states[t, g, p]
        for q in range(len(acc)):
            acc[q] -= value * by.panel[t, m + g, q]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _backward(
    t: int, D: Vector, net: Network, by: Factor, now: FloatArray, later: FloatArray, y: Rows
) -> None:
    """Put a slot's demands and sites back: ``y`` of states is known, ``now`` and ``later``."""
    N, m, C, G = len(net.region), len(now), len(net.class_group), y.demand.shape[1]
    K, R, local, row = len(D.highest), D.slack.shape[1], by.local[t], y.site[t]
    first, lent = N if net.servers else 0, np.zeros(N)
    for g in range(G - 1, -1, -1):
        value = y.demand[t, g]
        for q in range(len(later)):
            value -= by.panel[t, m + g, q] * later[q]
        for p in range(m):
            value -= by.demand_states[t, g, p] * now[p]
        for h in range(g + 1, G):
            value -= by.demand[t, g, h] * y.demand[t, h]
        y.demand[t, g] = value * by.demand[t, g, g]
    for c in range(C):
        y.work[t, c] = now[m - C + c]
    for p in range(D.load.shape[1]):
        lent[net.pair_site[p]] += D.load[t, p] * y.demand[t, net.pair_group[p]]
    for i in range(N):
        b = row[BALANCE, i] + net.per_load[i] * lent[i]
        c = row[CAPACITY, i] + lent[i]
        row[SWITCHED, i] = row[BATTERY, i] = 0.0
        if net.servers:
            held = D.site[t, ON, i] * (now[i] - later[i])
            b += net.per_on[i] * held
            c -= held
            row[SWITCHED, i] = now[i]
        if net.storage:
            b -= local[THROUGH, i] * now[first + i]
            row[BATTERY, i] = now[first + i]
        grid = D.site[t, GRID, i]
        for k in range(K):
            whole = net.imported[t, k, i] * grid
            whole += net.drawn[t, k, i] * (grid + local[KEPT, i])
            b -= whole * later[m + k * R + net.region[i]]
        row[BALANCE, i] = local[INVERSE_BALANCE, i] * b + local[INVERSE_CROSS, i] * c
        row[CAPACITY, i] = local[INVERSE_CROSS, i] * b + local[INVERSE_CAPACITY, i] * c


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _of_triangle(factor: FloatArray, values: FloatArray) -> None:
    """Solve with a factor and its transpose, in place."""
    n = len(values)
    for j in range(n):
        values[j] *= factor[j, j]
        for p in range(j + 1, n):
            values[p] -= values[j] * factor[j, p]
    for j in range(n - 1, -1, -1):
        value = values[j]
        for p in range(j + 1, n):
            value -= factor[j, p] * values[p]
        values[j] = value * factor[j, j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def solve(D: Vector, net: Network, by: Factor, y: Rows) -> None:
    """Solve ``A·D·Aᵀ·y = r`` in place: ``y`` holds ``r`` first."""
    T, m, W = len(by.states), by.states.shape[1], by.panel.shape[2]
    acc, now, later = np.zeros(W), np.zeros(m), np.zeros(W)
    states = np.empty((T, m))
    acc[m:] = y.footprint.ravel()
    for t in range(T):
        factor, panel, state = by.states[t], by.panel[t], states[t]
        for p in range(m):
            state[p] = acc[p]
            acc[p] = 0.0
        _forward(t, y, D, net, by, state, acc)
        for j in range(m):
            value = state[j] * factor[j, j]
            state[j] = value
            for p in range(j + 1, m):
                state[p] -= value * factor[j, p]
            for q in range(W):
                acc[q] -= value * panel[j, q]
    _of_triangle(by.border, acc[m:])
    y.footprint[:] = acc[m:].reshape(y.footprint.shape)
    later[m:] = acc[m:]
    for t in range(T - 1, -1, -1):
        factor, panel = by.states[t], by.panel[t]
        for j in range(m - 1, -1, -1):
            beyond, within = 0.0, 0.0
            for q in range(W):
                beyond += panel[j, q] * later[q]
            for p in range(j + 1, m):
                within += factor[j, p] * now[p]
            now[j] = (states[t, j] - beyond - within) * factor[j, j]
        _backward(t, D, net, by, now, later, y)
        for p in range(m):
            later[p] = now[p]
