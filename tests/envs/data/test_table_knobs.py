"""What a table has beside routing: each entry in its numbers, each refusal in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.envs import DataError, Instance
from equiload.envs.data import table
from equiload.envs.data.derived import site_water
from equiload.envs.data.tables.jobs import running
from equiload.envs.data.tables.slots import Slots

HOURS = pd.date_range("2024-06-01", periods=48, freq="h", tz="UTC")
SUN = np.maximum(0.0, 800.0 * np.sin((np.arange(48) % 24 - 5.5) / 13 * np.pi)) - 2.0
JOBS = {
    "file": "jobs.csv",
    "time": "arrives",
    "time_zone": "UTC",
    "size": {"gpus": "500 W"},
    "duration": {"minutes": "min"},
    "deadline": {"due": "h"},
}
CLASSES: dict[str, Any] = {"soon": {"deadline": "2 h"}, "later": {"deadline": "1 d"}}


def series(column: str, unit: str) -> dict[str, str]:
    return {"file": "all.csv", "time": "time", "column": column, "unit": unit}


def read(folder: Path, here: dict[str, Any] | None = None, **world: Any) -> Instance:
    """A world of two regions, of which the first has more."""
    pd.DataFrame(
        {"time": HOURS.strftime("%Y-%m-%dT%H:%MZ"), "price": 50.0, "sun": SUN, "kw": SUN / 2}
    ).to_csv(folder / "all.csv", index=False)
    both = {"price": 50, "carbon": 0.3, "demand": {"constant": 6, "unit": "MW"}, "capacity": "9 MW"}
    spec = {"regions": {"Here": both | (here or {}), "There": both}}
    spec["regions"]["There"] = both | {"price": series("price", "US$/MWh")}
    (folder / "w.yaml").write_text(yaml.safe_dump(spec | world, sort_keys=False))
    return table(folder / "w.yaml")


def log(folder: Path, *rows: str, header: str = "arrives,gpus,minutes,due") -> None:
    (folder / "jobs.csv").write_text("\n".join([header, *rows]) + "\n")


def with_jobs(folder: Path, classes: dict[str, Any] = CLASSES, **jobs: Any) -> Instance:
    return read(folder, training={"classes": classes, "jobs": JOBS | jobs})


def test_without_any_entry_nothing_is_added(tmp_path: Path) -> None:
    instance = read(tmp_path)
    assert instance.knobs == ()
    assert instance.fleet.storage is instance.trace.work is instance.trace.generation is None


@pytest.mark.parametrize("minutes", [60, 15])
def test_a_battery_in_the_units_of_its_owner(tmp_path: Path, minutes: int) -> None:
    stated = {"energy": "4000 kWh", "power": "1 MW", "efficiency": "81%", "wear": "0.02 US$/kWh"}
    storage = read(tmp_path, {"storage": stated}, slot_minutes=minutes).fleet.storage
    assert storage is not None
    assert storage.energy.tolist() == [4.0, 0.0]
    assert storage.charge.tolist() == storage.discharge.tolist() == [minutes / 60, 0.0]
    assert storage.charge_efficiency[0] == storage.discharge_efficiency[0] == pytest.approx(0.9)
    assert (storage.wear[0], storage.refill_price[0]) == (20.0, 1000.0)
    assert storage.initial.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(("initial", "stored"), [("25 %", 1.0), ("0.5", 0.5), ("3 MWh", 3.0)])
def test_what_a_battery_holds_at_first(tmp_path: Path, initial: str, stored: float) -> None:
    stated = {"energy": 4, "power": 1, "charge_power": "500 kW", "initial": initial}
    storage = read(tmp_path, {"storage": stated}).fleet.storage
    assert storage is not None
    assert (storage.initial[0], storage.charge[0], storage.discharge[0]) == (stored, 0.5, 1.0)


@pytest.mark.parametrize("minutes", [60, 30])
def test_servers_cost_per_megawatt_that_starts(tmp_path: Path, minutes: int) -> None:
    stated = {"idle": "35 %", "start_cost": "10 US$/MW"}
    servers = read(tmp_path, {"servers": stated}, slot_minutes=minutes).fleet.servers
    assert servers is not None
    assert servers.idle.tolist() == pytest.approx([0.35, 0.0])
    assert servers.start_cost.tolist() == [600 / minutes, 0.0]  # US$ per MWh per slot


@pytest.mark.parametrize("minutes", [60, 30])
def test_solar_from_power_share_and_irradiance(tmp_path: Path, minutes: int) -> None:
    def given(**here: Any) -> np.ndarray:
        generation = read(tmp_path, here, slot_minutes=minutes).trace.generation
        assert generation is not None
        assert not generation[:, 1].any()
        return generation[:, 0] * (60 / minutes)  # MW

    light = np.repeat(np.maximum(SUN, 0.0), 60 // minutes)
    np.testing.assert_allclose(given(solar=series("kw", "kW")), light / 2000)
    level = given(irradiance=series("sun", "W/m²"), solar_peak="500 kW")
    np.testing.assert_allclose(level, light / 2000)
    share = {"constant": 20, "unit": "%"}
    np.testing.assert_allclose(given(solar=share, solar_peak="0.5 MW"), 0.1)
    air = {"constant": 30, "unit": "°C"}
    warm = given(irradiance=series("sun", "W/m²"), solar_peak="500 kW", temperature=air)
    panel = 30 + np.repeat(SUN, 60 // minutes) / (25.0 + 6.84)  # Faiman's, in a wind of 1 m/s
    np.testing.assert_allclose(warm, level * (1 - 0.0035 * (panel - 25)), atol=1e-12)


def test_water_of_the_site_is_told_apart_once_there_is_a_choice(tmp_path: Path) -> None:
    here: dict[str, Any] = {"grid_water": 2, "temperature": 25, "humidity": 0.5}
    tower = site_water(np.array([25.0]), np.array([0.5]))[0]
    spec: dict[str, Any] = {"equity_weight": {"carbon": 1, "water": 1}}
    with pytest.raises(DataError, match="There has no water"):
        read(tmp_path, here, **spec)
    del spec["equity_weight"]["water"]
    assert read(tmp_path, here | {"solar": 1}, **spec).trace.onsite_intensity is None
    text = (tmp_path / "w.yaml").read_text().replace("  There:\n", "  There:\n    water: 9\n")
    (tmp_path / "w.yaml").write_text(text.replace("carbon: 1", "carbon: 1\n  water: 1"))
    apart = table(tmp_path / "w.yaml").trace
    assert apart.onsite_intensity is not None
    assert apart.intensity[:, 0].tolist() == [[0.3, 0.3], [2.0, 9.0]]
    assert apart.onsite_intensity[:, 0].tolist() == [[0.0, 0.0], [tower, 0.0]]
    (tmp_path / "w.yaml").write_text((tmp_path / "w.yaml").read_text().replace("solar: 1\n", "\n"))
    whole = table(tmp_path / "w.yaml").trace
    assert whole.onsite_intensity is None
    np.testing.assert_array_equal(whole.intensity, apart.intensity + apart.onsite_intensity)


def test_models_by_energies_or_shares(tmp_path: Path) -> None:
    stated = {"names": ["large", "small"], "loss": [0, "2.5 %"], "worth": 4000}
    models = read(tmp_path, models=stated | {"energy": ["800 J", "0.05 Wh"]}).fleet.models
    assert models is not None
    assert models.names == ("large", "small")
    assert models.energy.tolist() == pytest.approx([1.0, 0.225])
    assert models.loss.tolist() == [0.0, 0.025]
    assert (models.worth.tolist(), models.share.tolist()) == ([4000.0, 4000.0], [1.0, 1.0])
    by_region = {"energy": [1, "20 %"], "share": {"There": "50 %", "Here": 0}}
    models = read(tmp_path, models=stated | by_region).fleet.models
    assert models is not None
    assert (models.energy.tolist(), models.share.tolist()) == ([1.0, 0.2], [0.0, 0.5])


@pytest.mark.parametrize("minutes", [60, 30])
def test_work_from_series_and_as_a_share_of_demand(tmp_path: Path, minutes: int) -> None:
    classes = {
        "nights": {"deadline": "90 min", "work": series("sun", "kW"), "reachable": "There"},
        "part": {"deadline": 6, "work": {"constant": 25, "unit": "%"}, "late_cost": 300},
    }
    with pytest.raises(DataError, match=r"row 2, column 'sun': the value is -\S+ MWh, expected 0"):
        read(tmp_path, training={"classes": classes})
    classes["nights"]["work"] = {"constant": 200, "unit": "kW"}
    instance = read(tmp_path, training={"classes": classes}, slot_minutes=minutes)
    training, work = instance.fleet.training, instance.trace.work
    assert training is not None
    assert work is not None
    assert training.classes == ("nights", "part")
    assert training.deadline.tolist() == [90 // minutes, 360 // minutes]
    assert training.late_cost.tolist() == [1000.0, 300.0]
    assert training.reach(2).tolist() == [[False, True], [True, True]]
    hours = minutes / 60
    np.testing.assert_allclose(work, [[0.2 * hours, 3.0 * hours]] * len(work))
    np.testing.assert_allclose(instance.trace.demand, 4.5 * hours)  # the rest of 6 MW each


def test_jobs_become_work_by_class_and_slot(tmp_path: Path) -> None:
    log(
        tmp_path,
        "2024-06-01T00:30Z,200,90,3.5",  # 0.1 MW; slack 2 h, so soon
        "2024-06-01T01:00Z,100,60,26",  # slack 25 h: later
        "2024-05-31T20:00Z,400,300,48",  # began before the first slot: one hour of it is left
        "2024-05-30T00:00Z,400,60,0",  # was over before it, and so not judged
        "2024-06-02T23:30Z,1000,600,48",  # runs beyond the last slot
        "2024-07-01T00:00Z,1,60,0",  # comes after it
    )
    work = with_jobs(tmp_path).trace.work
    assert work is not None
    expected = np.zeros((48, 2))
    expected[:2, 0] = 0.05, 0.1
    expected[[0, 1, 47], 1] = 0.2, 0.05, 0.25
    np.testing.assert_allclose(work, expected, atol=1e-15)
    assert (work[expected == 0] == 0).all()


def test_deadlines_may_be_times_and_sizes_several(tmp_path: Path) -> None:
    log(
        tmp_path,
        "2024-06-01 02:00,2,100,1.5,2024-06-01 06:00",
        "2024-06-01 06:00,0,400,1,2024-06-03 08:00",
        header="arrives,load,gpus,hours,due",
    )
    work = with_jobs(
        tmp_path,
        time_zone="Europe/Berlin",  # two hours ahead of UTC
        size={"load": "MW", "gpus": "1 kW"},
        duration={"hours": "h"},
        deadline={"due": "time"},
    ).trace.work
    assert work is not None
    expected = [[2.1, 1.05, 0, 0, 0, 0], [0, 0, 0, 0, 0.4, 0]]
    np.testing.assert_allclose(work[:6].T, expected, atol=1e-15)


def test_an_empty_class_has_no_work_and_one_class_takes_all_jobs(tmp_path: Path) -> None:
    log(tmp_path, "2024-06-01T00:00Z,2000,60,9")
    work = with_jobs(tmp_path).trace.work
    assert work is not None
    assert work.sum(0).tolist() == [1.0, 0.0]
    work = with_jobs(tmp_path, {"any": {"deadline": "3 h"}}, deadline="").trace.work
    assert work is not None
    assert work.sum(0).tolist() == [1.0]
    log(tmp_path, "2023-06-01T00:00Z,2000,60,9")
    work = with_jobs(tmp_path).trace.work
    assert work is not None
    assert not work.any()


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("2024-06-01T00:00Z,1,180,2", "'due': the job lasts 3 h and must end within 2 h of its"),
        ("2024-06-01T00:00Z,1,60,2", "so it may wait less than any class (2 h)"),
        ("2024-06-01T00:00Z,-1,60,9", "column 'gpus': the value is -1, expected at least 0"),
        ("2024-06-01T00:00Z,1,,9", "row 3, column 'minutes': the value is '', expected a number"),
        ("2024-06-01T00:00Z,1,60,soon", "row 3, column 'due': the value is 'soon', expected a num"),
        ("June,1,60,9", "row 3, column 'arrives': the time is 'June', expected"),
    ],
)
def test_a_job_that_cannot_be_is_named(tmp_path: Path, row: str, sentence: str) -> None:
    log(tmp_path, "2024-06-01T05:00Z,1,60,9", row)
    with pytest.raises(DataError) as caught:
        with_jobs(tmp_path)
    assert "jobs.csv, row 3" in str(caught.value)
    assert sentence in str(caught.value)


BATTERY = {"energy": "4 MWh", "power": "1 MW"}
MODELS = {"names": ["l", "s"], "energy": [1, 0.2], "loss": [0, 0.1], "worth": 1}
PART = {"deadline": "1 h", "work": {"constant": 60, "unit": "%"}}


@pytest.mark.parametrize(
    ("here", "world", "sentence"),
    [
        ({"storage": {"energy": 4}}, {}, "storage of Here: 'power' is missing"),
        ({"storage": 4}, {}, "storage of Here must be a mapping of energy, power"),
        ({"storage": {}}, {}, "storage of Here: 'energy' is missing"),
        ({"servers": []}, {}, "servers of Here must be a mapping of idle, start_cost"),
        ({"storage": BATTERY | {"enrgy": 1}}, {}, "no option 'enrgy'; did you mean 'energy'"),
        ({"storage": BATTERY | {"energy": "4 MW"}}, {}, "'energy': must be a number and a unit"),
        ({"storage": BATTERY | {"efficiency": "120 %"}}, {}, "'efficiency' must be at most 1, got"),
        ({"storage": BATTERY | {"efficiency": 0}}, {}, "'efficiency' must be above 0"),
        ({"storage": BATTERY | {"wear": "-1"}}, {}, "'wear': must be a number and a unit"),
        ({"storage": BATTERY | {"initial": "5 MWh"}}, {}, "'initial' is 5 MWh, more than its 4"),
        (
            {"storage": BATTERY | {"initial": "full"}},
            {},
            "'initial': must be an energy, or a",
        ),
        ({"servers": {"idle": 35}}, {}, "servers of Here: 'idle' must be at most 1, got '35'"),
        ({"servers": {"start_cost": 1}}, {}, "servers of Here: 'idle' is missing"),
        ({"solar": series("kw", "kg")}, {}, "the unit of solar must be one of W, kW"),
        ({"solar": {"constant": 20, "unit": "%"}}, {}, "solar of Here: 'solar_peak' must say"),
        ({"irradiance": series("sun", "W/m²")}, {}, "solar of Here: 'solar_peak' must say"),
        ({"irradiance": 1, "solar_peak": "1 t"}, {}, "'solar_peak': must be a number and a unit"),
        ({"irradiance": 1, "solar": 1}, {}, "solar of Here: it follows from 'irradiance' too"),
        ({"solar_peak": "1 MW"}, {}, "'solar_peak' needs a series, 'solar' or 'irradiance'"),
        (
            {"irradiance": series("sun", "kW/m²"), "solar_peak": 1},
            {},
            "all.csv, row 2, column 'sun': the value is -2000 W/m², expected -50 to 1600",
        ),
        ({}, {"models": MODELS | {"loss": [0]}}, "models: models.loss must have shape (2,)"),
        ({}, {"models": MODELS | {"energy": [1, "3 J"]}}, "models: an energy must be a number and"),
        ({}, {"models": MODELS | {"energy": [0.2, 1]}}, "the first energy must be the largest"),
        (
            {},
            {"models": MODELS | {"worth": "much"}},
            "models: 'worth': must be a number and",
        ),
        ({}, {"models": MODELS | {"share": {"Her": 1}}}, "'Her'; did you mean 'Here'"),
        (
            {},
            {"models": MODELS | {"share": {"Here": 1}}},
            "models: 'share' has no number for",
        ),
        (
            {},
            {"models": MODELS | {"share": {"Here": 2}}},
            "'share.Here' must be at most 1, got '2'",
        ),
        ({}, {"training": {"classes": {}}}, "'classes' must be a mapping of at least 1"),
        (
            {},
            {"training": {"classes": {"a": PART}, "job": 1}},
            "no option 'job'; did you mean 'jobs'",
        ),
        (
            {"solar": series("kw", "%"), "solar_peak": 1},
            {},
            "'kw': the value is 2.26226 of solar_peak",
        ),
        ({}, {"training": {"classes": {"a": {}}}}, "training class a: 'deadline' is missing"),
        ({}, {"training": {"classes": CLASSES}}, "class soon has no 'work', and there"),
        ({}, {"training": {"classes": {"a": PART}, "jobs": JOBS}}, "no class is left for 'jobs'"),
        ({}, {"training": {"classes": {"a": PART, "b": PART}}}, "the classes' work is 1.2 of the"),
        (
            {},
            {"training": {"classes": {"a": PART | {"reachable": ["Thre"]}}}},
            "training class a: there is no region 'Thre'; did you mean 'There'",
        ),
        (
            {},
            {"training": {"classes": {"a": PART | {"deadline": "soon"}}}},
            "training class a: 'deadline': must be a number and a unit (h,",
        ),
        ({}, {"training": {"classes": CLASSES, "jobs": 1}}, "jobs must be a mapping with a file"),
        (
            {},
            {"training": {"classes": CLASSES, "jobs": JOBS | {"sise": 1}}},
            "jobs: there is no option 'sise'; did you mean 'size'",
        ),
        (
            {},
            {"training": {"classes": CLASSES, "jobs": JOBS | {"deadline": None}}},
            "jobs need a 'deadline' to tell the classes soon, later apart",
        ),
        (
            {},
            {"training": {"classes": CLASSES, "jobs": JOBS | {"size": {"gpus": "1 J"}}}},
            "jobs: gpus: must be a number and a unit (W, kW",
        ),
    ],
)
def test_a_bad_entry_gets_a_sentence(
    tmp_path: Path, here: dict[str, Any], world: dict[str, Any], sentence: str
) -> None:
    log(tmp_path, "2024-06-01T00:00Z,1,60,9")
    with pytest.raises(DataError) as caught:
        read(tmp_path, here, **world)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), jobs=st.integers(0, 30), minutes=st.sampled_from([15, 60]))
def test_the_energy_of_jobs_is_what_each_draws_in_each_slot(seed, jobs, minutes) -> None:
    rng = np.random.default_rng(seed)
    begin, hours = rng.uniform(-5, 30, jobs).round(1), rng.exponential(6, jobs).round(1)
    power = rng.exponential(1, jobs)
    stamps = np.datetime64("2024-06-01", "s") + np.arange(24 * 60 // minutes) * np.timedelta64(
        minutes * 60, "s"
    )
    edges = np.arange(len(stamps) + 1) * minutes / 60
    overlap = np.minimum((begin + hours)[:, None], edges[1:]) - np.maximum(
        begin[:, None], edges[:-1]
    )
    expected = (power[:, None] * np.maximum(overlap, 0)).sum(0)
    got = running(begin, hours, power, Slots(stamps, minutes * 60))
    np.testing.assert_allclose(got, expected, atol=1e-10)
    assert (got >= 0).all()
