"""The way back: what the expert does, as far as the layer's own levels allow.

Its routing, models and servers; its charging less what no longer fits, its discharging less what is
not there; its work less what is already done, and what may wait no longer is given up. What this
withholds moves the levels toward the expert's, by exactly so much.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equiload.envs import Decision, Setting, Slot
from equiload.envs.dynamics import operated
from equiload.envs.knobs.operation import Levels, Operation, draw
from equiload.envs.typing import Array, BoolArray, FloatArray

#: Completing what is complete changes nothing, but for rounding; so often is that tried.
_MOST_PASSES = 4


def way_back(
    expert: Decision, slot: Slot, levels: Levels, expert_levels: Levels, setting: Setting
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
    return choose(there, expert, as_far_as_possible(expert, slot, levels, setting))


def as_far_as_possible(wanted: Decision, slot: Slot, levels: Levels, setting: Setting) -> Decision:
    """What was possible from other levels, as far as it is from these."""
    operation, fleet = wanted.operation, setting.fleet
    assert operation is not None
    done = replace(operation, grid=None)
    load = wanted.allocation.sum(-2)
    if fleet.training is not None:
        work, late = _work(operation, slot, levels)
        done = replace(done, work=work, late=late)
        load = load + work.sum(-2)
    needed = draw(load, operation.on, fleet)
    if fleet.storage is not None:
        storage = fleet.storage
        into, out = storage.charge_efficiency, storage.discharge_efficiency
        room = (storage.energy - levels.stored + operation.discharge / out) / into
        charge = np.minimum(operation.charge, np.maximum(room, 0.0))
        there = (levels.stored + charge * into) * out
        discharge = np.minimum(np.minimum(operation.discharge, there), needed + charge)
        done = replace(done, charge=charge, discharge=discharge)
        needed = needed + charge - discharge
    if operation.generation is not None:
        used = np.minimum(operation.generation, np.maximum(needed, 0.0))
        done = replace(done, generation=used)
    return complete(wanted.allocation, done, slot, levels, setting)


def _work(operation: Operation, slot: Slot, levels: Levels) -> tuple[FloatArray, FloatArray]:
    """Work ``[..., C, N]`` to do and ``[..., C]`` to give up."""
    assert slot.work is not None
    due, asked = levels.waiting + slot.work, operation.work.sum(-1)
    # What is done already is given up less, and then done less.
    short = np.maximum(asked + operation.late - due, 0.0)
    late = np.maximum(operation.late - short, 0.0)
    done = np.minimum(asked, due)
    share = np.divide(done, asked, out=np.ones_like(asked), where=asked > done)
    work = operation.work * share[..., None]
    late = late + np.maximum(due - work.sum(-1) - late - slot.ceiling, 0.0)
    return work, late


def complete(
    allocation: FloatArray, wanted: Operation, slot: Slot, levels: Levels, setting: Setting
) -> Decision:
    """What comes of it, to the last bit: whoever plays it again plays the same.

    Raises
    ------
    InfeasibleError
        For what is not possible from the ``levels`` before the slot.
    """
    decision = operated(allocation, wanted, slot, levels, setting.physics)
    for _ in range(_MOST_PASSES):
        again = operated(allocation, decision.operation, slot, levels, setting.physics)
        if _same(decision.operation, again.operation):
            break
        decision = again
    return decision


def choose(where: BoolArray, one: Decision, other: Decision) -> Decision:
    """``one`` where ``where [...]`` holds, otherwise ``other``."""
    if one is other or where.all():
        return one
    a, b = one.operation, other.operation
    assert a is not None
    assert b is not None
    others = b.named()
    operation = {name: pick(where, array, others[name]) for name, array in a.named().items()}
    chosen = {
        n: pick(where, getattr(one, n), getattr(other, n))
        for n in ("load", "routing", "allocation")
    }
    return replace(one, **chosen, operation=Operation(**operation))


def pick(where: BoolArray, one: Array, other: Array) -> Array:
    """Of arrays ``[..., more]``; none of none."""
    return None if one is None else np.where(spread(where, one), one, other)


def spread(values: Array, array: Array) -> Array:
    """``values [...]`` with as many axes as ``array [..., more]``."""
    return values.reshape(values.shape + (1,) * (np.ndim(array) - values.ndim))


def _same(one: Operation | None, other: Operation | None) -> bool:
    assert one is not None
    assert other is not None
    others = other.named()
    return all(np.array_equal(array, others[name]) for name, array in one.named().items())
