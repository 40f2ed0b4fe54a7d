"""One slot at shadow prices, cleared: what is best to do, by a merit order.

Every data center offers its blocks of load (:mod:`~equiload.envs.knobs.stack`); what gateways can
save by smaller models, work that waits, and work that is given up are further columns. The one
dispatch clears them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.envs.dispatch import Dispatch
from equiload.envs.dynamics import Decision
from equiload.envs.instance import Fleet
from equiload.envs.knobs.operation import Levels, Operation, limits
from equiload.envs.knobs.prices import Prices, with_footprints
from equiload.envs.knobs.stack import LoadStack, count_blocks
from equiload.envs.series import Series
from equiload.envs.setting import Physics
from equiload.envs.typing import Array, FloatArray


@dataclass(frozen=True, eq=False)
class Work:
    """Training work on offer: what there is, and what of it may wait, or be given up.

    ``amount``, ``may_wait``, ``may_go`` in MWh and ``waits``, ``goes`` in US$/MWh, ``[..., C]``.
    """

    amount: FloatArray
    may_wait: FloatArray
    waits: FloatArray
    may_go: FloatArray
    goes: FloatArray


class Market:
    """Clears slots of a fleet at shadow prices, many at once.

    Parameters
    ----------
    fleet
        With any parts, or none.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        N, J = len(fleet.datacenters), len(fleet.gateways)
        training, models = fleet.training, fleet.models
        reach, pairs = fleet.reachable, fleet.routing_cost
        if training is not None:
            reach = np.concatenate([reach, training.reach(N)])
            if pairs is not None:
                pairs = np.concatenate([pairs, np.zeros((len(training.classes), N))])
        rows, steps = len(reach), 0 if models is None else len(models.steps[0])
        #: Who sends where, once loads are known.
        self._rows = Dispatch(reach, pairs)
        # What is saved, waits or goes is some row's own. Rows of equal reach are one to the
        # dispatch: none can do without more than it asks for, so it may be anyone's of the group.
        alike = self._rows.group_of[:, None] == self._rows.group_of
        own = [np.repeat(alike[:, :J], steps, axis=1), alike[:, J:], alike[:, J:]]
        self._blocks = count_blocks(fleet.servers is not None)
        reach = np.concatenate([np.repeat(reach, self._blocks, axis=1), *own], axis=1)
        if pairs is not None:
            routing = np.zeros(reach.shape)
            routing[:, : N * self._blocks] = np.repeat(pairs, self._blocks, axis=1)
            pairs = routing
        self._columns = Dispatch(reach, pairs)
        self._shape = (N, J, rows - J, steps)

    def clear(
        self,
        slot: Series,
        prices: Prices,
        levels: Levels,
        physics: Physics,
        between: tuple[FloatArray, FloatArray] | None = None,
    ) -> Decision:
        """What is best in a slot, from the ``levels`` before it, within what is possible.

        Parameters
        ----------
        slot
            Series of one slot.
        prices
            ``weights [..., K, R]``, ``stored [..., N]``, ``waiting [..., C]``, ``on [..., N]``.
            None: idle batteries, work as soon as it fits, servers off that have no load.
        between
            Least and most ``[..., N]`` to have stored after the slot. Default: what is possible.
        """
        fleet = self._fleet
        stored = prices.stored
        most: tuple[Array, Array] = (0.0, 0.0)
        if fleet.storage is not None and stored is not None:
            most = limits(levels.stored, fleet, between)
        on: tuple[Array, Array, Array] = (0.0, 0.0, levels.on)
        if fleet.servers is not None:
            on = (0.0 if prices.on is None else prices.on, fleet.servers.start_cost, levels.on)
        work = None
        if fleet.training is not None:
            amount = levels.waiting + slot.work
            goes = np.broadcast_to(fleet.training.late_cost, amount.shape)
            waits = fleet.training.urgent if prices.waiting is None else prices.waiting
            waits = np.broadcast_to(waits, goes.shape)
            # To give up is dearer than to wait, or there is no waiting.
            may_wait = np.where(waits < goes, np.minimum(amount, slot.ceiling), 0.0)
            work = Work(amount, may_wait, waits, amount - may_wait, goes)
        stack = stack_of(fleet, slot, prices.weights, physics, stored, most, on)
        return self.dispatch(stack, slot, work)

    def dispatch(self, stack: LoadStack, slot: Series, work: Work | None) -> Decision:
        """Clear the blocks of every data center and all other columns."""
        N, J, C, steps = self._shape
        fleet, lead = self._fleet, stack.sites.shape[1:-1]
        width, slope = stack.blocks()
        unit, room = [slope.reshape(*lead, -1)], [width.reshape(*lead, -1)]
        demand = np.broadcast_to(slot.demand, (*lead, J))
        if fleet.models is not None:
            saves = fleet.models.room(demand).reshape(*lead, -1)
            unit.append(np.broadcast_to(fleet.models.unit_cost.ravel(), saves.shape))
            room.append(saves)
        rows = demand
        if work is not None:
            unit += [np.broadcast_to(u, (*lead, C)) for u in (work.waits, work.goes)]
            room += [np.broadcast_to(r, (*lead, C)) for r in (work.may_wait, work.may_go)]
            rows = np.concatenate([demand, np.broadcast_to(work.amount, (*lead, C))], axis=-1)
        costs, rooms = np.concatenate(unit, axis=-1), np.concatenate(room, axis=-1)
        if fleet.routing_cost is not None:
            # All is served whatever it costs, so a constant changes nothing; but the dispatch
            # proves what it found relative to what it costs, and waiting may cost nothing.
            costs = costs + np.abs(costs).max(-1, keepdims=True)
        taken, routing = self._columns.loads(costs, rows, rooms)
        ends = np.cumsum([N * self._blocks, J * steps, C])
        load, saved, waits, goes = np.split(taken, ends, axis=-1)
        load = load.reshape(*lead, N, self._blocks).sum(-1)
        saved = saved.reshape(*lead, J, steps).sum(-1)
        left = np.maximum(rows - np.concatenate([saved, waits + goes], axis=-1), 0.0)
        # A hair of room: what is left of a row that all but waits is off by rounding in the whole.
        room_left = load + 1e-12 * rows.sum(-1, keepdims=True)
        sends = self._rows.allocation(np.zeros(load.shape), left, room_left)
        load = sends.sum(-2)
        on, (generation, discharge, forgone, grid) = stack.operate(load)
        storage = fleet.storage is not None
        return Decision(
            load,
            routing,
            sends[..., :J, :],
            operation=Operation(
                work=sends[..., J:, :] if C else None,
                late=goes if C else None,
                saved=saved if fleet.models is not None else None,
                on=on if fleet.servers is not None else None,
                charge=stack["charge"] - forgone if storage else None,
                discharge=discharge if storage else None,
                generation=None if slot.generation is None else generation,
                grid=grid,
            ),
        )


