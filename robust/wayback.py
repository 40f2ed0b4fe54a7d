"""The way back: what the expert does, as far as the layer's own levels allow.

Its routing, models and servers; its charging less what no longer fits, its discharging less what is
not there; its work less what is already done, and what may wait no longer is given up. What this
withholds moves the levels toward the expert's, by exactly so much.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from equiload.envs import Decision, Slot
from equiload.envs.knobs.operation import Completion, Levels, Operation
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.level_kernels import Parts
from equiload.robust.packing import Packing
from equiload.robust.spare import Spare


def way_back(
    expert: Decision,
    slot: Slot,
    levels: Levels,
    expert_levels: Levels,
    packing: Packing,
    completion: Completion,
    spare: Spare | None = None,
) -> Decision:
    """What the layer does in place of ``expert``, from its own ``levels``.

    Where they are the expert's, to the last bit, what the expert does. In ``spare`` capacity it
    does what waits longer than the expert's work.
    """
    there = np.ones(expert.routing.shape, dtype=np.bool_)
    for name in ("stored", "waiting", "on"):
        if (own := getattr(levels, name)) is not None:
            there &= (own == getattr(expert_levels, name)).all(-1)
    if there.all():
        return expert
    more = None if spare is None else spare.work(expert, slot, levels, expert_levels)
    return choose(
        there, expert, as_far_as_possible(expert, slot, levels, packing, completion, more)
    )


def as_far_as_possible(
    wanted: Decision,
    slot: Slot,
    levels: Levels,
    packing: Packing,
    completion: Completion,
    more: FloatArray | None = None,
) -> Decision:
    """What was possible from other levels, as far as it is from these.

    With ``more [..., C, N]`` MWh of work of classes of which more waits.
    """
    plant, parts = packing.plant, Parts(*map(np.copy, packing.parts(wanted)))
    N, C = len(plant.pue), len(plant.late_cost)
    due = None if slot.work is None else levels.waiting + slot.work
    _withhold(
        (plant.pue, plant.idle, plant.energy, plant.into, plant.out),
        (packing.rows(levels.stored, N), packing.rows(due, C), packing.rows(slot.ceiling, C)),
        packing.rows(more, C, N),
        packing.rows(slot.capacity, N),
        parts.allocation,
        parts.work,
        parts.late,
        parts.on,
        parts.charge,
        parts.discharge,
        parts.generation,
    )
    assert wanted.operation is not None
    made = {n: packing.shaped(getattr(parts, n)) for n in wanted.operation.named() if n != "grid"}
    # What of it were not possible would be so by rounding alone.
    done, _ = completion.of(wanted.allocation, Operation(**made))
    return Decision(None, None, wanted.allocation, operation=done)


def choose(where: BoolArray, one: Decision, other: Decision) -> Decision:
    """``one`` where ``where [...]`` holds, otherwise ``other``: all but load and routing."""
    if one is other or where.all():
        return one
    if not where.any():
        return other
    a, b = one.operation, other.operation
    assert a is not None
    assert b is not None
    others = b.named()
    operation = {name: pick(where, array, others[name]) for name, array in a.named().items()}
    allocation = pick(where, one.allocation, other.allocation)
    return Decision(None, None, allocation, operation=Operation(**operation))


def pick(where: BoolArray, one: Array, other: Array) -> Array:
    """Of arrays ``[..., more]``; the same where there is no choice."""
    return one if one is other else np.where(spread(where, one), one, other)


def spread(values: Array, array: Array) -> Array:
    """``values [...]`` with as many axes as ``array [..., more]``."""
    return values.reshape(values.shape + (1,) * (np.ndim(array) - values.ndim))


@njit(cache=True, nogil=True, error_model="numpy")
def _withhold(
    equipment: tuple[FloatArray, ...],
    before: tuple[FloatArray, FloatArray, FloatArray],
    more: FloatArray,
    capacity: FloatArray,
    allocation: FloatArray,
    work: FloatArray,
    late: FloatArray,
    on: FloatArray,
    charge: FloatArray,
    discharge: FloatArray,
    generation: FloatArray,
) -> None:
    """Make what is done ``[B, ...]`` into what is possible of it from other levels.

    ``equipment``: PUE, idle share, energy stored at most, both efficiencies, ``[N]``; ``before``:
    what is stored ``[B, N]``, what waits or arrives and what may wait after the slot ``[B, C]``.
    ``more [B, C, N]`` work is done, by ``capacity [B, N]``.
    """
    pue, idle, energy, into, out = equipment
    stored, due, ceiling = before
    B, J, N = allocation.shape
    load = np.empty(N)
    for b in range(B):
        load[:] = 0.0
        for j in range(J):
            for i in range(N):
                load[i] += allocation[b, j, i]
        for c in range(due.shape[1]):
            asked = done = 0.0
            for i in range(N):
                asked += work[b, c, i]
            # What is done already is given up less, and then done less.
            short = max(asked + late[b, c] - due[b, c], 0.0)
            least = max(late[b, c] - short, 0.0)
            share = due[b, c] / asked if asked > due[b, c] else 1.0
            for i in range(N):
                work[b, c, i] = work[b, c, i] * share + more[b, c, i]
                load[i] += work[b, c, i]
                done += work[b, c, i]
            late[b, c] = least + max(due[b, c] - done - least - ceiling[b, c], 0.0)
        for i in range(N):
            if more[b, :, i].any():  # more than the expert's servers may hold
                on[b, i] = max(on[b, i], min(load[i], capacity[b, i]))
            needed = (idle[i] * on[b, i] + (1.0 - idle[i]) * load[i]) * pue[i]
            room = (energy[i] - stored[b, i] + discharge[b, i] / out[i]) / into[i]
            taken = min(charge[b, i], max(room, 0.0))
            given = min(discharge[b, i], (stored[b, i] + taken * into[i]) * out[i])
            given = min(given, needed + taken)
            charge[b, i], discharge[b, i] = taken, given
            generation[b, i] = min(generation[b, i], max(needed + taken - given, 0.0))
