"""Checks of what there is beside routing: quiet on sound equipment, one finding for each slip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from equiload.envs import Instance
from equiload.envs.data import synthetic
from equiload.envs.data.checks import Finding, Verdict, check_instance, check_table
from equiload.envs.data.table import read_table
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training

BAD = (Verdict.SUSPICIOUS, Verdict.BROKEN)
KINDS = ("solar", "storage", "servers", "work")


def found(instance: Instance) -> list[Finding]:
    return [f for f in check_instance(instance) if f.kind in KINDS]


def bad(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(f.kind, f.region, f.check) for f in findings if f.verdict in BAD]


@pytest.fixture(scope="module")
def worlds() -> list[Instance]:
    return [synthetic(seed, knobs="all", ranges={"outages": 0}) for seed in range(6)]


def test_sound_equipment_raises_no_alarm(worlds: list[Instance]) -> None:
    for instance in worlds:
        findings = found(instance)
        assert not bad(findings), bad(findings)
        checks = {(f.kind, f.check) for f in findings if f.verdict is Verdict.OK}
        assert checks >= {
            *(("solar", check) for check in ("clock", "night")),
            *(("storage", check) for check in ("round trip", "duration")),
            *(("work", check) for check in ("deadline", "arrivals")),
            ("servers", "idle"),
        }
        assert all(f.verdict is Verdict.OK for f in findings if f.check == "night")


@pytest.mark.parametrize("hours", [-3, 3])
def test_solar_hours_off_shows_in_its_noon_and_at_night(worlds, hours: int) -> None:
    for instance in worlds:
        generation = instance.trace.generation
        assert generation is not None
        moved = instance.trace.replace(generation=np.roll(generation, hours, axis=0))
        findings = found(instance.replace(trace=moved))
        wrong = {region for kind, region, check in bad(findings) if check in ("clock", "night")}
        assert wrong == set(instance.fleet.datacenters)
        assert all(f.advice for f in findings if f.verdict in BAD)


def test_water_is_judged_as_a_whole(worlds) -> None:
    plain = synthetic(0, ranges={"outages": 0})
    level = [f.evidence for f in check_instance(plain) if (f.kind, f.check) == ("water", "level")]
    knobs = check_instance(worlds[0])
    assert [f.evidence for f in knobs if (f.kind, f.check) == ("water", "level")] == level


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"charge_efficiency": 1.0, "discharge_efficiency": 1.0}, "round trip"),
        ({"charge_efficiency": 0.7, "discharge_efficiency": 0.7}, "round trip"),
        ({"energy": 4000.0, "initial": 0.0}, "duration"),
        ({"charge": 0.0, "discharge": 0.0}, "duration"),
    ],
)
def test_batteries_that_are_not_sold(changes: dict[str, float], expected: str) -> None:
    instance = synthetic(0, horizon=24)
    sizes = {"energy": 4.0, "charge": 1.0, "discharge": 1.0} | changes
    N = len(instance.fleet.datacenters)
    storage = Storage(**{name: np.full(N, size) for name, size in sizes.items()})
    findings = found(instance.replace(fleet=instance.fleet.replace(storage=storage)))
    assert bad(findings) == [("storage", name, expected) for name in instance.fleet.datacenters]


def with_work(work: list[list[float]], **options: Any) -> Instance:
    """Two slots' worth of room in each of ten data centers' first, and classes of work."""
    instance = synthetic(0, horizon=len(work), ranges={"outages": 0})
    trace = instance.trace.replace(work=work, demand=0.5 * np.ones_like(instance.trace.demand))
    training = Training(classes=["a", "b"][: len(work[0])], **options)
    return instance.replace(trace=trace, fleet=instance.fleet.replace(training=training))


def test_work_that_cannot_fit_its_deadlines() -> None:
    # Of 10 MWh a slot demand leaves 5; one data center alone has 1.
    one = [[1] + [0] * 9]
    assert not bad(found(with_work([[5.0]] * 12, deadline=[0])))
    assert bad(found(with_work([[5.1]] * 12, deadline=[0]))) == [
        ("work", "a", "deadline"),
        ("work", "all classes", "deadline"),
    ]
    burst = [[9.0]] + [[0.1]] * 11
    assert bad(found(with_work(burst, deadline=[0])))
    assert not bad(found(with_work(burst, deadline=[1])))
    assert bad(found(with_work(burst, deadline=[1], reachable=one))) == [("work", "a", "deadline")]
    apart = [[3.0, 3.0]] * 12  # each class alone fits
    assert bad(found(with_work(apart, deadline=[0, 1]))) == [("work", "all classes", "deadline")]


def test_work_at_the_end_is_no_slip_and_silence_is_one() -> None:
    assert not bad(found(with_work([[0.1]] * 11 + [[9.0]], deadline=[5])))
    late = with_work([[0.0]] * 3 + [[1.0]] * 9, deadline=[5])
    assert bad(found(late)) == [("work", "all classes", "arrivals")]
    (empty,) = [f for f in found(with_work([[1.0, 0.0]] * 12, deadline=[1, 5])) if f.region == "b"]
    assert empty.verdict is Verdict.NOTED


def tabled(folder: Path, here: dict[str, Any], **world: Any) -> list[Finding]:
    region = {"price": 50, "carbon": 0.3, "demand": 0.5, "location": [50, 8]} | here
    window = {"start": "2024-06-01", "end": "2024-06-03"}
    path = folder / "w.yaml"
    path.write_text(yaml.safe_dump({"regions": {"Here": region}} | window | world, sort_keys=False))
    return check_table(*read_table(path))


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ({"solar": {"constant": 0.6, "unit": "MW"}, "solar_peak": "500 kW"}, ("solar", "peak")),
        ({"solar": 0, "solar_peak": 1}, ("solar", "peak")),
        ({"servers": {"idle": 1}}, ("servers", "idle")),
        ({"storage": {"energy": "4 kWh", "power": "1 MW"}}, ("storage", "duration")),
        ({"storage": {"energy": 4, "power": 1, "efficiency": 1}}, ("storage", "round trip")),
    ],
)
def test_a_table_s_equipment(tmp_path: Path, here: dict[str, Any], expected: Any) -> None:
    wrong = [(f.kind, f.check) for f in tabled(tmp_path, here) if f.verdict in BAD]
    night = [("solar", "night")] if here.get("solar") else []  # by day and night alike
    assert wrong == [*night, expected]


def test_water_that_is_not_told_apart_is_noted_where_it_matters(tmp_path: Path) -> None:
    battery = {"storage": {"energy": 4, "power": 1}}
    apart = {"grid_water": 2, "site_water": 1}

    def noted(here: dict[str, Any]) -> list[str]:
        return [f.region for f in tabled(tmp_path, here) if f.check == "on-site"]

    assert noted({"water": 3} | battery) == ["Here"]
    assert noted({"water": 3}) == noted(apart | battery) == []


def test_readings_of_work_are_told(tmp_path: Path) -> None:
    stamps = np.delete(np.datetime64("2024-06-01T00") + np.arange(48), 7)
    rows = "".join(f"{stamp}:00Z,1\n" for stamp in stamps)
    (tmp_path / "work.csv").write_text(f"t,v\n{rows}")
    series = {"file": "work.csv", "time": "t", "column": "v", "unit": "%"}
    findings = tabled(
        tmp_path,
        {},
        gaps={"method": "linear", "longest": 1},
        training={"classes": {"night": {"deadline": 3, "work": series}}},
    )
    (filled,) = [f for f in findings if f.check == "filled"]
    assert (filled.region, filled.kind) == ("night", "work")
