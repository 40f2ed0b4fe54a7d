"""``table``: the worked example, and every way to get a file wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from example import write_example
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.envs import DataError, EquiloadError
from equiload.envs.data import table
from equiload.envs.data.derived import mix_footprints, site_water, wet_bulb
from equiload.envs.data.weather import cooling_water, wet_bulb_stull

EXAMPLE = Path(__file__).parents[2] / "envs" / "data" / "example"
HOURS = pd.date_range("2024-03-30", periods=72, freq="h", tz="UTC")  # Europe changes its clocks


@pytest.fixture
def simple(tmp_path: Path) -> Path:
    """One region from one wide CSV in the project's own units."""
    frame = pd.DataFrame(
        {
            "time": HOURS.strftime("%Y-%m-%dT%H:%MZ"),
            "price": np.linspace(-10, 90, 72),
            "carbon": 0.3,
            "water": 4.0,
            "demand": 0.5,
        }
    )
    frame.to_csv(tmp_path / "all.csv", index=False)
    unit = {"price": "US$/MWh", "carbon": "t/MWh", "water": "L/kWh", "demand": "share"}
    region = {
        kind: {"file": "all.csv", "time": "time", "time_zone": "UTC", "column": kind, "unit": u}
        for kind, u in unit.items()
    }
    path = tmp_path / "world.yaml"
    path.write_text(yaml.safe_dump({"regions": {"Here": region}}))
    return path


def edit(path: Path, *keys: str, **changes) -> None:
    """Change an entry of a YAML file."""
    spec = yaml.safe_load(path.read_text())
    target = spec
    for key in keys:
        target = target[key]
    target.update(changes)
    path.write_text(yaml.safe_dump(spec))


def edit_csv(path: Path, row: int, column: str, value: str) -> None:
    frame = pd.read_csv(path, dtype=str)
    frame.loc[row - 2, column] = value
    frame.to_csv(path, index=False)


def test_the_worked_example_is_read_as_its_vendors_mean_it() -> None:
    instance = table(EXAMPLE / "example.yaml")
    trace = instance.trace
    assert instance.fleet.datacenters == ("Germany", "California")
    assert str(trace.timestamps[0]) == "2024-10-25T00:00:00"
    assert instance.horizon == 120
    raw = pd.read_csv(EXAMPLE / "germany_day_ahead_prices.csv").iloc[:, 1].to_numpy()
    np.testing.assert_allclose(trace.price[:, 0], raw * 1.08)  # through the repeated local hour
    carbon = pd.read_csv(EXAMPLE / "germany_carbon_intensity.csv").iloc[:, 5].to_numpy()
    np.testing.assert_allclose(trace.intensity[0, :, 0], carbon / 1000)
    eia = pd.read_csv(EXAMPLE / "california_generation_by_fuel.csv")
    first = eia[eia.period == "2024-10-25T01"].set_index("fueltype").value  # ends at 01:00
    names = {"SUN": "solar", "WND": "wind", "NUC": "nuclear", "WAT": "hydro", "NG": "gas"}
    mix = {names.get(c, "biomass"): np.array([float(v)]) for c, v in first.items()}
    assert trace.intensity[0, 0, 1] == pytest.approx(mix_footprints(mix, ["carbon"])["carbon"][0])


def test_the_worked_example_is_what_its_writer_writes(tmp_path: Path) -> None:
    for path in write_example(tmp_path):
        assert path.read_bytes() == (EXAMPLE / path.name).read_bytes(), path.name


def test_stull_is_near_psychrometrics_and_towers_drink_more_in_the_heat() -> None:
    celsius, rh = np.meshgrid(np.linspace(-5, 38, 20), np.linspace(0.2, 0.98, 15))
    exact = wet_bulb(celsius.ravel(), rh.ravel())
    assert np.abs(wet_bulb_stull(celsius.ravel(), rh.ravel()) - exact).max() < 1.0
    assert wet_bulb(np.array([20.0]), np.array([0.5]))[0] == pytest.approx(13.78, abs=0.01)
    towers = cooling_water(np.linspace(-10, 30, 50))
    assert (np.diff(towers) >= 0).all()
    assert towers[0] == 0.0
    low, high = site_water(np.array([30.0, 30.0]), np.array([0.3, 0.9]))
    assert high > low


def test_wide_parquet_in_local_time_and_other_units(simple: Path) -> None:
    expected = table(simple).trace
    local = HOURS.tz_convert("Europe/Berlin").tz_localize(None)
    frame = pd.DataFrame({"when": local, "ct": np.linspace(-10, 90, 72) / 1.25 / 1000})
    frame.to_parquet(simple.parent / "price.parquet")
    edit(
        simple,
        "regions",
        "Here",
        price={
            "file": "price.parquet",
            "time": "when",
            "time_zone": "Europe/Berlin",
            "column": "ct",
            "unit": "EUR/kWh",
            "rate": 1.25,
        },
    )
    got = table(simple).trace
    np.testing.assert_allclose(got.price, expected.price)
    np.testing.assert_array_equal(got.timestamps, expected.timestamps)


