"""One slot at shadow prices, cleared: what is best to do, by a merit order.

Every data center offers its blocks of load (:mod:`~equiload.envs.knobs.stack`); what gateways can
save by smaller models, work that waits, and work that is given up are further columns. The one
dispatch clears them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from equiload.envs.arrays import namespace, rows
from equiload.envs.dispatch import Dispatch
from equiload.envs.dynamics import Decision
from equiload.envs.instance import Fleet
from equiload.envs.knobs import kernels
from equiload.envs.knobs.kernels import Offers, Terms
from equiload.envs.knobs.operation import Levels, Operation, there_is
from equiload.envs.knobs.prices import Costs, Prices, with_footprints
from equiload.envs.knobs.stack import SITE, LoadStack, count_blocks
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
        steps = 0 if models is None else len(models.steps[0])
        #: Who sends where, once loads are known.
        self._rows = Dispatch(reach, pairs)
        self._dearest = 0.0 if pairs is None else float(np.abs(pairs).max())
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
        self._shape = (N, J, len(self._rows.reachable) - J, steps)
        self._empty = np.zeros((1, N))
        self._kept: Offers | None = None

    def clear(
        self,
        slot: Series,
        prices: Prices,
        levels: Levels,
        physics: Physics,
        between: tuple[Array, Array] | None = None,
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
        if costs is None:
            paid = with_footprints(slot, prices.weights, physics)
        else:
            paid = costs.grid, costs.onsite
        fleet, lead, N = self._fleet, paid[0].shape[:-1], self._shape[0]
        offers, servers = self._room(math.prod(lead)), fleet.servers is not None
        there = there_is(slot, levels, fleet, lead)
        terms = self._terms(paid, prices, levels, between)
        kernels.offer(fleet.equipment, fleet.tariff, there, terms, servers, self._blocks, offers)
        stack = LoadStack(offers.sites.reshape(len(SITE), *lead, N), servers)
        per_unit, rooms, asked = (array.reshape(*lead, -1) for array in offers[1:])
        return self._cleared(stack, per_unit, rooms, asked, slot, sends=sends)

    def _terms(
        self,
        paid: tuple[FloatArray, Array],
        prices: Prices,
        levels: Levels,
        between: tuple[Array, Array] | None,
    ) -> Terms:
        """At what a slot is cleared, with defaults for what has no price."""
        fleet, lead, (N, _, C, _) = self._fleet, paid[0].shape[:-1], self._shape
        waiting = prices.waiting
        if waiting is None and fleet.training is not None:
            waiting = fleet.training.urgent
        if prices.stored is None:
            between = levels.stored, levels.stored
        least, most = self._empty, fleet.equipment.energy[None]
        if between is not None:
            least, most = (rows(level, lead, N) for level in between)
        return Terms(
            rows(paid[0], lead, N),
            rows(paid[1], lead, N),
            rows(prices.stored, lead, N),
            rows(waiting, lead, C),
            rows(prices.on, lead, N),
            rows(levels.on, lead, N),
            least,
            most,
        )

    def _room(self, count: int) -> Offers:
        """Room for the offers of so many problems: kept, since fresh memory takes its time."""
        if self._kept is None or len(self._kept.asked) != count:
            N, J, C, steps = self._shape
            M = N * self._blocks + J * steps + 2 * C
            shapes = (len(SITE), count, N), (count, M), (count, M), (count, J + C)
            self._kept = Offers(*map(np.empty, shapes))
        return self._kept

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
        sites = {"price": price, "onsite": onsite, "capacity": slot.capacity, "pue": fleet.pue}
        if slot.generation is not None:
            sites["generation"] = slot.generation
        storage = fleet.storage
        if storage is not None and stored is not None:
            sites |= {
                "worth_charged": stored * storage.charge_efficiency,
                "cost_discharged": stored / storage.discharge_efficiency + storage.wear,
            }
            sites |= dict(zip(("charge", "discharge"), most, strict=True))
        if fleet.servers is not None:
            sites["idle"] = fleet.servers.idle
            sites |= dict(zip(("hold", "start", "on_before"), on, strict=True))
        return self._stacked(price.shape, sites)

    def _stacked(self, shape: tuple[int, ...], sites: dict[str, Array]) -> LoadStack:
        return LoadStack.of(shape, servers=self._fleet.servers is not None, **sites)

    def dispatch(
        self, stack: LoadStack, slot: Series, work: Work | None, *, sends: bool = True
    ) -> Decision:
        """Clear the blocks of every data center and all other columns; ``sends`` as of clear."""
        fleet, lead = self._fleet, stack.sites.shape[1:-1]
        xp = namespace(stack.sites)

        def spread(values: Array) -> Array:
            shape = (*lead, values.shape[-1])
            return values if values.shape == shape else xp.broadcast_to(values, shape)

        asked, further = spread(slot.demand), []
        if fleet.models is not None:
            saves = fleet.models.room(slot.demand)
            room = saves.reshape(*saves.shape[:-2], -1)
            further.append((fleet.models.unit_cost.reshape(-1), room))
        if work is not None:
            asked = xp.concat([asked, spread(work.amount)], axis=-1)
            further += [(work.waits, work.may_wait), (work.goes, work.may_go)]
        costs, rooms = stack.columns(further)
        return self._cleared(stack, costs, rooms, asked, slot, sends=sends)

    def _cleared(
        self,
        stack: LoadStack,
        costs: Array,
        rooms: Array,
        asked: Array,
        slot: Series,
        *,
        sends: bool,
    ) -> Decision:
        """Decision once the ``costs`` and ``rooms [..., M]`` of all columns are known.

        ``asked [..., J + C]``: demand and work.
        """
        fleet, (_, J, C, _), xp = self._fleet, self._shape, namespace(costs)
        if fleet.routing_cost is not None:
            # All is served whatever it costs, so a constant changes nothing; but the dispatch
            # proves what it found relative to what it costs, and waiting may cost nothing.
            costs = costs + xp.max(abs(costs), axis=-1, keepdims=True)
        taken, routing = self._columns.loads(costs, asked, rooms)
        load, saved, late, done = self._shared(taken, asked)
        allocation, work = None, done[..., None]
        if sends:
            left = xp.concat([xp.maximum(asked[..., :J] - saved, 0.0), done], axis=-1)
            load, allocation, work = self.sent(load, left, asked)
        on, (generation, discharge, forgone, grid) = stack.operate(load)
        storage = fleet.storage is not None
        return Decision(
            load,
            routing,
            allocation,
            operation=Operation(
                work=work if C else None,
                late=late if C else None,
                saved=saved if fleet.models is not None else None,
                on=on if fleet.servers is not None else None,
                charge=stack["charge"] - forgone if storage else None,
                discharge=discharge if storage else None,
                generation=None if slot.generation is None else generation,
                grid=grid,
            ),
        )

    def _shared(self, taken: Array, asked: Array) -> tuple[Array, Array, Array, Array]:
        """Whose what is ``taken [..., M]`` is, of what was ``asked [..., J + C]``.

        Loads ``[..., N]``, demand saved ``[..., J]``, and work given up and done ``[..., C]``.
        """
        N, J, C, steps = self._shape
        lead, B = taken.shape[:-1], math.prod(taken.shape[:-1])
        shares = [np.empty((B, size)) for size in (N, J, C, C)]
        columns = taken.reshape(B, -1), rows(asked, lead, J + C)
        kernels.share_out(*columns, (self._blocks, steps), *shares)
        load, saved, late, done = (share.reshape(*lead, -1) for share in shares)
        return load, saved, late, done

    def sent(self, load: Array, left: Array, asked: Array) -> tuple[Array, Array, Array]:
        """Loads ``[..., N]``, who sends them ``[..., J, N]``, and the work ``[..., C, N]`` in them.

        ``left [..., J + C]`` of all that was ``asked`` is sent, so that about ``load`` comes of it.
        """
        # A hair of room: what is left of a row that all but waits is off by rounding in the whole.
        room_left = load + 1e-12 * asked.sum(-1, keepdims=True)
        # As where columns are cleared: sending may cost nothing but in that hair of room.
        sends = self._rows.allocation(np.full(load.shape, self._dearest), left, room_left)
        J = self._shape[1]
        return sends.sum(-2), sends[..., :J, :], sends[..., J:, :]
