"""Units that users' files come in, and the project's own unit of each kind of series."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from equiload.envs.checking import shown
from equiload.envs.data.tables.entries import number
from equiload.envs.errors import DataError
from equiload.envs.footprints import FOOTPRINTS
from equiload.envs.typing import FloatArray

#: Units of amounts, in MWh; of mean power, in MW; and of shares of a region's capacity.
ENERGY = {"Wh": 1e-6, "kWh": 1e-3, "MWh": 1.0, "GWh": 1e3, "TWh": 1e6}
_HEAT = {"J": 1 / 3.6e9, "kJ": 1 / 3.6e6, "MJ": 1 / 3600.0, "GJ": 1 / 3.6}  # in MWh
POWER = {"W": 1e-6, "kW": 1e-3, "MW": 1.0, "GW": 1e3, "kWh/h": 1e-3, "MWh/h": 1.0}
SHARES = {"share": 1.0, "%": 0.01}
#: Quantities that are no series, a number alone in the project's own unit: MW, MWh, shares, hours,
#: US$ per MWh, and US$ per MW of servers that start.
_QUANTITIES: Mapping[str, tuple[Mapping[str, float], str]] = {
    "power": ({"": 1.0, **POWER}, "1 MW"),
    "energy": ({"": 1.0, **ENERGY}, "4 MWh"),
    "share": ({"": 1.0, **SHARES}, "35 %"),
    "time": (
        {
            **dict.fromkeys(("", "h", "hour", "hours"), 1.0),
            **dict.fromkeys(("s", "sec", "second", "seconds"), 1 / 3600),
            **dict.fromkeys(("min", "minute", "minutes"), 1 / 60),
            **dict.fromkeys(("d", "day", "days"), 24.0),
        },
        "6 h",
    ),
    "price": ({"": 1.0, "US$/MWh": 1.0, "USD/MWh": 1.0, "US$/kWh": 1e3}, "20 US$/MWh"),
    "start": ({"": 1.0, "US$/MW": 1.0, "USD/MW": 1.0, "US$/kW": 1e3}, "10 US$/MW"),
}
_AMOUNT = re.compile(r"([+-]?[0-9._]+(?:[eE][+-]?[0-9]+)?)\s*(.*)")
_POUND = 0.45359237
_MASS = {  # in kg
    "kg": 1.0,
    "mg": 1e-6,
    **dict.fromkeys(("g", "gram", "grams"), 1e-3),
    **dict.fromkeys(("t", "tonne", "tonnes", "ton", "tons", "metric ton", "metric tons"), 1e3),
    **dict.fromkeys(("short ton", "short tons"), 2000 * _POUND),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), _POUND),
}
_VOLUME = {  # in m³
    **dict.fromkeys(("m³", "m3"), 1.0),
    **dict.fromkeys(("L", "l", "liter", "liters", "litre", "litres"), 1e-3),
    "ML": 1e3,
    **dict.fromkeys(("gal", "gallon", "gallons"), 3.785411784e-3),
}
#: Hundredths of a currency as they are written, alone or behind its name …
_CENTS = r"(?:ct|cts|cents?|c|¢|p|pence|öre|øre|ore|Rp)"
#: … or before its sign.
_CENTS_BEFORE = r"(?:c|ct)\s?(?=€|EUR|\$|£|¥|US)"
#: Names of currencies that are not hundredths in disguise (GBp, GBX, USc).
_CURRENCY = re.compile(
    r"[A-Z]{3}|(?:A|AU|C|CA|HK|MX|NT|NZ|R|S|SG|US)?\$|(?:CN|JP)?¥|[€£₹₩₽₺₫₪฿]|kr|zł|Kč|Ft|Fr\.?|"
    r"Rs\.?|lei|[Ee]uros?|[Yy]en|[Dd]ollars?|[Pp]ounds?"
)
#: What may stand behind a mass: of which gas it is.
_GAS = re.compile(
    r"\s*(?:of\s+)?(?:CO2|CO₂|NOx|NOₓ|NO2|SO2)\s*-?\s*(?:eq(?:uivalent)?\.?|e)?$", re.I
)

_PLAIN: Mapping[str, Mapping[str, tuple[float, float]]] = {  # factor and what is added before it
    "temperature": {
        **dict.fromkeys(("°C", "℃", "C", "degC", "deg C", "Celsius", "celsius"), (1.0, 0.0)),
        **dict.fromkeys(("°F", "℉", "F", "degF", "deg F", "Fahrenheit"), (5 / 9, -32.0)),
        "K": (1.0, -273.15),
    },
    "humidity": {"%": (0.01, 0.0), "1": (1.0, 0.0), "share": (1.0, 0.0)},
    "irradiance": {
        **dict.fromkeys(("W/m²", "W/m2"), (1.0, 0.0)),
        **dict.fromkeys(("kW/m²", "kW/m2"), (1e3, 0.0)),
    },
    "rate": {"US$": (1.0, 0.0), "USD": (1.0, 0.0)},
}
#: The project's unit, and the smallest and largest value that is physically sensible: no market's
#: floor or cap lies beyond those of prices, no weather was ever recorded beyond the temperatures,
#: and pyranometers see a little less than nothing at night.
_OWN = {
    "price": ("US$/MWh", -5_000.0, 30_000.0),
    "temperature": ("°C", -90.0, 60.0),
    "humidity": ("1", 0.0, 1.05),
    "rate": ("US$", 1e-9, 1e9),
    "demand": ("MWh", 0.0, np.inf),
    "share of demand": ("of capacity", 0.0, 10.0),
    "irradiance": ("W/m²", -50.0, 1600.0),
    "solar": ("MWh", -np.inf, np.inf),
    "share of solar": ("of solar_peak", -0.1, 1.5),
    "work": ("MWh", 0.0, np.inf),
    "share of work": ("of demand", 0.0, 1.0),
    "mix": ("units", -np.inf, np.inf),
}
#: What loads and the output of plants may be in: name, factors of amounts and powers, shares.
_LOADS = {
    "solar": ("solar", {**POWER, **ENERGY}, SHARES, " (of solar_peak)"),
    "work": ("work", {**ENERGY, **POWER}, SHARES, " (of the demand)"),
    "demand": ("demand", {**ENERGY, **POWER}, SHARES, " (of the region's capacity)"),
    "mix": ("a generation mix", {**POWER, **ENERGY}, {"%": 1.0, "share": 1.0}, ""),
}


def base_kind(kind: str) -> str:
    """The kind of footprint that a grid's or a site's part is of; any other kind as it is."""
    return kind.removeprefix("grid_").removeprefix("site_")


def is_load(kind: str) -> bool:
    """Are the project's values of this kind amounts in a slot, MWh?"""
    return kind in ("demand", "solar", "work")


