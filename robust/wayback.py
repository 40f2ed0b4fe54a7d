"""The way back: what the expert does, as far as the layer's own levels allow.

Its routing, models and servers; its charging less what no longer fits, its discharging less what is
not there; its work less what is already done, and what may wait no longer is given up. What this
withholds moves the levels toward the expert's, by exactly so much.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from equiload.envs import Decision
from equiload.envs.knobs.completion import Equipment, There
from equiload.envs.knobs.operation import Completion, Operation
from equiload.envs.knobs.settlement import Left
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust import level_kernels as kernels
from equiload.robust.level_tuples import Parts
from equiload.robust.packing import Packing


def way_back(
    expert: Parts,
    levels: Left,
    expert_levels: Left,
    packing: Packing,
    completion: Completion,
    more: FloatArray | None = None,
) -> tuple[Parts, bool]:
    """What the layer does in place of ``expert``, from its own ``levels``; is that something else?

    Where levels are the expert's, to the last bit, what the expert does. ``more [B, C, N]`` MWh of
    what waits longer than the expert's work is done, in spare capacity.
    """
    same = np.empty(len(expert.on), np.bool_)
    _alike(levels, expert_levels, same)
    if same.all():
        return expert, False
    back = as_far_as_possible(expert, packing, completion, more)
    kernels.replace(same, expert, back)
    return back, True


def as_far_as_possible(
    wanted: Parts, packing: Packing, completion: Completion, more: FloatArray | None = None
) -> Parts:
    """What was possible from other levels, as far as it is from those of the ``completion``.

    With ``more [B, C, N]`` MWh of work of classes of which more waits.
    """
    made = packing.blank()
    more = packing.nothing.work if more is None else more
    _withhold(packing.setting.fleet.equipment, completion.brought, more, wanted, made)
    # What of it were not possible would be so by rounding alone.
    packing.put(made, completion)
    return made


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
def _alike(one: Left, other: Left, same: BoolArray) -> None:
    """``same [B]``: are levels alike to the last bit?"""
    B, N = one.on.shape
    for b in range(B):
        alike = True
        for i in range(N):
            alike &= one.stored[b, i] == other.stored[b, i] and one.on[b, i] == other.on[b, i]
        for c in range(one.waiting.shape[1]):
            alike &= one.waiting[b, c] == other.waiting[b, c]
        same[b] = alike


@njit(cache=True, nogil=True, error_model="numpy")
def _withhold(
    equipment: Equipment, there: There, more: FloatArray, wanted: Parts, made: Parts
) -> None:
    """Write into ``made`` what is possible of what is ``wanted``, which was so from other levels.

    ``more [B, C, N]`` work is done.
    """
    pue, idle, energy, _, _, into, out, _, _, _ = equipment
    B, J, N = wanted.allocation.shape
    load = np.empty(N)
    for b in range(B):
        made.allocation[b], made.saved[b] = wanted.allocation[b], wanted.saved[b]
        load[:] = 0.0
        for j in range(J):
            for i in range(N):
                load[i] += wanted.allocation[b, j, i]
        for c in range(more.shape[1]):
            asked = done = 0.0
            for i in range(N):
                asked += wanted.work[b, c, i]
            # What is done already is given up less, and then done less.
            due, late = there.due[b, c], wanted.late[b, c]
            short = max(asked + late - due, 0.0)
            least = max(late - short, 0.0)
            share = due / asked if asked > due else 1.0
            for i in range(N):
                work = wanted.work[b, c, i] * share + more[b, c, i]
                made.work[b, c, i] = work
                load[i] += work
                done += work
            made.late[b, c] = least + max(due - done - least - there.ceiling[b, c], 0.0)
        for i in range(N):
            on = wanted.on[b, i]
            if more[b, :, i].any():  # more than the expert's servers may hold
                on = max(on, min(load[i], there.capacity[b, i]))
            needed = (idle[i] * on + (1.0 - idle[i]) * load[i]) * pue[i]
            stored, give = there.stored[b, i], wanted.discharge[b, i]
            room = (energy[i] - stored + give / out[i]) / into[i]
            taken = min(wanted.charge[b, i], max(room, 0.0))
            given = min(give, (stored + taken * into[i]) * out[i])
            given = min(given, needed + taken)
            made.on[b, i], made.charge[b, i], made.discharge[b, i] = on, taken, given
            made.generation[b, i] = min(wanted.generation[b, i], max(needed + taken - given, 0.0))
