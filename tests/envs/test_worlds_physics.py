"""Clocks, sun, supply curves and levels of the generator, against first principles."""

import dataclasses
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from calibration import correlations
from hypothesis import given
from hypothesis import strategies as st

from equiload.envs.data import synthetic, world
from equiload.envs.data.clock import clock, sky, utc_offset
from equiload.envs.data.grid import MARKETS, footprints, typical_mix
from equiload.envs.data.noise import autoregression, between, pulses
from equiload.envs.data.regions import great_circle, location, named_regions
from equiload.envs.data.supply import SupplyCurve
from equiload.envs.data.weather import dryness
from equiload.envs.footprints import FOOTPRINTS, FUELS


@pytest.mark.parametrize("zone", sorted({r.zone for r in world().values()}))
def test_offsets_are_those_of_the_time_zone_database(zone: str) -> None:
    stamps = np.arange(np.datetime64("2023-01-01T07:30", "m"), np.datetime64("2024-01-05", "m"), 90)
    expected = [
        datetime.fromtimestamp(int(s) * 60, tz=ZoneInfo(zone)).utcoffset().total_seconds() // 60
        for s in stamps.astype(np.int64)
    ]
    np.testing.assert_array_equal(utc_offset(zone, stamps), expected)


@given(st.integers(0, 365 * 24 - 1), st.sampled_from(list(world().values())))
def test_the_local_week_begins_on_monday_at_midnight(hour: int, region) -> None:
    table = clock((region.zone,), (2024, 2024), 60)
    moment = datetime(2024, 1, 1, tzinfo=UTC).timestamp() + 3600 * hour
    local = datetime.fromtimestamp(moment, tz=ZoneInfo(region.zone))
    assert table.week_slot[hour, 0] == local.weekday() * 24 + local.hour


@pytest.mark.parametrize("region", world().values(), ids=lambda r: r.name)
def test_the_sun_is_highest_at_solar_noon_and_gone_at_midnight(region) -> None:
    sun = sky((region,), 15).sun[:, 0].reshape(366, 96)
    noon = (12 - region.longitude / 15) % 24
    peak = (sun.mean(0).argmax() + 0.5) / 4
    assert abs((peak - noon + 12) % 24 - 12) < 0.4
    midnight = int((noon + 12) % 24 * 4) % 96
    assert region.latitude > 60 or sun[:, midnight].max() == 0
    summer = slice(160, 190) if region.latitude > 0 else slice(340, 366)
    winter = slice(340, 366) if region.latitude > 0 else slice(160, 190)
    assert abs(region.latitude) < 5 or sun[summer].sum() > sun[winter].sum()


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_supply_curve_is_met_where_the_blocks_offer_what_is_asked(F: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-50, 100, (1, 1, F))
    high = low + rng.uniform(1, 100, (1, 1, F))
    capacity, footprint = rng.uniform(0.1, 1, (1, 1, F)), rng.uniform(0, 1, (2, F))
    curve = SupplyCurve.of_blocks(low, high, capacity, footprint)
    asked = np.sort(rng.uniform(0, capacity.sum(), 20))[None, :, None]
    price, *prints = curve.climb(asked)
    running = np.clip((price - low[:, 0]) / (high - low)[:, 0], 0, 1) * capacity[:, 0]
    np.testing.assert_allclose(running.sum(-1), asked[..., 0], atol=1e-6)
    np.testing.assert_allclose(np.stack(prints)[:, 0, :, 0], footprint @ running[0].T, atol=1e-6)
    assert (np.diff(price[0, :, 0]) >= -1e-9).all()


def test_noise_has_the_moments_it_promises() -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(400, 300, 2))
    path = autoregression(normal.copy(), 10.0)
    assert path.std() == pytest.approx(1.0, abs=0.02)
    lag = (path[:, 5:] * path[:, :-5]).mean()
    assert lag == pytest.approx(np.exp(-0.5), abs=0.02)
    events = pulses(normal, 0.02, 1e-9)
    assert (events > 0).mean() == pytest.approx(0.02, abs=0.002)
    assert events[events > 0].mean() == pytest.approx(1.0, abs=0.05)
    nodes = np.arange(5.0)[None, :, None]
    np.testing.assert_allclose(between(nodes, 3, 10)[0, :, 0], np.arange(10) / 3)


def test_levels_are_those_of_the_table() -> None:
    reference = {"fuel": (-1, 2), "outages": 0}
    trace = synthetic(9, batch=96, regions=len(world()), ranges=reference).trace
    for r, region in enumerate(world().values()):
        (mix,) = typical_mix(region, ["carbon"])
        assert trace.price[..., r].mean() == pytest.approx(region.price, rel=0.15), region.name
        assert trace.intensity[:, 0, :, r].mean() == pytest.approx(mix, abs=0.06), region.name
        if region.floor == 0:
            assert trace.price[..., r].min() >= 0