def stack_of(
    fleet: Fleet,
    slot: Series,
    weights: FloatArray,
    physics: Physics,
    stored: Array,
    most: tuple[Array, Array],
    on: tuple[Array, Array, Array],
) -> LoadStack:
    """What every data center sees in a slot, at shadow prices.

    ``weights [..., K, R]``; ``stored [..., N]``, US$/MWh, or none: idle batteries; ``most``: MWh
    that batteries can take and give; ``on``: worth of a server that is on, cost of a start, what
    was on.
    """
    price, onsite = with_footprints(slot, weights, physics)
    rows = {"price": price, "onsite": onsite, "capacity": slot.capacity, "pue": fleet.pue}
    if slot.generation is not None:
        rows["generation"] = slot.generation
    storage = fleet.storage
    if storage is not None and stored is not None:
        rows |= {
            "worth_charged": stored * storage.charge_efficiency,
            "cost_discharged": stored / storage.discharge_efficiency + storage.wear,
        }
        rows |= dict(zip(("charge", "discharge"), most, strict=True))
    if fleet.servers is not None:
        rows["idle"] = fleet.servers.idle
        rows |= dict(zip(("hold", "start", "on_before"), on, strict=True))
    return LoadStack.of(price.shape, servers=fleet.servers is not None, **rows)
