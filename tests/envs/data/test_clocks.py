"""A series written on any clock, in any way that exports have, is read back as it was."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from equiload.envs import DataError
from equiload.envs.data.table import read_table
from equiload.envs.data.tables.slots import lengths
from equiload.envs.data.tables.times import time_zone

#: Half-hour changes, half-hour zones, the south, changes on other days, none at all.
ZONES = [
    "Europe/Berlin",
    "America/Chicago",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "America/Sao_Paulo",
    "Pacific/Auckland",
]

WAYS = ["order", "newest first", "pairs", "marks", "dst", "second", "offsets", "end"]
#: Two days before clocks change in 2017: Brazil, America, Europe, Australia, New Zealand.
CHANGES = [47, 68, 82, 89, 264, 271, 285, 299, 306]


def write(tmp_path: Path, frame: pd.DataFrame, entry: dict, **top) -> Path:
    frame.to_csv(tmp_path / "p.csv", index=False)
    series = {"file": "p.csv", "column": "v", "unit": "US$/MWh"} | entry
    region = {"price": series, "carbon": 0.3, "demand": {"constant": 0.5, "unit": "share"}}
    path = tmp_path / "world.yaml"
    YAML().dump({"regions": {"Here": region}} | top, path)
    return path


def price(path: Path) -> tuple[np.ndarray, np.ndarray]:
    instance, _ = read_table(path)
    return instance.trace.timestamps, instance.trace.price[:, 0]


def local_frame(zone: str, start: str, minutes: int, rows: int) -> pd.DataFrame:
    utc = pd.date_range(start, periods=rows, freq=f"{minutes}min", tz="UTC")
    local = utc.tz_convert(zone)
    return pd.DataFrame(
        {
            "utc": utc,
            "naive": local.tz_localize(None),
            "mark": [t.tzname() for t in local],
            "dst": [int(t.dst() != timedelta(0)) for t in local],
            "second": [t.fold for t in (x.to_pydatetime() for x in local)],
            "v": np.arange(rows, dtype=float),
        }
    )


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(CHANGES) | st.integers(0, 364),
    minutes=st.sampled_from([15, 30, 60]),
    way=st.sampled_from(WAYS),
)
def test_local_clocks_are_read_back(zone, day, minutes, way, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("clock")
    # Slots of the zone's own half hours, since the file's steps begin there.
    start = pd.Timestamp("2017-01-01", tz="UTC") + pd.Timedelta(days=day)
    frame = local_frame(zone, start, minutes, 4 * 24 * 60 // minutes)
    entry: dict = {"time": "t", "time_zone": zone}
    text = frame.naive.dt.strftime("%Y-%m-%d %H:%M")
    if way == "newest first":
        frame, text = frame[::-1], text[::-1]
    elif way == "pairs":
        order = np.lexsort((frame.utc, frame.naive))
        frame, text = frame.iloc[order], text.iloc[order]
    elif way == "marks" and all(m.isalpha() for m in frame.mark):
        text = text + " (" + frame.mark + ")"
    elif way == "dst":
        entry["daylight"] = {"column": "dst", "value": "1"}
    elif way == "second":
        entry["repeated"] = {"column": "second", "value": "1"}
    elif way == "offsets":
        text = frame.utc.dt.tz_convert(zone).map(lambda t: t.isoformat())
        entry["time_zone"] = "Asia/Tokyo"  # not needed, and not used
    elif way == "end":
        entry["stamp"] = "end"
        entry["repeated"] = {"column": "second", "value": "1"}
        ends = frame.naive + pd.Timedelta(minutes=minutes)  # labels, as operators number hours
        midnight = (ends.dt.hour == 0) & (ends.dt.minute == 0)
        day_before = (ends - pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d 24:00")
        text = ends.dt.strftime("%Y-%m-%d %H:%M").where(~midnight, day_before)
    path = write(folder, frame.assign(t=text), entry, slot_minutes=minutes)
    stamps, values = price(path)
    assert len(values) == len(frame)
    assert stamps[0] == np.datetime64(start.tz_localize(None), "s")
    np.testing.assert_array_equal(values, np.arange(len(frame)))


@pytest.mark.parametrize(
    ("name", "hours"),
    [("+02:00", 2), ("GMT+2", 2), ("UTC-5", -5), ("Etc/GMT-2", 2), ("+0530", 5.5), ("UTC", 0)],
)
def test_fixed_offsets_are_time_zones(name: str, hours: float, tmp_path: Path) -> None:
    offset = time_zone(name).utcoffset(pd.Timestamp("2024-07-01").to_pydatetime())
    assert offset == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["GMT+20", "Mars/Olympus", "+2:0:0", "CEST"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="no time zone"):
        time_zone(name)


def test_a_clock_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    frame = local_frame("UTC", "2024-07-01", 60, 5)
    path = write(tmp_path, frame.assign(t=frame.naive), {"time": "t"})
    with pytest.raises(DataError, match="'time_zone' is missing: the stamps carry no offset"):
        read_table(path)


def test_wrong_offsets_are_set_aside_when_asked(tmp_path: Path) -> None:
    frame = local_frame("Europe/Berlin", "2024-07-01", 60, 30)
    text = frame.naive.dt.strftime("%Y-%m-%dT%H:%MZ")  # local times that claim to be UTC
    entry = {"time": "t", "time_zone": "Europe/Berlin"}
    path = write(tmp_path, frame.assign(t=text), entry)
    assert str(price(path)[0][0]) == "2024-07-01T02:00:00"
    _, regions = read_table(path)
    assert not regions[0].facts["price"].zone_used
    path = write(tmp_path, frame.assign(t=text), entry | {"offsets": "ignore"})
    assert str(price(path)[0][0]) == "2024-07-01T00:00:00"


def test_marks_that_do_not_fit_the_clock_are_refused(tmp_path: Path) -> None:
    frame = local_frame("America/New_York", "2024-07-01", 60, 5)
    text = frame.naive.dt.strftime("%Y-%m-%d %H:%M EST")  # standard time all year
    entry = {"time": "t", "time_zone": "America/New_York"}
    path = write(tmp_path, frame.assign(t=text), entry)
    with pytest.raises(DataError, match=r"does the file keep one offset all year\? .*UTC-5"):
        read_table(path)


def test_a_file_may_change_its_step(tmp_path: Path) -> None:
    hours = pd.date_range("2025-09-30T00:00", "2025-09-30T21:00", freq="h")
    quarters = pd.date_range("2025-09-30T22:00", "2025-10-01T21:45", freq="15min")
    stamps = hours.append(quarters)
    values = np.concatenate([np.arange(22.0), np.repeat(np.arange(22.0, 46.0), 4)])
    path = write(
        tmp_path, pd.DataFrame({"t": stamps, "v": values}), {"time": "t", "time_zone": "UTC"}
    )
    np.testing.assert_allclose(price(path)[1], np.arange(46.0))
    _, regions = read_table(path)
    assert set(regions[0].columns["price"][0].resolutions) == {3600, 900}


def test_a_single_quarter_hour_that_is_absent_is_a_gap(tmp_path: Path) -> None:
    stamps = pd.date_range("2025-10-01", periods=96, freq="15min").delete([21, 50])
    frame = pd.DataFrame({"t": stamps, "v": 1.0})
    with pytest.raises(DataError, match=r"no value in 2 slots.*'lasts: 30 min'"):
        read_table(write(tmp_path, frame, {"time": "t", "time_zone": "UTC"}))
    path = write(tmp_path, frame, {"time": "t", "time_zone": "UTC", "lasts": "60 min"})
    np.testing.assert_allclose(price(path)[1], 1.0)


def test_nothing_outside_the_window_is_judged(tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-01", periods=240, freq="h").delete([5, 200])
    frame = pd.DataFrame({"t": stamps, "v": "1"})
    frame.loc[[2, 230], "v"] = ["broken", "1e9"]
    frame.loc[238] = frame.loc[3]  # a row twice
    entry = {"time": "t", "time_zone": "UTC"}
    with pytest.raises(DataError):
        read_table(write(tmp_path, frame, entry))
    path = write(tmp_path, frame, entry, start="2024-01-02", end="2024-01-08T06:00")
    assert len(price(path)[1]) == 150


def test_coarser_values_hold_and_amounts_are_spread(tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-01", periods=4, freq="3h")
    path = write(
        tmp_path,
        pd.DataFrame({"t": stamps, "v": [1.0, 2, 3, 4]}),
        {"time": "t", "time_zone": "UTC"},
    )
    np.testing.assert_allclose(price(path)[1], np.repeat([1.0, 2, 3, 4], 3))
    demand = {"file": "p.csv", "column": "v", "time": "t", "time_zone": "UTC", "unit": "MWh"}
    region = {"price": 1, "carbon": 0.3, "demand": demand, "capacity": "2 MW"}
    YAML().dump({"regions": {"Here": region}}, path)
    instance, _ = read_table(path)
    np.testing.assert_allclose(instance.trace.demand[:, 0], np.repeat([1.0, 2, 3, 4], 3) / 3)
    assert instance.fleet.capacity[0] == 2.0


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.sampled_from([5, 15, 30, 60, 120, 180]), min_size=1, max_size=40),
    slot=st.sampled_from([900, 3600]),
)
def test_no_value_lasts_beyond_the_next_stamp_or_a_step_of_the_file(steps, slot) -> None:
    minutes = np.concatenate([[0], np.cumsum(steps)])
    starts = np.datetime64("2024-01-01", "s") + minutes * np.timedelta64(60, "s")
    declared = 0 if len(set(steps)) == 1 else 3600
    seconds, found = lengths(starts, declared, slot, "x")
    apart = np.diff(starts).astype(int)
    assert (seconds[:-1] <= apart).all()
    assert set(seconds) <= set(found) | set(apart) | {declared}
    assert set(found) <= {60 * s for s in steps}
    assert (seconds > 0).all()