def _own(kind: str) -> tuple[str, float, float]:
    """The project's unit of a kind of series, and its smallest and largest value."""
    if kind in FOOTPRINTS:
        return f"{FOOTPRINTS[kind].unit}/MWh", *FOOTPRINTS[kind].bounds
    return _OWN.get(kind, ("units", 0.0, np.inf))


def out_of_bounds(values: FloatArray, kind: str) -> tuple[int, str] | None:
    """The first value, in the project's unit, that no series of a kind has, and the sentence."""
    unit, low, high = _own(kind)
    bad = ~((values >= low) & (values <= high))
    row = int(np.argmax(bad))
    sentence = f"the value is {values[row]:g} {unit}, expected {low:g} to {high:g}"
    return (row, sentence) if bad.any() else None


def convert(
    values: FloatArray,
    kind: str,
    unit: str,
    rate: FloatArray | float | None = None,
    *,
    footprint_unit: str | None = None,
) -> FloatArray:
    """Bring ``values`` into the project's unit.

    ``rate`` is US$ per unit of another currency, a number or ``[T]``; ``footprint_unit`` the unit
    in which a footprint kind that the project does not know is counted.

    Raises
    ------
    DataError
        A unit that is not one of the kind, a currency without a rate, a rate without a currency.
    """
    if kind == "price":
        return values * _price(unit, rate)
    if rate is not None:
        raise DataError(f"'rate' is of prices in another currency than US$, not of {kind}")
    if kind in _PLAIN:
        if unit not in _PLAIN[kind]:
            raise DataError(
                f"the unit of {kind} must be one of {', '.join(_PLAIN[kind])}; got {unit!r}"
            )
        factor, shift = _PLAIN[kind][unit]
        return (values + shift) * factor
    if kind in _LOADS:
        name, factors, shares, note = _LOADS[kind]
        if unit not in factors | shares:
            raise DataError(
                f"the unit of {name} must be one of {', '.join(factors)}, {' or '.join(shares)}"
                f"{note}; got {unit!r}"
            )
        return values * (factors | shares)[unit]
    own = FOOTPRINTS[kind].unit if kind in FOOTPRINTS else footprint_unit
    return values * _footprint(kind, unit, own or "units")


def energy(text: str) -> float:
    """MWh of a text such as ``0.4 J`` or ``2e-3 Wh``."""
    factors = {**ENERGY, **_HEAT}
    expected = f"an energy must be a number and a unit ({', '.join(factors)}), '0.4 J' say"
    return _amount(text, factors, expected)


