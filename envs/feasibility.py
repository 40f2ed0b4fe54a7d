"""Is an allocation one that the data centers can serve?"""

import numpy as np
from numba import njit

from equiload.envs.errors import InfeasibleError
from equiload.envs.setting import Slot
from equiload.envs.typing import Array, BoolArray, FloatArray

#: How far rounding may carry an allocation out of the feasible set, relative to the slot's demand.
TOLERANCE = 1e-9

_REACH = "leaves the reach of gateway {}"


def excesses(
    allocation: FloatArray, demand: FloatArray, capacity: FloatArray, reachable: BoolArray
) -> dict[str, FloatArray]:
    """MWh ``[..., where]`` by which ``allocation [..., J, N]`` breaks each condition.

    What is not finite breaks the first by ``inf``, and others by what no number is at least.
    """
    return {
        "is not finite at gateway {}": np.where(np.isfinite(allocation).all(-1), 0.0, np.inf),
        "is negative at gateway {}": -allocation.min(-1),
        _REACH: np.where(reachable, 0.0, np.abs(allocation)).max(-1),
        "does not send out all demand of gateway {}": np.abs(allocation.sum(-1) - demand),
        "exceeds the capacity of data center {}": allocation.sum(-2) - capacity,
    }


def feasible(
    allocation: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: BoolArray,
    tolerance: float,
) -> Array:
    """``[...]`` bool: may the allocation be played? ``tolerance`` is relative to the demand.

    Nothing at all may leave the reach: an advice has no rounding to excuse there.
    """
    (J, N), good = reachable.shape, np.empty(allocation.shape[:-2], np.bool_)
    rows = np.ascontiguousarray(allocation).reshape(good.size, J, N)
    asked, room = demand.reshape(good.size, J), capacity.reshape(good.size, N)
    _sound(rows, asked, room, reachable, tolerance, good.reshape(-1))
    return good


def check_allocation(allocation: FloatArray, slot: Slot, reachable: BoolArray) -> None:
    """Raise unless ``allocation [..., J, N]`` serves the slot's demand within reach and capacity.

    Raises
    ------
    InfeasibleError
        With the slot, what is wrong, where, and by how much.
    """
    demand, capacity = slot.demand, slot.capacity
    if allocation.shape != (*demand.shape, capacity.shape[-1]):
        raise InfeasibleError(
            f"slot {slot.index}: the allocation has shape {allocation.shape}, "
            f"expected {(*demand.shape, capacity.shape[-1])} (gateways, data centers)"
        )
    if feasible(allocation, demand, capacity, reachable, TOLERANCE).all():
        return
    allowed = TOLERANCE * np.maximum(demand.sum(-1), 1e-300)
    for text, amount in excesses(allocation, demand, capacity, reachable).items():
        broken = ~(amount <= allowed[..., None])
        if broken.any():
            place = tuple(int(i) for i in np.argwhere(broken)[0])
            problem = f"problem {place[:-1]}, " if len(place) > 1 else ""
            raise InfeasibleError(
                f"{problem}slot {slot.index}: the allocation {text.format(place[-1])} "
                f"by {amount[place]:.6g} MWh"
            )


# Every slot of every rollout passes here: the array operations, whose amounts are wanted only where
# something is wrong, would be half of its time.


@njit(cache=True, nogil=True, error_model="numpy")
def _sound(
    allocation: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: BoolArray,
    tolerance: float,
    sound: BoolArray,
) -> None:
    """``sound [B]``: is no condition broken in a row of ``allocation [B, J, N]``?"""
    B, J, N = allocation.shape
    load = np.empty(N)
    for b in range(B):
        good = True
        load[:] = 0.0
        total = 0.0
        for j in range(J):
            total += demand[b, j]
        allowed = tolerance * max(total, 1e-300)
        for j in range(J):
            row = 0.0
            for i in range(N):
                value = allocation[b, j, i]
                good &= value >= -allowed and (value == 0.0 or reachable[j, i])
                row += value
                load[i] += value
            good &= abs(row - demand[b, j]) <= allowed
        for i in range(N):
            good &= load[i] - capacity[b, i] <= allowed
        sound[b] = good
