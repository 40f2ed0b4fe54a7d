"""One slot at shadow prices, cleared: what is best to do, by a merit order.

Every data center offers its blocks of load (:mod:`~equiload.envs.knobs.stack`); what gateways can
save by smaller models, work that waits, and work that is given up are further columns. The one
dispatch clears them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from equiload.envs.arrays import namespace
from equiload.envs.dispatch import Dispatch
from equiload.envs.dynamics import Decision
from equiload.envs.instance import Fleet
from equiload.envs.knobs.operation import Levels, Operation, limits
from equiload.envs.knobs.prices import Costs, Prices, with_footprints
from equiload.envs.knobs.stack import LoadStack, count_blocks
from equiload.envs.series import Series
from equiload.envs.setting import Physics
from equiload.envs.typing import Array, FloatArray

if TYPE_CHECKING:  # needs torch
    from equiload.envs.dispatch.torch_dispatch import TorchDispatch


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
        self._columns: Dispatch | TorchDispatch = Dispatch(reach, pairs)
        self._shape = (N, J, rows - J, steps)

    def clear(
        self,
        slot: Series,
        prices: Prices,
        levels: Levels,
        physics: Physics,
        between: tuple[FloatArray, FloatArray] | None = None,
        *,
        costs: Costs | None = None,
        sends: bool = True,
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
        costs
            At the prices' weights, where they are known already.
        sends
            Must be known who sends what? Loads alone are faster.
        """
        fleet, xp = self._fleet, namespace(slot.price)
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
            goes = fleet.training.late_cost
            waits = fleet.training.urgent if prices.waiting is None else prices.waiting
            # To give up is dearer than to wait, or there is no waiting.
            may_wait = xp.where(waits < goes, xp.minimum(amount, slot.ceiling), 0.0)
            work = Work(amount, may_wait, waits, amount - may_wait, goes)
        if costs is None:
            paid = with_footprints(slot, prices.weights, physics)
        else:
            paid = costs.grid, costs.onsite
        stack = self.stack(slot, paid, stored, most, on)
        return self.dispatch(stack, slot, work, sends=sends)

    def stack(
        self,
        slot: Series,
        paid: tuple[FloatArray, Array],
        stored: Array,
        most: tuple[Array, Array],
        on: tuple[Array, Array, Array],
    ) -> LoadStack:
        """What every data center sees in a slot, at shadow prices.

        ``paid``: from the grid, and for what is drawn (:func:`with_footprints`); ``stored
        [..., N]``, US$/MWh, or none: idle batteries; ``most``: MWh that batteries can take and
        give; ``on``: worth of a server that is on, cost of a start, what was on.
        """
        fleet = self._fleet
        price, onsite = paid
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
        return self._stacked(price.shape, rows)

    def _stacked(self, shape: tuple[int, ...], rows: dict[str, Array]) -> LoadStack:
        return LoadStack.of(shape, servers=self._fleet.servers is not None, **rows)

    def dispatch(
        self, stack: LoadStack, slot: Series, work: Work | None, *, sends: bool = True
    ) -> Decision:
        """Clear the blocks of every data center and all other columns; ``sends`` as of clear."""
        N, J, C, steps = self._shape
        fleet, lead = self._fleet, stack.sites.shape[1:-1]
        width, slope = stack.blocks()
        xp = namespace(slope)
        unit, room = [slope.reshape(*lead, -1)], [width.reshape(*lead, -1)]

        def spread(values: Array) -> Array:
            shape = (*lead, values.shape[-1])
            return values if values.shape == shape else xp.broadcast_to(values, shape)

        demand = spread(slot.demand)
        if fleet.models is not None:
            saves = fleet.models.room(demand).reshape(*lead, -1)
            unit.append(spread(fleet.models.unit_cost.reshape(-1)))
            room.append(saves)
        rows = demand
        if work is not None:
            unit += [spread(work.waits), spread(work.goes)]
            room += [spread(work.may_wait), spread(work.may_go)]
            rows = xp.concat([demand, spread(work.amount)], axis=-1)
        costs, rooms = xp.concat(unit, axis=-1), xp.concat(room, axis=-1)
        if fleet.routing_cost is not None:
            # All is served whatever it costs, so a constant changes nothing; but the dispatch
            # proves what it found relative to what it costs, and waiting may cost nothing.
            costs = costs + xp.max(abs(costs), axis=-1, keepdims=True)
        taken, routing = self._columns.loads(costs, rows, rooms)
        ends = list(accumulate([0, N * self._blocks, J * steps, C, C]))
        load, saved, waits, goes = (taken[..., a:b] for a, b in pairwise(ends))
        load = load.reshape(*lead, N, self._blocks).sum(-1)
        saved = saved.reshape(*lead, J, steps).sum(-1)
        left = xp.maximum(rows - xp.concat([saved, waits + goes], axis=-1), 0.0)
        allocation, done = None, left[..., J:, None]
        if sends:
            load, allocation, done = self.sent(load, left, rows)
        on, (generation, discharge, forgone, grid) = stack.operate(load)
        storage = fleet.storage is not None
        return Decision(
            load,
            routing,
            allocation,
            operation=Operation(
                work=done if C else None,
                late=goes if C else None,
                saved=saved if fleet.models is not None else None,
                on=on if fleet.servers is not None else None,
                charge=stack["charge"] - forgone if storage else None,
                discharge=discharge if storage else None,
                generation=None if slot.generation is None else generation,
                grid=grid,
            ),
        )

    def sent(self, load: Array, left: Array, rows: Array) -> tuple[Array, Array, Array]:
        """Loads ``[..., N]``, who sends them ``[..., J, N]``, and the work ``[..., C, N]`` in them.

        ``left [..., J + C]`` of all ``rows`` is sent, so that about ``load`` comes of it.
        """
        # A hair of room: what is left of a row that all but waits is off by rounding in the whole.
        room_left = load + 1e-12 * rows.sum(-1, keepdims=True)
        sends = self._rows.allocation(np.zeros(load.shape), left, room_left)
        J = self._shape[1]
        return sends.sum(-2), sends[..., :J, :], sends[..., J:, :]
