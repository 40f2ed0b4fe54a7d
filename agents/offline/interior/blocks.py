"""Systems that are block tridiagonal, with a border: factored and solved, slot by slot.

A block has the rows of its slot; of its columns the first ``n`` are the slot's own (the upper half
is used), then come the border and the next slot's last ``m``, its *states*. Of the last ones a row
reaches those that it or a row above has an entry in: a factor keeps no more of it, row after row,
since all of the factor is read for every right-hand side.

Loops begin at 0, in a view that begins where they do: of an index of unknown sign numba would have
to ask whether it counts from the end, and such a loop takes three times as long.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray, IntArray

# A pivot that is so small a share of what it was holds rounding alone: its row says nothing.
_ROUNDING = 1e-14


class Skyline(NamedTuple):
    """Where the rows of a block end, and where they stand in a factor.

    Parameters
    ----------
    end
        ``[n]``, of each row: its columns are those from the diagonal until here. Two rows that are
        solved for together end together.
    first
        ``[n + 1]``: row ``j`` of a factor is ``[first[j], first[j + 1])`` of its slot.
    """

    end: IntArray
    first: IntArray

    @staticmethod
    def of(reached: IntArray, before: int) -> "Skyline":
        """Of rows that reach so many of the next slot's states, with ``before`` other columns."""
        end = np.maximum.accumulate(reached) + before
        pairs = len(end) // 2
        end[: 2 * pairs : 2] = end[1 : 2 * pairs : 2]
        first = np.r_[0, np.cumsum(end - np.arange(len(end)))]
        return Skyline(end, first)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def cholesky(block: FloatArray, end: IntArray) -> None:
    """Factor the upper half of the square that a block begins with, and divide the rest by it.

    ``end [n]`` says where rows end, and never falls. The diagonal then holds reciprocals, 0 where a
    row says nothing.
    """
    for p in range(len(end)):
        row, before = block[p], block[p, p]
        for four in range(p // 4):  # a row is then read and written a quarter as often
            j = 4 * four
            a, b, c, d = block[j, p], block[j + 1, p], block[j + 2, p], block[j + 3, p]
            for q in range(end[j + 3] - p):
                taken = a * block[j, p + q] + b * block[j + 1, p + q]
                row[p + q] -= taken + (c * block[j + 2, p + q] + d * block[j + 3, p + q])
        for j in range(p - p % 4, p):
            a = block[j, p]
            for q in range(end[j] - p):
                row[p + q] -= a * block[j, p + q]
        one = 1.0 / np.sqrt(max(row[p], _ROUNDING * before)) if before > 0.0 else 0.0
        row[p] = one
        for q in range(end[p] - p - 1):
            row[p + 1 + q] *= one


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def factorise(
    blocks: FloatArray, rows: Skyline, passed: FloatArray, to: FloatArray, border: FloatArray
) -> None:
    """Factor some slots (Cholesky), in place, and pack them.

    Parameters
    ----------
    blocks
        ``[S, n, n + q + m]``, zero where a row has ended.
    rows
        Where that is.
    passed
        ``[q + m, q + m]``, what the slot before these takes from the border and its states: 0 at
        first. After them, what they take from the next.
    to
        ``[S, first[n]]``.
    border
        ``[q, q]``: what the slots take from it is taken.
    """
    S, n, width = blocks.shape
    q = len(border)
    m, beyond = width - n - q, np.empty((n, width - n))
    for t in range(S):
        block, packed = blocks[t], to[t]
        states = block[n - m :]
        own, edge = states[:, n - m : n], states[:, n : n + q]
        for row in range(m):  # below the diagonal nothing is read
            at_edge, before = passed[q + row], passed[q + row, q:]
            for column in range(m):
                own[row, column] -= before[column]
            for column in range(q):
                edge[row, column] -= at_edge[column]
        cholesky(block, rows.end)
        for j in range(n):
            line, kept = block[j, j:], packed[rows.first[j] :]
            for p in range(rows.end[j] - j):
                kept[p] = line[p]
        beyond[:] = block[:, n:]
        np.dot(beyond.T, beyond, passed)
        for row in range(q):
            for column in range(q):
                border[row, column] -= passed[row, column]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def solve(
    factor: FloatArray, rows: Skyline, border: FloatArray, values: FloatArray, edge: FloatArray
) -> None:
    """Solve in place: ``values [T, n]``, the border's ``edge [q]``.

    ``factor [T, first[n]]`` is by :func:`factorise`, ``border [q, q]`` by :func:`cholesky`. Two
    rows at a time: what they change is read and written half as often.
    """
    T, n = values.shape
    q = len(border)
    line = np.zeros(rows.end[n - 1])  # of a slot: its values, the border, the next one's states
    own, at_edge, later = line[:n], line[n : n + q], line[n + q :]
    m = len(later)
    states, first = own[n - m :], rows.first
    at_edge[:] = edge
    for t in range(T):
        packed = factor[t]
        own[:] = values[t]
        for j in range(m):
            states[j] += later[j]
            later[j] = 0.0
        for pair in range(n // 2):
            j = 2 * pair
            one, two = packed[first[j] : first[j + 1]], packed[first[j + 1] : first[j + 2]]
            rest = line[j:]
            lead = rest[0] * one[0]
            next_ = (rest[1] - lead * one[1]) * two[0]
            rest[0], rest[1] = lead, next_
            one, two, rest = one[2:], two[1:], rest[2:]
            for p in range(len(two)):
                rest[p] -= lead * one[p] + next_ * two[p]
        if n % 2:
            one, rest = packed[first[n - 1] :], line[n - 1 :]
            rest[0] *= one[0]
            lead, one, rest = rest[0], one[1:], rest[1:]
            for p in range(len(one)):
                rest[p] -= lead * one[p]
        values[t] = own
    edge[:] = at_edge
    _solve_dense(border, edge)
    later[:], at_edge[:] = 0.0, edge
    for t in range(T - 1, -1, -1):
        value, packed = values[t], factor[t]
        if n % 2:
            one, rest = packed[first[n - 1] + 1 :], line[n:]
            taken = 0.0
            for p in range(len(one)):
                taken += one[p] * rest[p]
            own[n - 1] = (value[n - 1] - taken) * packed[first[n - 1]]
        for back in range(n // 2):
            j = n - n % 2 - 2 - 2 * back
            one, two = packed[first[j] : first[j + 1]], packed[first[j + 1] : first[j + 2]]
            here, there, beside = one[0], two[0], one[1]
            one, two, rest = one[2:], two[1:], line[j + 2 :]
            taken, also = 0.0, 0.0
            for p in range(len(two)):
                taken += one[p] * rest[p]
                also += two[p] * rest[p]
            own[j + 1] = (value[j + 1] - also) * there
            own[j] = (value[j] - taken - own[j + 1] * beside) * here
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
