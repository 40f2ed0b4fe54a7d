"""The paper's ten regions and who may use whom (MODEL; paper, section 4)."""

import numpy as np

from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, FloatArray

#: In the paper's order.
PAPER_REGIONS = (
    "Texas",
    "Virginia",
    "Georgia",
    "Nevada",
    "Germany",
    "Belgium",
    "Netherlands",
    "Denmark",
    "Japan",
    "Singapore",
)

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
PAPER_EQUITY_WEIGHT = {"carbon": 1500.0, "water": 60.0}


def paper_reachability(name: str) -> BoolArray:
    """``[10, 10]``: the paper's ``full`` or ``partial`` reachability."""
    if name == "full":
        return np.ones((len(PAPER_REGIONS), len(PAPER_REGIONS)), dtype=np.bool_)
    if name == "partial":
        return np.array([[c == "1" for c in row] for row in _PARTIAL.split()])
    raise DataError(f"reachability must be 'full' or 'partial', got {name!r}")


# Latitude and longitude of a city with data centers in each region, degrees.
_LOCATION = (
    (32.78, -96.80),  # Dallas
    (39.04, -77.49),  # Ashburn
    (33.75, -84.39),  # Atlanta
    (39.53, -119.81),  # Reno
    (50.11, 8.68),  # Frankfurt
    (50.47, 3.87),  # Mons
    (53.44, 6.83),  # Eemshaven
    (55.56, 9.75),  # Fredericia
    (35.69, 139.69),  # Tokyo
    (1.35, 103.82),  # Singapore
)
_EARTH_RADIUS_KM = 6371.0088


def paper_location() -> FloatArray:
    """``[10, 2]``: latitude and longitude of the paper's regions, degrees."""
    return np.array(_LOCATION)


def paper_distance() -> FloatArray:
    """``[10, 10]``: great-circle distance between the paper's regions, km."""
    return great_circle(paper_location(), paper_location())


def great_circle(a: FloatArray, b: FloatArray) -> FloatArray:
    """Great-circle distance ``[A, B]``, km, between points ``[A, 2]`` and ``[B, 2]`` in degrees."""
    lat_a, lon_a = np.radians(a)[:, None, :].transpose(2, 0, 1)
    lat_b, lon_b = np.radians(b)[None, :, :].transpose(2, 0, 1)
    haversine = (
        np.sin((lat_a - lat_b) / 2) ** 2
        + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_a - lon_b) / 2) ** 2
    )
    distance: FloatArray = 2 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))
    return distance
