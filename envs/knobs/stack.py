"""A data center at shadow prices: what a slot's load costs it, block by block.

Two merit orders, one inside the other. *Energy*: what a site draws comes from its own generation,
the battery, charging that is forgone, and the grid, the cheapest first. *Load*: with as many
servers on as is best, a unit more of load costs what it draws, less what stood idle anyway; so the
cost of a load is convex, and its slope is constant on a few blocks.

Written against the array API. Every array is ``[..., N]`` unless said.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from equiload.envs.dynamics import namespace
from equiload.envs.typing import Array

#: Sources of a site's energy, in the order in which ties are broken.
_SOURCES = ("generation", "discharge", "forgone charge", "grid")
# Smallest idle share to divide by: less is none, and then no load changes what is best to have on.
_TINY = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """What a data center sees in one slot, at shadow prices.

    Parameters
    ----------
    price
        US$ per MWh from the grid, its footprint included.
    onsite
        US$ per MWh drawn, whatever its source: on-site footprint.
    capacity
        MWh of load, and of servers that can be on.
    pue
        MWh drawn per MWh of load.
    generation
        MWh of on-site generation at hand.
    charge, discharge
        MWh that the battery can take, and give.
    worth_charged, cost_discharged
        US$ per MWh taken (``θ·η_c``) and given (``θ/η_d + κ``).
    idle
        Share of full power that a server draws idling; 0 where all is off that has no load.
    hold
        US$ that it is worth to have a MWh per slot of capacity on (``φ``).
    start
        US$ to switch it on (``β``).
    on_before
        MWh per slot that was on before.
    servers
        Is there anything to switch?
    """

    price: Array
    onsite: Array
    capacity: Array
    pue: Array
    generation: Array
    charge: Array
    discharge: Array
    worth_charged: Array
    cost_discharged: Array
    idle: Array
    hold: Array
    start: Array
    on_before: Array
    servers: bool


class EnergyStack:
    """The cheapest sources of what a site draws, charging among it.

    Charging is served as a demand of ``charge`` MWh whose last source is to forgo it, at what a
    stored MWh is worth. The grid has no end, so nothing dearer than it is ever used.
    """

    def __init__(self, site: Site) -> None:
        xp = namespace(site.price)
        self.base = site.charge
        most = 2 * (site.pue * site.capacity + site.charge) + site.generation + site.discharge
        self.costs = [0.0 * site.price, site.cost_discharged, site.worth_charged, site.price]
        self.widths = [site.generation, site.discharge, site.charge, most + 1.0 * (most == 0)]
        #: Where each begins, in MWh drawn and charged; equal costs in the order of the sources.
        self.begins = []
        for m, cost in enumerate(self.costs):
            begin = 0.0 * cost
            for other, (theirs, width) in enumerate(zip(self.costs, self.widths, strict=True)):
                if other != m:
                    first = theirs <= cost if other < m else theirs < cost
                    begin = begin + xp.where(first, width, 0.0 * width)
            self.begins.append(begin)
        self.ends = [b + w for b, w in zip(self.begins, self.widths, strict=True)]

    def slope(self, drawn: Array) -> Array:
        """US$ per MWh more, at ``drawn [..., N, B]``."""
        xp = namespace(drawn)
        at = drawn + self.base[..., None]
        slope = self.costs[-1][..., None] + 0.0 * at
        for cost, end in zip(self.costs[:-1], self.ends[:-1], strict=True):
            cheaper = (end[..., None] > at) & (cost[..., None] <= slope)
            slope = xp.where(cheaper, cost[..., None], slope)
        return slope

    def cheaper_than(self, limit: Array, factor: Array, onsite: Array) -> Array:
        """MWh up to which a MWh drawn costs at most ``limit``, times ``factor``."""
        total = -self.base
        for cost, width in zip(self.costs, self.widths, strict=True):
            total = total + width * (factor * (cost + onsite) <= limit)
        return total

    def take(self, drawn: Array) -> list[Array]:
        """MWh from each source, where ``drawn`` is drawn; in the order of the sources."""
        xp = namespace(drawn)
        at, zero = drawn + self.base, 0.0 * drawn
        pairs = zip(self.begins, self.widths, strict=True)
        return [xp.minimum(xp.maximum(at - begin, zero), width) for begin, width in pairs]


@dataclass(frozen=True, eq=False)
class LoadStack:
    """The blocks of load of every data center, and what is done at a load."""

    site: Site

    @cached_property
    def energy(self) -> EnergyStack:
        """Where its energy comes from."""
        return EnergyStack(self.site)

    @cached_property
    def _targets(self) -> tuple[Array, Array]:
        """MWh drawn up to which idling pays for a server that is on, and for one that is off."""
        site, energy = self.site, self.energy
        factor = site.idle * site.pue
        return (
            energy.cheaper_than(site.hold, factor, site.onsite),
            energy.cheaper_than(site.hold - site.start, factor, site.onsite),
        )

    def on(self, load: Array) -> Array:
        """MWh per slot of capacity that is best to have on at ``load [..., N, B]``."""
        xp, site = namespace(load), self.site
        if not site.servers:
            return load
        idle = xp.where(site.idle > _TINY, site.idle, 0.0 * site.idle + _TINY)[..., None]
        pue, capacity = site.pue[..., None], site.capacity[..., None]
        busy = (1.0 - site.idle[..., None]) * load
        keep, begin = ((drawn[..., None] / pue - busy) / idle for drawn in self._targets)
        before = xp.minimum(site.on_before[..., None], capacity)
        best = xp.maximum(xp.minimum(keep, before), begin)
        return xp.maximum(load, xp.minimum(best, capacity))

    def drawn(self, load: Array, on: Array) -> Array:
        """MWh drawn at ``load`` and ``on``, ``[..., N, B]``."""
        idle = self.site.idle[..., None]
        return self.site.pue[..., None] * (idle * on + (1.0 - idle) * load)

    def _slope(self, load: Array) -> Array:
        """US$ per MWh of load more, at ``load [..., N, B]`` within a block."""
        xp, site = namespace(load), self.site
        pue, idle = site.pue[..., None], site.idle[..., None]
        on = self.on(load)
        marginal = pue * (self.energy.slope(self.drawn(load, on)) + site.onsite[..., None])
        if not site.servers:
            return marginal
        hold, start = site.hold[..., None], site.start[..., None]
        before = xp.minimum(site.on_before[..., None], site.capacity[..., None])
        saved = xp.where(on > before, hold - start, hold)  # worth of a server that is on
        # Load that takes the place of idling leaves what is drawn as it is, and one on fewer.
        replaces = saved * (1.0 - idle) / xp.where(idle > _TINY, idle, 0.0 * idle + 1.0)
        constant = (on == before) | (on == site.capacity[..., None])
        slope = xp.where(constant, (1.0 - idle) * marginal, replaces)
        return xp.where(on <= load, marginal - saved, slope)

    @cached_property
    def blocks(self) -> tuple[Array, Array]:
        """Widths in MWh and slopes in US$/MWh, ``[..., N, B]``, the slopes ascending."""
        site, energy = self.site, self.energy
        xp = namespace(site.price)
        ends = xp.stack(energy.ends[:-1], axis=-1) - energy.base[..., None]
        load = ends / site.pue[..., None]
        if site.servers:  # a source ends with no idle servers, with those that were on, or with all
            before = xp.minimum(site.on_before, site.capacity)
            idle = site.idle[..., None]
            busy = xp.where(idle < 1, 1.0 - idle, 0.0 * idle + 1.0)
            few, many = ((load - idle * on[..., None]) / busy for on in (before, site.capacity))
            load = xp.concat([load, few, many, before[..., None]], axis=-1)
        capacity = site.capacity[..., None]
        load = xp.minimum(xp.maximum(load, 0.0 * load), capacity)
        load = xp.sort(xp.concat([load, capacity], axis=-1), axis=-1)
        begin = xp.concat([0.0 * capacity, load[..., :-1]], axis=-1)
        slope = self._slope((begin + load) / 2)
        return load - begin, slope

    def operate(self, load: Array) -> tuple[Array, list[Array]]:
        """What is on, and MWh from each source, at ``load [..., N]``."""
        on = self.on(load[..., None])
        return on[..., 0], self.energy.take(self.drawn(load[..., None], on)[..., 0])
