"""The checks: quiet on sound data, and each trap of public data sets set and caught."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from equiload.envs import DataError, Instance
from equiload.envs.data import synthetic
from equiload.envs.data.checks import (
    Finding,
    Signal,
    Verdict,
    check_instance,
    check_readings,
    check_series,
)
from equiload.envs.data.checks.clocks import average_day, best_lag
from equiload.envs.data.checks.values import usual_of
from equiload.envs.data.clock import utc_offset
from equiload.envs.data.regions import world
from equiload.envs.data.requests import request_shape
from equiload.envs.data.tables.entries import RegionEntry, SeriesEntry
from equiload.envs.data.tables.parts import Facts
from equiload.envs.data.tables.region import RegionTable
from equiload.envs.data.tables.slots import Intervals
from equiload.envs.footprints import FOOTPRINTS
from slips import alarms, clean_year, planted

BAD = (Verdict.SUSPICIOUS, Verdict.BROKEN)


def series(instance: Instance, kind: str, name: str) -> Signal:
    trace, fleet = instance.trace, instance.fleet
    i = fleet.datacenters.index(name)
    values = {
        "price": trace.price[:, i],
        "carbon": trace.intensity[0, :, i],
        "water": trace.intensity[1, :, i],
        "demand": trace.demand[:, i],
    }[kind]
    latitude, longitude = fleet.location[i]
    return Signal(name, kind, values, trace.timestamps, (latitude, longitude))


def bad(findings: list[Finding], check: str) -> list[Finding]:
    return [f for f in findings if f.check == check and f.verdict in BAD]


def mutated(original: Signal, values: np.ndarray) -> list[Finding]:
    return check_series([dataclasses.replace(original, values=values)])


@pytest.fixture(scope="module")
def worlds() -> list[Instance]:
    return [synthetic(seed, ranges={"outages": 0}) for seed in range(8)]


def test_sound_worlds_raise_hardly_any_alarm() -> None:
    findings = [
        finding
        for seed in range(6)
        for finding in check_instance(synthetic(1000 + seed, regions=len(world())))
    ]
    alarms = [str(f) for f in findings if f.verdict in BAD]
    assert len(alarms) <= 0.005 * len(findings), alarms
    told = [f for f in findings if f.check == "clock" and f.kind in ("carbon", "demand")]
    assert sum(f.verdict is Verdict.OK for f in told) > 0.8 * len(told)


@pytest.mark.parametrize("hours", [-3, 3])
@pytest.mark.parametrize("kind", ["carbon", "demand"])
def test_three_hours_of_shift_are_caught_in_every_world(worlds, kind: str, hours: int) -> None:
    for instance in worlds:
        for name in ("Nevada", "Germany", "Netherlands", "Japan"):
            sound = series(instance, kind, name)
            assert not bad(check_series([sound]), "clock")
            assert bad(mutated(sound, np.roll(sound.values, hours)), "clock"), (name, hours)


@pytest.mark.parametrize("hours", [-3, 3])
def test_three_hours_of_shift_show_in_prices_that_tell_the_time(worlds, hours: int) -> None:
    caught = told = 0
    for instance in worlds:
        for name in instance.fleet.datacenters:
            sound = series(instance, "price", name)
            clock = [f for f in check_series([sound]) if f.check == "clock"]
            if clock[0].verdict is Verdict.OK:
                told += 1
                caught += bool(bad(mutated(sound, np.roll(sound.values, hours)), "clock"))
    assert told >= 20
    assert caught >= 0.75 * told


def test_hours_lost_by_the_time_zone_are_named(worlds) -> None:
    carbon = series(worlds[0], "carbon", "Japan")
    for hours, cause in ((9, "local times read as UTC"), (-9, "local to UTC twice")):
        (finding,) = bad(mutated(carbon, np.roll(carbon.values, hours)), "clock")
        assert finding.verdict is Verdict.BROKEN
        assert cause in finding.advice


@pytest.mark.parametrize("kind", ["temperature", "site_water"])
def test_weather_in_local_time_beside_utc_is_caught(kind: str) -> None:
    hours = np.datetime64("2024-06-01", "s") + np.arange(24 * 14) * np.timedelta64(1, "h")
    rng = np.random.default_rng(0)
    solar = np.arange(len(hours)) % 24 + 139.69 / 15  # hours, in Tokyo
    warm = 21 + 5 * np.cos(2 * np.pi * (solar - 15) / 24) + rng.normal(0, 1, len(hours))
    sound = Signal("Japan", kind, warm, hours, (35.69, 139.69))
    assert not bad(check_series([sound]), "clock")
    assert bad(mutated(sound, np.roll(warm, 9)), "clock")
    assert bad(mutated(sound, np.roll(warm, 3)), "clock")
    assert bad(mutated(sound, np.roll(warm, -3)), "clock")


@pytest.mark.parametrize("fixed", ["utc", "local"])
def test_a_clock_without_summer_time_is_caught(fixed: str) -> None:
    world_ = synthetic(3, ranges={"year": 2021, "day": 75, "flash_crowds": 0})
    demand = series(world_, "demand", "Germany")  # clocks change on day 87
    names = [f.check for f in check_series([demand]) if f.verdict is Verdict.OK]
    assert "summer time" in names
    change = int((np.datetime64("2021-03-28T01") - demand.stamps[0]) / np.timedelta64(1, "h"))
    late = np.concatenate([demand.values[:change], np.roll(demand.values[change:], 1)])
    assert bad(mutated(demand, late), "summer time")


def test_constant_and_tariff_like_series(worlds) -> None:
    price = series(worlds[0], "price", "Texas")
    assert bad(mutated(price, np.full(672, 60.0)), "constant")
    tariff = np.where(np.arange(672) % 24 < 8, 30.0, 80.0)
    assert bad(mutated(price, tariff), "tariff")
    assert not bad(check_series([price]), "tariff")


def test_gaps_filled_flat_or_with_copies(worlds) -> None:
    price = series(worlds[0], "price", "Germany")
    flat = price.values.copy()
    flat[100:130] = flat[100]
    (finding,) = bad(mutated(price, flat), "flat stretch")
    assert str(price.stamps[100]) in finding.evidence
    assert finding.verdict is Verdict.SUSPICIOUS
    flat[100:400] = flat[100]
    assert bad(mutated(price, flat), "flat stretch")[0].verdict is Verdict.BROKEN
    copied = price.values.copy()
    copied[240:264] = copied[216:240]
    assert bad(mutated(price, copied), "copied days")


@pytest.mark.parametrize("kind", ["price", "carbon", "water"])
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_unit_slips_of_a_thousand(worlds, kind: str, factor: float) -> None:
    sound = series(worlds[1], kind, "Germany")
    (finding,) = bad(mutated(sound, sound.values * factor), "level")
    assert finding.verdict is Verdict.BROKEN
    assert f"multiply by {1 / factor:g}" in finding.advice


@pytest.mark.parametrize(
    ("kind", "factor", "words"),
    [("carbon", 2.2046**2, "pounds"), ("water", 3.7854, "gallons"), ("price", 100.0, "100")],
)
def test_doubled_and_forgotten_conversions(worlds, kind: str, factor: float, words: str) -> None:
    sound = series(worlds[1], kind, "Virginia")
    usual = {"carbon": 0.34, "water": 5.3, "price": 50.0}[kind]
    values = sound.values * usual / sound.values.mean() * factor
    found = bad(mutated(sound, values), "level")
    assert found
    assert words in found[0].advice or found[0].verdict is Verdict.BROKEN


def test_fahrenheit_taken_for_celsius_and_converted_twice() -> None:
    hours = np.datetime64("2024-06-01", "s") + np.arange(24 * 7) * np.timedelta64(1, "h")
    celsius = 25 + 5 * np.cos(2 * np.pi * (np.arange(len(hours)) - 21) / 24)
    texas = Signal("Texas", "temperature", celsius, hours, (32.78, -96.80))
    assert not bad(check_series([texas]), "level")
    assert "°F" in bad(mutated(texas, celsius * 1.8 + 32), "level")[0].advice
    assert "twice" in bad(mutated(texas, (celsius - 32) / 1.8), "level")[0].advice


def test_outliers_and_twins(worlds) -> None:
    demand = series(worlds[2], "demand", "Japan")
    spoiled = demand.values.copy()
    spoiled[7] = 999.0
    (finding,) = bad(mutated(demand, spoiled), "outlier")
    assert "999" in finding.evidence
    assert str(demand.stamps[7]) in finding.evidence
    other = dataclasses.replace(demand, region="Korea", values=demand.values * 1.08)
    assert "1.08 times that of Japan" in bad(check_series([demand, other]), "twins")[0].evidence


def test_every_finding_says_what_to_do_and_nothing_crashes_on_odd_series() -> None:
    rng = np.random.default_rng(1)
    start = np.datetime64("2024-01-01", "s")
    for T in (1, 2, 3, 30, 200):
        for step in (60, 900, 3600, 5000, 86_400):
            stamps = start + np.arange(T) * np.timedelta64(step, "s")
            for values in (np.zeros(T), np.full(T, -3.0), rng.normal(size=T), 1e9 * np.ones(T)):
                for kind in ("price", "carbon", "water", "demand", "temperature", "other"):
                    for place in (None, (0.0, 0.0), (35.69, 139.69)):
                        for finding in check_series([Signal("X", kind, values, stamps, place)]):
                            assert finding.verdict in (Verdict.OK, Verdict.UNSURE) or finding.advice


def test_a_batch_is_refused() -> None:
    with pytest.raises(DataError, match="batch"):
        check_instance(synthetic(0, horizon=4, batch=2))


def test_best_lag_finds_a_shift_between_slots() -> None:
    hour = np.arange(24)
    wave = np.cos(2 * np.pi * hour / 24)
    late = np.cos(2 * np.pi * (hour - 2.5) / 24)
    lag, fit = best_lag(late, wave)
    assert lag == pytest.approx(2.5, abs=0.05)
    assert fit > 0.98


def test_the_average_day_begins_at_utc_midnight() -> None:
    stamps = np.datetime64("2024-01-01T05", "s") + np.arange(240) * np.timedelta64(1, "h")
    values = ((np.arange(240) + 5) % 24 == 9).astype(float)
    day = average_day(Signal("X", "price", values, stamps), values)
    assert int(day.argmax()) == 9


# -- Years as providers publish them --------------------------------------------------------------


@pytest.fixture(scope="module")
def years() -> list[list[Signal]]:
    return [clean_year(index) for index in range(2)]


def of(year: list[Signal], kind: str, name: str) -> Signal:
    return next(s for s in year if (s.region, s.kind) == (name, kind))


def at(zone: str, hours: int, start: str = "2023-01-01") -> tuple[np.ndarray, np.ndarray]:
    """Hourly UTC stamps, and the local hour of each."""
    stamps = np.datetime64(start, "s") + np.arange(hours) * np.timedelta64(1, "h")
    minute = stamps.astype("datetime64[m]").astype(np.int64) + utc_offset(zone, stamps)
    return stamps, minute / 60 % 24


@pytest.mark.parametrize("index", [0, 1, pytest.param(8, marks=pytest.mark.slow), 11])
def test_sound_years_as_published_raise_at_most_one_alarm(index: int) -> None:
    found = alarms(check_series(clean_year(index)))
    assert len(found) <= 1, [str(f) for f in found]


@pytest.mark.parametrize(
    ("slip", "kind", "share"),
    [
        ("offset applied the wrong way round", "temperature", 0.75),
        ("an hour early in summer", "temperature", 0.9),
        ("an hour late in summer", "price", 0.7),
        ("an hour late in summer", "demand", 0.9),
        ("flat for 5 h", "price", 0.7),
        ("flat for half a year", "site_water", 0.9),
        ("sign turned", "carbon", 1.0),
        ("a day copied", "temperature", 0.9),
    ],
)
def test_slips_planted_in_sound_years_are_caught(years, slip: str, kind: str, share: float) -> None:
    rng = np.random.default_rng(3)
    caught = [c for year in years for _, c in planted(year, slip, kind, rng)]
    assert len(caught) >= 12
    assert np.mean(caught) >= share


def test_rounding_is_no_tariff_and_a_rounded_tariff_is_one(years) -> None:
    for kind, name in (("carbon", "Norway"), ("temperature", "Japan"), ("price", "South Africa")):
        series_ = of(years[0], kind, name)
        assert len(np.unique(series_.values)) < 0.05 * len(series_.values)
        assert not bad(check_series([series_]), "tariff")
    price = of(years[0], "price", "Germany")
    hour = np.arange(len(price.values)) % 24
    for night, day in ((10.0, 20.0), (31.5, 80.25)):
        steps = np.where(hour < 6, night, np.where(hour < 18, day, day + night))
        assert bad(mutated(price, steps), "tariff")
    carbon = of(years[0], "carbon", "Germany")
    monthly = 0.3 + 0.01 * (np.arange(len(carbon.values)) // 730 % 12)
    assert bad(mutated(carbon, np.round(monthly, 3)), "tariff")


def test_frost_is_no_gap_and_a_gap_in_summer_is(years) -> None:
    towers = of(years[1], "site_water", "Finland")
    assert (towers.values == 0).sum() > 24 * 20
    assert not bad(check_series([towers]), "flat stretch")
    assert not bad(mutated(towers, np.zeros(len(towers.values))), "constant")
    grid = 1.8  # m³/MWh, a constant
    all_water = dataclasses.replace(towers, kind="water", values=towers.values + grid)
    assert not bad(check_series([all_water]), "flat stretch")
    filled = towers.values.copy()
    filled[4000:4060] = filled[4000]
    assert str(towers.stamps[4000]) in bad(mutated(towers, filled), "flat stretch")[0].evidence
    filled[2000:6000] = 0.0  # no winter lasts so long
    assert bad(mutated(towers, filled), "flat stretch")[0].verdict is Verdict.BROKEN


def test_short_flat_prices_are_told_from_zeros_caps_and_prices_that_stand_still(years) -> None:
    price = of(years[0], "price", "Germany")
    assert not bad(check_series([price]), "flat stretch")
    flat = price.values.copy()
    flat[3003:3008] = flat[3003] + 0.01
    (finding,) = bad(mutated(price, flat), "flat stretch")
    assert "5 h" in finding.evidence
    assert str(price.stamps[3003]) in finding.evidence
    for value in (0.0, price.values.max(), price.values.min()):
        flat[3003:3008] = value
        assert not bad(mutated(price, flat), "flat stretch"), value
    nights = price.values.copy().reshape(-1, 24)
    nights[:, :6] = np.round(nights[:, :1])  # such a market stands still every night
    nights = nights.ravel()
    nights[3010:3015] = nights[3010] + 0.01
    assert not bad(mutated(price, nights), "flat stretch")


def test_scarcity_is_no_outlier_and_a_code_for_missing_values_is(years) -> None:
    price = of(years[0], "price", "New South Wales")
    assert price.values.max() == 11_000.0
    outliers = [f for f in check_series([price]) if f.check == "outlier"]
    assert [f.verdict for f in outliers] == [Verdict.UNSURE]
    for code in (-999.0, 9999.0, 1e6):
        spoiled = price.values.copy()
        spoiled[77] = code
        (finding,) = bad(mutated(price, spoiled), "outlier")
        assert f"{code:.6g} at {price.stamps[77]}" in finding.evidence
    carbon = of(years[0], "carbon", "Norway")
    imports = carbon.values.copy()
    imports[500:508] = [0.03, 0.05, 0.07, 0.09, 0.08, 0.06, 0.05, 0.03]
    assert not bad(mutated(carbon, imports), "outlier")
    imports[600] = 0.3
    assert bad(mutated(carbon, imports), "outlier")


def test_a_price_an_hour_off_its_market_is_named() -> None:
    prices = [s for s in clean_year(0, ("Germany", "Netherlands", "Denmark")) if s.kind == "price"]
    assert not bad(check_series(prices), "common clock")
    late = dataclasses.replace(prices[0], values=np.roll(prices[0].values, 1))
    found = bad(check_series([late, *prices[1:]]), "common clock")
    assert [f.region for f in found] == ["Germany"]
    assert "1 h after that of Netherlands, Denmark" in found[0].evidence


def test_one_workload_for_all_gets_a_note_and_no_clock_advice(worlds) -> None:
    demand = series(worlds[0], "demand", "Virginia")
    rng = np.random.default_rng(0)
    shared = [
        dataclasses.replace(
            series(worlds[0], "demand", name),
            values=demand.values * rng.uniform(0.97, 1.03, len(demand.values)),
        )
        for name in ("Germany", "Japan", "Texas")
    ]
    found = check_series(shared)
    assert not alarms(found)
    (note,) = [f for f in found if f.verdict is Verdict.NOTED]
    assert "3 places on different clocks" in note.evidence


@pytest.mark.parametrize("peak", [3, 10, 20, 21])
def test_users_of_other_habits_get_no_clock_advice(peak: int) -> None:
    rng = np.random.default_rng(peak)
    for name in ("Germany", "Japan", "New South Wales"):
        region = world()[name]
        stamps, hour = at(region.zone, 8760)
        away = (hour - peak + 12) % 24 - 12
        values = (0.4 + 0.6 * np.exp(-0.5 * (away / 3) ** 2)) * rng.uniform(0.9, 1.1, 8760)
        place = (region.latitude, region.longitude)
        assert not alarms(check_series([Signal(name, "demand", values, stamps, place)]))


@pytest.mark.parametrize(
    ("name", "zone", "place"),
    [
        ("Adelaide", "Australia/Adelaide", (-34.93, 138.6)),
        ("Denver", "America/Denver", (39.74, -104.99)),
        ("Reykjavík", "Atlantic/Reykjavik", (64.15, -21.94)),
        ("Perth", "Australia/Perth", (-31.95, 115.86)),
    ],
)
def test_far_from_known_regions_there_is_a_check_with_doubt(name: str, zone: str, place) -> None:
    stamps, hour = at(zone, 8760)
    rng = np.random.default_rng(0)
    day = request_shape(60)[:24][hour.astype(int)]
    solar = np.arange(8760) % 24 + place[1] / 15
    warm = 12 + 5 * np.cos(2 * np.pi * (solar - 15) / 24) + rng.normal(0, 1, 8760)
    sound = {
        "demand": Signal(name, "demand", day * rng.uniform(0.95, 1.05, 8760), stamps, place),
        "temperature": Signal(name, "temperature", np.round(warm, 1), stamps, place),
        "carbon": Signal(name, "carbon", rng.uniform(0.025, 0.035, 8760), stamps, place),
    }
    found = check_series(list(sound.values()))
    assert not alarms(found), [str(f) for f in alarms(found)]
    clocks = [f for f in found if f.check == "clock" and f.verdict is Verdict.OK]
    assert {f.kind for f in clocks} == {"demand", "temperature"}
    assert all("km away, so with doubt" in f.evidence for f in clocks)
    for kind in ("demand", "temperature"):
        (finding,) = bad(mutated(sound[kind], np.roll(sound[kind].values, 6)), "clock")
        assert finding.verdict is Verdict.SUSPICIOUS


def test_what_is_one_value_throughout_has_no_twin(worlds) -> None:
    price = series(worlds[0], "price", "Texas")
    flat = [
        dataclasses.replace(price, region=name, values=np.full(672, value))
        for name, value in (("A", 0.1), ("B", 0.3), ("C", 1e9 / 3))
    ]
    assert not bad(check_series(flat), "twins")
    assert not bad(check_series([price, *flat]), "twins")
    declared = dataclasses.replace(flat[0], declared_constant=True)
    assert not bad(check_series([declared]), "constant")
    here, there = (dataclasses.replace(price, region=name) for name in ("site 1", "site 2"))
    assert not bad(check_series([here, there]), "twins")  # two sites of one city


def test_kinds_come_from_the_table_and_an_unknown_one_gets_no_level() -> None:
    stamps = np.datetime64("2024-01-01", "s") + np.arange(96) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).uniform(1, 2, 96)
    assert usual_of("soot") is None
    assert not [
        f for f in check_series([Signal("X", "soot", values, stamps)]) if f.check == "level"
    ]
    for kind, row in FOOTPRINTS.items():
        usual = usual_of(kind)
        assert usual is not None
        assert usual.plausible == row.plausible
        wrong = Signal("X", kind, values * 1e6, stamps, (50.1, 8.7))
        assert bad(check_series([wrong]), "level")


def reading(filled: int = 0, zone: str = "UTC", steps: tuple[int, ...] = (3600,), **facts):
    """A region whose prices were read from ``p.csv``, an hour and then a quarter of one."""
    starts = np.datetime64("2025-09-30T21:00", "s") + np.array([0, 3600, 4500], "m8[s]")
    prices = Intervals("p.csv: price", starts, np.array([3600, 900, 900]), np.ones(3), steps)
    entry = SeriesEntry(time_zone=zone)
    return RegionTable(
        "Here",
        RegionEntry(),
        {},
        columns={"price": [prices]},
        facts={"price": Facts(entry, (Path("p.csv"),), **({"zone_used": False} | facts))},
        filled={"Here: price": filled},
    )


@pytest.mark.parametrize(
    ("region", "verdict", "words"),
    [
        (
            reading(steps=(3600, 900)),
            Verdict.NOTED,
            "values last 1 h and 15 min, the second since 2025-09-30T22:00:00 UTC in p.csv",
        ),
        (reading(zone="Europe/Berlin"), Verdict.NOTED, "Europe/Berlin was declared and not used"),
        (reading(fuels_unmapped=("B25",)), Verdict.SUSPICIOUS, "'B25' is left out in p.csv"),
        (
            reading(fuels_empty=("coal", "oil")),
            Verdict.NOTED,
            "'coal', 'oil' has no value at all in p.csv",
        ),
        (reading(filled=3), Verdict.NOTED, "3 values were filled in, 1.0% of 300 slots"),
        (reading(filled=30), Verdict.SUSPICIOUS, "30 values were filled in, 10.0%"),
    ],
)
def test_what_reading_showed_is_said(region: RegionTable, verdict: Verdict, words: str) -> None:
    (finding,) = check_readings(region, 300)
    assert finding.verdict is verdict
    assert words in finding.evidence
    assert finding.advice


def test_a_plain_reading_has_nothing_to_say() -> None:
    assert not list(check_readings(reading(), 300))
    assert not list(check_readings(reading(zone="Europe/Berlin", zone_used=True), 300))


def test_hourly_values_on_quarter_hours_and_weeks_of_steady_grids_raise_no_alarm(years) -> None:
    for series_ in years[0]:
        if series_.kind in ("price", "carbon"):
            step = np.timedelta64(900, "s")
            stamps = series_.stamps[0] + np.arange(4 * len(series_.values)) * step
            finer = dataclasses.replace(series_, values=np.repeat(series_.values, 4), stamps=stamps)
            assert not alarms(check_series([finer])), series_.region
    quebec = of(years[1], "carbon", "Quebec")
    steady = np.where(np.arange(168) < 40, 0.025, 0.026)
    week = dataclasses.replace(quebec, values=steady, stamps=quebec.stamps[:168])
    assert not alarms(check_series([week]))
    assert {f.check for f in check_series([week]) if f.verdict is Verdict.UNSURE} >= {"tariff"}
    assert bad(mutated(week, 2 * steady - 0.025 * (np.arange(168) % 24 < 8)), "tariff")
