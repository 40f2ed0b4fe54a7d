"""Years as providers publish them, the slips that people make with them, and which are caught.

A generated year is rounded as the public files are and given what the generator leaves out: hours
at a price of exactly zero, hours at a cap, holidays, coasts where the afternoon comes early.
Nothing in it is wrong, so every alarm is a false one; then one slip at a time is planted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from equiload.envs.data import Draw, synthetic
from equiload.envs.data.checks import Finding, Signal, Verdict, check_series
from equiload.envs.data.clock import sky, utc_offset
from equiload.envs.data.derived import site_water
from equiload.envs.data.regions import Region, named_regions
from equiload.envs.data.weather import weather
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray, IntArray, TimeArray

#: Twelve regions each: four continents, both hemispheres, with and without summer time.
FLEETS = (
    (
        *("Texas", "California", "Germany", "Netherlands", "Norway", "United Kingdom"),
        *("Japan", "Singapore", "India", "New South Wales", "Brazil", "South Africa"),
    ),
    (
        *("Virginia", "Quebec", "Arizona", "Ireland", "Spain", "France"),
        *("Poland", "Denmark", "Korea", "Chile", "Ontario", "Finland"),
    ),
)
_HOURS, _NODE_HOURS = 8760, 3
_SUNNY = 0.10
_CAPS = {"Texas": 5000.0, "New South Wales": 11_000.0}  # US$/MWh, about
_YEARS = (2018, 2025)


def clean_year(index: int, fleet: Sequence[str] | None = None) -> list[Signal]:
    """A sound year of validation draw ``index``: five series of each of twelve regions."""
    names = tuple(fleet or FLEETS[index % len(FLEETS)])
    draw, year = Draw.validation(index), _YEARS[0] + index % (_YEARS[1] - _YEARS[0] + 1)
    ranges = {"outages": 0, "year": year, "day": 1}
    instance = synthetic(draw, horizon=_HOURS, regions=names, ranges=ranges)
    trace, rng = instance.trace, np.random.default_rng(index)
    temperature, humidity = _weather(named_regions(names), trace.timestamps, rng)
    all_series = []
    for i, region in enumerate(named_regions(names)):
        columns = {
            "price": _price(trace.price[:, i], region, i, trace.timestamps, rng),
            "carbon": np.round(trace.intensity[0, :, i], 3),
            "demand": _demand(trace.demand[:, i], rng),
            "temperature": temperature[:, i],
            "site_water": site_water(temperature[:, i], humidity[:, i]),
        }
        place = (region.latitude, region.longitude)
        all_series += [
            Signal(region.name, kind, values, trace.timestamps, place)
            for kind, values in columns.items()
        ]
    return all_series


def _weather(
    regions: tuple[Region, ...], stamps: TimeArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Temperature in tenths of °C and relative humidity in per cent, as shares, ``[T, R]``."""
    nodes = rng.standard_normal((1, 3, _HOURS // _NODE_HOURS + 1, len(regions)))
    year = stamps.astype("datetime64[Y]").astype("datetime64[s]")
    slots = ((stamps - year) // np.timedelta64(3600, "s")).astype(np.int64)[None]
    still = np.zeros((1, len(regions)))
    air = weather(
        nodes, still, sky(regions, 60), slots, regions, every=_NODE_HOURS, node_hours=_NODE_HOURS
    )
    hours = np.arange(_HOURS, dtype=np.float64)
    early = rng.uniform(0.0, 1.5, len(regions))  # hours: coasts, sea breeze, afternoon storms
    columns = zip(early, air.temperature[0].T, strict=True)
    temperature = np.stack([np.interp(hours + e, hours, column) for e, column in columns], axis=-1)
    mean = np.stack([np.convolve(t, np.ones(24) / 24, "same") for t in temperature.T], axis=-1)
    usual = np.array([region.humidity for region in regions])
    noise = np.repeat(rng.normal(0, 0.08, (_HOURS // 6, len(regions))), 6, axis=0)
    humidity = np.clip(usual * np.exp(-0.035 * (temperature - mean)) + noise, 0.08, 1.0)
    return np.round(temperature, 1), np.round(humidity, 2)


def _price(
    price: FloatArray, region: Region, i: int, stamps: TimeArray, rng: np.random.Generator
) -> FloatArray:
    """In cents, or whole in every sixth region; noons at zero where the sun is strong; a cap."""
    values = np.round(price, 0 if i % 6 == 5 else 2)
    days, solar_hour = _days(stamps, region)
    if region.solar >= _SUNNY:
        sunny = rng.choice(days.max() + 1, 60, replace=False)
        for day in sunny:
            begin, end = rng.integers(9, 12), rng.integers(13, 17)
            values[(days == day) & (solar_hour >= begin) & (solar_hour < end)] = 0.0
    cap = _CAPS.get(region.name, float(np.ceil(values.max() / 100) * 100))
    for day in rng.choice(days.max() + 1, 2, replace=False):
        values[(days == day) & (solar_hour >= 17) & (solar_hour < rng.integers(19, 23))] = cap
    return values


def _demand(demand: FloatArray, rng: np.random.Generator) -> FloatArray:
    """In kWh, with ten holidays."""
    factor = np.ones(len(demand) // 24 + 1)
    factor[rng.choice(len(factor), 10, replace=False)] = 0.8
    return np.round(demand * np.repeat(factor, 24)[: len(demand)], 3)


def _days(stamps: TimeArray, region: Region) -> tuple[IntArray, IntArray]:
    """Day of the series and hour of the day, by the mean sun."""
    first = int(stamps[0].astype("datetime64[h]").astype(np.int64) % 24) + 24
    hours = np.arange(len(stamps)) + first + round(region.longitude / 15)
    return hours // 24, hours % 24


# -- Slips ---------------------------------------------------------------------------------------

Slip = Callable[[Signal, np.random.Generator], FloatArray | None]
_KINDS = ("price", "carbon", "demand", "temperature", "site_water")


def _offset(series: Signal) -> FloatArray:
    """Hours by which local time is ahead of UTC, ``[T]``."""
    assert series.known is not None
    return np.asarray(utc_offset(series.known.zone, series.stamps) / 60)


def _moved(series: Signal, hours: FloatArray) -> FloatArray:
    """The series with every value ``hours [T]`` later, rounded; edges repeat the year's ends."""
    source = np.arange(len(series.values)) - np.round(hours).astype(int)
    return np.asarray(series.values[source % len(series.values)])


def _local(sign: int) -> Slip:
    def slip(series: Signal, _: np.random.Generator) -> FloatArray | None:
        offset = _offset(series)
        return _moved(series, sign * offset) if np.abs(np.median(offset)) >= 1 else None

    return slip


def _later(hours: int) -> Slip:
    return lambda series, _: np.roll(series.values, hours)


def _times(factor: float) -> Slip:
    return lambda series, _: series.values * factor


def _summer(series: Signal, _: np.random.Generator) -> FloatArray | None:
    """Stamps of standard time are read as local time: an hour early in summer."""
    offset = _offset(series)
    return None if np.ptp(offset) == 0 else _moved(series, -(offset - offset.min()))


def _summer_late(series: Signal, _: np.random.Generator) -> FloatArray | None:
    offset = _offset(series)
    return None if np.ptp(offset) == 0 else _moved(series, offset - offset.min())


def _flat(hours: int) -> Slip:
    def slip(series: Signal, rng: np.random.Generator) -> FloatArray | None:
        values = series.values.copy()
        at = int(rng.integers(24, len(values) - hours))
        values[at : at + hours] = values[at]
        return values

    return slip


def _copied(series: Signal, rng: np.random.Generator) -> FloatArray | None:
    values = series.values.copy()
    at = 24 * int(rng.integers(2, len(values) // 24 - 1))
    values[at : at + 24] = values[at - 24 : at]
    return values


SLIPS: dict[str, tuple[tuple[str, ...], Slip]] = {
    "local time read as UTC": (_KINDS, _local(1)),
    "offset applied the wrong way round": (_KINDS, _local(2)),
    "3 h late": (("price", "carbon", "demand", "temperature"), _later(3)),
    "3 h early": (("price", "carbon", "demand", "temperature"), _later(-3)),
    "1 h late": (("price", "carbon", "demand", "temperature"), _later(1)),
    "an hour early in summer": (_KINDS, _summer),
    "an hour late in summer": (_KINDS, _summer_late),
    "sign turned": (("price", "carbon"), _times(-1.0)),
    "unit slip, 1000 times": (("price", "carbon"), _times(1e3)),
    "unit slip, 1/1000": (("price", "carbon"), _times(1e-3)),
    "unit slip, 100 times": (("price", "carbon"), _times(100.0)),
    "lb and kg the wrong way": (("carbon",), _times(2.2046**2)),
    "°C taken for °F": (("temperature",), lambda series, _: (series.values - 32) / 1.8),
    "°F taken for °C": (("temperature",), lambda series, _: series.values * 1.8 + 32),
    "flat for 5 h": (("price",), _flat(5)),
    "flat for 30 h": (_KINDS, _flat(30)),
    "flat for half a year": (_KINDS, _flat(4380)),
    "a day copied": (_KINDS, _copied),
}


def alarms(findings: Sequence[Finding]) -> list[Finding]:
    """Those that say that something is wrong."""
    return [f for f in findings if f.verdict in (Verdict.SUSPICIOUS, Verdict.BROKEN)]


def planted(
    year: Sequence[Signal], name: str, kind: str, rng: np.random.Generator
) -> Iterator[tuple[Signal, bool]]:
    """Each series of the kind with the slip in it, and whether the checks raise an alarm for it.

    Prices stand beside the others as they are. What the sound year raises does not count.
    """
    group = [series for series in year if series.kind == kind]
    before = {(f.region, f.check) for f in alarms(check_series(group))}
    for at, series in enumerate(group):
        values = SLIPS[name][1](series, rng)
        if values is None:
            continue
        wrong = dataclasses.replace(series, values=values)
        others = [*group[:at], *group[at + 1 :]] if kind == "price" else []
        raised = {(f.region, f.check) for f in alarms(check_series([wrong, *others]))}
        yield wrong, any(region == series.region for region, _ in raised - before)


def slip_table(years: int) -> str:
    """Markdown: slips caught of those planted, by kind; then false alarms a clean year."""
    if years < 1:
        raise DataError(f"there is nothing to plant in {years} years, expected at least 1")
    cases = [clean_year(index) for index in range(years)]
    lines = [
        "| slip | " + " | ".join(kind.replace("_", " ") for kind in _KINDS) + " |",
        "| --- |" + " --- |" * len(_KINDS),
    ]
    for name, (kinds, _) in SLIPS.items():
        cells = []
        for kind in _KINDS:
            rng = np.random.default_rng(0)
            caught = [
                c for year in cases if kind in kinds for _, c in planted(year, name, kind, rng)
            ]
            cells.append(f"{sum(caught)}/{len(caught)}" if caught else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    false = [len(alarms(check_series(year))) for year in cases]
    lines.append(
        f"\nFalse alarms in {years} sound years of {len(cases[0])} series: {sum(false)}, "
        f"{max(false)} at most in one."
    )
    return "\n".join(lines)
