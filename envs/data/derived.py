"""Series that follow from others: footprints from a fuel mix, cooling water from the weather."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType

import numpy as np

from equiload.envs.checking import refuse_unknown
from equiload.envs.data.weather import cooling_water
from equiload.envs.errors import DataError
from equiload.envs.footprints import FOOTPRINTS, FUELS
from equiload.envs.typing import FloatArray

_SEA_LEVEL = 101_325.0  # Pa
_SCALE_HEIGHT = 8_434.0  # m
_PER_DEGREE = -0.0035  # of a panel's output, above 25 °C: PVWatts' modules of today ("premium")
_RATED = 25.0  # °C at which a panel's peak power is stated


def mix_footprints(mix: Mapping[str, FloatArray], kinds: Sequence[str]) -> dict[str, FloatArray]:
    """Footprints ``[T]`` per MWh, by kind, of a generation mix ``{fuel: [T]}`` in any common unit.

    The grid's part alone: what cooling on the site adds is none of it. Kinds that do not follow
    from a mix are left out. Negative output (a plant's own use, storage that fills) counts as none.

    Raises
    ------
    DataError
        A fuel without factors, or a slot in which nothing runs.
    """
    refuse_unknown("fuel", mix, FUELS)
    output = {fuel: np.maximum(amount, 0.0) for fuel, amount in mix.items()}
    total = np.sum(list(output.values()), axis=0)
    if not (total > 0).all():
        raise DataError(f"nothing runs in slot {int(np.argmin(total > 0))} of the generation mix")
    factors = {kind: FOOTPRINTS[kind].factors for kind in kinds if kind in FOOTPRINTS}
    return {
        kind: np.asarray(sum(factor[fuel] * amount for fuel, amount in output.items()) / total)
        for kind, factor in factors.items()
        if factor
    }


def wet_bulb(temperature: FloatArray, humidity: FloatArray, elevation: float = 0.0) -> FloatArray:
    """Wet-bulb temperature, °C, from °C, relative humidity 0 to 1 and metres above the sea."""
    pressure = _SEA_LEVEL * np.exp(-elevation / _SCALE_HEIGHT)
    rh = np.clip(humidity, 0.01, 1.0)
    value: FloatArray = _psychrometrics().GetTWetBulbFromRelHum(temperature, rh, pressure)
    return value


@cache
def _psychrometrics() -> ModuleType:
    """The library, in SI units. Setting them, it compiles its functions anew: seconds, so once."""
    import psychrolib

    psychrolib.SetUnitSystem(psychrolib.SI)
    module: ModuleType = psychrolib
    return module


def panel_output(irradiance: FloatArray, temperature: FloatArray | None) -> FloatArray:
    """Output of solar panels, relative to their peak power, in an irradiance on them of W/m².

    PVWatts' formula; the panels are as warm as the air at °C and the sun make them (Faiman's model,
    a wind of 1 m/s), and 25 °C warm where no temperature is known.
    """
    import pvlib  # here, since it takes seconds

    warm = _RATED if temperature is None else pvlib.temperature.faiman(irradiance, temperature)
    output: FloatArray = pvlib.pvsystem.pvwatts_dc(irradiance, warm, 1.0, _PER_DEGREE)
    return output


def site_water(temperature: FloatArray, humidity: FloatArray, elevation: float = 0.0) -> FloatArray:
    """On-site water, m³/MWh, of a data center with cooling towers in this weather."""
    return cooling_water(wet_bulb(temperature, humidity, elevation))
