"""Options of a table that nobody should write: one sentence each, or the right number."""

import bz2
import gzip
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from effort import FAULTS, limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equiload.envs import DataError, EquiloadError, Instance
from equiload.envs.data import table
from equiload.envs.data.tables.entries import RegionEntry, SeriesEntry, WorldEntry, YamlEntry
from equiload.envs.data.tables.jobs import JobsEntry
from equiload.envs.data.tables.knobs import (
    ClassEntry,
    ModelsEntry,
    ServersEntry,
    StorageEntry,
    TrainingEntry,
)

HOURS = pd.date_range("2024-03-01", periods=48, freq="h")
PRICE = "file: all.csv, time: time, time_zone: UTC, column: price, unit: US$/MWh"
SERIES = {
    "price": f"{{{PRICE}}}",
    "carbon": "{file: all.csv, time: time, time_zone: UTC, column: carbon, unit: t/MWh}",
    "demand": "{file: all.csv, time: time, time_zone: UTC, column: demand, unit: share}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"time": HOURS.strftime("%Y-%m-%dT%H:%MZ"), "price": 50.0, "carbon": 0.3})
    frame.assign(water=4.0, demand=0.5, zone="A", name="=1+1").to_csv(
        tmp_path / "all.csv", index=False
    )
    typed = pd.DataFrame({"time": HOURS, "b": True, "l": [[1]] * 48, "price": 50.0})
    typed.to_parquet(tmp_path / "x.parquet")
    (tmp_path / "dir.csv").mkdir()
    os.mkfifo(tmp_path / "fifo.csv")
    return tmp_path


def read(folder: Path, top: str = "", region: str = "", **series: str) -> Instance:
    lines = [top, "regions:", "  Here:"]
    lines += [f"    {kind}: {entry}" for kind, entry in (SERIES | series).items()]
    lines += [f"    {line}" for line in region.splitlines()]
    (folder / "w.yaml").write_text("\n".join(lines))
    return table(folder / "w.yaml")


REFUSED = {
    "end: NaT": "end must be a UTC time",
    "end: 2024-03-01T05:30\nstart: 2024-03-01": "no whole number of slots",
    "start: 2024-03-02\nend: 2024-03-01": "no value from 'start' to 'end'",
    f"slot_minutes: 1{'0' * 30}": "'slot_minutes' must be at most 1440",
    "slot_minutes: 1.5": "'slot_minutes' must be a whole number, got '1.5'",
    "equity_weight: {carbon: true}": "'equity_weight.carbon' must be a number, got 'true'",
    "equity_weight: {carbon: .inf}": "'equity_weight.carbon' must be a number",
    "equity_weight: {carbon: -1}": "expected a finite number of at least 0",
    "equity_weight: {carbon: 1e-60}": "w.yaml: the equity weight of carbon is 1e-60, expected",
    "equity_weight: [1]": "'equity_weight' must be a mapping",
    "reachability: {Here: Here}": "must be a list of regions, got 'Here'",
    "reachability: {within_km: 10}": "needs the location of every region",
    "reachability: {Here: [There]}": "names 'There', which is not a region",
    "gaps: {method: cubic, longest: 2}": "'method' must be 'linear' or 'previous'",
    "gaps: {method: linear, longest: 0}": "'longest' must be at least 1",
    "gaps: 5": "gaps must be 'refuse' or",
    'name: "a\\nb\\e[31m"': "a text that can be printed",
    "start: 0001-01-01\nslot_minutes: 1": "slots of 1 regions, more than 20000000; is a time wrong",
}


@pytest.mark.parametrize("top", REFUSED)
def test_the_file_as_a_whole(top: str, folder: Path) -> None:
    with pytest.raises(EquiloadError) as caught:
        read(folder, top)
    assert REFUSED[top] in str(caught.value)
    assert str(caught.value).isprintable()


PRICES = {
    "time_format: 5": "no directive such as %Y",
    "time_format: [a]": "'time_format' must be a text",
    "time_format: seconds since never": "'seconds since 1970-01-01' say",
    "skip_rows: abc": "'skip_rows' must be a whole number, got 'abc'",
    "skip_rows: [1]": "'skip_rows' must be",
    "skip_rows: -1": "at least 0",
    "skip_rows: 1000000000": "at most 100000",
    "where: [a]": "'where' must be a mapping",
    "where: {zone: {a: 1}}": "must be a text",
    "where: {zone: B}": "there are no rows where {'zone': 'B'}",
    "layout: [a]": "there is no layout",
    "layout: entsoe-prise": "did you mean 'entsoe-price'?",
    "rate: 1.08": "in US$ already",
    "lasts: 60": "'lasts' must be a time, '60 min'",
    "encoding: klingon": "there is no encoding 'klingon'",
    "separator: ';'": "there is no column 'time', found 'time,price",
    "decimal: ',', thousands: ','": "cannot both be ','",
    "decimal: ',,'": "'decimal' must be at most 1 character, got ',,'",
    "sheet: a": "'sheet' is for files that end in .xlsx",
    "records: a": "'records' is for files that end in .json",
    "period: price": "the stamps carry an offset",
    "stamp: range": "expected 'start - end'",
    "stamp: middle": "'stamp' must be 'start', 'end' or 'range'",
    "daylight: {column: nope}": "there is no column 'nope'",
    "colunm: price": "there is no option 'colunm'; did you mean 'column'?",
}


@pytest.mark.parametrize("option", PRICES)
def test_options_of_a_series(option: str, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(folder, price=f"{{{PRICE}, {option}}}")
    assert PRICES[option] in str(caught.value)
    assert len(str(caught.value)) < 700


OTHERS = {
    ("price", "{file: dir.csv, time: time, unit: US$/MWh, column: price}"): "is no file",
    ("price", "{file: fifo.csv, time: time, unit: US$/MWh, column: price}"): "is no file",
    ("price", "{file: none-*.csv, time: t, unit: US$/MWh, column: p}"): "no file matches",
    ("price", '{file: "a\\0b", time: t, unit: US$/MWh, column: p}'): "is no name of a file",
    ("price", "{file: null, time: t, unit: US$/MWh}"): "'file' is missing",
    ("price", "{file: all.csv, unit: US$/MWh}"): "'time' is missing",
    ("price", "{file: all.csv, time: time, column: price}"): "'unit' is missing",
    ("price", "{file: all.csv, time: time, unit: US$/MWh}"): "needs a 'column'",
    (
        "price",
        f"{{{PRICE.replace('US$', 'EUR')}, rate: true}}",
    ): "'rate' must be a number or a mapping",
    ("price", f"{{{PRICE.replace('US$', 'EUR')}, rate: &a {{x: *a}}}}"): "too deeply",
    ("price", "{file: x.parquet, time: time, time_zone: UTC, column: l, unit: US$/MWh}"): "row 1",
    ("price", "{file: x.parquet, time: time, time_zone: UTC, column: b, unit: US$/MWh}"): "row 1",
    ("price", "{file: all.csv, time: time, column: name, unit: US$/MWh}"): "the value is '=1+1'",
    ("price", "{file: all.csv, time: time, energy: {price: 1 J}}"): "only demand is read from",
    ("demand", "{file: all.csv, time: time, energy: {demand: 1 calorie}}"): "got '1 calorie'",
    ("carbon", "{constant: x}"): "'constant' must be a number",
    ("carbon", "{constant: 1, file: a}"): "only 'unit' and 'rate' are understood",
    ("carbon", "5"): "the value is 5 t/MWh, expected 0 to 2",
    (
        "carbon",
        "{constant: 3, unit: stones/MWh}",
    ): "the unit of carbon must be an amount per energy",
    ("mix", "{file: all.csv, time: time, unit: MW, fuels: abc}"): "'fuels' must be a mapping",
    ("mix", "{file: all.csv, time: time, unit: MW, fuels: {gas: 5}}"): "none of the fuels ['gas']",
    ("mix", "{file: all.csv, time: time, unit: MW, fuels: {gas: [price, price]}}"): "named twice",
    ("mix", "{file: all.csv, time: time, unit: MW, fuels: {soot: price}}"): "no fuel 'soot'",
    ("mix", "5"): "cannot be one number",
}


@pytest.mark.parametrize(("kind", "entry"), OTHERS)
def test_series_of_another_kind(kind: str, entry: str, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(folder, **{kind: entry})
    assert OTHERS[kind, entry] in str(caught.value)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("elevation: .nan", "'elevation' must be a number"),
        ("elevation: 1e6", "at most 9000"),
        ("location: [true, false]", "must be \\[latitude, longitude\\]"),
        ("location: here", "must be \\[latitude, longitude\\]"),
        ("location: [1, 2, 3]", "must be \\[latitude, longitude\\]"),
        ("capacity: -1", "must be a number of MWh per slot"),
        ("capacity: .nan", "must be a number of MWh per slot"),
        (f"capacity: {'9' * 400}", "must be a number of MWh per slot"),
        ("capacity: 0.1", "is 'capacity' in the demand's unit"),
        ("pue: 0.5", "at least 1"),
        ("price: 5", "in line 7 the key 'price' stands a second time"),
        ("pricing: 5", "there is no entry of region Here 'pricing'"),
    ],
)
def test_a_region(line: str, match: str, folder: Path) -> None:
    demand = SERIES["demand"].replace("share", "MWh")
    with pytest.raises(EquiloadError, match=match):
        read(folder, region=line, demand=demand)


NEST = "&a0 [x, x, x, x, x, x, x, x, x]"
for level in range(1, 12):
    NEST = f"&a{level} [{NEST}{f', *a{level - 1}' * 8}]"


#: What a record of the knobs needs, and where it stands: in a region, or at the top.
KNOBS: dict[type[YamlEntry], tuple[list[str], str]] = {
    StorageEntry: (["energy: 1", "power: 1"], "storage: %s"),
    ServersEntry: (["idle: 0.3"], "servers: %s"),
    ModelsEntry: (
        ["names: [a, b]", "energy: [1, 0.1]", "loss: [0, 1]", "worth: 1"],
        "models: %s",
    ),
    TrainingEntry: (["classes: {a: {deadline: 1, work: 0.1}}"], "training: %s"),
    ClassEntry: (["deadline: 1", "work: 0.1"], "training: {classes: {a: %s}}"),
    JobsEntry: (
        ["file: all.csv", "time: time", "size: {price: kW}", "duration: {carbon: h}"],
        "training: {classes: {a: {deadline: 1}}, jobs: %s}",
    ),
}


def with_option(folder: Path, record: type[YamlEntry], option: str, value: str) -> Instance:
    """Read a world in which one record's option holds a value."""
    line = f"{option}: {value}"
    if record is WorldEntry:
        return read(folder, line)
    if record is RegionEntry:
        return read(folder, region=line)
    if record in KNOBS:
        entry, whole = KNOBS[record]
        entry = [part for part in entry if not part.startswith(f"{option}: ")]
        text = whole % f"{{{', '.join([*entry, line])}}}"
        return read(folder, **({"region": text} if text.startswith("s") else {"top": text}))
    price = [part for part in PRICE.split(", ") if not part.startswith(f"{option}: ")]
    return read(folder, price=f"{{{', '.join([*price, line])}}}")


@pytest.mark.parametrize(
    ("record", "option"),
    [
        *((WorldEntry, option) for option in ("name", "gaps", "start", "equity_weight", "nope")),
        *((RegionEntry, option) for option in ("location", "capacity", "water", "nope")),
        *((SeriesEntry, option) for option in ("where", "rate", "layout", "missing", "nope")),
    ],
)
def test_a_nest_of_aliases_is_not_written_out(
    record: type[YamlEntry], option: str, folder: Path
) -> None:
    """9^12 values in 500 bytes, wherever: not printed, not compared, not waited for."""
    with pytest.raises(DataError, match=r"w\.yaml: holds more than 250000 values"):
        with_option(folder, record, option, NEST)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 3000, "nested too deeply"),
        ("regions: &r {Here: *r}", "nested too deeply"),
        ("a: &a {<<: *a}", "nested too deeply"),
        (f"regions: 1\nregions: {NEST}", "in line 2 the key 'regions' stands a second time"),
        ("regions: 1\nregions: 2", "in line 2 the key 'regions' stands a second time"),
        ("? [a]\n: 1", "in line 1 a key is no text"),
        ("- " * 200_000, "more than 256 KiB is not read"),
        (f"regions: {{{', '.join(f'r{n}: {{}}' for n in range(1001))}}}", "at most 1000 items"),
        ("name: \0", "is not YAML: unacceptable character #x0000"),
    ],
)
def test_yaml_that_is_none_or_never_ends(text: str, sentence: str, folder: Path) -> None:
    (folder / "w.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        table(folder / "w.yaml")
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 700


SCALARS = ["", "~", "true", "-1", "1e400", ".nan", "9" * 400, '"a\\e[31m\\0"', "x" * 5000, "NO"]
HOSTILE = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=2).map(
            lambda items: f"{{{', '.join(f'k{n}: {item}' for n, item in enumerate(items))}}}"
        )
    ),
    max_leaves=5,
)
RECORDS: tuple[type[YamlEntry], ...] = (WorldEntry, RegionEntry, SeriesEntry, *KNOBS)
OPTIONS = [(record, option) for record in RECORDS for option in record.model_fields]


