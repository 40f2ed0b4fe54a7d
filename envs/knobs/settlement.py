"""What a slot costs, and what it leaves behind, where there is more than routing: compiled.

The same as the array form of :func:`~equiload.envs.dynamics.slot_cost`, a problem at a time.
"""

from typing import NamedTuple

from numba import njit

from equiload.envs.knobs.completion import Equipment
from equiload.envs.typing import FloatArray


class Tariff(NamedTuple):
    """What a fleet's parts cost; a part that it has not costs nothing.

    US$/MWh: ``wear`` and ``start [N]``, ``late [C]``, and ``quality [J, H]``, of what each step to
    a smaller model saves.
    """

    wear: FloatArray
    start: FloatArray
    late: FloatArray
    quality: FloatArray


class Brought(NamedTuple):
    """What a slot brings, as in :class:`~equiload.envs.setting.Slot`, a problem a row.

    ``onsite [B, 0, N]`` where sites have no footprint of their own.
    """

    price: FloatArray
    intensity: FloatArray
    onsite: FloatArray
    demand: FloatArray
    work: FloatArray
    ceiling: FloatArray


class Done(NamedTuple):
    """What is done, as in :class:`~equiload.envs.knobs.operation.Operation`, a problem a row."""

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
    pue, idle, energy, _, _, into, out, _, share, steps = equipment
    wear, start, late_cost, quality = tariff
    price, intensity, onsite, demand, arrived, ceiling = brought
    stored, waiting, on_before = before
    load, work, late, saved, on, charge, discharge, grid = done
    (B, N), K = load.shape, intensity.shape[1]
    for b in range(B):
        supply, other = 0.0, 0.0
        for i in range(N):
            supply += price[b, i] * grid[b, i]
            drawn = (idle[i] * on[b, i] + (1.0 - idle[i]) * load[b, i]) * pue[i]
            for k in range(K):
                bill.footprint[b, k, i] = intensity[b, k, i] * grid[b, i]
            for k in range(onsite.shape[1]):
                bill.footprint[b, k, i] += onsite[b, k, i] * drawn
            other += discharge[b, i] * wear[i]
            other += max(on[b, i] - on_before[b, i], 0.0) * start[i]
            level = stored[b, i] + (charge[b, i] * into[i] - discharge[b, i] / out[i])
            after.stored[b, i] = min(max(level, 0.0), energy[i])
        for c in range(len(late_cost)):
            other += late[b, c] * late_cost[c]
            finished = 0.0
            for i in range(work.shape[2]):
                finished += work[b, c, i]
            left = waiting[b, c] + arrived[b, c] - finished - late[b, c]
            after.waiting[b, c] = min(max(left, 0.0), ceiling[b, c])
        for j in range(len(share)):
            left = saved[b, j]
            for h in range(len(steps)):  # each step's room in turn
                room = demand[b, j] * share[j] * steps[h]
                other += min(max(left, 0.0), room) * quality[j, h]
                left -= room
        bill.energy[b], bill.other[b] = supply, other
