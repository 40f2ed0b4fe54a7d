"""How well-known sources lay out their exports: options of a series by name.

Each layout is a list of generations of an export, today's first; a file takes the first one whose
columns it has. What a vendor leaves to the user (which zone or node, which clock was asked for)
stays to be declared. Written down from the exports as their authors know them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Layout = Sequence[Mapping[str, Any]]

_BRUSSELS = {"stamp": "range", "time_zone": "Europe/Brussels"}
_TODAY = {**_BRUSSELS, "time": "MTU (CET/CEST)", "time_format": "%d/%m/%Y %H:%M:%S"}
_TODAY_UTC = {**_TODAY, "time": "MTU (UTC)", "time_zone": "UTC"}
_2024 = {**_BRUSSELS, "time_format": "%d.%m.%Y %H:%M"}
#: Production types of the transparency platform.
_ENTSOE_FUELS = {
    "nuclear": ["Nuclear"],
    "hydro": [
        "Hydro Run-of-river and poundage",
        "Hydro Run-of-river and pondage",
        "Hydro Water Reservoir",
        "Hydro Pumped Storage",
    ],
    "wind": ["Wind Onshore", "Wind Offshore"],
    "solar": ["Solar"],
    "biomass": ["Biomass", "Waste", "Other renewable", "Geothermal"],
    "coal": ["Fossil Hard coal", "Fossil Brown coal/Lignite", "Fossil Peat"],
    "gas": ["Fossil Gas", "Fossil Coal-derived gas"],
    "oil": ["Fossil Oil", "Fossil Oil shale", "Other"],
}
_SMARD = {
    "time": "Datum von",
    "time_format": "%d.%m.%Y %H:%M",
    "time_zone": "Europe/Berlin",
    "separator": ";",
    "decimal": ",",
    "thousands": ".",
}
_SMARD_ENGLISH = {
    **_SMARD,
    "time": "Start date",
    "time_format": "%b %d, %Y %I:%M %p",
    "decimal": ".",
    "thousands": ",",
}
#: Until 2023 the date stood in a column of its own.
_SMARD_2023 = {**_SMARD, "time": ["Datum", "Anfang"]}
_SMARD_KINDS = ("Originalauflösungen", "Berechnete Auflösungen")
_SMARD_KINDS_ENGLISH = ("Original resolutions", "Calculated resolutions")
_SMARD_FUELS = {
    "nuclear": ["Kernenergie"],
    "hydro": ["Wasserkraft", "Pumpspeicher"],
    "wind": ["Wind Offshore", "Wind Onshore"],
    "solar": ["Photovoltaik"],
    "biomass": ["Biomasse", "Sonstige Erneuerbare"],
    "coal": ["Braunkohle", "Steinkohle"],
    "gas": ["Erdgas"],
    "oil": ["Sonstige Konventionelle"],
}
_SMARD_FUELS_ENGLISH = {
    "nuclear": ["Nuclear"],
    "hydro": ["Hydropower", "Hydro pumped storage"],
    "wind": ["Wind offshore", "Wind onshore"],
    "solar": ["Photovoltaics"],
    "biomass": ["Biomass", "Other renewable"],
    "coal": ["Lignite", "Hard coal"],
    "gas": ["Fossil gas"],
    "oil": ["Other conventional"],
}
_EIA930 = {
    "time": "UTC Time at End of Hour",
    "stamp": "end",
    "time_format": "%m/%d/%Y %I:%M:%S %p",
    "time_zone": "UTC",
    "thousands": ",",
    "unit": "MW",
}
_EIA930_OLDER = {
    "nuclear": ["Nuclear"],
    "hydro": ["Hydropower and Pumped Storage"],
    "wind": ["Wind"],
    "solar": ["Solar"],
    "biomass": ["Other Fuel Sources", "Unknown Fuel Sources"],
    "coal": ["Coal"],
    "gas": ["Natural Gas"],
    "oil": ["All Petroleum Products"],
}
_EIA930_NEWER = {
    **_EIA930_OLDER,
    "hydro": ["Hydropower Excluding Pumped Storage", "Pumped Storage"],
    "wind": ["Wind without Integrated Battery Storage", "Wind with Integrated Battery Storage"],
    "solar": ["Solar without Integrated Battery Storage", "Solar with Integrated Battery Storage"],
    "biomass": ["Other Fuel Sources", "Geothermal", "Unknown Fuel Sources"],
}
#: Whatever names a file mixes.
_EIA930_ANY = {
    fuel: list(dict.fromkeys([*names, *_EIA930_OLDER[fuel]]))
    for fuel, names in _EIA930_NEWER.items()
}
_ERCOT = {"time_zone": "America/Chicago", "unit": "US$/MWh"}
_ERCOT_REPORT = {"column": "SettlementPointPrice", "repeated": {"column": "DSTFlag"}}
_ERCOT_PAGE = {"column": "Settlement Point Price", "repeated": {"column": "Repeated Hour Flag"}}
_AEMO = {
    "time": "SETTLEMENTDATE",
    "time_format": "%Y/%m/%d %H:%M:%S",
    "time_zone": "Australia/Brisbane",  # market time: no daylight saving
    "stamp": "end",
}
_JEPX = {
    "time_format": "%Y/%m/%d",
    "time_zone": "Asia/Tokyo",
    "period": "時刻コード",
    "period_minutes": 30,
    "unit": "JPY/kWh",
    "column": "エリアプライス東京(円/kWh)",
}
_ELEXON_FUELS = {
    "nuclear": ["NUCLEAR"],
    "hydro": ["NPSHYD", "PS"],
    "wind": ["WIND"],
    "solar": ["SOLAR"],
    "biomass": ["BIOMASS"],
    "coal": ["COAL"],
    "gas": ["CCGT", "OCGT"],
    "oil": ["OIL", "OTHER"],
}
_NYISO = {"time": "Time Stamp", "time_zone": "America/New_York"}
_OPEN_METEO = {"time": "time", "skip_rows": 3, "offset_in_preamble": "utc_offset_seconds"}


def _columns(fuels: Mapping[str, Sequence[str]], pattern: str) -> dict[str, list[str]]:
    return {fuel: [pattern.format(name) for name in names] for fuel, names in fuels.items()}


def _each(common: Mapping[str, Any], *differences: Mapping[str, Any]) -> Layout:
    return [{**common, **difference} for difference in differences]


def _columned(common: Mapping[str, Any], *columns: str) -> Layout:
    return _each(common, *({"column": column} for column in columns))


LAYOUTS: Mapping[str, Layout] = {
    "electricity-maps": _columned(
        {"time": "Datetime (UTC)", "time_zone": "UTC", "unit": "gCO2eq/kWh"},
        "Carbon intensity gCO₂eq/kWh (Life cycle)",
        "Carbon Intensity gCO₂eq/kWh (LCA)",
        "Carbon intensity gCO₂eq/kWh (LCA)",
    ),
    "entsoe-price": [
        *_each(
            {
                "unit": "EUR/MWh",
                "column": "Day-ahead Price (EUR/MWh)",
                "where": {"Sequence": ["Sequence 1", "Without Sequence"]},
            },
            _TODAY,
            _TODAY_UTC,
        ),
        *_each(
            {**_2024, "unit": "EUR/MWh", "column": "Day-ahead Price [EUR/MWh]"},
            {"time": "MTU (CET/CEST)"},
            {"time": "MTU (UTC)", "time_zone": "UTC"},
        ),
    ],
    "entsoe-generation": [
        *_each(
            {
                "unit": "MW",
                "column": "Generation (MW)",
                "fuel_column": "Production Type",
                "fuels": _ENTSOE_FUELS,
            },
            _TODAY,
            _TODAY_UTC,
        ),
        {
            **_2024,
            "unit": "MW",
            "time": "MTU",
            "fuels": _columns(_ENTSOE_FUELS, "{}  - Actual Aggregated [MW]"),
        },
    ],
    "smard-price": [
        {**common, "unit": "EUR/MWh", "column": f"{area} [€/MWh] {kind}"}
        for common, area, kinds in (
            (_SMARD, "Deutschland/Luxemburg", _SMARD_KINDS),
            (_SMARD_ENGLISH, "Germany/Luxembourg", _SMARD_KINDS_ENGLISH),
            (_SMARD_2023, "Deutschland/Luxemburg", _SMARD_KINDS),
        )
        for kind in kinds
    ],
    "smard-generation": [
        {**common, "unit": "MWh", "fuels": _columns(fuels, f"{{}} [MWh] {kind}")}
        for common, fuels, kinds in (
            (_SMARD, _SMARD_FUELS, _SMARD_KINDS),
            (_SMARD_2023, _SMARD_FUELS, _SMARD_KINDS[:1]),
            (_SMARD_ENGLISH, _SMARD_FUELS_ENGLISH, _SMARD_KINDS_ENGLISH),
        )
        for kind in kinds
    ],
    "eia-generation": [
        {
            "time": "period",
            "stamp": "end",
            "time_format": "%Y-%m-%dT%H",
            "time_zone": "UTC",
            "column": "value",
            "unit": "MWh",
            "fuel_column": "fueltype",
            "fuels": {
                "nuclear": "NUC",
                "hydro": ["WAT", "PS"],
                "wind": ["WND", "WNB"],
                "solar": ["SUN", "SNB"],
                "biomass": ["OTH", "GEO"],
                "coal": "COL",
                "gas": "NG",
                "oil": "OIL",
            },
        }
    ],
    "eia930-demand": _columned(_EIA930, "Demand (MW)", "Demand (MW) (Adjusted)"),
    "eia930-generation": [
        {**_EIA930, "fuels": _columns(fuels, "Net Generation (MW) from {}")}
        for fuels in (_EIA930_NEWER, _EIA930_OLDER, _EIA930_ANY)
    ],
    "ercot-price": [
        *_each(
            {**_ERCOT, "time_format": "%m/%d/%Y %H:%M", "stamp": "end"},
            {**_ERCOT_REPORT, "time": ["DeliveryDate", "HourEnding"]},
            {**_ERCOT_PAGE, "time": ["Delivery Date", "Hour Ending"]},
        ),
        *_each(  # quarters of the hours that the clock shows
            {**_ERCOT, "time_format": "%m/%d/%Y", "period_minutes": [60, 15]},
            {
                **_ERCOT_REPORT,
                "time": "DeliveryDate",
                "period": ["DeliveryHour", "DeliveryInterval"],
            },
            {
                **_ERCOT_PAGE,
                "time": "Delivery Date",
                "period": ["Delivery Hour", "Delivery Interval"],
            },
        ),
    ],
    "caiso-price": _columned(
        {"time": "INTERVALSTARTTIME_GMT", "time_zone": "UTC", "unit": "US$/MWh"},
        "MW",
        "VALUE",
        "LMP_PRC",
    ),
    "aemo-price": [{**_AEMO, "column": "RRP", "unit": "AUD/MWh"}],
    "aemo-demand": [{**_AEMO, "column": "TOTALDEMAND", "unit": "MW"}],
    "jepx-price": [
        {**_JEPX, "time": day, "encoding": encoding}
        for day in ("受渡日", "年月日")
        for encoding in ("utf-8-sig", "cp932")
    ],
    "elexon-price": _each(
        {"unit": "GBP/MWh", "time_zone": "Europe/London"},
        {"time": "startTime", "column": "price"},
        {"time": "StartTime", "column": "Price"},
        {"time": "settlementDate", "period": "settlementPeriod", "column": "systemSellPrice"},
        {"time": "Settlement Date", "period": "Settlement Period", "column": "Price"},
    ),
    "elexon-generation": _each(
        {"unit": "MW", "time_zone": "UTC", "fuels": _ELEXON_FUELS},
        {"time": "startTime", "fuel_column": "fuelType", "column": "generation"},
        {"time": "StartTime", "fuel_column": "FuelType", "column": "Generation"},
    ),
    "nyiso-price": _each(
        {**_NYISO, "unit": "US$/MWh", "column": "LBMP ($/MWHr)"},
        {"time_format": "%m/%d/%Y %H:%M"},
        {"time_format": "%m/%d/%Y %H:%M:%S"},
    ),
    "nyiso-demand": _each(
        {**_NYISO, "unit": "MW", "time_format": "%m/%d/%Y %H:%M:%S"},
        {"time": ["Time Stamp", "Time Zone"], "column": "Integrated Load"},
        {"time": ["Time Stamp", "Time Zone"], "column": "Load"},
    ),
    "open-meteo-temperature": _each(
        _OPEN_METEO,
        {"column": "temperature_2m (°C)", "unit": "°C"},
        {"column": "temperature_2m (°F)", "unit": "°F"},
    ),
    "open-meteo-humidity": _columned(
        {**_OPEN_METEO, "unit": "%"}, "relative_humidity_2m (%)", "relativehumidity_2m (%)"
    ),
    "watttime-carbon": _each(
        {"unit": "lbs/MWh", "time_zone": "UTC"},
        {"time": "point_time", "column": "co2_moer"},
        {"time": "point_time", "column": "value"},
        {"time": "timestamp", "column": "MOER"},
    ),
    "azure-llm-requests": [{"time": "TIMESTAMP", "time_zone": "UTC"}],
    "burstgpt-requests": [{"time": "Timestamp"}],
}
