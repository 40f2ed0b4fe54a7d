"""The worked example of ``table``: five generated days in the layouts of well-known exports.

Nothing here is measured: the numbers are drawn, the layouts are real. The window holds the end of
European summer time, 2024-10-27 01:00 UTC, when local stamps repeat an hour.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from equiload.envs.data.clock import sky
from equiload.envs.data.regions import named_regions
from equiload.envs.data.requests import request_shape
from equiload.envs.typing import FloatArray, TimeArray

_START = np.datetime64("2024-10-25T00:00", "s")
_HOURS = 120
_NAMES = ("Germany", "California")


def write_example(folder: Path, seed: int = 2024) -> list[Path]:
    """Write the example's data files into ``folder``; the same bytes for the same seed."""
    rng = np.random.default_rng(seed)
    stamps = _START + np.arange(_HOURS) * np.timedelta64(1, "h")
    year_slot = ((stamps - np.datetime64("2024-01-01", "s")) // np.timedelta64(1, "h")).astype(int)
    table = sky(named_regions(_NAMES), 60)
    sun, day = table.sun[year_slot], table.day[year_slot]
    local = [_local(stamps, zone) for zone in ("Europe/Berlin", "America/Los_Angeles")]
    hours = np.array([[m.weekday() * 24 + m.hour for m in moments] for moments in local]).T
    shape = request_shape(60)[hours]
    wind = np.clip(9.0 + np.cumsum(rng.normal(0, 0.8, _HOURS)), 1.0, 25.0)  # GW
    weather = np.cumsum(rng.normal(0, 0.5, (_HOURS, 2)), axis=0)  # °C
    german = {
        "Biomass": 4300.0 + rng.normal(0, 40, _HOURS),
        "Fossil Brown coal/Lignite": 9000.0 + 1500 * (shape[:, 0] - 1) + rng.normal(0, 200, _HOURS),
        "Fossil Gas": np.clip(15000 * shape[:, 0] - 400 * wind - 9000 * sun[:, 0], 2000, None),
        "Hydro Run-of-river and poundage": 1500.0 + rng.normal(0, 20, _HOURS),
        "Solar": 28000.0 * sun[:, 0],
        "Wind Onshore": 1000.0 * wind,
    }
    price = 40 + 90 * (german["Fossil Gas"] / 15000) - 50 * sun[:, 0] + rng.normal(0, 4, _HOURS)
    return [
        _entsoe_price(folder / "germany_day_ahead_prices.csv", local[0], price),
        _entsoe_generation(folder / "germany_generation_per_type.csv", local[0], german),
        _electricity_maps(folder / "germany_carbon_intensity.csv", stamps, german),
        _open_meteo(
            folder / "germany_weather.csv",
            stamps,
            9.5 + 4 * day[:, 0] + weather[:, 0],
            (50.11, 8.68, 112),
        ),
        _eia(folder / "california_generation_by_fuel.csv", stamps, shape[:, 1], sun[:, 1], rng),
        _open_meteo(
            folder / "california_weather.csv",
            stamps,
            16 + 6 * day[:, 1] + weather[:, 1],
            (37.35, -121.95, 22),
        ),
        _wide(
            folder / "california_prices.csv",
            ("time", "LMP US$/MWh"),
            stamps,
            [55 * shape[:, 1] - 45 * sun[:, 1] + rng.normal(0, 3, _HOURS)],
        ),
        _wide(
            folder / "demand.csv",
            ("time", *_NAMES),
            stamps,
            np.clip(0.55 * shape + rng.normal(0, 0.01, shape.shape), 0.05, 0.95).T,
        ),
    ]


def _local(stamps: TimeArray, zone: str) -> list[datetime]:
    seconds = stamps.astype(np.int64)
    return [datetime.fromtimestamp(int(s), tz=ZoneInfo(zone)) for s in seconds]


def _write(path: Path, rows: Iterable[Sequence[object]], *, quote: bool = False) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        style = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
        csv.writer(file, quoting=style, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return path


def _wide(
    path: Path, header: Sequence[str], stamps: Iterable[object], columns: Iterable[FloatArray]
) -> Path:
    rows = zip(stamps, *columns, strict=True)
    body = [[f"{stamp}Z", *(f"{value:.4f}" for value in values)] for stamp, *values in rows]
    return _write(path, [header, *body])


def _mtu(local: Sequence[datetime]) -> list[str]:
    day = "%d.%m.%Y %H:%M"
    ends = [*local[1:], local[-1]]
    return [f"{a:{day}} - {b:{day}}" for a, b in zip(local, ends, strict=True)]


def _entsoe_price(path: Path, local: Sequence[datetime], price: FloatArray) -> Path:
    header = ("MTU (CET/CEST)", "Day-ahead Price [EUR/MWh]", "Currency", "BZN|DE-LU")
    body = [(t, f"{p:.2f}", "EUR", "") for t, p in zip(_mtu(local), price, strict=True)]
    return _write(path, [header, *body], quote=True)


def _entsoe_generation(path: Path, local: Sequence[datetime], mix: dict[str, FloatArray]) -> Path:
    unused = ("Nuclear", "Fossil Oil shale")
    names = sorted([*mix, *unused])
    header = ("Area", "MTU", *(f"{name}  - Actual Aggregated [MW]" for name in names))
    body = [
        ("BZN|DE-LU", t, *(f"{mix[n][k]:.0f}" if n in mix else "n/e" for n in names))
        for k, t in enumerate(_mtu(local))
    ]
    return _write(path, [header, *body], quote=True)


def _electricity_maps(path: Path, stamps: Iterable[object], mix: dict[str, FloatArray]) -> Path:
    factor = {"Biomass": 230, "Fossil Brown coal/Lignite": 1100, "Fossil Gas": 490, "Solar": 35}
    total = np.sum(list(mix.values()), axis=0)
    life = np.sum([factor.get(name, 12) * mix[name] for name in mix], axis=0) / total
    header = (
        "Datetime (UTC)",
        "Country",
        "Zone name",
        "Zone id",
        "Carbon intensity gCO₂eq/kWh (direct)",
        "Carbon intensity gCO₂eq/kWh (Life cycle)",
        "Carbon-free energy percentage (CFE%)",
        "Renewable energy percentage (RE%)",
        "Data source",
        "Data estimated",
        "Data estimation method",
    )
    low = (mix["Solar"] + mix["Wind Onshore"]) / total * 100
    body = [
        (
            str(t).replace("T", " "),
            *("Germany", "Germany", "DE", f"{0.93 * c:.2f}", f"{c:.2f}"),
            *(f"{r:.2f}", f"{r:.2f}", "generated example", "true", "GENERATED"),
        )
        for t, c, r in zip(stamps, life, low, strict=True)
    ]
    return _write(path, [header, *body])


def _open_meteo(
    path: Path, stamps: Iterable[object], warm: FloatArray, place: tuple[float, float, float]
) -> Path:
    humid = np.clip(78 - 3.0 * (warm - warm.mean()), 5, 100)
    head = "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation"
    rows: list[Sequence[object]] = [
        head.split(","),
        (*place, 0, "GMT", "GMT"),
        (),
        ("time", "temperature_2m (°C)", "relative_humidity_2m (%)"),
    ]
    for t, c, h in zip(stamps, warm, humid, strict=True):
        rows.append((str(t)[:16], f"{c:.1f}", f"{h:.0f}"))
    return _write(path, rows)


def _eia(
    path: Path,
    stamps: Iterable[object],
    shape: FloatArray,
    sun: FloatArray,
    rng: np.random.Generator,
) -> Path:
    header = ("period", "respondent", "respondent-name", "fueltype", "type-name", "value")
    types = {
        "SUN": ("Solar", 15000 * sun),
        "WND": ("Wind", np.clip(2500 + rng.normal(0, 300, len(sun)), 0, None)),
        "NUC": ("Nuclear", np.full(len(sun), 2250.0)),
        "WAT": ("Hydro", 1800 + 900 * (shape - 1)),
        "NG": ("Natural Gas", np.clip(14000 * shape - 9000 * sun, 2500, None)),
        "OTH": ("Other", np.full(len(sun), 900.0)),
    }
    body = [
        (
            str(t + np.timedelta64(1, "h"))[:13],  # type: ignore[operator]
            *("CISO", "California Independent System Operator", code, name, f"{values[k]:.0f}"),
            "megawatthours",
        )
        for k, t in enumerate(stamps)
        for code, (name, values) in types.items()
    ]
    return _write(path, [(*header, "value-units"), *body])
