"""Reading the paper's layout: right numbers, and one clear sentence for every broken file."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equiload.envs import DataError
from equiload.envs.data import bloom10
from equiload.envs.data.bloom10 import SLOTS, START, read_hourly
from equiload.envs.data.regions import PAPER_REGIONS, great_circle, location, paper_reachability

SERIES = {
    "price": ("Price", "Price (USD/MWh)"),
    "carbon": ("carbon", "Carbon (kg/kWh)"),
    "water": ("water", " WUE (L/kWh)"),
}


def lines(column: str, values: np.ndarray) -> list[str]:
    times = START + np.arange(len(values)) * np.timedelta64(1, "h")
    rows = zip(times.astype(str), values, strict=True)
    return [f"Time (UTC),{column}"] + [f"{t[:10]} {t[11:13]},{value!s}" for t, value in rows]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in the authors' layout, with numbers of our own."""
    rng = np.random.default_rng(0)
    write(tmp_path / "AI_workload.csv", lines("Power (Watt)", rng.uniform(500, 2700, SLOTS)))
    for region in PAPER_REGIONS:
        spelt = "Belguim" if region == "Belgium" else region
        for folder, (ending, column) in SERIES.items():
            # Some published price files are longer than the trace.
            values = rng.uniform(0, 9, SLOTS + (24 if folder == "price" else 0))
            write(tmp_path / folder / f"{spelt}_{ending}.csv", lines(column, values))
    return tmp_path


def write(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    write(path, change(path.read_text().splitlines()))


def test_numbers_arrive_where_they_belong(root: Path) -> None:
    instance = bloom10(root, reachability="partial")
    read = np.loadtxt(root / "water" / "Japan_water.csv", delimiter=",", skiprows=1, usecols=1)
    np.testing.assert_allclose(instance.trace.intensity[1, :, 8], read)
    power = np.loadtxt(root / "AI_workload.csv", delimiter=",", skiprows=1, usecols=1)
    np.testing.assert_allclose(instance.trace.demand[:, 3], power / 2708)
    assert instance.trace.price.shape == (SLOTS, 10)
    assert instance.trace.units == ("t", "m³")
    assert not instance.fleet.full
    assert len(instance.trace.provenance["sha256"]) == 64


CASES = {
    "text": (
        lambda rows: [*rows[:11], "2022-09-22 10,dear", *rows[12:]],
        "row 12, column 'Price (USD/MWh)': the value is 'dear', expected a finite number",
    ),
    "nan": (lambda rows: [*rows[:11], "2022-09-22 10,NaN", *rows[12:]], "row 12, column"),
    "empty value": (lambda rows: [*rows[:11], "2022-09-22 10,", *rows[12:]], "the value is ''"),
    "no value": (
        lambda rows: [*rows[:11], "2022-09-22 10", *rows[12:]],
        "row 12: has 1 fields, expected 2",
    ),
    "decimal comma": (
        lambda rows: [*rows[:11], "2022-09-22 10,1,5", *rows[12:]],
        "row 12: has 3 fields, expected 2",
    ),
    "doubled column": (
        lambda rows: [f"{row},{row.split(',')[1]}" for row in rows],
        "there are 2 columns 'Price (USD/MWh)', expected 1",
    ),
    "missing hour": (
        lambda rows: rows[:11] + rows[12:],
        "row 12: the time is '2022-09-22 11', expected '2022-09-22 10'",
    ),
    "doubled hour": (
        lambda rows: rows[:12] + rows[11:],
        "row 13: the time is '2022-09-22 10', expected '2022-09-22 11'",
    ),
    "other clock": (
        lambda rows: [rows[0], *(row.replace(" ", "T") for row in rows[1:])],
        "row 2: the time is '2022-09-22T00', expected '2022-09-22 00'",
    ),
    "digits grouped": (
        lambda rows: [*rows[:11], "2022-09-22 10,1_000", *rows[12:]],
        "the value is '1_000'",
    ),
    "endless field": (
        lambda rows: [*rows[:11], "2022-09-22 10," + "9" * 200_000, *rows[12:]],
        "is not a CSV file",
    ),
    "too short": (lambda rows: rows[:100], "ends after row 100, expected 457 hours"),
    "empty file": (lambda rows: [], "there is no column 'Price (USD/MWh)'|the file is empty"),
    "other column": (
        lambda rows: ["Time (UTC),Price (EUR/MWh)", *rows[1:]],
        "there is no column 'Price (USD/MWh)', found 'Time (UTC)', 'Price (EUR/MWh)'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_file_is_named_with_the_place(root: Path, case: str) -> None:
    change, sentence = CASES[case]
    path = root / "price" / "Nevada_Price.csv"
    edit(path, change)
    with pytest.raises(DataError) as raised:
        bloom10(root)
    assert str(path) in str(raised.value)
    assert any(part in str(raised.value) for part in sentence.split("|"))
    assert "\n" not in str(raised.value)


def test_what_cannot_be_negative_is_refused(root: Path) -> None:
    path = root / "carbon" / "Texas_carbon.csv"
    edit(path, lambda rows: [*rows[:5], "2022-09-22 04,-0.1", *rows[6:]])
    with pytest.raises(DataError, match=re.escape("'-0.1', expected a finite number of at least")):
        bloom10(root)


def test_missing_folder_and_file(root: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        bloom10(root / "nowhere")
    (root / "price" / "Belguim_Price.csv").unlink()
    with pytest.raises(DataError, match=r"Belguim_Price\.csv: no such file"):
        bloom10(root)
    (root / "price" / "Belguim_Price.csv").write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(DataError, match="cannot be read as text"):
        bloom10(root)


def test_unknown_reachability(root: Path) -> None:
    with pytest.raises(DataError, match="reachability must be 'full' or 'partial', got 'half'"):
        bloom10(root, reachability="half")


@given(content=st.binary(max_size=200))
def test_any_bytes_end_in_data_or_in_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "series.csv"
    path.write_bytes(b"time,x\n" + content)
    try:
        values = read_hourly(path, "x", START, 1)
    except DataError:
        return
    assert np.isfinite(values).all()


def test_distances_are_those_of_a_globe() -> None:
    place = location(PAPER_REGIONS)
    distance = great_circle(place, place)
    np.testing.assert_allclose(distance, distance.T)
    assert (np.diag(distance) == 0).all()
    names = {name: i for i, name in enumerate(PAPER_REGIONS)}
    # Frankfurt to Tokyo by air: about 9,360 km.
    assert distance[names["Germany"], names["Japan"]] == pytest.approx(9360, rel=0.01)


def test_partial_reachability_is_the_papers() -> None:
    partial = paper_reachability("partial")
    assert partial.sum() == 56
    assert partial.diagonal().all()
    texas, nevada = PAPER_REGIONS.index("Texas"), PAPER_REGIONS.index("Nevada")
    assert partial[texas].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert partial[nevada].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 1, 1]
