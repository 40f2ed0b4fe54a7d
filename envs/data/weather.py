"""Weather of the generator: temperature, wet-bulb, cloud and wind, in fronts that neighbours share.

Also the water that cooling towers drink at a wet-bulb temperature, here and for users' own data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equiload.envs.data.clock import Sky
from equiload.envs.data.noise import autoregression, between
from equiload.envs.data.regions import Region, columns
from equiload.envs.typing import FloatArray, IntArray

#: Hours over which temperature, wind and cloud forget: a front passes in two to three days.
MEMORY_HOURS = {"temperature": 60.0, "wind": 24.0, "cloud": 15.0}
_RH_PER_DEGREE = 0.035  # relative humidity falls so much per °C of the day's own warming
_CYCLES = 5.0  # of concentration, how often a cooling tower reuses its water


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """What the air does over each region, ``[B, T, R]`` each.

    ``temperature`` and ``wet_bulb`` in °C, ``cloud`` cover 0 to 1, ``wind`` a standard normal
    score, ``sun`` the irradiance on level ground relative to 1000 W/m².
    """

    temperature: FloatArray
    wet_bulb: FloatArray
    cloud: FloatArray
    wind: FloatArray
    sun: FloatArray


def weather(
    normal: FloatArray,
    warmth: FloatArray,
    sky: Sky,
    year_slot: IntArray,
    regions: tuple[Region, ...],
    *,
    every: int,
    node_hours: float,
) -> Weather:
    """Draw weather.

    Parameters
    ----------
    normal
        ``[B, 3, C, R]``: standard normal nodes, correlated over regions, of temperature, wind and
        cloud.
    warmth
        ``[B, R]``, °C by which the year is warmer than usual.
    sky
        Tables over the slots of a year.
    year_slot
        ``[B, T]``.
    every, node_hours
        Slots and hours from node to node.
    """
    slots = year_slot.shape[1]
    memory = [hours / node_hours for hours in MEMORY_HOURS.values()]
    front, wind, cloudy = (
        between(autoregression(normal[:, k], m), every, slots) for k, m in enumerate(memory)
    )
    column = columns(regions, "temperature", "season", "day", "front", "humidity", "cloud")
    # The logistic of a normal with standard deviation 1.5 has its mean nearer 1/2 than its median.
    cloudiness = 1.37 * np.log(column["cloud"] / (1.0 - column["cloud"]))
    cloud = 1.0 / (1.0 + np.exp(-(cloudiness + 1.5 * cloudy)))
    # Clear days swing more than overcast ones.
    daily = sky.day[year_slot] * (column["day"] * (1.3 - 0.6 * cloud))
    temperature = column["temperature"] + warmth[:, None] + column["season"] * sky.season[year_slot]
    temperature += column["front"] * front + daily
    humidity = column["humidity"] * np.exp(-_RH_PER_DEGREE * daily + 0.12 * cloudy)
    np.clip(humidity, 0.08, 0.99, out=humidity)
    return Weather(
        temperature=temperature,
        wet_bulb=wet_bulb_stull(temperature, humidity),
        cloud=cloud,
        wind=wind,
        sun=sky.sun[year_slot] * clearness(cloud),
    )


def clearness(cloud: FloatArray) -> FloatArray:
    """Share of the clear sky's irradiance under ``cloud`` cover (Kasten & Czeplak 1980)."""
    return np.asarray(1.0 - 0.75 * cloud**3.4)


def wet_bulb_stull(temperature: FloatArray, humidity: FloatArray) -> FloatArray:
    """Wet-bulb temperature, °C, at sea level from °C and relative humidity 0 to 1 (Stull 2011).

    Within 1 °C of psychrometrics for ordinary weather, and fast.
    """
    rh = 100.0 * humidity
    value: FloatArray = (
        temperature * np.arctan(0.151977 * np.sqrt(rh + 8.313659))
        + np.arctan(temperature + rh)
        - np.arctan(rh - 1.676331)
        + 0.00391838 * rh * np.sqrt(rh) * np.arctan(0.023101 * rh)
        - 4.686035
    )
    return np.minimum(value, temperature)


def dryness(temperature: float, humidity: float) -> float:
    """Vapour pressure, hPa, that air at °C and relative humidity 0 to 1 lacks (Magnus formula)."""
    return (1.0 - humidity) * 6.112 * math.exp(17.62 * temperature / (243.12 + temperature))


def cooling_water(wet_bulb: FloatArray) -> FloatArray:
    """On-site water usage effectiveness, m³/MWh (= L/kWh), of a cooling tower at ``wet_bulb`` °C.

    The fit to a tower's curve that Islam et al. (2016) and the paper's authors use, with the
    temperature in °F: ``s/(s − 1)·(6e-5·T³ − 0.01·T² + 0.61·T − 10.40)``, ``s`` cycles of
    concentration, never below 0.
    """
    f = wet_bulb * 1.8 + 32.0
    tower = ((6e-5 * f - 0.01) * f + 0.61) * f - 10.40
    return np.maximum(_CYCLES / (_CYCLES - 1.0) * tower, 0.0)