@settings(max_examples=150 * FAULTS, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(OPTIONS), HOSTILE)
@limited()
def test_any_option_may_hold_anything(
    folder: Path, option: tuple[type[YamlEntry], str], value: str
) -> None:
    """Read, or refused in one sentence; a new option is tried unasked."""
    sentence = "read"
    try:
        with_option(folder, *option, value)
    except EquiloadError as error:
        sentence = str(error)
    assert sentence.isprintable()
    assert len(sentence) < 700


def far_cell(path: Path) -> None:
    """A workbook of two cells, the one in the last row."""
    sheet = '<worksheet><sheetData><row r="%d"><c r="XFD%d"/></row></sheetData></worksheet>'
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", sheet % (1048576, 1048576))


LARGE: dict[str, Callable[[Path], object]] = {
    "zeros.csv.gz": lambda path: path.write_bytes(gzip.compress(bytes(1 << 21))),
    "zeros.csv.xz": lambda path: path.write_bytes(lzma.compress(bytes(1 << 21))),
    "zeros.csv.bz2": lambda path: path.write_bytes(bz2.compress(bytes(1 << 21))),
    "ragged.csv": lambda path: path.write_text("time,price" + ",x" * 900 + "\n" * 1000),
    "ragged-below.csv": lambda path: path.write_text(
        "time,price\n1,1,1\n" + "," * 900 + "\n" * 1000
    ),
    "ragged.json": lambda path: path.write_text(json.dumps([{f"k{n}": n} for n in range(1000)])),
    "deep.json": lambda path: path.write_text(
        json.dumps([{"a": {f"{n}": n}} for n in range(1000)])
    ),
    "lists.json": lambda path: path.write_text(json.dumps([[1] * 1000] + [[1]] * 1000)),
    "long.json": lambda path: path.write_text("[" + "[]," * 100_000 + "[]]"),
    "same.parquet": lambda path: pq.write_table(pa.table({"time": pa.repeat(1, 1 << 20)}), path),
    "wide.parquet": lambda path: pd.DataFrame({f"c{n}": [n] for n in range(10_001)}).to_parquet(
        path
    ),
    "wide.csv": lambda path: path.write_text("time,price" + ",x" * 10_000),
    "far.xlsx": far_cell,
}