def capacity(text: str, slot_hours: float) -> float:
    """MWh per slot of ``1.5`` (MWh per slot) or ``20 MW``."""
    factors = {"": 1.0} | {name: ENERGY[name] for name in ("MWh", "kWh", "GWh")}
    factors |= {name: factor * slot_hours for name, factor in POWER.items()}
    return _amount(text, factors, "must be a number of MWh per slot, or '20 MW' say")


def quantity(text: object, kind: str) -> float:
    """A text such as ``1 MW`` or ``35 %`` in the project's unit of this kind of quantity."""
    factors, example = _QUANTITIES[kind]
    known = ", ".join(unit for unit in factors if unit)
    return _amount(text, factors, f"must be a number and a unit ({known}), {example!r} say")


def charge(text: str, energy: float) -> float:
    """MWh of ``2 MWh``, or of ``50 %`` of the ``energy`` that a battery stores."""
    factors = {"": 1.0, **ENERGY} | {name: factor * energy for name, factor in SHARES.items()}
    return _amount(text, factors, "must be an energy, or a share of the battery's, '50 %' say")


def relative(texts: Sequence[str]) -> list[float]:
    """Energies, or shares of the first one, relative to it."""
    try:
        values = [quantity(text, "share") for text in texts]
    except DataError:
        values = [energy(text) for text in texts]
    if not max(values) == values[0] > 0:
        raise DataError("the first energy must be the largest, and above 0")
    return [value / values[0] for value in values]


def _amount(text: object, factors: Mapping[str, float], expected: str) -> float:
    """The number of a text such as ``20 MW``, times the factor of its unit."""
    match = _AMOUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    value, factor = (number(match[1]), factors.get(match[2])) if match else (np.nan, None)
    if factor is None or not 0 <= value < np.inf:
        raise DataError(f"{expected}, got {shown(text)}")
    return value * factor


def _parted(unit: str) -> tuple[str, str]:
    """What stands before and after ``/`` or ``per``."""
    amount, _, per = unit.replace(" per ", "/").partition("/")
    return amount.strip(), per.strip()


def _price(unit: str, rate: FloatArray | float | None) -> FloatArray | float:
    currency, per = _parted(unit)
    if per not in ENERGY:
        raise DataError(
            f"the unit {unit!r} of a price must be a currency per {', '.join(ENERGY)}, US$/MWh or "
            f"EUR/MWh say"
        )
    currency, part = _whole_currency(currency)
    known = _CURRENCY.fullmatch(currency) and currency != "GBX"
    if not known and not (part < 1 and currency in ("", "US")):
        raise DataError(
            f"the unit {unit!r} of a price must be a currency by its three capitals or its sign, "
            f"or hundredths of it: EUR/MWh, €/MWh, ct/kWh, EURct/kWh, pence/kWh say"
        )
    scale = part / ENERGY[per]
    if currency in ("US$", "USD", "US"):
        if rate is not None:
            raise DataError(
                f"the price is in US$ already ({unit}), so 'rate' has nothing to convert"
            )
        return scale
    if rate is None:
        raise DataError(
            f"the unit {unit!r} of a price must be US$/MWh or US$/kWh, or 'rate' must give the US$ "
            f"value of its currency"
        )
    return np.asarray(rate) * scale


def _whole_currency(currency: str) -> tuple[str, float]:
    """The currency whose hundredths these are, if they are, and the part of it: 0.01 or 1."""
    alone = re.fullmatch(_CENTS, currency, re.I)
    if alone:
        return "", 0.01
    before = re.match(_CENTS_BEFORE, currency)
    if before:
        return currency[before.end() :].strip(), 0.01
    behind = re.fullmatch(
        rf"([A-Za-z]{{2,4}}?|[A-Z]{{0,3}}[€$£¥])([\s-]*)({_CENTS})", currency, re.I
    )
    if behind and (len(behind[3]) > 1 or not behind[1][-1].isalpha() or behind[3] == "¢"):
        return behind[1].strip(), 0.01
    return currency, 1.0


def _footprint(kind: str, unit: str, own: str) -> float:
    """Factor to ``own`` per MWh."""
    amount, per = _parted(unit)
    amount = _GAS.sub("", amount).strip()
    energies = {**ENERGY, **_HEAT}
    sizes: dict[str, float] = {own: 1.0}
    for family in (_MASS, _VOLUME):
        if own in family:
            sizes = {name: size / family[own] for name, size in family.items()}
    if amount not in sizes or per not in energies:
        raise DataError(
            f"the unit of {kind} must be an amount per energy, {own}/MWh say, of "
            f"{', '.join(sizes)} and {', '.join(energies)}; got {unit!r}"
        )
    return sizes[amount] / energies[per]