def test_long_files_quarter_hours_and_daily_rates(simple: Path) -> None:
    quarters = pd.date_range("2024-03-30", periods=288, freq="15min", tz="UTC")
    rows = [
        (t.isoformat(), zone, float(k % 4 + (100 if zone == "B" else 0)))
        for k, t in enumerate(quarters)
        for zone in "AB"
    ]
    pd.DataFrame(rows, columns=["t", "zone", "v"]).to_csv(simple.parent / "long.csv", index=False)
    rates = pd.DataFrame({"day": ["2024-03-29", "2024-03-31"], "usd": [2.0, 3.0]})
    rates.to_csv(simple.parent / "rates.csv", index=False)
    edit(
        simple,
        "regions",
        "Here",
        price={
            "file": "long.csv",
            "time": "t",
            "time_zone": "UTC",
            "column": "v",
            "where": {"zone": "B"},
            "unit": "EUR/MWh",
            "rate": {"file": "rates.csv", "time": "day", "time_zone": "UTC", "column": "usd"},
        },
    )
    price = table(simple).trace.price[:, 0]
    np.testing.assert_allclose(price, np.where(np.arange(72) < 24, 203.0, 304.5))


def test_gaps_are_refused_reported_and_filled_on_request(simple: Path) -> None:
    csv = simple.parent / "all.csv"
    frame = pd.read_csv(csv)
    frame.drop([10, 11, 30]).to_csv(csv, index=False)
    with pytest.raises(DataError, match=r"no value in 3 slots, first at 2024-03-30T10:00"):
        table(simple)
    edit(simple, gaps={"method": "linear", "longest": 1})
    with pytest.raises(DataError, match="longest gap is 2"):
        table(simple)
    edit(simple, gaps={"method": "linear", "longest": 2})
    trace = table(simple).trace
    np.testing.assert_allclose(trace.price[:, 0], np.linspace(-10, 90, 72), atol=1e-4)
    assert trace.provenance["filled"]["Here: price"] == 3
    edit(simple, gaps={"method": "previous", "longest": 2})
    assert table(simple).trace.price[11, 0] == pytest.approx(frame.price[9])


@pytest.mark.parametrize(
    ("row", "column", "value", "match"),
    [
        (5, "price", "abc", r"all.csv, row 5, column 'price': the value is 'abc', expected a num"),
        (5, "price", "", r"row 5, column 'price' is empty"),
        (5, "price", "inf", r"row 5.*expected a number"),
        (7, "carbon", "300", r"row 7.*300 t/MWh, expected 0 to 2; is the unit t/MWh right"),
        (7, "demand", "-0.1", r"row 7.*the value is -0.1 of capacity, expected 0 to 10"),
        (9, "time", "30.3.24", r"row 9, column 'time': the time is '30.3.24', expected an ISO"),
        (9, "time", "2024-03-30T06:00Z", r"row 9: the time 2024-03-30T06:00:00 UTC occurs again"),
        (9, "time", "2024-03-30T07:20Z", r"not on the grid of 60 min"),
    ],
)
def test_a_bad_cell_is_named(simple: Path, row: int, column: str, value: str, match: str) -> None:
    edit_csv(simple.parent / "all.csv", row, column, value)
    with pytest.raises(DataError, match=match):
        table(simple)


@pytest.mark.parametrize(
    ("keys", "changes", "match"),
    [
        ((), {"regoins": {}}, "no entry 'regoins'; did you mean 'regions'"),
        ((), {"regions": {}}, "at least one region"),
        ((), {"regions": {"Here": {"price": {}}}}, "has no demand"),
        ((), {"start": "soon"}, "start must be a UTC time"),
        ((), {"start": "2025-01-01T00:00"}, "no value from 'start' to 'end'; its times run from"),
        ((), {"slot_minutes": 0}, "'slot_minutes' must be"),
        ((), {"gaps": "maybe"}, "gaps must be"),
        ((), {"reachability": {"Here": ["Elsewhere"]}}, "'Elsewhere', which is not a region"),
        ((), {"equity_weight": {"carbon": -1, "water": 1}}, "at least 0"),
        (("regions", "Here"), {"location": [95, 0]}, "latitude"),
        (("regions", "Here"), {"capacity": "big"}, "capacity"),
        (("regions", "Here"), {"pricing": 1}, "there is no entry of region Here 'pricing'"),
        (("regions", "Here", "price"), {"file": "none.csv"}, "no such file"),
        (("regions", "Here", "price"), {"column": "prize"}, "no column 'prize', found 'time'"),
        (("regions", "Here", "price"), {"unit": "EUR/MWh"}, "'rate'"),
        (("regions", "Here", "price"), {"unit": "US$/GJ"}, "unit"),
        (("regions", "Here", "carbon"), {"unit": "stones"}, "unit of carbon"),
        (("regions", "Here", "price"), {"time_zone": "Mars/Olympus"}, "no time zone"),
        (("regions", "Here", "price"), {"layout": "excel"}, "no layout 'excel'"),
        (("regions", "Here", "price"), {"where": {"price": "x"}}, "no rows where"),
        (("regions", "Here", "price"), {"stamp": "middle"}, "'stamp'"),
        (("regions", "Here", "price"), {"skip_rows": 500}, "there is no header in line 501"),
    ],
)
def test_a_bad_yaml_gets_a_sentence(simple: Path, keys, changes, match) -> None:
    edit(simple, *keys, **changes)
    with pytest.raises(DataError, match=match):
        table(simple)


