"""The market on torch tensors, on any device: exact, and softened so that prices have gradients.

Held equal to the compiled one by tests. Not imported by ``equiload.envs``: it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiload.envs.dispatch import Dispatch
from equiload.envs.dispatch.torch_dispatch import TorchDispatch
from equiload.envs.dynamics import Decision
from equiload.envs.instance import Fleet
from equiload.envs.knobs.kernels import TINY
from equiload.envs.knobs.market import Market, Work
from equiload.envs.knobs.operation import Levels, limits
from equiload.envs.knobs.prices import Costs, Prices, with_footprints
from equiload.envs.knobs.stack import SITE, LoadStack, count_blocks
from equiload.envs.series import Series
from equiload.envs.setting import Physics
from equiload.envs.typing import Array

# So many temperatures above the grid's price, or below all sources, what to forgo is decided.
_DECIDED = 50.0


class TorchMarket(Market):
    """Clears slots at shadow prices as :class:`Market` does, differentiable.

    At temperature 0 exact: derivatives in demand, levels and what there is of capacities, none in
    prices. At a temperature ``τ > 0`` (US$/MWh) two dispatches are softened as
    :class:`~equiload.envs.dispatch.torch_dispatch.TorchDispatch` softens one: the columns of all
    sites, and then, at a site's load, its sources of energy and the idling that it forgoes. All
    that comes of it is possible, continuous in prices, and the exact decision as ``τ → 0``. Who
    sends what is not said.

    Parameters
    ----------
    fleet, physics
        The fleet, and what the transition reads of it in tensors.
    temperature
        ``τ``; may be changed later.

    Examples
    --------
    >>> from equiload.envs import Setting, Slot
    >>> from equiload.envs.data import synthetic
    >>> from equiload.envs.knobs import Levels, Prices
    >>> day = synthetic(0, horizon=24, regions=3, knobs="storage")
    >>> physics = Setting.of(day).physics.to(torch.tensor)
    >>> market = TorchMarket(day.fleet, physics, temperature=5.0)
    >>> slot, levels = Slot.of(day, 0), Levels.start(day.fleet, ()).map(torch.tensor)
    >>> slot = Slot.at(slot.map(torch.tensor), 0, slot.timestamp)
    >>> worth = torch.full((3,), 280.0, dtype=torch.float64, requires_grad=True)
    >>> prices = Prices(torch.full((2, 3), 1 / 3), stored=worth)
    >>> market.clear(slot, prices, levels, physics).operation.charge.sum().backward()
    >>> bool((worth.grad > 0).all())
    True
    """

    def __init__(self, fleet: Fleet, physics: Physics, *, temperature: float = 0.0) -> None:
        super().__init__(fleet)
        self._fleet = physics.fleet
        device, dtype = physics.pue.device, physics.pue.dtype
        sources = Dispatch(np.ones((1, 6 if fleet.servers is not None else 4), np.bool_))
        self._sources = TorchDispatch(sources, device=device, dtype=dtype)
        assert isinstance(self._columns, Dispatch)
        self._columns = self._dispatch = TorchDispatch(
            self._columns, device=device, dtype=dtype, alike=True
        )
        self.temperature = temperature

    @property
    def temperature(self) -> float:
        """US$/MWh, of both dispatches."""
        return self._sources.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self._sources.temperature = self._dispatch.temperature = temperature

    def _stacked(self, shape: tuple[int, ...], rows: dict[str, Array]) -> LoadStack:
        pue = rows["pue"]
        sites = [torch.as_tensor(rows.get(name, 0.0)).to(pue).expand(shape) for name in SITE]
        return TorchStack(torch.stack(sites), self._fleet.servers is not None, self._sources)

    def clear(
        self,
        slot: Series,
        prices: Prices,
        levels: Levels,
        physics: Physics,
        between: tuple[Array, Array] | None = None,
        *,
        costs: Costs | None = None,
        sends: bool = False,
    ) -> Decision:
        """See :class:`Market`; ``sends`` is left alone."""
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
            goes: Array = fleet.training.late_cost
            waits = fleet.training.urgent if prices.waiting is None else prices.waiting
            # To give up is dearer than to wait, or there is no waiting.
            may_wait: Array = torch.where(waits < goes, torch.minimum(amount, slot.ceiling), 0.0)
            work = Work(amount, may_wait, waits, amount - may_wait, goes)
        if costs is None:
            paid = with_footprints(slot, prices.weights, physics)
        else:
            paid = costs.grid, costs.onsite
        stack = self.stack(slot, paid, stored, most, on)
        return self.dispatch(stack, slot, work, sends=sends)

    def _shared(self, taken: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        N, J, C, steps = self._shape
        lead = taken.shape[:-1]
        sizes = [N * self._blocks, J * steps, C, C]
        load, saved, waits, late = torch.split(taken, sizes, -1)
        done = torch.clamp(asked[..., J:] - (waits + late), min=0.0)
        each = load.reshape(*lead, N, self._blocks), saved.reshape(*lead, J, steps)
        return each[0].sum(-1), each[1].sum(-1), late, done

    def dispatch(
        self, stack: LoadStack, slot: Series, work: Work | None, *, sends: bool = False
    ) -> Decision:
        """See :class:`Market`; ``sends`` is left alone."""
        del sends
        return super().dispatch(stack, slot, work, sends=False)


@dataclass(frozen=True, eq=False)
class TorchStack(LoadStack):
    """The blocks of :mod:`~equiload.envs.knobs.kernels` in tensors, all sites at once.

    Parameters
    ----------
    sources
        Clears a site's sources of energy, and the idling that it forgoes.
    """

    sources: TorchDispatch

    def columns(self, further: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """See :class:`LoadStack`."""
        lead = self.sites.shape[1:-1]
        width, slope = self._blocks()
        costs, rooms = [slope.reshape(*lead, -1)], [width.reshape(*lead, -1)]
        for cost, room in further:
            costs.append(cost.expand(*lead, -1))
            rooms.append(room.expand(*lead, -1))
        return torch.cat(costs, -1), torch.cat(rooms, -1)

    def _blocks(self) -> tuple[Tensor, Tensor]:
        """Widths in MWh and slopes in US$/MWh, ``[..., N, B]``."""
        cost, width = self._merit_order()
        index = torch.arange(4, device=cost.device)
        first = (cost[..., :, None] == cost[..., None, :]) & (index[:, None] > index)
        first = first | (cost[..., :, None] > cost[..., None, :])
        # Summed one by one, as the kernels do: ties of what is summed stay ties.
        end = torch.cumsum(first * width[..., None, :], -1)[..., -1] + width
        capacity, charge = self["capacity"], self["charge"]
        load = [(end[..., m] - charge) / self["pue"] for m in range(3)]
        if self.servers:
            idle, before = self["idle"], torch.minimum(self["on_before"], capacity)
            busy = torch.where(idle < 1.0, 1.0 - idle, 1.0)
            load += [(x - idle * on) / busy for on in (before, capacity) for x in load[:3]]
            load.append(before)
        ends = torch.stack([*load, capacity], -1)
        ends = torch.minimum(torch.clamp(ends, min=0.0), capacity[..., None]).sort(-1).values
        starts = torch.cat([torch.zeros_like(ends[..., :1]), ends[..., :-1]], -1)
        widths, slopes = ends - starts, self._slope((starts + ends) / 2, cost, width, end)
        # Most have no width, and then no slope of their own.
        number = torch.arange(count_blocks(self.servers), device=ends.device)
        own = torch.where(widths > 0, number, 0).cummax(-1).values
        return widths, slopes.gather(-1, own)

    def operate(self, load: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`LoadStack`: one dispatch a site.

        What it would draw with every server on is met by the sources of energy, and by idling that
        is forgone: that of servers which would have to start, and of those that were on.
        """
        cost, width = self._merit_order()
        if not self.servers:
            return load, self._taken(cost, width, self["pue"] * load + self["charge"])
        capacity, idle = self["capacity"], self["idle"]
        warm = torch.maximum(load, torch.minimum(self["on_before"], capacity))
        spare = torch.stack([capacity - warm, warm - load], -1).clamp(min=0.0)
        worth = torch.stack([self["hold"] - self["start"], self["hold"]], -1)
        draws = (idle * self["pue"])[..., None]
        cost = torch.cat([cost, worth / draws.clamp(min=TINY) - self["onsite"][..., None]], -1)
        width = torch.cat([width, spare * draws], -1)
        drawn = self["pue"] * (idle * (load + spare.sum(-1)) + (1.0 - idle) * load)
        taken = self._taken(cost, width, drawn + self["charge"])
        forgone, most = taken[4:].movedim(0, -1), width[..., 4:]
        share = torch.where(most > 0, forgone / torch.where(most > 0, most, 1.0), self._off(worth))
        return load + (spare * (1.0 - share)).sum(-1), taken[:4]

    def _taken(self, cost: Tensor, width: Tensor, drawn: Tensor) -> Tensor:
        """MWh ``[M, ..., N]`` from sources at ``cost``, of ``width [..., N, M]``."""
        if (tau := self.sources.temperature) > 0:
            # A cost out of all proportion would leave no digits for the others.
            low, high = cost[..., :4].amin(-1), self["price"]
            far = _DECIDED * tau + low.abs() + high.abs()
            cost = torch.maximum(cost, (low - far)[..., None])
            cost = torch.minimum(cost, (high + far)[..., None])
        return self.sources.loads(cost, drawn[..., None], width)[0].movedim(-1, 0)

    def _off(self, worth: Tensor) -> Tensor:
        """Share that is off of servers that draw nothing while they idle."""
        if (tau := self.sources.temperature) > 0:
            return torch.sigmoid(-worth / tau)
        return (worth < 0).to(worth.dtype)

    def _merit_order(self) -> tuple[Tensor, Tensor]:
        """Cost and width ``[..., N, 4]`` of the sources: generation, discharge, charge, grid."""
        charge, generation, discharge = self["charge"], self["generation"], self["discharge"]
        cost = [0.0 * charge, self["cost_discharged"], self["worth_charged"], self["price"]]
        most = 2 * (self["pue"] * self["capacity"] + charge) + generation + discharge
        width = [generation, discharge, charge, torch.where(most != 0.0, most, 1.0)]
        return torch.stack(cost, -1), torch.stack(width, -1)

    def _slope(self, load: Tensor, cost: Tensor, width: Tensor, end: Tensor) -> Tensor:
        """US$ per MWh more of ``load [..., N, B]``, within a block."""
        column = {name: self[name][..., None] for name in SITE}
        idle, pue, capacity = column["idle"], column["pue"], column["capacity"]
        on, hold, before = load, column["hold"], torch.minimum(column["on_before"], capacity)
        if self.servers:
            burnt = idle * pue * (cost + column["onsite"])
            keep, more = (
                torch.cat([-column["charge"], width * (burnt <= limit)], -1).cumsum(-1)[..., -1:]
                for limit in (hold, hold - column["start"])
            )
            low, busy = idle.clamp(min=TINY), (1.0 - idle) * load
            best = torch.minimum((keep / pue - busy) / low, before)
            best = torch.minimum(torch.maximum(best, (more / pue - busy) / low), capacity)
            on = torch.maximum(load, best)
        drawn = pue * (idle * on + (1.0 - idle) * load) + column["charge"]
        left = end[..., None, :] > drawn[..., None]
        left[..., 3] = True
        cheapest = torch.where(left, cost[..., None, :], torch.inf).amin(-1)
        marginal: Tensor = pue * (cheapest + column["onsite"])
        if not self.servers:
            return marginal
        saved = torch.where(on > before, hold - column["start"], hold)
        swapped = saved * (1.0 - idle) / torch.where(idle > TINY, idle, 1.0)
        full = (on == before) | (on == capacity)
        slope = torch.where(full, (1.0 - idle) * marginal, swapped)
        return torch.where(on <= load, marginal - saved, slope)
