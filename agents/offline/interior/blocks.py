"""Systems that are block tridiagonal, with a border: factored and solved, slot by slot.

A block has the rows of its slot; of its columns the first ``n`` are the slot's own (the upper half
is used), then come the next slot's last ``m``, its *states*, and the border. Dense arithmetic: what
a slot changes in the next one and in the border is one product of matrices.

Loops begin at 0 and add where they start: from a start of unknown sign numba would have to ask of
each index whether it counts from the end, and such a loop takes three times as long.
"""

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray

# A pivot that is so small a share of what it was holds rounding alone: its row says nothing.
_ROUNDING = 1e-14


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _cholesky(block: FloatArray) -> None:
    """Factor the upper half of the square that a block begins with, and divide the rest by it.

    The diagonal then holds reciprocals, 0 where a row says nothing.
    """
    n, width = block.shape
    for p in range(n):
        row, before = block[p], block[p, p]
        for four in range(p // 4):  # a row is then read and written a quarter as often
            j = 4 * four
            a, b, c, d = block[j, p], block[j + 1, p], block[j + 2, p], block[j + 3, p]
            for q in range(width - p):
                taken = a * block[j, p + q] + b * block[j + 1, p + q]
                row[p + q] -= taken + (c * block[j + 2, p + q] + d * block[j + 3, p + q])
        for j in range(p - p % 4, p):
            a = block[j, p]
            for q in range(width - p):
                row[p + q] -= a * block[j, p + q]
        one = 1.0 / np.sqrt(max(row[p], _ROUNDING * before)) if before > 0.0 else 0.0
        row[p] = one
        for q in range(width - p - 1):
            row[p + 1 + q] *= one


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def factorise(blocks: FloatArray, border: FloatArray) -> None:
    """Factor ``blocks [T, n, n + m + q]`` and ``border [q, q]`` in place (Cholesky)."""
    T, n, width = blocks.shape
    q = len(border)
    m = width - n - q
    product, beyond = np.zeros((m + q, m + q)), np.empty((n, m + q))
    for t in range(T):
        block = blocks[t]
        for row in range(m):  # below the diagonal nothing is read
            for column in range(m):
                block[n - m + row, n - m + column] -= product[row, column]
            for column in range(q):
                block[n - m + row, n + m + column] -= product[row, m + column]
        _cholesky(block)
        for row in range(n):
            for column in range(m + q):
                beyond[row, column] = block[row, n + column]
        np.dot(beyond.T, beyond, product)
        for row in range(q):
            for column in range(q):
                border[row, column] -= product[m + row, m + column]
    _cholesky(border)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def solve(blocks: FloatArray, border: FloatArray, values: FloatArray, edge: FloatArray) -> None:
    """Solve in place, after :func:`factorise`: ``values [T, n]``, the border's ``edge [q]``."""
    T, n, width = blocks.shape
    q = len(border)
    m = width - n - q
    after = np.zeros(m + q)  # next states, border
    after[m:] = edge
    for t in range(T):
        block, value = blocks[t], values[t]
        for j in range(m):
            value[n - m + j] += after[j]
            after[j] = 0.0
        for j in range(n):
            one = value[j] * block[j, j]
            value[j] = one
            for p in range(n - j - 1):
                value[j + 1 + p] -= one * block[j, j + 1 + p]
            for p in range(m + q):
                after[p] -= one * block[j, n + p]
    edge[:] = after[m:]
    _solve_dense(border, edge)
    after[:] = 0.0
    after[m:] = edge
    for t in range(T - 1, -1, -1):
        block, value = blocks[t], values[t]
        for back in range(n):
            j = n - 1 - back
            within, beyond = 0.0, 0.0
            for p in range(back):
                within += block[j, j + 1 + p] * value[j + 1 + p]
            for p in range(m + q):
                beyond += block[j, n + p] * after[p]
            value[j] = (value[j] - within - beyond) * block[j, j]
        for j in range(m):
            after[j] = value[n - m + j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _solve_dense(factor: FloatArray, values: FloatArray) -> None:
    n = len(values)
    for j in range(n):
        values[j] *= factor[j, j]
        for p in range(n - j - 1):
            values[j + 1 + p] -= values[j] * factor[j, j + 1 + p]
    for back in range(n):
        j = n - 1 - back
        within = 0.0
        for p in range(back):
            within += factor[j, j + 1 + p] * values[j + 1 + p]
        values[j] = (values[j] - within) * factor[j, j]
