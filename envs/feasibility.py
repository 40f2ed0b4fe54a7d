"""Is an allocation one that the data centers can serve?"""

import numpy as np

from equiload.envs.errors import InfeasibleError
from equiload.envs.setting import Slot
from equiload.envs.typing import BoolArray, FloatArray

#: How far rounding may carry an allocation out of the feasible set, relative to the slot's demand.
TOLERANCE = 1e-9


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
    allowed = TOLERANCE * np.maximum(demand.sum(-1), 1e-300)
    excess = {  # [..., where]: how far each condition is broken
        "is not finite at gateway {}": np.where(np.isfinite(allocation).all(-1), 0.0, np.inf),
        "is negative at gateway {}": -allocation.min(-1),
        "leaves the reach of gateway {}": np.where(reachable, 0.0, np.abs(allocation)).max(-1),
        "does not send out all demand of gateway {}": np.abs(allocation.sum(-1) - demand),
        "exceeds the capacity of data center {}": allocation.sum(-2) - capacity,
    }
    for text, amount in excess.items():
        broken = ~(amount <= allowed[..., None])
        if broken.any():
            place = tuple(int(i) for i in np.argwhere(broken)[0])
            problem = f"problem {place[:-1]}, " if len(place) > 1 else ""
            raise InfeasibleError(
                f"{problem}slot {slot.index}: the allocation {text.format(place[-1])} "
                f"by {amount[place]:.6g} MWh"
            )
