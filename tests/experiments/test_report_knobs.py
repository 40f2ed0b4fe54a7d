"""Reports on fleets with more to decide than routing."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from equiload.agents import EGLB, EGLBOff, GLBCost, WithKnobs
from equiload.envs.data import synthetic
from equiload.experiments.programs import benchmark
from equiload.experiments.report.contents import read_contents
from equiload.experiments.report.figures import charts_of
from equiload.experiments.report.headline import regional_table
from equiload.experiments.report.knobs import (
    levels_over_time,
    savings,
    where_energy_came_from,
    with_savings,
)
from equiload.experiments.report.overview import objective
from equiload.experiments.report.page import _render, _values
from equiload.experiments.report.printed import column_figure
from equiload.experiments.report.summary import rows_of, summarise
from equiload.experiments.results.history import read_history, write_history
from equiload.experiments.results.parquet import Origin
from equiload.experiments.results.regions import lines_of
from equiload.experiments.results.rows import Row
from equiload.experiments.results.study import compare
from equiload.experiments.results.tables import operation_table
from equiload.experiments.running.files import write_text

NAMES = ("GLB-Cost", "eGLB", "eGLB with knobs", "eGLB-Off")
KNOBS = ["solar", "storage", "training", "servers", "models"]
PARTS = ("generation", "storage", "training", "servers", "models")


def rows_with(knobs: list[str], seed: str = "validation/0") -> list[Row]:
    agents = dict(zip(NAMES, [GLBCost(), EGLB(), WithKnobs(EGLB()), EGLBOff()], strict=True))
    instance = synthetic(seed, horizon=30, knobs=knobs)
    return compare(agents, instance, reachability="full")


def write_run(folder: Path, rows: list[Row], setting: str) -> None:
    benchmark.write_results(folder, rows, Origin("hash", "", None))
    write_text(folder / ".hydra" / "config.yaml", f"instance: {{knobs: '{setting}'}}\n")


@pytest.fixture(scope="module")
def all_knobs() -> list[Row]:
    return rows_with(KNOBS)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, all_knobs: list[Row]) -> Path:
    """Storage alone, all but it, and all of them, the last on two draws."""
    root = tmp_path_factory.mktemp("sweep")
    write_run(root / "all" / "0", all_knobs, "all")
    write_run(root / "all" / "1", rows_with(KNOBS, "validation/1"), "all")
    write_run(root / "storage", rows_with(["storage"]), "storage")
    others = [name for name in KNOBS if name != "storage"]
    write_run(root / "others", rows_with(others), "others")
    return root


def test_a_history_holds_sources_and_levels(all_knobs: list[Row], tmp_path: Path) -> None:
    write_history(tmp_path / "h.parquet", all_knobs)
    for row, history in zip(all_knobs, read_history(tmp_path / "h.parquet"), strict=True):
        outcome, operation = row.outcome, row.outcome.operation
        assert operation is not None
        for name in ("grid", "generation", "discharge", "charge"):
            played = getattr(operation, name)
            np.testing.assert_allclose(history.supply[name], played, rtol=1e-6, atol=1e-9)
        for name in ("stored", "on"):
            left = getattr(outcome.levels, name)
            np.testing.assert_allclose(history.levels[name], left, rtol=1e-6, atol=1e-9)
        waiting = outcome.levels.waiting.sum(-1)
        np.testing.assert_allclose(history.levels["waiting"], waiting, rtol=1e-6, atol=1e-6)
        supply = history.supply
        drawn = supply["grid"] + supply["generation"] + supply["discharge"] - supply["charge"]
        np.testing.assert_allclose(drawn, outcome.drawn, rtol=1e-5, atol=1e-6)


def test_a_history_has_no_columns_of_parts_that_a_fleet_lacks(tmp_path: Path) -> None:
    write_history(
        tmp_path / "plain.parquet",
        compare({"eGLB": EGLB()}, synthetic(0, horizon=3), reachability="full"),
    )
    plain = set(pd.read_parquet(tmp_path / "plain.parquet").columns)
    write_history(tmp_path / "storage.parquet", rows_with(["storage"]))
    with_storage = set(pd.read_parquet(tmp_path / "storage.parquet").columns)
    assert with_storage - plain == {"grid", "discharge", "charge", "stored"}


def test_results_and_regions_tell_where_energy_came_from(all_knobs: list[Row], sweep: Path) -> None:
    written = json.loads((sweep / "all" / "0" / "results.json").read_text(encoding="utf-8"))
    for row, told in zip(all_knobs, written["rows"], strict=True):
        operation = row.outcome.operation
        assert operation is not None
        lines = list(lines_of(row))
        for name in ("grid", "generation", "charge", "discharge"):
            total = float(getattr(operation, name).sum())
            assert told["operation"][name] == pytest.approx(total)
            assert sum(line[f"{name}_MWh"] for line in lines) == pytest.approx(total)
        assert told["operation"]["saved"] == pytest.approx(float(operation.saved.sum()))
    flat = pd.read_csv(sweep / "all" / "0" / "results.csv")
    assert flat["MWh_discharge"].iloc[0] == 0 < flat["MWh_discharge"].iloc[-1]


def test_the_terminals_table_is_narrow_and_tells_who_turned_what(all_knobs: list[Row]) -> None:
    text = StringIO()
    console = Console(width=80, file=text)
    table = operation_table(all_knobs, "Beside routing")
    assert console.measure(table).maximum <= 80
    console.print(table)
    lines = {line[:17].strip(): line.split() for line in text.getvalue().splitlines()}
    assert lines["eGLB"][-4:] == ["0.0", "100.0", "0.0", "0.0"]  # battery, servers, late, saved
    assert float(lines["eGLB with knobs"][-4]) > 0
    assert float(lines["eGLB with knobs"][-3]) < 100


def test_sources_stand_on_each_other_and_charging_below(sweep: Path, all_knobs: list[Row]) -> None:
    run = next(run for run in read_contents(sweep).runs if run.name == "all/0")
    by_region, by_hour = where_energy_came_from(run.episodes()).charts
    assert (by_region.variant, by_hour.variant) == (
        "by region, full reachability",
        "by hour, full reachability",
    )
    for row, panel in zip(all_knobs, by_region.panels, strict=True):
        frame = type(by_region)(variant="", panels=[panel]).frame()
        totals = frame.groupby("series")["MWh"].sum()
        drawn = float(row.outcome.drawn.sum())
        assert totals.sum() == pytest.approx(drawn, rel=1e-5)  # charging is negative
        assert panel.y_range == by_region.panels[0].y_range
    hours = by_hour.frame().query("panel == 'eGLB' and series == 'grid'")
    assert list(hours["x"]) == [f"{hour:02d}" for hour in range(24)]
    table = regional_table(run.episodes())
    assert [c.title for c in table.columns][-4:] == ["From grid", "Own", "From battery", "Charged"]


def test_levels_are_the_fleets(sweep: Path, all_knobs: list[Row]) -> None:
    run = next(run for run in read_contents(sweep).runs if run.name == "all/0")
    (chart,) = levels_over_time(run.episodes()).charts
    assert [panel.title for panel in chart.panels] == ["batteries", "training work", "servers"]
    stored, _, on = chart.panels
    best = all_knobs[-1].outcome
    np.testing.assert_allclose(stored.marks[-1].y, best.levels.stored.sum(-1), rtol=1e-5)
    assert stored.marks[1].y == pytest.approx(np.full(30, stored.marks[1].y[0]))  # eGLB's idle
    assert on.marks[-1].y.max() <= 100 + 1e-6
    only = next(run for run in read_contents(sweep).runs if run.name == "storage")
    (chart,) = levels_over_time(only.episodes()).charts
    assert [panel.title for panel in chart.panels] == ["batteries"]


def test_what_each_knob_saved_is_beside_the_same_fleet_with_it_idle(
    sweep: Path, all_knobs: list[Row]
) -> None:
    rows = with_savings(rows_of(read_contents(sweep).runs))
    summary = summarise(rows)
    (chart,) = savings(rows, summary, ["carbon", "water"]).charts
    assert [panel.title for panel in chart.panels] == ["J", "highest carbon", "highest water"]
    assert [bars.label for bars in chart.panels[0].marks] == ["eGLB with knobs", "eGLB-Off"]
    for bars in chart.panels[0].marks:
        assert list(bars.x) == ["storage", "all but storage", "all"]
    _, idle, _, best = (float(row.outcome.objective) for row in all_knobs)
    first = rows[(rows["run"] == "all/0") & (rows["algorithm"] == "eGLB-Off")]
    assert first["objective_saved"].item() == pytest.approx(1 - best / idle)
    both = rows[rows["run"].str.startswith("all") & (rows["algorithm"] == "eGLB-Off")]
    optimum = chart.panels[0].marks[-1]
    assert optimum.y[-1] == pytest.approx(100 * both["objective_saved"].mean())
    assert np.isnan(optimum.low[0])  # of one run
    assert optimum.low[-1] < optimum.y[-1] < optimum.high[-1]
    carbon = chart.panels[1].marks[-1]
    idle_only = rows[rows["algorithm"].isin(["eGLB", "GLB-Cost"])]
    assert not savings(idle_only, summarise(idle_only), ["carbon"]).charts
    assert 0 < carbon.y[0] < carbon.y[-1]  # a battery makes the burden lighter, all knobs more so


def test_what_j_is_made_of_has_what_knobs_cost(sweep: Path, all_knobs: list[Row]) -> None:
    one = [run for run in read_contents(sweep).runs if run.name == "all/0"]
    (chart,) = objective(summarise(rows_of(one)), ["carbon", "water"]).charts
    labels = ["energy", "quality lost", "wear, starts, late work, refilling", "equity: carbon"]
    assert [mark.label for mark in chart.panels[0].marks][:4] == labels
    bars = {mark.label: mark for mark in chart.panels[0].marks}
    quality = [float(row.outcome.other_cost["quality"].sum()) / 1e3 for row in all_knobs]
    assert list(bars["quality lost"].y) == pytest.approx(quality)
    total = sum(bars[label].y[-1] for label in bars if not label.startswith("lower"))
    assert total == pytest.approx(float(all_knobs[-1].outcome.objective) / 1e3)


def page(root: Path) -> str:
    return _render(_values(read_contents(root)))


def test_the_page_has_what_there_is_to_show(sweep: Path, tmp_path: Path) -> None:
    text = page(sweep)
    for key in ("savings", "energy", "levels"):
        assert f'<section id="{key}">' in text
        assert f'href="#{key}"' in text
    assert "eGLB leaves the knobs idle." in text
    own = dict(charts_of(sweep / "storage"))
    assert list(own)[-3:] == ["energy by region, full", "energy by hour, full", "levels full"]
    axes = column_figure(own["energy by hour, full"]).axes[-2]
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["00", "02", "04"]
    agents = {"eGLB": EGLB(), "eGLB-Off": EGLBOff()}
    plain = compare(agents, synthetic(0, horizon=3), reachability="full")
    benchmark.write_results(tmp_path, plain, Origin("hash", "", None))
    text = page(tmp_path)
    for word in ('id="savings"', 'id="energy"', 'id="levels"', "knobs", "From grid", "quality"):
        assert word not in text
