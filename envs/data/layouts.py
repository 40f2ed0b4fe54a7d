"""How well-known sources lay out their exports: defaults of a :class:`Source`, by name."""

from __future__ import annotations

from typing import Any

_ENTSOE_TIME = {
    "time": "MTU",
    "stamp": "range",
    "time_format": "%d.%m.%Y %H:%M",
    "time_zone": "Europe/Brussels",
}


def _actual(*types: str) -> list[str]:
    return [f"{name}  - Actual Aggregated [MW]" for name in types]


#: Transparency platform of ENTSO-E, hourly electric grid monitor of the EIA, Electricity Maps'
#: data portal, and Open-Meteo's archive, as exported in 2024. Open-Meteo's stamps are in the zone
#: that was asked for, so its ``time_zone`` stays to be declared.
LAYOUTS: dict[str, dict[str, Any]] = {
    "electricity-maps": {
        "time": "Datetime (UTC)",
        "time_zone": "UTC",
        "column": "Carbon intensity gCO₂eq/kWh (Life cycle)",
        "unit": "g/kWh",
    },
    "entsoe-price": {
        **_ENTSOE_TIME,
        "time": "MTU (CET/CEST)",
        "column": "Day-ahead Price [EUR/MWh]",
        "unit": "EUR/MWh",
    },
    "entsoe-generation": {
        **_ENTSOE_TIME,
        "unit": "MW",
        "fuels": {
            "nuclear": _actual("Nuclear"),
            "hydro": _actual(
                "Hydro Run-of-river and poundage", "Hydro Water Reservoir", "Hydro Pumped Storage"
            ),
            "wind": _actual("Wind Onshore", "Wind Offshore"),
            "solar": _actual("Solar"),
            "biomass": _actual("Biomass", "Waste", "Other renewable", "Geothermal"),
            "coal": _actual("Fossil Hard coal", "Fossil Brown coal/Lignite"),
            "gas": _actual("Fossil Gas"),
            "oil": _actual("Fossil Oil", "Other"),
        },
    },
    "eia-generation": {
        "time": "period",
        "stamp": "end",
        "time_format": "%Y-%m-%dT%H",
        "time_zone": "UTC",
        "column": "value",
        "unit": "MWh",
        "fuel_column": "fueltype",
        "fuels": {
            "nuclear": "NUC",
            "hydro": "WAT",
            "wind": "WND",
            "solar": "SUN",
            "biomass": ["OTH", "GEO"],
            "coal": "COL",
            "gas": "NG",
            "oil": "OIL",
        },
    },
    "open-meteo-temperature": {
        "time": "time",
        "skip_rows": 3,
        "column": "temperature_2m (°C)",
        "unit": "°C",
    },
    "open-meteo-humidity": {
        "time": "time",
        "skip_rows": 3,
        "column": "relative_humidity_2m (%)",
        "unit": "%",
    },
}
