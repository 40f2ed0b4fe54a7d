"""Units that users' files come in, and the project's own unit of each kind of series."""

from __future__ import annotations

from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray

#: Factor to the project's unit, by kind of series and unit as written in a table's YAML.
UNITS: dict[str, dict[str, float]] = {
    "price": {"US$/MWh": 1.0, "USD/MWh": 1.0, "US$/kWh": 1000.0, "USD/kWh": 1000.0},
    "carbon": {
        "t/MWh": 1.0,
        "kg/kWh": 1.0,
        "kg/MWh": 1e-3,
        "g/kWh": 1e-3,
        "lb/MWh": 0.45359237e-3,
    },
    "water": {"m³/MWh": 1.0, "m3/MWh": 1.0, "L/kWh": 1.0, "L/MWh": 1e-3, "gal/MWh": 3.785411784e-3},
    "demand": {"MWh": 1.0, "kWh": 1e-3, "share": 1.0},
    "temperature": {"°C": 1.0, "C": 1.0, "°F": 5 / 9, "F": 5 / 9, "K": 1.0},
    "humidity": {"%": 0.01, "1": 1.0},
    "mix": {"MW": 1.0, "MWh": 1.0, "GW": 1e3, "GWh": 1e3},
    "rate": {"US$": 1.0, "USD": 1.0},
}
_OFFSET = {"°F": -32.0, "F": -32.0, "K": -273.15}
#: What one megawatt hour of the project's unit is called in messages.
NAMES = {kind: next(iter(units)) for kind, units in UNITS.items()}
#: Smallest and largest value that is physically sensible, in the project's unit.
BOUNDS = {
    "price": (-5_000.0, 30_000.0),
    "carbon": (0.0, 2.0),
    "water": (0.0, 100.0),
    "demand": (0.0, float("inf")),
    "temperature": (-60.0, 60.0),
    "humidity": (0.0, 1.05),
    "mix": (-float("inf"), float("inf")),
    "rate": (1e-9, 1e9),
}


def convert(
    values: FloatArray, kind: str, unit: str, rate: FloatArray | float | None
) -> FloatArray:
    """Bring ``values`` into the project's unit; ``rate`` is US$ per unit of another currency.

    Raises
    ------
    DataError
        An unknown unit, or a currency without a rate.
    """
    currency, _, per = unit.partition("/")
    if kind == "price" and currency not in ("US$", "USD"):
        if rate is None or f"USD/{per}" not in UNITS["price"]:
            raise DataError(
                f"the unit {unit!r} of a price must be per MWh or per kWh, in US$ or in another "
                f"currency whose US$ value 'rate' gives"
            )
        return values * rate * UNITS["price"][f"USD/{per}"]
    if unit not in UNITS[kind]:
        raise DataError(f"the unit of {kind} must be one of {', '.join(UNITS[kind])}; got {unit!r}")
    return (values + _OFFSET.get(unit, 0.0)) * UNITS[kind][unit]
