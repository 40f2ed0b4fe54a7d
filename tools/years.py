"""Whole years of the generator beside public yearly statistics.

The public numbers stand in ``public_statistics.csv`` beside this file, each with its source and
whether it was quoted from that source or written down from general knowledge, unaudited.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.data import Draw, synthetic, world
from equiload.envs.data.clock import clock, sky
from equiload.envs.data.grid import electricity, load_shape, system, wind_factor
from equiload.envs.data.weather import weather
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray

#: Years drawn, and what they are drawn from: fuel from cheap to a crisis, as 2018 to 2024 had it.
YEARS = 16
RANGES: dict[str, Any] = {"day": 1, "fuel": (-1, 2), "outages": 0}
_HOURS, _NODE_HOURS = 8760, 3


@dataclass(frozen=True, slots=True)
class Public:
    """One row of ``public_statistics.csv``.

    ``statistic`` is ``mean``, ``deviation``, ``relative deviation``, ``lag 1``, ``lag 24``,
    ``share below 0`` or ``correlation with REGION``, of the hours of a year; it lay between ``low``
    and ``high`` in ``years``. Units: price US$/MWh, carbon t/MWh. ``obtained`` is ``quoted`` or
    ``unaudited``.
    """

    region: str
    series: str
    statistic: str
    low: float
    high: float
    years: str
    obtained: str
    source: str


def public_statistics() -> list[Public]:
    """Every row of the table."""
    text = Path(__file__).with_name("public_statistics.csv").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    return [Public(**row | {end: float(row[end]) for end in ("low", "high")}) for row in rows]


def generated_years(years: int = YEARS) -> dict[str, FloatArray]:
    """``[years, 8760, R]`` by kind of series, over every region of the world."""
    regions = world()
    trace = synthetic(
        Draw.test(0), horizon=_HOURS, batch=years, regions=len(regions), ranges=RANGES
    ).trace
    prints = {kind: trace.intensity[:, k] for k, kind in enumerate(trace.footprints)}
    return {"price": trace.price, **prints, **_electricity(years)}


def _electricity(years: int) -> dict[str, FloatArray]:
    """Electricity demand and the capacity factor of wind, which a trace does not hold."""
    regions = tuple(world().values())
    table = sky(regions, 60)
    times = clock(tuple(region.zone for region in regions), (2023, 2023), 60)
    rng = np.random.default_rng(0)
    nodes = rng.standard_normal((years, 3, _HOURS // _NODE_HOURS + 1, len(regions)))
    slot = np.broadcast_to(times.year_slot[:_HOURS], (years, _HOURS))
    calm = np.zeros((years, len(regions)))
    air = weather(nodes, calm, table, slot, regions, every=_NODE_HOURS, node_hours=_NODE_HOURS)
    plant = system(regions, table)
    shape = np.broadcast_to(load_shape(60)[times.week_slot[:_HOURS]], air.wind.shape)
    return {
        "electricity demand": electricity(air, shape, plant),
        "wind capacity factor": wind_factor(air, plant),
    }


def yearly(public: Public, made: dict[str, FloatArray]) -> FloatArray:
    """``[years]``: the row's statistic of generated years.

    Raises
    ------
    DataError
        For a statistic that is none of the known ones.
    """
    names = list(world())
    values = made[public.series][..., names.index(public.region)]
    mean = values.mean(1)
    apart = values - mean[:, None]
    if public.statistic == "mean":
        result = mean
    elif public.statistic == "deviation":
        result = values.std(1)
    elif public.statistic == "relative deviation":
        result = values.std(1) / mean
    elif public.statistic == "share below 0":
        result = (values < 0).mean(1)
    elif public.statistic in ("lag 1", "lag 24"):
        lag = int(public.statistic.removeprefix("lag "))
        result = (apart[:, lag:] * apart[:, :-lag]).mean(1) / (apart**2).mean(1)
    elif public.statistic.startswith("correlation with "):
        other = names.index(public.statistic.removeprefix("correlation with "))
        against = made[public.series][..., other]
        against = against - against.mean(1, keepdims=True)
        result = (apart * against).mean(1) / (values.std(1) * against.std(1))
    else:
        raise DataError(f"there is no yearly statistic {public.statistic!r}")
    return np.asarray(result)


def verdict(public: Public, generated: FloatArray) -> str:
    """How ``generated [years]`` lie to the public range.

    ``within``: their mean does; ``overlaps``: their 5–95 % meet it; else the ratio of their mean to
    the nearer end.
    """
    mean = generated.mean()
    low, high = np.quantile(generated, (0.05, 0.95))
    if public.low <= mean <= public.high:
        return "within"
    if low <= public.high and high >= public.low:
        return "overlaps"
    return f"× {mean / (public.low if mean < public.low else public.high):.2f}"


def year_tables(made: dict[str, FloatArray], rows: Iterable[Public]) -> str:
    """Markdown: one table a kind of series, public beside generated."""
    lines: list[str] = []
    rows = list(rows)
    for series in dict.fromkeys(row.series for row in rows):
        lines += [
            "",
            f"**{series}**",
            "",
            "| region | statistic | public | years | obtained | generated | 5–95 % of years | |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in rows:
            if row.series == series:
                values = yearly(row, made)
                low, high = np.quantile(values, (0.05, 0.95))
                lines.append(
                    f"| {row.region} | {row.statistic} | {_span(row.low, row.high)} | {row.years} "
                    f"| {row.obtained} | {_number(values.mean())} | {_span(low, high)} "
                    f"| {verdict(row, values)} |"
                )
    return "\n".join(lines)


def count_within(made: dict[str, FloatArray], rows: Iterable[Public]) -> str:
    """Markdown: how many statistics lie within the public range, or overlap it, of how many."""
    lines = [
        "| series | statistic | quoted: within + overlaps | unaudited: within + overlaps |",
        "| --- | --- | --- | --- |",
    ]
    tally: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in rows:
        kind = "correlation" if row.statistic.startswith("correlation") else row.statistic
        found = tally.setdefault((row.series, kind), {}).setdefault(row.obtained, [])
        found.append(verdict(row, yearly(row, made)))
    for (series, kind), by in tally.items():
        cells = [
            f"{by[how].count('within')} + {by[how].count('overlaps')} of {len(by[how])}"
            if how in by
            else ""
            for how in ("quoted", "unaudited")
        ]
        lines.append(f"| {series} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _span(low: float, high: float) -> str:
    return _number(low) if low == high else f"{_number(low)}–{_number(high)}"


def _number(value: float) -> str:
    if abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
