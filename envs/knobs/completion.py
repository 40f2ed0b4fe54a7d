"""What is done in a slot, put within what is possible: compiled, a problem at a time.

The same as the array form of :func:`~equiload.envs.knobs.operation.complete`, again and again until
nothing changes any more: whoever plays it again plays the same, to the last bit.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.envs.typing import BoolArray, FloatArray

# What is complete changes no more, but for rounding; so often is that tried.
_MOST_PASSES = 4


class Equipment(NamedTuple):
    """A fleet's numbers; a part that it has not is one that does nothing.

    ``pue``, ``idle``, ``energy``, ``charge``, ``discharge``, and the efficiencies ``into`` and
    ``out``, all ``[N]``; ``reach [C, N]`` of training work; ``share [J]`` of requests that smaller
    models may answer, ``steps [H]`` of what they save.
    """

    pue: FloatArray
    idle: FloatArray
    energy: FloatArray
    charge: FloatArray
    discharge: FloatArray
    into: FloatArray
    out: FloatArray
    reach: BoolArray
    share: FloatArray
    steps: FloatArray


class There(NamedTuple):
    """What a slot brings, and the levels before it: ``[B, N]``, ``[B, J]`` or ``[B, C]``, MWh.

    ``due``: the work that waits, and arrives.
    """

    capacity: FloatArray
    demand: FloatArray
    generation: FloatArray
    stored: FloatArray
    due: FloatArray
    ceiling: FloatArray


class Rows(NamedTuple):
    """The fields of :class:`~equiload.envs.knobs.operation.Operation`, ``[B, ...]``."""

    work: FloatArray
    late: FloatArray
    saved: FloatArray
    on: FloatArray
    charge: FloatArray
    discharge: FloatArray
    generation: FloatArray
    grid: FloatArray


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _within(value: float, low: float, high: float, wide: float) -> tuple[float, bool]:
    """The nearest number between ``low`` and ``high``; was it within ``wide`` of them?"""
    inside: float = min(max(value, low), high)
    return inside, value - high <= wide and low - value <= wide


@njit(cache=True, nogil=True, error_model="numpy")
def complete(
    equipment: Equipment,
    there: There,
    allocation: FloatArray,
    wide: tuple[float, float, float],
    said: tuple[bool, bool, bool],
    rows: Rows,
    possible: BoolArray,
) -> None:
    """Complete ``rows`` in place; ``possible [B]``: was it but for rounding, ``wide`` MWh, so?

    ``allocation [B, J, N]``. Rounding of load and energy, of work, and of what is saved. What is
    given up, what is on and the generation used get their defaults where they are not ``said``.
    """
    late_said, on_said, used_said = said
    pue, idle, energy, most_in, most_out, into, out, reach, share, steps = equipment
    capacity, demand, generation, stored, due, ceiling = there
    work, late, saved, on, charge, discharge, used, grid = rows
    B, J, N = allocation.shape
    load, more = np.empty(N), np.empty(N)
    for b in range(B):
        good = True
        load[:] = 0.0
        for j in range(J):
            for i in range(N):
                load[i] += allocation[b, j, i]
        for attempt in range(_MOST_PASSES):
            same = True
            more[:] = 0.0
            for j in range(J):
                room = 0.0
                for h in range(len(steps)):
                    room += demand[b, j] * share[j] * steps[h]
                value, fits = _within(saved[b, j], 0.0, room, wide[2])
                same &= value == saved[b, j]
                good &= fits
                saved[b, j] = value
            for c in range(len(reach)):
                done = 0.0
                for i in range(N):
                    most = np.inf if reach[c, i] else 0.0
                    value, fits = _within(work[b, c, i], 0.0, most, wide[1])
                    same &= value == work[b, c, i]
                    good &= fits
                    work[b, c, i] = value
                    done += value
                    more[i] += value
                left, fits = _within(due[b, c] - done, 0.0, np.inf, wide[1])
                good &= fits
                least = max(left - ceiling[b, c], 0.0)
                value = late[b, c] if late_said or attempt > 0 else least
                inside, fits = _within(value, least, left, wide[1])
                same &= inside == late[b, c]
                good &= fits
                late[b, c] = inside
            for i in range(N):
                x, fits = _within(load[i] + more[i], 0.0, capacity[b, i], wide[0])
                good &= fits
                value = on[b, i] if on_said or attempt > 0 else capacity[b, i]
                n, fits = _within(value, x, capacity[b, i], wide[0])
                same &= n == value
                good &= fits
                drawn = (idle[i] * n + (1.0 - idle[i]) * x) * pue[i]
                space = energy[i] - stored[b, i] + discharge[b, i] / out[i]
                most = min(most_in[i], max(space, 0.0) / into[i])
                taken, fits = _within(charge[b, i], 0.0, most, wide[0])
                same &= taken == charge[b, i]
                good &= fits
                most = min(most_out[i], (stored[b, i] + taken * into[i]) * out[i])
                most = min(most, drawn + taken)
                given, fits = _within(discharge[b, i], 0.0, most, wide[0])
                same &= given == discharge[b, i]
                good &= fits
                needed = drawn + taken - given
                most = min(generation[b, i], needed)
                value = used[b, i] if used_said or attempt > 0 else most
                inside, fits = _within(value, 0.0, most, wide[0])
                same &= inside == used[b, i]
                good &= fits
                on[b, i], charge[b, i], discharge[b, i], used[b, i] = n, taken, given, inside
                grid[b, i] = max(needed - inside, 0.0)
            if same:
                break
        possible[b] = good


@njit(cache=True, nogil=True, error_model="numpy")
def serve(allocation: FloatArray, work: FloatArray, load: FloatArray) -> None:
    """``load [B, N]`` of an ``allocation [B, J, N]`` and ``work [B, C, N]``."""
    B, N = load.shape
    done = np.empty(N)
    for b in range(B):
        load[b] = 0.0
        done[:] = 0.0
        for j in range(allocation.shape[1]):
            for i in range(N):
                load[b, i] += allocation[b, j, i]
        for c in range(work.shape[1]):
            for i in range(N):
                done[i] += work[b, c, i]
        for i in range(N):
            load[b, i] += done[i]
