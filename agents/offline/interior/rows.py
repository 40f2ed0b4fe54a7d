"""The program's rows, applied: ``A·v`` and ``Aᵀ·y``, without a matrix.

All in one pass over the slots; the rows stand in docs/interior.md.
"""

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
    Vector,
)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def applied(v: Vector, net: Network, out: Rows) -> None:
    """``A·v``."""
    T, _, N = v.site.shape
    K = len(v.highest)
    for k in range(K):
        out.footprint[k] = v.slack[k] - v.highest[k]
    for t in range(T):
        now, row, before = v.site[t], out.site[t], v.site[t - 1]
        for i in range(N):
            on, given, taken = now[ON, i], now[DISCHARGE, i], now[CHARGE, i]
            draw = now[GRID, i] + now[GENERATION, i] + given - taken
            row[BALANCE, i] = draw - net.per_on[i] * on
            row[CAPACITY, i] = on - now[SPARE, i]
            row[SWITCHED, i] = on - now[STARTED, i] + now[STOPPED, i]
            row[BATTERY, i] = now[STORED, i] - net.gain[i] * taken + net.loss[i] * given
            if t > 0:
                row[SWITCHED, i] -= before[ON, i]
                row[BATTERY, i] -= before[STORED, i]
            r = net.region[i]
            for k in range(K):
                cost = net.imported[t, k, i] * now[GRID, i] + net.drawn[t, k, i] * draw
                out.footprint[k, r] += cost
        out.demand[t] = 0.0
        for c in range(v.work.shape[2]):
            out.work[t, c] = v.work[t, WAITING, c] + v.work[t, DONE, c] + v.work[t, LATE, c]
            if t > 0:
                out.work[t, c] -= v.work[t - 1, WAITING, c]
            out.demand[t, net.class_group[c]] -= v.work[t, DONE, c]
        for p in range(v.load.shape[1]):
            i, load = net.pair_site[p], v.load[t, p]
            row[BALANCE, i] -= net.per_load[i] * load
            row[CAPACITY, i] -= load
            out.demand[t, net.pair_group[p]] += load
        for m in range(v.saved.shape[1]):
            out.demand[t, net.saver_group[m]] += v.saved[t, m]
    for i in range(N):
        out.site[T - 1, BATTERY, i] -= v.missing[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def transposed(y: Rows, net: Network, out: Vector) -> None:
    """``Aᵀ·y``."""
    T, _, N = y.site.shape
    K = len(y.footprint)
    for k in range(K):
        out.highest[k] = -y.footprint[k].sum()
        out.slack[k] = y.footprint[k]
    nothing = np.zeros(N)
    for t in range(T):
        row, col = y.site[t], out.site[t]
        last = t == T - 1
        switched = nothing if last else y.site[t + 1, SWITCHED]
        battery = nothing if last else y.site[t + 1, BATTERY]
        for i in range(N):
            grid, draw, r = row[BALANCE, i], row[BALANCE, i], net.region[i]
            for k in range(K):
                draw += net.drawn[t, k, i] * y.footprint[k, r]
                grid += (net.imported[t, k, i] + net.drawn[t, k, i]) * y.footprint[k, r]
            col[GRID, i], col[GENERATION, i] = grid, draw
            col[DISCHARGE, i] = draw + net.loss[i] * row[BATTERY, i]
            col[CHARGE, i] = -draw - net.gain[i] * row[BATTERY, i]
            col[STORED, i] = row[BATTERY, i] - battery[i]
            on = row[CAPACITY, i] - net.per_on[i] * row[BALANCE, i]
            col[ON, i] = on + row[SWITCHED, i] - switched[i]
            col[STARTED, i], col[STOPPED, i] = -row[SWITCHED, i], row[SWITCHED, i]
            col[SPARE, i] = -row[CAPACITY, i]
        for c in range(y.work.shape[1]):
            work = y.work[t, c]
            out.work[t, WAITING, c] = work - (0.0 if last else y.work[t + 1, c])
            out.work[t, DONE, c] = work - y.demand[t, net.class_group[c]]
            out.work[t, LATE, c] = work
        for p in range(len(net.pair_site)):
            i = net.pair_site[p]
            site = net.per_load[i] * row[BALANCE, i] + row[CAPACITY, i]
            out.load[t, p] = y.demand[t, net.pair_group[p]] - site
        for m in range(len(net.saver_group)):
            out.saved[t, m] = y.demand[t, net.saver_group[m]]
    for i in range(N):
        out.missing[i] = -y.site[T - 1, BATTERY, i]
