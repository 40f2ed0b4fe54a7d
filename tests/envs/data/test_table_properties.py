"""What must hold of any file: nothing is bridged, lost or invented; no traceback."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from equiload.envs import EquiloadError
from equiload.envs.data.table import read_table
from equiload.envs.data.tables.entries import GapsEntry, RegionEntry, SeriesEntry, WorldEntry
from equiload.envs.data.tables.slots import Intervals, Slots, lengths

START = np.datetime64("2024-05-01T00:00", "s")


def column(minutes: list[int], step: int, slot: int, *, amount: bool = False) -> Intervals:
    """Values 1, 2, … at these minutes, each as long as the file says."""
    starts = START + 60 * np.array(minutes).astype("timedelta64[s]")
    seconds, steps = lengths(starts, 0, slot, "x", amount=amount)
    return Intervals("x", starts, seconds, np.arange(1.0, len(starts) + 1), steps, amount)


@settings(max_examples=300, deadline=None)
@given(
    step=st.sampled_from([5, 15, 30, 60]),
    slot=st.sampled_from([15, 30, 60]),
    amount=st.booleans(),
    data=st.data(),
)
def test_a_row_that_is_absent_is_never_bridged(step, slot, amount, data) -> None:
    """Rows taken at random from a regular file leave gaps, but for the documented whole slots."""
    grid = list(range(0, 24 * 60, step))
    gone = data.draw(st.sets(st.sampled_from(grid[1:-1]), min_size=1, max_size=4))
    read = column([m for m in grid if m not in gone], step, slot * 60, amount=amount)
    ends = read.starts + read.seconds.astype("timedelta64[s]")
    apart = np.diff(read.starts).astype(int)
    long = apart > step * 60
    whole = (apart == slot * 60) & (read.starts[:-1].astype(int) % (slot * 60) == 0)
    habit = whole & (slot >= 4 * step) & ((whole & long).sum() >= 2) & (not amount)
    bridged = long & (ends[:-1] == read.starts[1:])
    assert not (bridged & ~habit).any()


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.sampled_from([5, 15, 30, 60]), min_size=1, max_size=6),
    slot=st.sampled_from([5, 15, 30, 60]),
    seed=st.integers(0, 2**16),
)
def test_amounts_keep_their_sum_and_means_their_weight(steps, slot, seed) -> None:
    """Blocks of six hours, each at a step of its own."""
    minutes = [0]
    for step in steps:
        minutes += [minutes[-1] + step * (k + 1) for k in range(360 // step)]
    ends, starts = np.array(minutes[1:]), np.array(minutes[:-1])
    values = np.random.default_rng(seed).random(len(starts))
    at = START + 60 * starts.astype("timedelta64[s]")
    seconds = (ends - starts) * 60
    slots = Slots(
        START + np.arange(minutes[-1] // slot) * np.timedelta64(slot * 60, "s"), slot * 60
    )
    amounts, _ = slots.place(Intervals("x", at, seconds, values, (60,), amount=True), None)
    means, filled = slots.place(Intervals("x", at, seconds, values, (60,)), None)
    assert amounts.sum() == pytest.approx(values.sum())
    by_minute = np.repeat(values, seconds // 60)
    np.testing.assert_allclose(means, by_minute.reshape(-1, slot).mean(axis=1))
    assert filled == 0


WRITERS = [  # decimal, thousands, separator
    (".", None, ","),
    (".", ",", ";"),
    (",", ".", ";"),
    (",", " ", "\t"),
    (".", "'", "|"),
]
FORMATS = ["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%H:%M %d-%m-%Y", "%Y%m%d%H%M"]
UNITS = {"US$/MWh": 1.0, "US$/kWh": 1000.0, "US¢/kWh": 10.0}


@settings(max_examples=60, deadline=None)
@given(
    writer=st.sampled_from(WRITERS),
    form=st.sampled_from(FORMATS),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    day=st.sampled_from([30, 68, 89, 90, 279, 300, 307]),
    unit=st.sampled_from([*UNITS]),
    newest=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    seed=st.integers(0, 2**16),
)
def test_a_series_is_read_as_it_was_written(
    writer, form, zone, day, unit, newest, encoding, seed, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("written")
    decimal, thousands, sep = writer
    first = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
    moments = [(first + timedelta(minutes=30 * k)).astimezone(ZoneInfo(zone)) for k in range(96)]
    dollars = np.random.default_rng(seed).uniform(-500, 3000, 96).round(1)
    rows = []
    for moment, dollar in zip(moments, dollars, strict=True):
        number = f"{dollar / UNITS[unit]:,.4f}"
        number = number.translate(str.maketrans({",": thousands or "", ".": decimal}))
        cell = f'"{number}"' if sep in number else number
        rows.append(f"{moment.strftime(form)}{sep}{cell}{sep}{moment.fold}")
    text = "\r\n".join([f"t{sep}v{sep}second", *(rows[::-1] if newest else rows)])
    (folder / "x.csv").write_bytes(text.encode(encoding))
    price = {"file": "x.csv", "time": "t", "time_format": form, "time_zone": zone, "column": "v"}
    price |= {"unit": unit, "decimal": decimal, "repeated": {"column": "second"}}
    price |= {"thousands": thousands} if thousands else {}
    price |= {"encoding": encoding} if encoding == "cp1252" else {}
    region = {"price": price, "carbon": 0.3, "demand": {"constant": 0.5, "unit": "share"}}
    YAML().dump({"slot_minutes": 30, "regions": {"Here": region}}, folder / "w.yaml")
    trace = read_table(folder / "w.yaml")[0].trace
    assert trace.timestamps[0].item().replace(tzinfo=UTC) == first
    np.testing.assert_allclose(trace.price[:, 0], dollars, atol=UNITS[unit] * 1e-4)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        [
            "t",
            "v",
            "x.csv",
            "*",
            "[",
            "UTC",
            "%",
            "%Y",
            "days since 1899-12-30",
            "1 h",
            "\\",
            "",
            ",",
            "range",
            "end",
            "ignore",
            "MW",
            "MWh",
            "US$/MWh",
            "EUR/MWh",
            "utf-16",
            "P1D",
            "1e400",
            "seconds since 1970-01-01",
            "linear",
            "24:00",
            "\x00",
            "é" * 300,
            "refuse",
            "0",
        ]
    ),
    st.lists(st.sampled_from(["t", "v", "f", "", "a"]), max_size=3),
    st.dictionaries(
        st.sampled_from(["t", "v", "f", "column", "file", "x"]), st.just("t"), max_size=2
    ),
)
CONTENT = "t,f,v,w\n" + "".join(f"2024-05-01 {h:02d}:00,G,{h}.5,1\n" for h in range(24))
SERIES = {"file": "x.csv", "time": "t", "time_zone": "UTC", "column": "v", "unit": "US$/MWh"}


def sentence(folder: Path) -> str:
    """What reading says, or nothing; anything but a sentence is a fault."""
    try:
        trace = read_table(folder / "w.yaml")[0].trace
    except EquiloadError as error:
        text = str(error).replace(str(folder), "")
        assert 0 < len(text) < 700, text
        assert text.isprintable(), text
        return text
    assert np.isfinite(trace.price).all()
    assert np.isfinite(trace.intensity).all()
    assert np.isfinite(trace.demand).all()
    return ""


@settings(max_examples=100, deadline=10_000)
@given(
    options=st.dictionaries(st.sampled_from([*SeriesEntry.model_fields]), JUNK, max_size=3),
    kind=st.sampled_from(["price", "demand", "mix", "carbon", "temperature"]),
    region=st.dictionaries(st.sampled_from([*RegionEntry.model_fields]), JUNK, max_size=1),
    world=st.dictionaries(
        st.sampled_from([*set(WorldEntry.model_fields) - {"regions"}, *GapsEntry.model_fields]),
        JUNK,
        max_size=1,
    ),
)
def test_junk_in_the_description_gets_a_sentence(
    options, kind, region, world, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "x.csv").write_text(CONTENT)
    unit = {"price": "US$/MWh", "demand": "%", "mix": "MW", "carbon": "kg/MWh", "temperature": "K"}
    entry = SERIES | {"unit": unit[kind]} | ({"fuels": {"gas": "v"}} if kind == "mix" else {})
    here = {"price": 1, "carbon": 0.3, "demand": {"constant": 0.1, "unit": "share"}} | region
    spec = {"regions": {"Here": here | {kind: entry | options}}} | world
    YAML(typ="safe", pure=True).dump(spec, folder / "w.yaml")
    sentence(folder)


@settings(max_examples=100, deadline=10_000)
@given(
    data=st.data(),
    options=st.sampled_from([{}, {"separator": ";"}, {"stamp": "end"}, {"lasts": "1 h"}]),
)
def test_mutated_files_get_a_sentence(data, options, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    content = bytearray(CONTENT.encode())
    junk = st.binary(max_size=4) | st.sampled_from(
        [
            b'"',
            b"\n",
            b"\r",
            b",,,",
            b";",
            b"\x00",
            b"\xff\xfe",
            b"1e999",
            b"nan",
            b"-",
            "\u2028".encode(),
            b"2024-05-01 24:00",
            b"9999-12-31",
            b"0000-00-00",
            b"1600-01-01",
            b"PK\x03\x04",
            b"\x1f\x8b",
        ]
    )
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 20))] = data.draw(junk)
    (folder / "x.csv").write_bytes(bytes(content))
    here = {"price": SERIES | options, "carbon": 0.3, "demand": {"constant": 0.1, "unit": "share"}}
    YAML(typ="safe", pure=True).dump({"regions": {"Here": here}}, folder / "w.yaml")
    sentence(folder)
