"""Power systems of the generator: residual load, a merit order, and the footprints of what runs.

Each region is a system of mean load 1. Sun, wind and nuclear run first; what load they leave, the
residual load, climbs a supply curve made of blocks. A block offers its capacity evenly between two
prices, so blocks overlap, and the price follows from the residual load as in a market. What is
consumed is the region's own mix and its neighbours', as flow tracing finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from equiload.envs.data import kernels
from equiload.envs.data.clock import Sky, week_shape
from equiload.envs.data.regions import Region, columns, named_regions
from equiload.envs.data.supply import SupplyCurve
from equiload.envs.data.weather import Weather, clearness, dryness
from equiload.envs.errors import DataError
from equiload.envs.footprints import FOOTPRINTS, FUELS
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, slots=True)
class Market:
    """Fuel prices of a part of the world in a middling year, and how far they swing together.

    ``gas``, ``coal`` in US$ per MWh of heat, ``carbon`` in US$/t, ``swing`` the standard deviation
    of the logarithm of the gas price from year to year.
    """

    gas: float
    coal: float
    carbon: float
    swing: float


#: World Bank Commodity Price Data (Henry Hub, TTF, Japan LNG; Australian and US coal), ICAP
#: carbon prices, 2021–2024.
MARKETS = {
    "north america": Market(gas=12.0, coal=9.0, carbon=5.0, swing=0.35),
    "europe": Market(gas=35.0, coal=17.0, carbon=65.0, swing=0.60),
    "asia": Market(gas=42.0, coal=18.0, carbon=3.0, swing=0.35),
    "other": Market(gas=24.0, coal=12.0, carbon=3.0, swing=0.25),
}

#: Shares of a fuel's yearly output that run whatever the price: heat contracts, river flow.
_MUST_RUN = {"hydro": 0.45, "coal": 0.30, "gas": 0.15, "oil": 0.0}
#: How much of its flexible capacity a fuel uses in a typical year.
_USED = {"hydro": 0.55, "coal": 0.70, "gas": 0.60, "oil": 0.25}
# Sun and wind beyond need, relative to mean load, at which the price is at its floor: neighbours
# take more where wind is a large part.
_SPILL, _SPILL_FOR_WIND = 0.30, 0.6
# Capacity of peaking plants, and of more imports: neighbours stand by where wind is a large part.
_PEAKING, _SCARCITY, _IMPORT, _IMPORT_FOR_WIND = 0.15, 0.25, 0.08, 0.7
_RESERVOIRS = (15.0, 0.65)  # °C and relative humidity over those of the United States
_WIND_SPREAD = 1.1  # of the logit of wind's capacity factor
_WARM, _COLD = 20.0, 15.0  # °C where cooling and heating begin
# Electricity demand at each local hour, relative to its mean (ENTSO-E and EIA load curves).
# fmt: off
_WEEKDAY = (
    0.83, 0.80, 0.78, 0.78, 0.80, 0.86, 0.96, 1.05, 1.09, 1.10, 1.10, 1.10,
    1.09, 1.09, 1.08, 1.08, 1.09, 1.13, 1.15, 1.13, 1.08, 1.02, 0.95, 0.88,
)
# fmt: on
_WEEKEND = 0.89


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """What a region's power system is made of, ``[R]`` each, relative to its mean load.

    ``solar`` and ``wind`` turn irradiance and capacity factor into output, ``resting`` is what
    heating and cooling add to load in a typical year, ``wind_median`` the logit of the capacity
    factor in middling wind. ``factor [R, K, F]`` are the footprints of ``kinds`` per MWh of each
    fuel, ``imports`` the share of consumption that flows in, ``abroad [K, R]`` what it carries.
    """

    kinds: tuple[str, ...]
    share: dict[str, FloatArray]
    solar: FloatArray
    wind: FloatArray
    wind_median: FloatArray
    resting: FloatArray
    heating: FloatArray
    cooling: FloatArray
    factor: FloatArray
    imports: FloatArray
    abroad: FloatArray


def footprints(region: Region, kinds: Sequence[str]) -> FloatArray:
    """``[K, F]``: footprints of these kinds, in their units, per MWh of each fuel.

    Reservoirs evaporate in proportion to the dryness of the air over them (Dalton's law).

    Raises
    ------
    DataError
        A kind that does not follow from what a region generates.
    """
    for kind in kinds:
        if kind not in FOOTPRINTS or not FOOTPRINTS[kind].factors:
            known = ", ".join(name for name, row in FOOTPRINTS.items() if row.factors)
            raise DataError(
                f"the generator cannot draw the footprint {kind!r}: it knows factors by fuel of "
                f"{known}"
            )
    factors = [FOOTPRINTS[kind].factors[fuel] for kind in kinds for fuel in FUELS]
    factor = np.array(factors, dtype=np.float64).reshape(len(kinds), len(FUELS))
    drier = dryness(region.temperature, region.humidity) / dryness(*_RESERVOIRS)
    evaporates = np.array([FOOTPRINTS[kind].evaporates for kind in kinds], dtype=np.bool_)
    factor[evaporates, FUELS.index("hydro")] *= drier
    return factor


def typical_mix(region: Region, kinds: Sequence[str]) -> FloatArray:
    """``[K]``: footprints of these kinds, in their units, per MWh consumed in a typical year."""
    own = _generated(region, kinds)
    return (1.0 - region.imports) * own + region.imports * _abroad(region, kinds)


def _generated(region: Region, kinds: Sequence[str]) -> FloatArray:
    share = np.array([getattr(region, fuel) for fuel in FUELS])
    return np.asarray(footprints(region, kinds) @ share)


def _abroad(region: Region, kinds: Sequence[str]) -> FloatArray:
    """``[K]``: what imports carry. A region on its own has gas standing by instead."""
    if not region.neighbours:
        return footprints(region, kinds)[:, FUELS.index("gas")]
    mixes = [_generated(neighbour, kinds) for neighbour in named_regions(region.neighbours)]
    return np.asarray(np.mean(mixes, axis=0))


@lru_cache(maxsize=8)
def system(regions: tuple[Region, ...], sky: Sky, kinds: tuple[str, ...] = ()) -> System:
    """Scale sun and wind so that a typical year gives the table's shares.

    ``kinds`` are the footprints that it knows of what it burns; none are enough for prices.

    Raises
    ------
    DataError
        A footprint kind that does not follow from what a region generates.
    """
    column = columns(
        regions,
        *(*FUELS, "imports", "heating", "cooling", "wind_cf", "cloud"),
        *("temperature", "season", "day"),
    )
    point, weight = np.polynomial.hermite_e.hermegauss(31)
    weight = weight / weight.sum()
    cloudiness = 1.37 * np.log(column["cloud"] / (1.0 - column["cloud"]))
    cloud = 1.0 / (1.0 + np.exp(-(cloudiness + 1.5 * point[:, None])))
    sun = sky.sun.mean(0) * (weight @ clearness(cloud))
    # The median whose logit-normal has the wanted mean, by fixed point.
    cf = column["wind_cf"]
    median = np.log(cf / (1.0 - cf))
    for _ in range(30):
        mean = weight @ (1.0 / (1.0 + np.exp(-(median + _WIND_SPREAD * point[:, None]))))
        median += np.log(cf / (1.0 - cf)) - np.log(mean / (1.0 - mean))
    normal = column["temperature"] + column["season"] * sky.season + column["day"] * sky.day
    resting = column["heating"] * np.maximum(_COLD - normal, 0.0).mean(0)
    resting += column["cooling"] * np.maximum(normal - _WARM, 0.0).mean(0)
    return System(
        kinds=kinds,
        share={fuel: column[fuel] for fuel in FUELS},
        solar=column["solar"] / sun,
        wind=column["wind"] / cf,
        wind_median=median,
        resting=resting,
        heating=column["heating"],
        cooling=column["cooling"],
        factor=np.stack([footprints(region, kinds) for region in regions]),
        imports=column["imports"],
        abroad=np.stack([_abroad(region, kinds) for region in regions], axis=-1),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Year:
    """What differs from year to year, ``[B, R]`` each, 1 in a typical one.

    ``hydro`` inflow, ``wind``, ``nuclear`` availability, and ``fuel``, the standard score of the
    year's fuel prices, ``[B, 1]``.
    """

    hydro: FloatArray
    wind: FloatArray
    nuclear: FloatArray
    fuel: FloatArray


def load_shape(minutes: int) -> FloatArray:
    """``[W]``: electricity demand over the slots of a local week, relative to its mean."""
    return week_shape(_WEEKDAY, _WEEKEND, minutes)


def electricity(air: Weather, shape: FloatArray, plant: System) -> FloatArray:
    """``[B, T, R]``: electricity demand in this weather, ``shape`` before it, mean 1."""
    load: FloatArray = shape + plant.heating * np.maximum(_COLD - air.temperature, 0.0)
    load -= plant.resting
    load += plant.cooling * np.maximum(air.temperature - _WARM, 0.0)
    return load


def wind_factor(air: Weather, plant: System) -> FloatArray:
    """``[B, T, R]``: capacity factor of a region's wind power."""
    return np.asarray(1.0 / (1.0 + np.exp(-(plant.wind_median + _WIND_SPREAD * air.wind))))


def power(
    air: Weather, shape: FloatArray, year: Year, plant: System, regions: tuple[Region, ...]
) -> tuple[FloatArray, list[FloatArray]]:
    """Run the systems: ``shape [B, T, R]`` is electricity demand before weather, mean 1.

    Returns the price of the merit order, US$/MWh, and the mix's footprints, of each of the
    ``plant.kinds`` in its unit per MWh, all ``[B, T, R]``.
    """
    load = electricity(air, shape, plant)
    share = plant.share
    sun = plant.solar * air.sun
    blow = (plant.wind * year.wind)[:, None] * wind_factor(air, plant)
    nuclear = share["nuclear"] * year.nuclear
    firm = {fuel: part * share[fuel] for fuel, part in _MUST_RUN.items()}
    base = nuclear + share["biomass"] + firm["coal"] + firm["gas"] + firm["hydro"] * year.hydro
    residual = load - sun - blow - base[:, None]
    climbed = supply(year, plant, regions).climb(residual + spill(plant))
    running = {"nuclear": nuclear, "biomass": share["biomass"], "coal": firm["coal"]}
    running |= {"gas": firm["gas"], "hydro": firm["hydro"] * year.hydro}
    amount = np.stack([np.broadcast_to(each, base.shape) for each in running.values()])
    factor = plant.factor[..., [FUELS.index(fuel) for fuel in running]]
    renewable = [[FOOTPRINTS[k].factors[fuel] for fuel in ("solar", "wind")] for k in plant.kinds]
    kernels.blend(
        climbed[1:],
        factor.transpose(1, 2, 0)[:, :, None] * amount,
        *(load, sun, blow, base),
        np.array(renewable, dtype=np.float64).reshape(-1, 2),
        1.0 - plant.imports,
        plant.imports * plant.abroad,
    )
    return climbed[0], list(climbed[1:])


def spill(plant: System) -> FloatArray:
    """``[R]``: how far residual load falls below zero until the price is at its floor."""
    return _SPILL + _SPILL_FOR_WIND * plant.share["wind"]


def supply(year: Year, plant: System, regions: tuple[Region, ...]) -> SupplyCurve:
    """The regions' supply curves. Their foot lies :func:`spill` below a residual load of zero.

    Blocks, ``[B, R]`` each: output that is paid not to run, hydro reservoirs at what their water is
    worth, coal, gas, oil, imports, peaking plants, and scarcity.
    """
    market = [MARKETS[region.market] for region in regions]
    column = columns(market, *Market.__slots__)
    gas_price = column["gas"] * np.exp(column["swing"] * year.fuel)
    coal_price = column["coal"] * np.exp(0.6 * column["swing"] * year.fuel)
    gas = gas_price / 0.50 + 0.37 * column["carbon"] + 3.0
    coal = coal_price / 0.38 + 0.90 * column["carbon"] + 4.0
    oil = np.maximum(120.0, 1.4 * gas)
    # Water is worth what it displaces, and more when there is less of it.
    water = 0.75 * gas * year.hydro**-1.5
    floor = np.broadcast_to([r.floor for r in regions], gas.shape)
    cheapest = np.minimum(np.minimum(gas, coal), water)
    peak = 5.0 * gas
    share = plant.share
    flexible = {fuel: (1.0 - p) * share[fuel] / _USED[fuel] for fuel, p in _MUST_RUN.items()}
    blocks: list[tuple[FloatArray, FloatArray, FloatArray]] = [  # from, to, capacity
        (floor, 0.6 * cheapest, spill(plant)),
        (0.6 * water, 1.4 * water, flexible["hydro"] * year.hydro),
        (0.85 * coal, 1.25 * coal, flexible["coal"]),
        (0.70 * gas, 2.50 * gas, flexible["gas"]),
        (oil, 1.5 * oil, flexible["oil"]),
        (0.90 * gas, 3.2 * gas, _IMPORT + _IMPORT_FOR_WIND * share["wind"]),
        (1.8 * gas, peak, np.full_like(gas, _PEAKING)),
        (peak, peak + 500.0, np.full_like(gas, _SCARCITY)),
    ]
    burning = ("", "hydro", "coal", "gas", "oil", "abroad", "gas", "gas")
    low, high, capacity = (
        np.stack([np.broadcast_to(ends, gas.shape) for ends in column], axis=-1)
        for column in zip(*blocks, strict=True)
    )
    footprint = np.zeros((len(regions), len(plant.kinds), len(burning)))
    for block, fuel in enumerate(burning):
        if fuel:
            source = plant.abroad.T if fuel == "abroad" else plant.factor[..., FUELS.index(fuel)]
            footprint[..., block] = source
    return SupplyCurve.of_blocks(low, high, capacity, footprint)
