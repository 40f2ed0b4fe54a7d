"""The way back: what the expert does, as far as the layer's own levels allow.

Its routing, models and servers; its charging less what no longer fits, its discharging less what is
not there; its work less what is already done, and what may wait no longer is given up. What this
withholds moves the levels toward the expert's, by exactly so much.
"""

from __future__ import annotations

import numpy as np

from equiload.envs import Decision, Slot
from equiload.envs.knobs.operation import Completion, Levels, Operation
from equiload.envs.typing import Array, BoolArray
from equiload.robust import level_kernels as kernels
from equiload.robust.level_kernels import Parts
from equiload.robust.packing import Packing


def way_back(
    expert: Decision,
    slot: Slot,
    levels: Levels,
    expert_levels: Levels,
    packing: Packing,
    completion: Completion,
) -> Decision:
    """What the layer does in place of ``expert``, from its own ``levels``.

    Where they are the expert's, to the last bit, what the expert does.
    """
    there = np.ones(expert.routing.shape, dtype=np.bool_)
    for name in ("stored", "waiting", "on"):
        if (own := getattr(levels, name)) is not None:
            there &= (own == getattr(expert_levels, name)).all(-1)
    if there.all():
        return expert
    return choose(there, expert, as_far_as_possible(expert, slot, levels, packing, completion))


def as_far_as_possible(
    wanted: Decision, slot: Slot, levels: Levels, packing: Packing, completion: Completion
) -> Decision:
    """What was possible from other levels, as far as it is from these."""
    plant, parts = packing.plant, Parts(*map(np.copy, packing.parts(wanted)))
    N, C = len(plant.pue), len(plant.late_cost)
    due = None if slot.work is None else levels.waiting + slot.work
    stored, ceiling = packing.rows(levels.stored, N), packing.rows(slot.ceiling, C)
    kernels.as_far_as_possible(plant, stored, packing.rows(due, C), ceiling, parts)
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
    """Of arrays ``[..., more]``; none of none."""
    return None if one is None else np.where(spread(where, one), one, other)


def spread(values: Array, array: Array) -> Array:
    """``values [...]`` with as many axes as ``array [..., more]``."""
    return values.reshape(values.shape + (1,) * (np.ndim(array) - values.ndim))
