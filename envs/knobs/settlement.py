"""What a slot costs, and what it leaves behind, where there is more than routing: compiled.

The same as the array form of :func:`~equiload.envs.dynamics.slot_cost`, a problem at a time.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.envs.knobs.completion import Equipment
from equiload.envs.typing import FloatArray


class Tariff(NamedTuple):
    """What a fleet's parts cost; a part that it has not costs nothing.

    ``wear`` and ``start [N]``, ``late [C]``, and ``quality [J, H]`` of each step that smaller models
    save, US$/MWh.
    """

    wear: FloatArray
    start: FloatArray
    late: FloatArray
    quality: FloatArray


class Brought(NamedTuple):
    """What a slot brings: ``[B, N]``, ``[B, K, N]`` (``onsite``: none, or K), ``[B, J]``, ``[B, C]``."""

    price: FloatArray
    intensity: FloatArray
    onsite: FloatArray
    demand: FloatArray
    work: FloatArray
    ceiling: FloatArray


class Done(NamedTuple):
    """What is done: ``[B, N]``; of ``work [B, C, N]`` (or all of it, ``[B, C, 1]``), ``late [B, C]``
    and ``saved [B, J]``."""

    load: FloatArray
    work: FloatArray
    late: FloatArray
    saved: FloatArray
    on: FloatArray
    charge: FloatArray
    discharge: FloatArray
    grid: FloatArray


class Left(NamedTuple):
    """What a slot leaves: ``stored [B, N]``, ``waiting [B, C]``, ``on [B, N]``, MWh."""

    stored: FloatArray
    waiting: FloatArray
    on: FloatArray


class Bill(NamedTuple):
    """What a slot costs: ``energy [B]`` and ``other [B]``, US$, and ``footprint [B, K, N]``."""

    energy: FloatArray
    other: FloatArray
    footprint: FloatArray


@njit(cache=True, nogil=True, error_model="numpy")
def settle(
    equipment: Equipment,
    tariff: Tariff,
    brought: Brought,
    before: Left,
    done: Done,
    after: Left,
    bill: Bill,
) -> None:
    """Write ``bill``, and the levels ``after`` the slot but for what is on."""
    for b in range(len(bill.energy)):
        _supply(b, equipment, brought, done, bill)
        other = 0.0
        for i in range(done.load.shape[1]):
            other += done.discharge[b, i] * tariff.wear[i]
            other += max(done.on[b, i] - before.on[b, i], 0.0) * tariff.start[i]
            given = done.discharge[b, i] / equipment.out[i]
            level = before.stored[b, i] + (done.charge[b, i] * equipment.into[i] - given)
            after.stored[b, i] = min(max(level, 0.0), equipment.energy[i])
        for c in range(len(tariff.late)):
            other += done.late[b, c] * tariff.late[c]
            finished = 0.0
            for i in range(done.work.shape[2]):
                finished += done.work[b, c, i]
            waits = before.waiting[b, c] + brought.work[b, c] - finished - done.late[b, c]
            after.waiting[b, c] = min(max(waits, 0.0), brought.ceiling[b, c])
        bill.other[b] = other + _quality(b, equipment, tariff, brought, done)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _supply(b: int, equipment: Equipment, brought: Brought, done: Done, bill: Bill) -> None:
    """Cost of the grid's energy, and the sites' footprints."""
    pue, idle = equipment.pue, equipment.idle
    bill.energy[b] = 0.0
    for i in range(len(pue)):
        grid = done.grid[b, i]
        bill.energy[b] += brought.price[b, i] * grid
        drawn = (idle[i] * done.on[b, i] + (1.0 - idle[i]) * done.load[b, i]) * pue[i]
        for k in range(brought.intensity.shape[1]):
            bill.footprint[b, k, i] = brought.intensity[b, k, i] * grid
        for k in range(brought.onsite.shape[1]):
            bill.footprint[b, k, i] += brought.onsite[b, k, i] * drawn


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _quality(
    b: int, equipment: Equipment, tariff: Tariff, brought: Brought, done: Done
) -> float:
    """Cost of what smaller models save: each step's room in turn."""
    total = 0.0
    for j in range(len(equipment.share)):
        left = done.saved[b, j]
        for h in range(len(equipment.steps)):
            room = brought.demand[b, j] * equipment.share[j] * equipment.steps[h]
            taken = min(max(left, 0.0), room)
            total += taken * tariff.quality[j, h]
            left -= room
    return total
