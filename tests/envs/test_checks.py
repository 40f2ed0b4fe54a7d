"""The checks: quiet on sound data, and each trap of public data sets set and caught."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from equiload.envs import DataError, Instance
from equiload.envs.data import synthetic
from equiload.envs.data.checks import Finding, Series, Verdict, check_instance, check_series
from equiload.envs.data.checks.clocks import average_day, best_lag
from equiload.envs.data.regions import world

BAD = (Verdict.SUSPICIOUS, Verdict.BROKEN)


def series(instance: Instance, kind: str, name: str) -> Series:
    trace, fleet = instance.trace, instance.fleet
    i = fleet.datacenters.index(name)
    values = {
        "price": trace.price[:, i],
        "carbon": trace.intensity[0, :, i],
        "water": trace.intensity[1, :, i],
        "demand": trace.demand[:, i],
    }[kind]
    latitude, longitude = fleet.location[i]
    return Series(name, kind, values, trace.timestamps, (latitude, longitude))


def bad(findings: list[Finding], check: str) -> list[Finding]:
    return [f for f in findings if f.check == check and f.verdict in BAD]


def mutated(original: Series, values: np.ndarray) -> list[Finding]:
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
    told = [f for f in findings if f.check == "clock" and f.series in ("carbon", "demand")]
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
    sound = Series("Japan", kind, warm, hours, (35.69, 139.69))
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
    assert str(price.stamps[100]) in finding.found
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
    texas = Series("Texas", "temperature", celsius, hours, (32.78, -96.80))
    assert not bad(check_series([texas]), "level")
    assert "°F" in bad(mutated(texas, celsius * 1.8 + 32), "level")[0].advice
    assert "twice" in bad(mutated(texas, (celsius - 32) / 1.8), "level")[0].advice


def test_outliers_and_twins(worlds) -> None:
    demand = series(worlds[2], "demand", "Japan")
    spoiled = demand.values.copy()
    spoiled[7] = 999.0
    (finding,) = bad(mutated(demand, spoiled), "outlier")
    assert "999" in finding.found
    assert str(demand.stamps[7]) in finding.found
    other = dataclasses.replace(demand, region="Korea", values=demand.values * 1.08)
    assert "1.08 times that of Japan" in bad(check_series([demand, other]), "twins")[0].found


def test_every_finding_says_what_to_do_and_nothing_crashes_on_odd_series() -> None:
    rng = np.random.default_rng(1)
    start = np.datetime64("2024-01-01", "s")
    for T in (1, 2, 3, 30, 200):
        for step in (60, 900, 3600, 5000, 86_400):
            stamps = start + np.arange(T) * np.timedelta64(step, "s")
            for values in (np.zeros(T), np.full(T, -3.0), rng.normal(size=T), 1e9 * np.ones(T)):
                for kind in ("price", "carbon", "water", "demand", "temperature", "other"):
                    for place in (None, (0.0, 0.0), (35.69, 139.69)):
                        for finding in check_series([Series("X", kind, values, stamps, place)]):
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
    day = average_day(Series("X", "price", values, stamps), values)
    assert int(day.argmax()) == 9