def test_missing_footprints_say_what_would_give_them(simple: Path) -> None:
    spec = yaml.safe_load(simple.read_text())
    del spec["regions"]["Here"]["water"]
    simple.write_text(yaml.safe_dump(spec))
    assert table(simple).trace.footprints == ("carbon",)
    edit(simple, equity_weight={"carbon": 1000, "water": 50})
    with pytest.raises(DataError, match="Here has no water; give it water, or site_water"):
        table(simple)
    edit(simple, equity_weight={"carbon": 1000})
    changed = table(simple, equity_weight={"carbon": 5.0})
    assert changed.objective.equity_weight == {"carbon": 5.0}
    with pytest.raises(DataError, match="names 'noise', which is no footprint kind"):
        table(simple, equity_weight={"noise": 1.0})


def test_local_stamps_called_utc_are_caught_where_clocks_change(simple: Path) -> None:
    csv = simple.parent / "all.csv"
    frame = pd.read_csv(csv)
    frame["time"] = HOURS.tz_convert("Europe/Berlin").strftime("%Y-%m-%dT%H:%M")
    frame.to_csv(csv, index=False)
    with pytest.raises(
        DataError, match=r"no value in 1 slots, first at 2024-03-31T02:00.*local clock taken for"
    ):
        table(simple)
    for kind in ("price", "carbon", "water", "demand"):
        edit(simple, "regions", "Here", kind, time_zone="Europe/Berlin")
    assert str(table(simple).trace.timestamps[0]) == "2024-03-30T00:00:00"
    frame["time"] = HOURS.strftime("%Y-%m-%dT%H:%M")  # UTC stamps called local
    frame.to_csv(csv, index=False)
    for kind in ("price", "carbon", "water", "demand"):
        edit(simple, "regions", "Here", kind, time_zone="Europe/Berlin")
    with pytest.raises(DataError, match=r"do not fit the clock of Europe/Berlin"):
        table(simple)


def test_times_with_and_without_an_offset_are_told_apart(tmp_path: Path) -> None:
    stamps = [f"{t:%Y-%m-%dT%H:%MZ}" for t in HOURS[:6]]
    stamps[2] = stamps[2][:-1]
    rows = "".join(f"{stamp},20,0.3,4,0.5\n" for stamp in stamps)
    (tmp_path / "all.csv").write_text("time,price,carbon,water,demand\n" + rows)
    units = {"price": "US$/MWh", "carbon": "t/MWh", "water": "L/kWh", "demand": "share"}
    region = {
        kind: {"file": "all.csv", "time": "time", "time_zone": "UTC", "column": kind, "unit": unit}
        for kind, unit in units.items()
    }
    (tmp_path / "world.yaml").write_text(yaml.safe_dump({"regions": {"Here": region}}))
    with pytest.raises(DataError, match=r"row 4, column 'time': the time is .*an offset from UTC"):
        table(tmp_path / "world.yaml")


@settings(max_examples=80)
@given(data=st.data())
def test_garbled_files_never_become_a_trace_with_nan(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("garbled")
    head = "time,price,carbon,water,demand\n"
    body = "".join(f"{t:%Y-%m-%dT%H:%MZ},20,0.3,4,0.5\n" for t in HOURS[:6])
    content = bytearray((head + body).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        junk = data.draw(st.binary(max_size=4))
        content[at : at + data.draw(st.integers(0, 3))] = junk
    (folder / "all.csv").write_bytes(bytes(content))
    region = {
        kind: {"file": "all.csv", "time": "time", "time_zone": "UTC", "column": kind, "unit": u}
        for kind, u in (
            ("price", "US$/MWh"),
            ("carbon", "t/MWh"),
            ("water", "L/kWh"),
            ("demand", "share"),
        )
    }
    spec = folder / "world.yaml"
    spec.write_text(yaml.safe_dump({"regions": {"Here": region}}))
    message, trace = "", None
    try:
        trace = table(spec).trace
    except EquiloadError as error:
        message = str(error)
    if trace is None:
        assert 0 < len(message) < 600
        assert "\n" not in message
    else:
        assert np.isfinite(trace.price).all()
        assert np.isfinite(trace.intensity).all()


@settings(max_examples=60)
@given(text=st.text(max_size=60) | st.binary(max_size=40))
def test_any_text_as_yaml_gets_a_sentence(
    text: str | bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(EquiloadError):
        table(path)
