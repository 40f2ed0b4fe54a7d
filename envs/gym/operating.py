"""What a routing action says beside routing: any numbers, made into what is possible."""

from __future__ import annotations

import numpy as np

from equiload.envs.arrays import like, namespace
from equiload.envs.gym.routing import fitted, softmax
from equiload.envs.instance import Fleet
from equiload.envs.knobs.operation import Levels, Operation, draw, limits
from equiload.envs.setting import Physics, Slot
from equiload.envs.typing import Array


class Operating:
    """The numbers that follow the routing splits, in blocks, for what a fleet has.

    ===========  ============  ===================================================================
    block        numbers       what is wanted
    ===========  ============  ===================================================================
    ``save``     J             of what smaller models can save, the share ``(1 + a)/2``
    ``work``     C·(N + 1)     softmax: how much of a class's work is done in each data center, and
                               (last) waits
    ``on``       N             of the capacity beyond the load, the share ``(1 + a)/2`` is on
    ``battery``  N             ``a > 0`` charges, ``a < 0`` discharges, at so much of its power
    ===========  ============  ===================================================================

    Beyond −1 and 1, ``a`` counts as these.

    Parameters
    ----------
    fleet
        With any parts, or none.
    scale
        Logits of the softmax per unit of action.
    physics
        What the transition reads of the fleet, in the arrays that actions come in.
    """

    def __init__(self, fleet: Fleet, scale: float, physics: Physics) -> None:
        self._fleet, self._scale = physics.fleet, scale
        sites, classes = fleet.datacenters, fleet.training.classes if fleet.training else ()
        names: dict[str, list[str]] = {}
        if fleet.models is not None:
            names["save"] = [f"save[{gateway}]" for gateway in fleet.gateways]
        if fleet.training is not None:
            names["work"] = [f"work[{c} -> {i}]" for c in classes for i in (*sites, "later")]
            # A class may run where it reaches, or wait: in a queue of its own.
            reach = fleet.training.reach(len(sites))
            open_to = np.pad(reach, ((0, 0), (0, 1)), constant_values=True)
            queues = np.eye(len(classes))
            self._mask = like(np.where(open_to, 0.0, -np.inf), physics.pue)
            self._queues = like(queues, physics.pue)
            self._reach = like(np.hstack([reach, queues]), physics.pue)
        if fleet.servers is not None:
            names["on"] = [f"on[{site}]" for site in sites]
        if fleet.storage is not None:
            names["battery"] = [f"battery[{site}]" for site in sites]
        #: Name of each number.
        self.names = tuple(name for block in names.values() for name in block)
        ends = np.cumsum([len(block) for block in names.values()])
        self._blocks = dict(zip(names, map(slice, [0, *ends[:-1]], ends), strict=True))

    def saved(self, numbers: Array, slot: Slot) -> Array:
        """``[..., J]``, MWh of demand that smaller models save; none without models."""
        if self._fleet.models is None:
            return None
        room = self._fleet.models.room(slot.demand).sum(-1)
        return _share(numbers[..., self._blocks["save"]]) * room

    def operation(
        self, numbers: Array, slot: Slot, levels: Levels, inference: Array
    ) -> tuple[Operation, Array]:
        """What is done beside routing, and MWh ``[...]`` by which that is not what was wanted.

        Parameters
        ----------
        numbers
            ``[..., numbers]``, finite.
        levels
            Before the slot.
        inference
            ``[..., N]``, MWh of load that requests take.
        """
        fleet, load, xp = self._fleet, inference, namespace(inference)
        moved = load[..., 0] * 0.0
        work = on = charge = discharge = None
        if fleet.training is not None:
            work, changed = self._work(numbers, slot, levels, load)
            load, moved = load + work.sum(-2), moved + changed
        if fleet.servers is not None:
            idle = xp.maximum(slot.capacity - load, 0.0)
            on = load + _share(numbers[..., self._blocks["on"]]) * idle
        if fleet.storage is not None:
            power = xp.clip(numbers[..., self._blocks["battery"]], -1.0, 1.0)
            takes, gives = limits(levels.stored, fleet)
            into, out = fleet.storage.charge * power, -fleet.storage.discharge * power
            # One of the two is negative: to do nothing is what it wants.
            into, out = xp.maximum(into, 0.0), xp.maximum(out, 0.0)
            charge = xp.minimum(into, takes)
            discharge = xp.minimum(out, xp.minimum(gives, draw(load, on, fleet)))
            wanted = into + out
            moved = moved + (wanted - charge - discharge).sum(-1)
        return Operation(work=work, on=on, charge=charge, discharge=discharge), moved

    def _work(
        self, numbers: Array, slot: Slot, levels: Levels, inference: Array
    ) -> tuple[Array, Array]:
        """Work done ``[..., C, N]``, and MWh that are not done, or do not wait, where wanted.

        Requests go first. What finds no room where it was wanted goes where there is some, done or
        waiting; what finds none at all is given up, by the operation's default.
        """
        due, xp = levels.waiting + slot.work, namespace(inference)
        block = numbers[..., self._blocks["work"]].reshape(*due.shape, -1)
        wanted = softmax(block * self._scale + self._mask) * due[..., None]
        wanted = xp.concat([wanted[..., :-1], wanted[..., -1:] * self._queues], axis=-1)
        room = xp.maximum(slot.capacity - inference, 0.0)
        room = xp.concat([room, slot.ceiling], axis=-1)
        placed = fitted(wanted, due, room, self._reach, full=False)
        moved = xp.maximum(wanted - placed, 0.0).sum((-1, -2))
        return placed[..., : -due.shape[-1]], moved


def _share(numbers: Array) -> Array:
    """From −1 (none) to 1 (all)."""
    return 0.5 + 0.5 * namespace(numbers).clip(numbers, -1.0, 1.0)
