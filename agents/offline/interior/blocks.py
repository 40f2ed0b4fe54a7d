"""Systems that are block tridiagonal, with a border: factored and solved, slot by slot.

A block has the rows of its slot; of its columns the first ``n`` are the slot's own (the upper half
is used), then come the next slot's last ``m``, its *states*, and the border. Dense arithmetic: what
a slot changes in the next one and in the border is one product of matrices.

Loops begin at 0, in a view that begins where they do: of an index of unknown sign numba would have
to ask whether it counts from the end, and such a loop takes three times as long.
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
    corner = product[m:, m:]
    for t in range(T):
        block = blocks[t]
        states = block[n - m :]
        own, edge = states[:, n - m : n], states[:, n + m :]
        for row in range(m):  # below the diagonal nothing is read
            before, at_edge = product[row], product[row, m:]
            for column in range(m):
                own[row, column] -= before[column]
            for column in range(q):
                edge[row, column] -= at_edge[column]
        _cholesky(block)
        beyond[:] = block[:, n:]
        np.dot(beyond.T, beyond, product)
        for row in range(q):
            for column in range(q):
                border[row, column] -= corner[row, column]
    _cholesky(border)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def solve(blocks: FloatArray, border: FloatArray, values: FloatArray, edge: FloatArray) -> None:
    """Solve in place, after :func:`factorise`: ``values [T, n]``, the border's ``edge [q]``.

    Two rows at a time: each of them is read once, and what they change half as often.
    """
    T, n, width = blocks.shape
    q = len(border)
    m = width - n - q
    line = np.zeros(width)  # of a slot: its values, the next one's states, the border
    own, later, at_edge = line[:n], line[n : n + m], line[n + m :]
    states = own[n - m :]
    at_edge[:] = edge
    for t in range(T):
        own[:] = values[t]
        for j in range(m):
            states[j] += later[j]
            later[j] = 0.0
        for pair in range(n // 2):
            j = 2 * pair
            one, two, rest = blocks[t, j, j:], blocks[t, j + 1, j:], line[j:]
            first = rest[0] * one[0]
            second = (rest[1] - first * one[1]) * two[1]
            rest[0], rest[1] = first, second
            one, two, rest = one[2:], two[2:], rest[2:]
            for p in range(len(rest)):
                rest[p] -= first * one[p] + second * two[p]
        if n % 2:
            one, rest = blocks[t, n - 1, n:], line[n:]
            own[n - 1] *= blocks[t, n - 1, n - 1]
            for p in range(len(rest)):
                rest[p] -= own[n - 1] * one[p]
        values[t] = own
    edge[:] = at_edge
    _solve_dense(border, edge)
    later[:], at_edge[:] = 0.0, edge
    for t in range(T - 1, -1, -1):
        value = values[t]
        if n % 2:
            one, rest = blocks[t, n - 1, n:], line[n:]
            taken = 0.0
            for p in range(len(rest)):
                taken += one[p] * rest[p]
            own[n - 1] = (value[n - 1] - taken) * blocks[t, n - 1, n - 1]
        for back in range(n // 2):
            j = n - n % 2 - 2 - 2 * back
            one, two, rest = blocks[t, j, j + 2 :], blocks[t, j + 1, j + 2 :], line[j + 2 :]
            taken, also = 0.0, 0.0
            for p in range(len(rest)):
                taken += one[p] * rest[p]
                also += two[p] * rest[p]
            own[j + 1] = (value[j + 1] - also) * blocks[t, j + 1, j + 1]
            taken += own[j + 1] * blocks[t, j, j + 1]
            own[j] = (value[j] - taken) * blocks[t, j, j]
        value[:], later[:] = own, states


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
