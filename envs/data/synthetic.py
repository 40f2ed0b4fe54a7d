"""``synthetic``: the training distribution, worlds drawn from ranges around real regions.

Weather drives power systems, which make prices and footprints; local clocks drive demand. Nothing
is fitted to a published trace. docs/worlds.md tells the model and its sources.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from equiload.envs.data.clock import Clock, Sky, clock, sky
from equiload.envs.data.draw import Draw, generators, shape_of
from equiload.envs.data.equipment import DARK, Equipment, Sizes, equipped, jobs, knobs_of
from equiload.envs.data.fleets import world_fleet
from equiload.envs.data.grid import MARKETS, Year, load_shape, power, system
from equiload.envs.data.noise import autoregression, between, pulses, uniform
from equiload.envs.data.ranges import Ranges
from equiload.envs.data.regions import (
    PAPER_EQUITY_WEIGHT,
    PAPER_REGIONS,
    Region,
    columns,
    great_circle,
    location,
    named_regions,
)
from equiload.envs.data.requests import outages, requests
from equiload.envs.data.weather import Weather, cooling_water, weather
from equiload.envs.errors import DataError
from equiload.envs.footprints import FOOTPRINTS, in_order
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.typing import FloatArray, IntArray, TimeArray

_NODE_HOURS = 3  # weather is drawn so often and read in between
_CHUNK = 1 << 16  # slots × regions worked on at once, so that they stay in cache
# Fuel prices wander within a year, together in a fuel market: half as far as from year to year, in
# three months. With the default volatility that is some 6 % a week at Henry Hub and 10 % at TTF, or
# 40 and 70 % at the rate of a year.
_FUEL, _FUEL_HOURS = 0.5, 2160.0
# Plants and lines out of order shift a region's level over days.
_DRIFT, _DRIFT_HOURS = 0.10, 96.0
# Half of the hours see no congestion between coupled markets (ACER on western Europe), and coupling
# fades over distance.
_COUPLED, _COUPLING_KM = 0.5, 500.0
_NOISE_HOURS, _SPIKE_HOURS = 14.0, 2.5  # memory of a price's own noise, and of a spike
_SPIKE = 1.0  # mean size of a spike, relative to the mean price
_LOAD_NOISE, _LOAD_HOURS = 0.025, 12.0

_JOBS = 1  # number of the stream that training jobs are drawn from

# Drawn once for an instance, and once for each of its regions.
_PER_INSTANCE = (
    "fuel",
    "volatility",
    "correlation",
    "utilisation",
    "growth",
    "flash_crowds",
    "outages",
)
_PER_REGION = ("hydro", "wind", "nuclear", "warmth")


def synthetic(
    seed: int | str | Draw | Sequence[int | str | Draw] = 0,
    *,
    horizon: int = 672,
    batch: int | Sequence[int] = (),
    reachability: str = "full",
    regions: int | Sequence[str] = PAPER_REGIONS,
    sites: int | Sequence[int] = 1,
    region_per_site: bool = False,
    slot_minutes: int = 60,
    ranges: Ranges | Mapping[str, Any] | None = None,
    equity_weight: Mapping[str, float] | None = None,
    knobs: str | Sequence[str] | None = None,
    equipment: Equipment | Mapping[str, Any] | None = None,
) -> Instance:
    """Draw an instance, or a batch of them, from the training distribution.

    Parameters
    ----------
    seed
        Which draw. A whole number is a draw of the training split; validation and test draws are
        asked for by name, ``Draw.test(7)`` or ``"test/7"``, and share no stream with it. Several
        are drawn side by side, with a leading axis for them.
    horizon
        Slots.
    batch
        Leading axes. Member ``b`` (in C order) is the same instance whatever the batch's size, and
        ``()`` gives member 0; no two seeds share a member.
    reachability
        ``"full"``, or ``"partial"``: the paper's between its regions, elsewhere within 6,500 km.
    regions
        Names from :func:`world`, or how many of them, the paper's ten first.
    sites
        Data centers per region, one number or one for each. Each has capacity 1; sites of a region
        share its weather and grid and differ a little in price and water.
    region_per_site
        Does the highest regional cost count every site as a region of its own?
    slot_minutes
        5, 15, 30 or 60.
    ranges
        What varies from draw to draw, as :class:`Ranges` or a mapping of its fields.
    equity_weight
        US$ per unit, by footprint kind: the kinds that are drawn, any with factors by fuel in
        :data:`~equiload.envs.footprints.FOOTPRINTS`. Default: the paper's, 1500 per t of carbon and
        60 per m³ of water. A further kind changes no other number (but for rounding).
    knobs
        What there is to decide beside routing: any of ``"solar"``, ``"storage"``, ``"training"``,
        ``"servers"`` and ``"models"``, or ``"all"``. None of them changes another number, but
        that training work is a part of the demand that there is without, and that with any of them
        the water that cooling towers drink on the site is told apart from the grid's. ``"random"``:
        another choice of them for each draw.
    equipment
        Sizes and prices of these, as :class:`~equiload.envs.data.equipment.Equipment` or a mapping
        of its fields. Of a number, a pair: low and high end of a range that each draw draws from,
        log-uniformly; the members of a batch share one fleet, so they share its sizes.

    Raises
    ------
    DataError
        An option out of its range, or a kind that the generator has no factors for.
    """
    objective = Objective(equity_weight=equity_weight or PAPER_EQUITY_WEIGHT)
    one = isinstance(seed, int | np.integer | str | Draw)
    draws, ranges = [Draw.of(each) for each in ([seed] if one else seed)], Ranges.of(ranges)  # type: ignore[union-attr,arg-type]
    shape = shape_of(batch)
    members = [draw.of_member(b) for draw in draws for b in range(math.prod(shape))]
    shape = shape if one else (len(draws), *shape)
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise DataError(f"horizon must be a whole number of slots from 1, got {horizon!r}")
    if slot_minutes not in (5, 15, 30, 60):
        raise DataError(f"slot_minutes must be 5, 15, 30 or 60, got {slot_minutes!r}")
    fleet = world_fleet(regions, sites, reachability, capacity=slot_minutes / 60)
    kinds = in_order(objective.footprints)
    chosen, sizes = knobs_of(knobs, draws[0]), Sizes.of(equipment)
    if len(draws) > 1 and (knobs == "random" or (chosen and sizes.drawn_anew)):
        differs = "knobs" if knobs == "random" else f"equipment {sizes.drawn_anew[0]!r}"
        raise DataError(f"draws side by side share one fleet, and {differs} would differ")
    equipment = sizes.drawn(draws[0])
    maker = _Maker(fleet, ranges, int(horizon), int(slot_minutes), kinds, chosen, equipment)
    series = maker.make(members)
    for array in series.values():
        array.flags.writeable = False  # made here, so the trace need not copy it
    if region_per_site:
        fleet = fleet.replace(regions=None, region_of=None)
    fleet = equipped(fleet, chosen, equipment, 60 / slot_minutes)
    return Instance(
        name="synthetic",
        fleet=fleet,
        trace=Trace(
            **{name: array.reshape(*shape, *array.shape[1:]) for name, array in series.items()},
            footprints=kinds,
            provenance={
                "source": "synthetic",
                "draw": ", ".join(map(str, draws)),
                "ranges": dataclasses.asdict(ranges),
            }
            | ({"knobs": chosen, "equipment": dataclasses.asdict(equipment)} if chosen else {}),
        ),
        objective=objective,
    )


def _normals(draws: Sequence[Draw], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, FloatArray]:
    """Standard normal numbers by name, ``[B, *shape]``, drawn in the order of ``shapes``."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    values = np.empty((len(draws), ends[-1]))
    for row, generator in zip(values, generators(draws), strict=True):
        generator.standard_normal(out=row)
    parts = zip(shapes.items(), np.split(values, ends[:-1], axis=1), strict=True)
    return {name: part.reshape(-1, *shape) for (name, shape), part in parts}


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes series for one fleet and one set of ranges, a chunk of the batch at a time."""

    fleet: Fleet
    ranges: Ranges
    slots: int
    minutes: int
    kinds: tuple[str, ...]
    knobs: tuple[str, ...]
    equipment: Equipment

    def make(self, draws: Sequence[Draw]) -> dict[str, Any]:
        """Series of the draws by field of :class:`Trace`, ``[len(draws), ...]`` each."""
        members, T = len(draws), self.slots
        N, J = len(self.fleet.datacenters), len(self.fleet.gateways)
        series = {
            "price": np.empty((members, T, N)),
            "intensity": np.empty((members, len(self.kinds), T, N)),
            "demand": np.empty((members, T, J)),
            "timestamps": np.empty((members, T), dtype="datetime64[s]"),
        }
        if self.ranges.ends("outages")[1] > 0:
            series["availability"] = np.empty((members, T, N))
        if self.knobs:
            series["onsite_intensity"] = np.empty(series["intensity"].shape)
        if "solar" in self.knobs:
            series["generation"] = np.empty((members, T, N))
        if "training" in self.knobs:
            classes = len(self.equipment.deadline_hours)
            series["work"] = np.empty((members, T, classes))
        size = max(1, _CHUNK // (T * J))
        for first in range(0, members, size):
            made = self._chunk(draws[first : first + size])
            for name, array in series.items():
                array[first : first + size] = made[name]
        return series

    def _chunk(self, draws: Sequence[Draw]) -> dict[str, Any]:
        normals = _normals(draws, self._drawn)
        chosen = self._uniform(_PER_INSTANCE, normals["instance"])
        start, index, times = self._window(normals["start"])
        mix = _neighbours(self.fleet, chosen["correlation"])
        chosen |= self._uniform(_PER_REGION, np.moveaxis(normals["year"] @ mix, 1, -1))
        nodes = normals["nodes"] @ mix[:, None]
        regions = named_regions(self.fleet.regions)
        merit, prints, air = self._power(nodes, chosen, times, index, regions)
        merit = merit * self._fuel(normals["fuel"], chosen["volatility"], regions)
        price = self._price(merit, nodes[:, 4], normals["price"], mix, chosen, regions)
        demand = requests(
            normals["requests"],
            normals["crowds"],
            times.week_slot[index],
            minutes=self.minutes,
            utilisation=chosen["utilisation"],
            growth=chosen["growth"],
            crowds=chosen["flash_crowds"],
            volatility=chosen["volatility"],
        )
        demand *= np.bincount(self.fleet.region_of) * self.minutes / 60
        up = outages(
            normals["outages"], chosen["outages"], self._every, self.slots, self._node_hours
        )
        if self.ranges.ends("outages")[1] > 0:  # those that leave demand unserved are taken back
            up[self.fleet.dispatch.unserved(demand, self.fleet.capacity * up) > 1e-12] = 1.0
        made = {
            **self._by_site(price, prints, cooling_water(air.wet_bulb), normals["sites"]),
            "demand": demand,
            "timestamps": start,
            "availability": up,
        }
        return made | self._equipment(draws, air, demand)

    def _equipment(
        self, draws: Sequence[Draw], air: Weather, demand: FloatArray
    ) -> dict[str, FloatArray]:
        """Series of the knobs; of demand what is left where a part of it is training work."""
        made, fleet, equipment = {}, self.fleet, self.equipment
        if "solar" in self.knobs:
            peak = equipment.solar_peak * fleet.capacity
            sun = np.where(air.sun > DARK, air.sun, 0.0)
            made["generation"] = peak * sun[..., fleet.region_of]
        if "training" in self.knobs:
            mean, per_hour = equipment.training * demand.sum(-1), 60 / self.minutes
            streams = (draw.generator(_JOBS) for draw in draws)
            pairs = zip(streams, mean, strict=True)
            work = [jobs(rng, expected, equipment, per_hour) for rng, expected in pairs]
            made |= {"work": np.stack(work), "demand": (1.0 - equipment.training) * demand}
        return made

    @property
    def _drawn(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what is drawn for a member. One more goes last: the others stay what they are.

        ``nodes`` are of temperature, wind, cloud, electricity demand and the price's level.
        """
        T, N, R = self.slots, len(self.fleet.datacenters), len(self.fleet.regions)
        C = math.ceil(T / self._every) + 1
        return {
            "instance": (len(_PER_INSTANCE),),
            "start": (2,),
            "year": (len(_PER_REGION), R),
            "nodes": (5, C, R),
            "fuel": (C, len(MARKETS)),
            "price": (2, T, R),
            "requests": (T, R),
            "crowds": (T, R),
            "outages": (C, N),
            "sites": (N,),
        }

    @property
    def _every(self) -> int:
        return _NODE_HOURS * 60 // self.minutes

    @property
    def _node_hours(self) -> float:
        return self._every * self.minutes / 60

    def _uniform(self, names: Sequence[str], normal: FloatArray) -> dict[str, FloatArray]:
        """Uniform numbers within the ranges of these names, from ``normal [..., names]``."""
        columns = zip(names, np.moveaxis(normal, -1, 0), strict=True)
        return {name: uniform(column, *self.ranges.ends(name)) for name, column in columns}

    def _window(self, normal: FloatArray) -> tuple[TimeArray, IntArray, Clock]:
        """Stamps and table rows ``[B, T]`` of windows that start in the season and year drawn."""
        low, high = (int(end) for end in self.ranges.ends("year"))
        year = np.minimum(np.floor(uniform(normal[:, 0], low, high + 1)), high).astype(np.int64)
        first, last = self.ranges.ends("day")
        hour = np.floor(uniform(normal[:, 1], 24 * (first - 1), 24 * last)).astype(np.int64)
        hour = np.minimum(hour, 24 * int(last) - 1)
        zones = tuple(region.zone for region in named_regions(self.fleet.regions))
        years_long = math.ceil(self.slots * self.minutes / (365 * 24 * 60))
        times = clock(zones, (low, high + years_long), self.minutes)
        begin: TimeArray = (year - 1970).astype("datetime64[Y]").astype("datetime64[s]")
        begin = begin + (3600 * hour).astype("timedelta64[s]")
        step, offset = np.timedelta64(self.minutes * 60, "s"), np.arange(self.slots)
        index: IntArray = ((begin - times.start) // step)[:, None] + offset
        stamps: TimeArray = begin[:, None] + offset * step
        return stamps, index, times

    def _power(
        self,
        nodes: FloatArray,
        chosen: Mapping[str, FloatArray],
        times: Clock,
        index: IntArray,
        regions: tuple[Region, ...],
    ) -> tuple[FloatArray, list[FloatArray], Weather]:
        """Price and footprints of the regions' power systems in drawn weather, and that."""
        table: Sky = sky(regions, self.minutes)
        air = weather(
            nodes[:, :3],
            chosen["warmth"],
            table,
            times.year_slot[index],
            regions,
            every=self._every,
            node_hours=self._node_hours,
        )
        noise = autoregression(nodes[:, 3], _LOAD_HOURS / self._node_hours)
        load = load_shape(self.minutes)[times.week_slot[index]]
        load += _LOAD_NOISE * between(noise, self._every, self.slots)
        year = Year(chosen["hydro"], chosen["wind"], chosen["nuclear"], chosen["fuel"][:, None])
        plant = system(regions, table, self.kinds)
        return *power(air, load, year, plant, regions), air

    def _fuel(
        self, nodes: FloatArray, volatility: FloatArray, regions: tuple[Region, ...]
    ) -> FloatArray:
        """``[B, T, R]``: the fuels' prices relative to the year's, from ``nodes [B, C, M]``."""
        slow = autoregression(nodes, _FUEL_HOURS / self._node_hours)
        spread = _FUEL * np.array([market.swing for market in MARKETS.values()])
        level = np.exp(spread * volatility[:, None, None] * between(slow, self._every, self.slots))
        markets = list(MARKETS)
        return np.take(level, [markets.index(region.market) for region in regions], axis=-1)

    def _price(
        self,
        merit: FloatArray,
        drift: FloatArray,
        normal: FloatArray,
        mix: FloatArray,
        chosen: Mapping[str, FloatArray],
        regions: tuple[Region, ...],
    ) -> FloatArray:
        """Merit-order price at the region's level, coupled, with noise of its own and spikes.

        ``drift [B, C, R]`` are nodes of the level, ``normal [B, 2, T, R]`` noise and spikes.
        """
        per_hour = 60 / self.minutes
        column = columns(regions, "markup", "volatility", "spikes", "floor")
        markup, own, rate, floor = column.values()
        scale = chosen["volatility"][:, None, None]
        slow = autoregression(drift, _DRIFT_HOURS / self._node_hours)
        level = _DRIFT * scale * between(slow, self._every, self.slots)
        price: FloatArray = markup * merit * np.exp(level)
        size = np.abs(price)
        typical = size.mean(1, keepdims=True)
        noise = autoregression(normal[:, 0] @ mix, _NOISE_HOURS * per_hour)
        spike = pulses(normal[:, 1], rate / (7 * 24 * per_hour) * scale, _SPIKE_HOURS * per_hour)
        price += 0.35 * own * scale * noise * (size + typical) + _SPIKE * typical * spike
        return np.asarray(np.maximum(price @ _coupling(regions), floor))

    def _by_site(
        self,
        price: FloatArray,
        prints: Sequence[FloatArray],
        towers: FloatArray,
        site: FloatArray,
    ) -> dict[str, FloatArray]:
        """Series of the data centers: sites of one region differ by a few per cent."""
        alone, of = self.fleet.one_region_each, self.fleet.region_of
        if not alone:
            apart = np.tanh(site)[:, None]
            price, towers = price[..., of] * (1 + 0.03 * apart), towers[..., of] * (1 + 0.1 * apart)
        intensity = np.empty((len(price), len(self.kinds), *price.shape[1:]))
        onsite = np.zeros(intensity.shape) if self.knobs else intensity
        for k, kind in enumerate(self.kinds):
            intensity[:, k] = prints[k] if alone else prints[k][..., of]
            if FOOTPRINTS[kind].cooling:
                onsite[:, k] += towers
        made = {"price": price, "intensity": intensity}
        return made | ({"onsite_intensity": onsite} if self.knobs else {})


@lru_cache(maxsize=8)
def _coupling(regions: tuple[Region, ...]) -> FloatArray:
    """``[R, R]``: turns prices of regions alone into those of coupled markets, levels kept.

    A price, relative to its region's level, moves part of the way to the mean of the markets that
    it is coupled with, each weighed by ``exp(−distance / 500 km)``.
    """
    place = location(region.name for region in regions)
    market = np.array([region.coupling or region.name for region in regions])
    weight = np.exp(-great_circle(place, place) / _COUPLING_KM) * (market[:, None] == market)
    weight = _COUPLED * weight / weight.sum(1, keepdims=True)
    weight += (1.0 - _COUPLED) * np.eye(len(regions))
    level = np.array([region.price for region in regions])
    coupled: FloatArray = (weight * level[:, None] / level).T
    return np.ascontiguousarray(coupled)


def _neighbours(fleet: Fleet, length: FloatArray) -> FloatArray:
    """``[B, R, R]``: mixes independent columns into ones correlated ``exp(−distance/length)``."""
    first = np.unique(fleet.region_of, return_index=True)[1]
    place = fleet.location[first]  # type: ignore[index]
    distance = great_circle(place, place)
    correlation = np.exp(-distance / length[:, None, None]) + 1e-9 * np.eye(len(place))
    mix: FloatArray = np.swapaxes(np.linalg.cholesky(correlation), -1, -2)
    return np.ascontiguousarray(mix)
