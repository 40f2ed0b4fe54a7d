"""Loads that are known already, as a policy: what an operator does today, beside what could be."""

from __future__ import annotations

import numpy as np

from equiload.envs import DataError, Setting, Slot, State
from equiload.envs.typing import FloatArray

#: Recorded numbers are rounded: how far they may be from possible ones, as a share of the demand.
ROUNDING = 1e-3


class Recorded:
    """Plays loads as they were recorded, each slot's demand routed to them at the least cost.

    Parameters
    ----------
    load
        ``[T, N]``, MWh of every slot and data center: one episode, no batch.

    Raises
    ------
    DataError
        In the slot where they are not the demand, exceed a capacity, or cannot be reached, by more
        than a thousandth of the demand; what is less is placed where there is room.

    Examples
    --------
    >>> from equiload.agents import GLBCost
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> week = synthetic(0, horizon=168)
    >>> before = rollout(GLBCost(), week)
    >>> rollout(Recorded(before.load.round(3)), week).objective / before.objective > 0.999
    np.True_
    """

    def __init__(self, load: FloatArray) -> None:
        self.load = np.asarray(load, dtype=np.float64)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        if setting.batch:
            raise DataError("recorded loads are of one episode, not of a batch")
        self._fleet = setting.fleet

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return an allocation ``[J, N]`` with the slot's loads."""
        load, dispatch = self.load[slot.index], self._fleet.dispatch
        demand, free = slot.demand, np.zeros(load.shape)
        room = np.minimum(load, slot.capacity)
        self._check(load, slot)
        served = dispatch.clip(demand, room)
        allocation = dispatch.allocation(free, served, room)
        rest, left = demand - served, np.maximum(slot.capacity - allocation.sum(-2), 0.0)
        if rest.sum() > ROUNDING * demand.sum():
            gateways = ", ".join(self._fleet.gateways[j] for j in dispatch.bottleneck(demand, room))
            raise DataError(
                f"{_place(slot)}: the gateways {gateways} cannot reach where the recorded loads "
                f"are: {rest.sum():.6g} MWh of their demand have no place"
            )
        return np.asarray(allocation + dispatch.allocation(free, rest, left))

    def _check(self, load: FloatArray, slot: Slot) -> None:
        demand, total = slot.demand.sum(), load.sum()
        if abs(total - demand) > ROUNDING * demand:
            raise DataError(
                f"{_place(slot)}: the recorded loads sum to {total:.6g} MWh, the demand is "
                f"{demand:.6g} MWh"
            )
        over = load - slot.capacity
        if (over > ROUNDING * demand).any():
            i = int(over.argmax())
            raise DataError(
                f"{_place(slot)}: the recorded load of {self._fleet.datacenters[i]} is "
                f"{load[i]:.6g} MWh, its capacity {slot.capacity[i]:.6g} MWh"
            )


def _place(slot: Slot) -> str:
    return f"slot {slot.index} ({slot.timestamp} UTC)"