@pytest.mark.parametrize("name", LARGE)
def test_small_files_that_would_fill_the_memory(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUILOAD_LARGEST_MIB", "1")
    LARGE[name](folder / name)
    with pytest.raises(DataError, match=rf"{name}: (holds .*more than 1 MiB|has more than 10000)"):
        read(folder, price=f"{{{PRICE.replace('all.csv', name)}}}")


def test_the_limit_is_raised_by_its_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (folder / "all.csv").read_text().replace("A", "A" * 30_000)
    (folder / "large.csv.gz").write_bytes(gzip.compress(text.encode()))
    price = f"{{{PRICE.replace('all.csv', 'large.csv.gz')}}}"
    monkeypatch.setenv("EQUILOAD_LARGEST_MIB", "1")
    with pytest.raises(DataError, match="raise EQUILOAD_LARGEST_MIB"):
        read(folder, price=price)
    monkeypatch.setenv("EQUILOAD_LARGEST_MIB", "2")
    assert read(folder, price=price).horizon == 48
    monkeypatch.setenv("EQUILOAD_LARGEST_MIB", "many")
    with pytest.raises(DataError, match="EQUILOAD_LARGEST_MIB must be a whole number from 1"):
        read(folder, price=price)


def test_what_may_be_written_shortly(folder: Path) -> None:
    instance = read(
        folder,
        "start: 2024-03-01T06:00\nend: 2024-03-02\nequity_weight: {carbon: 1.0e3, water: 5}",
        "water: 0\ncapacity: 20 MW",
        price="50",
        carbon="{constant: 300, unit: gCO2eq/kWh}",
    )
    assert instance.horizon == 18
    assert instance.trace.price.tolist() == [[50.0]] * 18
    assert instance.trace.intensity[:, 0, 0].tolist() == pytest.approx([0.3, 0.0])
    assert instance.trace.demand[0, 0] == 10.0  # half of the region's capacity
    assert instance.objective.equity_weight == {"carbon": 1000.0, "water": 5.0}


def test_a_footprint_of_ones_own(folder: Path) -> None:
    instance = read(
        folder,
        "footprints: {land: {unit: m²}}\nequity_weight: {carbon: 1, land: 2}",
        "land: {file: all.csv, time: time, column: water, unit: m²/MWh}",
    )
    assert instance.trace.footprints == ("carbon", "land")
    assert instance.trace.intensity[1, 0, 0] == 4.0


def test_units_as_providers_spell_them(folder: Path) -> None:
    def price(unit: str, rate: str = "") -> float:
        entry = PRICE.replace("US$/MWh", unit) + (f", rate: {rate}" if rate else "")
        return float(read(folder, price=f"{{{entry}}}").trace.price[0, 0])

    assert price("ct/kWh", "1.1") == pytest.approx(50 * 10 * 1.1)
    assert price("EURct/kWh", "1.1") == pytest.approx(50 * 10 * 1.1)
    assert price("US¢/kWh") == pytest.approx(500)
    assert price("US$/GWh") == pytest.approx(0.05)
    assert price("JPY/kWh", "0.01") == pytest.approx(500)
    assert price("€/MWh", "2") == pytest.approx(100)
    for unit, right in (
        ("gCO2eq/kWh", 0.3e-3),
        ("gCO₂eq/kWh", 0.3e-3),
        ("g CO2-eq/kWh", 0.3e-3),
        ("lb/MWh", 0.3 * 0.45359237e-3),
        ("lbs CO2/MWh", 0.3 * 0.45359237e-3),
        ("kg/MWh", 0.3e-3),
        ("tCO2e/MWh", 0.3),
        ("t/GWh", 0.3e-3),
        ("kg/GJ", 0.3e-3 * 3.6),
        ("metric tons CO2/MWh", 0.3),
    ):
        entry = SERIES["carbon"].replace("t/MWh", unit)
        got = read(folder, carbon=entry).trace.intensity[0, 0, 0]
        assert got == pytest.approx(right, rel=1e-12), unit


def test_reachability_by_distance(folder: Path) -> None:
    read(folder)
    spec = (folder / "w.yaml").read_text()
    here = spec.split("regions:\n")[1]
    text = "reachability: {within_km: 700}\nregions:\n"
    for name, place in (("A", "[50, 8]"), ("B", "[48, 16]"), ("C", "[40, -74]")):
        text += here.rstrip().replace("Here", name) + f"\n    location: {place}\n"
    (folder / "w.yaml").write_text(text)
    assert table(folder / "w.yaml").fleet.reachable.tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