@pytest.mark.parametrize("region", world().values(), ids=lambda r: r.name)
def test_every_row_of_the_table_is_physically_possible(region) -> None:
    shares = [getattr(region, fuel) for fuel in FUELS]
    assert sum(shares) == pytest.approx(1.0, abs=1e-9)
    assert min(shares) >= 0
    noon = region.longitude / 15
    standard = min(
        datetime(2023, month, 1, tzinfo=UTC).astimezone(ZoneInfo(region.zone)).utcoffset()
        for month in (1, 7)
    )
    assert abs(noon - standard.total_seconds() / 3600) < 1.6  # hours between sun and clock
    zonal = 28.0 - 0.007 * region.latitude**2  # °C at sea level, roughly
    assert abs(region.temperature - zonal) < 8.0
    assert region.season > 0.09 * abs(region.latitude) or abs(region.latitude) < 25
    assert 0.3 <= region.humidity <= 0.9
    assert 0.2 <= region.cloud <= 0.75
    assert 0.12 <= region.wind_cf <= 0.45
    assert 0 <= region.heating <= 0.05
    assert 0 <= region.cooling <= 0.05
    assert region.floor <= 0 < region.price < 250
    assert 0.2 < region.markup < 2.5  # what the merit order misses of a market's level
    assert region.market in MARKETS
    assert (region.imports > 0) == bool(region.neighbours)
    assert region.imports < 0.5
    for neighbour in named_regions(region.neighbours):
        assert neighbour.name != region.name
        ends = location([region.name, neighbour.name])
        assert great_circle(ends, ends)[0, 1] < 2000  # km
    if region.coupling:
        members = [r for r in world().values() if r.coupling == region.coupling]
        assert len(members) > 1
        assert {r.market for r in members} == {region.market}


@pytest.mark.parametrize("kind", ["carbon", "nox"])
def test_what_is_consumed_is_the_own_mix_and_the_neighbours(kind: str) -> None:
    table, factors = world(), FOOTPRINTS[kind].factors
    own = {name: sum(factors[f] * getattr(r, f) for f in FUELS) for name, r in table.items()}
    denmark = table["Denmark"]
    abroad = np.mean([own[name] for name in ("Norway", "Sweden", "Germany")])
    expected = 0.65 * own["Denmark"] + 0.35 * abroad
    assert denmark.imports == 0.35
    assert typical_mix(denmark, [kind]) == pytest.approx(expected)
    assert typical_mix(table["Texas"], [kind]) == pytest.approx(own["Texas"])


def test_reservoirs_evaporate_less_where_the_air_is_cool_and_moist() -> None:
    hydro, water = FUELS.index("hydro"), FOOTPRINTS["water"].factors["hydro"]
    usual = dataclasses.replace(world()["Oregon"], temperature=15.0, humidity=0.65)
    norway, india = (footprints(world()[name], ["water"])[0] for name in ("Norway", "India"))
    assert footprints(usual, ["water"])[0, hydro] == pytest.approx(water)
    assert norway[hydro] < 0.5 * water
    assert india[hydro] > 1.2 * water
    for kind in ("carbon", "nox"):  # nothing that evaporates
        factors = list(FOOTPRINTS[kind].factors.values())
        assert (footprints(world()["Norway"], [kind])[0] == factors).all()
    # Saturation at 20 °C is 23.4 hPa.
    assert dryness(20.0, 0.0) == pytest.approx(23.4, abs=0.1)
    assert dryness(20.0, 1.0) == 0.0


def test_coupled_markets_move_together_without_common_weather() -> None:
    names = ("Germany", "Belgium", "Texas", "Virginia")
    alone = {"correlation": 1, "outages": 0}  # km: weather has nothing in common
    price = correlations(synthetic(5, batch=24, regions=names, ranges=alone).trace.price)
    assert price[0, 1] > 0.35
    assert price[2, 3] < price[0, 1] - 0.2


def test_fuel_moves_the_markets_that_burn_it_together() -> None:
    names = ("Japan", "Korea", "Texas")  # coupled with nobody; two buy the same gas
    ranges = {"correlation": 1, "outages": 0, "volatility": 1}
    trace = synthetic(6, horizon=364 * 24, batch=12, regions=names, ranges=ranges).trace
    months = np.log(trace.price.reshape(12, 13, 28 * 24, 3).mean(2))
    fuel = correlations(np.diff(months, axis=1))
    assert fuel[0, 1] > fuel[0, 2] + 0.2


def test_neighbours_share_their_weather() -> None:
    trace = synthetic(5, batch=24).trace
    price, carbon = correlations(trace.price), correlations(trace.intensity[:, 0])
    germany, belgium, texas = 4, 5, 0
    assert price[germany, belgium] > price[germany, texas] + 0.3
    assert carbon[germany, belgium] > 0.4
    alone = synthetic(5, batch=24, ranges={"correlation": 1}).trace
    assert correlations(alone.price)[germany, belgium] < price[germany, belgium] - 0.15
