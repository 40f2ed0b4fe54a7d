"""``equiload scenarios``: every kind of change, on generated and on one's own data; the report."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from equiload.agents import EGLBOff, GLBDist
from equiload.envs import DataError, rollout
from equiload.envs.data import synthetic
from equiload.experiments import cli
from equiload.experiments.report import write_report
from equiload.experiments.report.contents import read_contents
from equiload.experiments.results import parquet
from equiload.experiments.results.records import Scenarios, read_record
from own_data import write_world

WORLD = synthetic("validation/3", horizon=24, regions=3)
SITES = WORLD.fleet.datacenters
FILE = """
base: {{demand: 0.5x}}
closed: {{close: {0}}}
twice the weight: {{equity_weight: {{carbon: 2x}}}}
battery:
  storage: {{{1}: {{energy: 2 MWh, power: 1 MW}}}}
more demand: {{demand: 1.2x}}
smaller: {{capacity: {{{2}: 0.5x}}}}
cap: {{at_most: {{carbon: 2.14}}}}
today: {{allocation: today.csv}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program on what a file says, in ``tmp_path``; its status, output and errors."""

    def start(text: str, *overrides: str) -> tuple[int, str, str]:
        (tmp_path / "scenarios.yaml").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [])
        folder = f"hydra.run.dir={tmp_path / 'run'}"
        said = ["file=scenarios.yaml", *overrides, "report=false", folder, "resume=never"]
        try:
            status = cli.start("scenarios", said)
        except SystemExit as error:
            status = int(error.code or 0)
        return status, *capsys.readouterr()

    return start


def write_today(folder: Path, name: str = "today.csv", **changes: Any) -> None:
    """What is done today with half of the demand: every gateway to its nearest data center."""
    half = WORLD.replace(trace=WORLD.trace.replace(demand=0.5 * WORLD.trace.demand))
    frame = pd.DataFrame(rollout(GLBDist(), half).load.round(5), columns=list(SITES))
    frame.insert(0, "time", WORLD.trace.timestamps)
    frame.assign(**changes).to_csv(folder / name, index=False)


@pytest.fixture(params=["synthetic", "table"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "table":
        return ["instance=table", f"instance.path={write_world(WORLD, tmp_path)}"]
    return ["instance.seed=validation/3", "instance.horizon=24", "+instance.regions=3"]


def lines_of(folder: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    with (folder / "scenarios.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("scenario", "algorithm", "region", "compared_with")
    return {
        (row["scenario"], row["algorithm"], row["region"]): {
            name: float(cell) for name, cell in row.items() if name not in names and cell
        }
        for row in rows
    }


def test_every_kind_of_change_region_by_region_and_in_total(
    source: list[str], run: Any, tmp_path: Path
) -> None:
    write_today(tmp_path)
    status, out, err = run(FILE.format(*SITES), *source)
    assert status == 0, err
    assert max(map(len, out.splitlines()[:-2])) <= 80
    lines = lines_of(tmp_path / "run")
    scenarios = list(dict.fromkeys(scenario for scenario, *_ in lines))
    named = ["closed", "twice the weight", "battery", "more demand", "smaller", "cap", "today"]
    assert scenarios == ["base", *named]
    half = 0.5 * WORLD.trace.demand.sum()
    for (scenario, algorithm, region), line in lines.items():
        before = lines["base", algorithm if scenario != "today" else "eGLB with knobs", region]
        for name in ("load_MWh", "energy_cost_US$", "carbon_t", "water_m³"):
            difference = line[name] - before[name]
            assert line[f"{name}_change"] == pytest.approx(difference, rel=1e-6, abs=1e-6)
            if region == "total" and name != "energy_cost_US$":  # which holds wear, too
                parts = [lines[scenario, algorithm, site][name] for site in SITES]
                assert line[name] == pytest.approx(sum(parts))
        if region == "total":
            times = 1.2 if scenario == "more demand" else 1.0
            assert line["load_MWh"] == pytest.approx(times * half)
            tops = [lines[scenario, algorithm, site]["carbon_t"] for site in SITES]
            assert line["carbon_max_t"] == pytest.approx(max(tops))
    off = {name: lines.get((name, "eGLB-Off", "total"), {}) for name in scenarios}
    assert lines["closed", "eGLB with knobs", SITES[0]]["load_MWh"] == pytest.approx(0, abs=1e-9)
    assert lines["smaller", "eGLB-Off", SITES[2]]["load_MWh"] <= 12.0 * WORLD.fleet.capacity[2]
    for worse in ("closed", "smaller"):  # less to choose from
        assert off[worse]["objective_US$"] >= off["base"]["objective_US$"] * (1 - 1e-6)
    assert off["battery"]["objective_US$"] < off["base"]["objective_US$"]
    assert off["twice the weight"]["carbon_max_t"] <= off["base"]["carbon_max_t"]
    assert off["twice the weight"]["carbon_weight_US$/t"] == 2 * off["base"]["carbon_weight_US$/t"]
    assert off["cap"]["carbon_max_t"] <= 2.14 < off["base"]["carbon_max_t"]
    assert lines["today", "Recorded", "total"]["objective_US$"] > off["base"]["objective_US$"]


def test_files_say_the_same_and_the_base_is_a_benchmarks(run: Any, tmp_path: Path) -> None:
    source = ["instance.seed=validation/3", "instance.horizon=24", "+instance.regions=3"]
    status, _, err = run("less: {demand: 0.5x}", *source)
    assert status == 0, err
    folder = tmp_path / "run"
    lines = lines_of(folder)
    record = read_record(folder / "scenarios.json", Scenarios)
    assert len(record.lines) == len(lines) == 2 * 2 * 4
    first = record.lines[0]
    assert first.values["load"] == lines["base", "eGLB with knobs", SITES[0]]["load_MWh"]
    base = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    costs = {row["algorithm"]: row["objective"] for row in base["rows"]}
    day = synthetic("validation/3", horizon=24, regions=3, reachability="partial")
    optimum = EGLBOff().solve(day)
    assert costs["eGLB-Off"] == pytest.approx(optimum.objective)
    for algorithm, cost in costs.items():
        assert lines["base", algorithm, "total"]["objective_US$"] == cost
    table = parquet.read(folder / parquet.FILE).to_pylist()
    assert [(row["instance"], row["algorithm"]) for row in table] == [
        (instance, algorithm)
        for instance in ("synthetic", "synthetic, less")
        for algorithm in ("eGLB with knobs", "eGLB-Off")
    ]


def test_the_base_may_be_what_is_done_today(run: Any, tmp_path: Path) -> None:
    write_today(tmp_path)
    table = ["instance=table", f"instance.path={write_world(WORLD, tmp_path)}"]
    status, out, err = run("base: {demand: 0.5x, allocation: today.csv}\nelse: {}", *table)
    assert status == 0, err
    lines = lines_of(tmp_path / "run")
    then = lines["base", "Recorded", "total"]["objective_US$"]
    for algorithm in ("eGLB with knobs", "eGLB-Off"):
        line = lines["else", algorithm, "total"]
        assert line["objective_US$_change"] == pytest.approx(line["objective_US$"] - then)
        assert line["objective_US$"] < then
    assert "else, eGLB with knobs" in out


def test_the_report_shows_what_changes(run: Any, tmp_path: Path) -> None:
    write_today(tmp_path)
    table = ["instance=table", f"instance.path={write_world(WORLD, tmp_path)}"]
    status, _, err = run(FILE.format(*SITES), *table)
    assert status == 0, err
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert '<section id="scenarios">' in page
    assert "The base</h2>" in page
    weight = lines_of(tmp_path / "run")["cap", "eGLB-Off", "total"]["carbon_weight_US$/t"]
    assert f"cap (μ carbon {weight:,.0f}, water" in page
    assert "today, Recorded against the base&#39;s eGLB with knobs: energy cost" in " ".join(
        page.split()
    )
    drawn = pd.read_csv(tmp_path / "run" / "report" / "figures" / "changes_closed.csv")
    moved = drawn[(drawn["panel"] == "load") & (drawn["series"] == "eGLB-Off")]
    lines = lines_of(tmp_path / "run")
    expected = [lines["closed", "eGLB-Off", site]["load_MWh_change"] for site in SITES]
    np.testing.assert_allclose(moved["change of load, MWh"], expected, rtol=1e-4, atol=1e-9)
    shutil.copytree(tmp_path / "run", tmp_path / "two" / "a")
    shutil.copytree(tmp_path / "run", tmp_path / "two" / "b")
    both = write_report(tmp_path / "two").read_text(encoding="utf-8")
    assert "<h3>a</h3>" in both
    assert "<h3>b</h3>" in both


def test_an_algorithm_that_cannot_act_is_left_out_with_its_scenario(
    run: Any, tmp_path: Path
) -> None:
    source = ["instance.seed=validation/3", "instance.horizon=24", "+instance.regions=3"]
    text = f"battery: {{storage: {{{SITES[0]}: {{energy: 2 MWh, power: 1 MW}}}}}}"
    robust = "algorithm=[eglb,robust_glb_cost]"
    status, out, err = run(text, *source, robust)
    assert status == 0, err
    left_out = read_record(tmp_path / "run" / "scenarios.json", Scenarios).left_out
    assert [row.algorithm for row in left_out] == ["Robust(GLB-Cost) (battery)"]
    assert "Robust(GLB-Cost) (battery) left out: " in out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: {close: SITE0x}", "scenarios.yaml: scenario 'a': there is no data center"),
        ("a: {clsoe: SITE0}", "scenario 'a': there is no change 'clsoe'; did you mean 'close'?"),
        ("a: {demand: 9x}", "scenario 'a': slot 0 ("),
        ("a: {at_most: {carbon: 0.001}}", "no weight of carbon keeps every region below 0.001 t"),
        ("a: {at_most: {carbon: 1, water: 1}}", "'at_most' must be"),
        ("a: {at_most: {nox: 1}}", "no footprint kind 'nox'"),
        ("a: {allocation: nowhere.csv}", "nowhere.csv: no such file"),
        ("a: {allocation: whole.csv}", "slot 0 (2021-10-01T07:00:00 UTC): the recorded loads sum"),
        ("base: {demand: 0.5x}\na: {allocation: lacks.csv}", "there is no column 'SITE2', found"),
        ("base: {demand: 0.5x}\na: {allocation: gap.csv}", "has no value in 1 slots, first at"),
        ("a: {allocation: {file: whole.csv, column: x}}", "so no 'column'"),
        ("a: {allocation: {file: whole.csv, unit: share}}", "must be an energy or a power"),
        ("a: 3", "scenario 'a' must be a mapping of close,"),
        ("- a", "expected a mapping: the changes of each scenario by its name"),
        ("a: {close: [}", "is not YAML"),
        ('" ": {}', "a scenario needs a name that can be printed"),
        ("", "expected a mapping"),
    ],
)
def test_what_cannot_be_used_ends_in_one_sentence(
    text: str, sentence: str, run: Any, tmp_path: Path
) -> None:
    write_today(tmp_path, "whole.csv")
    write_today(tmp_path, "gap.csv")
    whole = pd.read_csv(tmp_path / "gap.csv")
    whole.drop(index=5).to_csv(tmp_path / "gap.csv", index=False)
    whole.drop(columns=SITES[2]).to_csv(tmp_path / "lacks.csv", index=False)
    for number, site in enumerate(SITES):
        text, sentence = (t.replace(f"SITE{number}", site) for t in (text, sentence))
    source = ["instance.seed=validation/3", "instance.horizon=24", "+instance.regions=3"]
    status, _, err = run(text, *source)
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run" / "scenarios.json").exists()


def test_loads_may_be_in_any_unit_zone_and_length(run: Any, tmp_path: Path) -> None:
    """Half hours of mean kW on a local clock are the hours of MWh that they come to."""
    write_today(tmp_path)
    hourly = pd.read_csv(tmp_path / "today.csv", parse_dates=["time"])
    halves = hourly.loc[hourly.index.repeat(2)].reset_index(drop=True)
    halves["time"] += pd.to_timedelta(30 * (halves.index % 2), unit="min")
    halves["time"] = halves["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    halves["time"] = halves["time"].dt.tz_localize(None)
    halves[list(SITES)] *= 1000
    halves.rename(columns={"time": "when"}).to_csv(tmp_path / "kw.csv", index=False)
    options = "{file: kw.csv, time: when, time_zone: Asia/Tokyo, unit: kW}"
    text = f"base: {{demand: 0.5x}}\na: {{allocation: today.csv}}\nb: {{allocation: {options}}}"
    source = ["instance.seed=validation/3", "instance.horizon=24", "+instance.regions=3"]
    status, _, err = run(text, *source)
    assert status == 0, err
    lines = lines_of(tmp_path / "run")
    for site in SITES:
        a, b = (lines[name, "Recorded", site]["load_MWh"] for name in ("a", "b"))
        assert b == pytest.approx(a)


SCHEMA_1 = Path(__file__).parent / "scenarios_1.json"


def test_the_first_layout_loads_for_good(tmp_path: Path) -> None:
    record = read_record(SCHEMA_1, Scenarios)
    assert (record.schema, len(record.lines)) == (1, 8)
    shutil.copy(SCHEMA_1, tmp_path / "scenarios.json")
    assert [e.kind for e in read_contents(tmp_path).experiments] == ["scenarios"]
    assert "more, eGLB: energy cost" in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda line: line["values"].pop("load"), "a line lacks its 'load'"),
        (lambda line: line["changes"].pop("load"), "a line needs a change of every value"),
        (lambda line: line.pop("region"), "'lines[0].region' is missing"),
        (lambda line: line["values"].update(load="x"), "must be a number"),
    ],
)
def test_lines_that_are_not_whole_are_refused(spoil: Any, sentence: str, tmp_path: Path) -> None:
    content = json.loads(SCHEMA_1.read_text(encoding="utf-8"))
    spoil(content["lines"][0])
    path = tmp_path / "scenarios.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError) as refused:
        read_record(path, Scenarios)
    assert sentence in str(refused.value)
