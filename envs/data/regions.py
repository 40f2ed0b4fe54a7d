"""The regions of the world that the generator knows, and the paper's ten among them.

Every regional constant stands in ``regions.csv`` beside this file; docs/worlds.md says what each
column means, its unit and its source.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from equiload.envs.checking import refuse_unknown
from equiload.envs.errors import DataError
from equiload.envs.footprints import FOOTPRINTS
from equiload.envs.typing import BoolArray, FloatArray

#: Rows are gateways, columns data centers; 1 where requests may be sent under partial GLB.
_PARTIAL = """
1111000000
1111111100
1111111100
1111000011
0110111100
0110111100
0110111100
0110111100
0001000011
0001000011
"""

#: The paper's equity weights, US$ per t of carbon and per m³ of water.
PAPER_EQUITY_WEIGHT = {kind: FOOTPRINTS[kind].equity_weight for kind in ("carbon", "water")}


_EARTH_RADIUS_KM = 6371.0088
#: Beyond the paper's fleet, *partial* reachability ends here: about a tenth of a second there and
#: back through fibre.
PARTIAL_REACH_KM = 6500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One row of ``regions.csv``.

    Parameters
    ----------
    name, place, zone
        Name, city with data centers, IANA time zone.
    market, coupling
        Where fuels are priced together; and where power is, empty for a market of its own.
    latitude, longitude
        Degrees.
    temperature, season, day, front
        °C: yearly mean; half the range over the year and over the day; standard deviation of
        weather fronts.
    humidity, cloud
        Yearly mean relative humidity and cloud cover, 0 to 1.
    wind_cf
        Mean capacity factor of wind power.
    nuclear, hydro, wind, solar, biomass, coal, gas, oil
        Shares of a typical year's generation; they sum to 1. Biomass includes geothermal and waste.
    imports, neighbours
        Share of what is consumed that flows in, gross, in a typical year; and the regions whose mix
        it brings, in equal parts.
    heating, cooling
        Rise in electricity demand per °C below 15 °C and above 20 °C, relative to its mean.
    price, markup
        US$/MWh, typical yearly mean of the wholesale price; and what the merit order's price is
        multiplied by to meet it.
    volatility, spikes, floor
        Standard deviation of the price's own noise, relative; spikes per week; and the lowest
        price, US$/MWh.
    """

    name: str
    place: str
    zone: str
    market: str
    coupling: str
    latitude: float
    longitude: float
    temperature: float
    season: float
    day: float
    front: float
    humidity: float
    cloud: float
    wind_cf: float
    nuclear: float
    hydro: float
    wind: float
    solar: float
    biomass: float
    coal: float
    gas: float
    oil: float
    imports: float
    neighbours: tuple[str, ...]
    heating: float
    cooling: float
    price: float
    markup: float
    volatility: float
    spikes: float
    floor: float


@cache
def world() -> dict[str, Region]:
    """Every region by name, the paper's ten first."""
    text = (files(__package__) / "regions.csv").read_text(encoding="utf-8")
    read: dict[str, Callable[[str], Any]] = {"str": str, "float": float, "tuple[str, ...]": _names}
    kinds = {field.name: read[str(field.type)] for field in fields(Region)}
    rows = csv.DictReader(text.splitlines())
    return {row["name"]: Region(**{k: kinds[k](v) for k, v in row.items()}) for row in rows}


def _names(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else ()


#: In the paper's order.
PAPER_REGIONS = tuple(world())[:10]


def named_regions(names: Iterable[str]) -> tuple[Region, ...]:
    """The regions of these names.

    Raises
    ------
    DataError
        For a name that is not in the table.
    """
    table, names = world(), tuple(names)
    refuse_unknown("region", names, table)
    return tuple(table[name] for name in names)


def columns(rows: Iterable[Any], *names: str) -> dict[str, FloatArray]:
    """Numbers of some fields of regions (or other rows of a table) by name, ``[R]`` each."""
    rows = tuple(rows)
    return {name: np.array([getattr(row, name) for row in rows]) for name in names}


def location(names: Iterable[str]) -> FloatArray:
    """``[R, 2]``: latitude and longitude of these regions, degrees."""
    return np.array([[r.latitude, r.longitude] for r in named_regions(names)])


def paper_reachability(name: str) -> BoolArray:
    """``[10, 10]``: the paper's ``full`` or ``partial`` reachability."""
    if name == "full":
        return np.ones((len(PAPER_REGIONS), len(PAPER_REGIONS)), dtype=np.bool_)
    if name == "partial":
        return np.array([[c == "1" for c in row] for row in _PARTIAL.split()])
    raise DataError(f"reachability must be 'full' or 'partial', got {name!r}")


def reachability(names: Sequence[str], kind: str) -> BoolArray:
    """``[R, R]``: which region's gateway may use which region's data centers.

    ``full``: all. ``partial``: the paper's matrix between the paper's regions, and otherwise
    whatever lies within :data:`PARTIAL_REACH_KM`.
    """
    paper = paper_reachability(kind)  # refuses any other word
    place = location(names)
    most = PARTIAL_REACH_KM if kind == "partial" else np.inf
    reach: BoolArray = great_circle(place, place) <= most
    among = [k for k, name in enumerate(names) if name in PAPER_REGIONS]
    index = [PAPER_REGIONS.index(names[k]) for k in among]
    reach[np.ix_(among, among)] = paper[np.ix_(index, index)]
    return reach


def great_circle(a: FloatArray, b: FloatArray) -> FloatArray:
    """Great-circle distance ``[A, B]``, km, between points ``[A, 2]`` and ``[B, 2]`` in degrees."""
    lat_a, lon_a = np.radians(a)[:, None, :].transpose(2, 0, 1)
    lat_b, lon_b = np.radians(b)[None, :, :].transpose(2, 0, 1)
    haversine = (
        np.sin((lat_a - lat_b) / 2) ** 2
        + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_a - lon_b) / 2) ** 2
    )
    return np.asarray(2 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0, 1))))
