"""Reports: what is read, what is left out, and the page as a browser opens it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from equiload.agents import EGLB, EGLBOff, GLBCost, WithKnobs
from equiload.envs import DataError, Fleet, Instance
from equiload.envs.data import synthetic
from equiload.experiments.programs import benchmark
from equiload.experiments.report import write_report
from equiload.experiments.report.contents import read_contents
from equiload.experiments.report.episodes import RunEpisodes
from equiload.experiments.report.headline import regional_table
from equiload.experiments.report.overview import front, objective, profiles
from equiload.experiments.report.summary import rows_of, setting_labels, summarise
from equiload.experiments.results.history import EpisodeHistory, read_history, write_history
from equiload.experiments.results.parquet import Origin
from equiload.experiments.results.regions import regional
from equiload.experiments.results.rows import Row, describe
from equiload.experiments.results.study import compare
from equiload.experiments.running.files import write_json
from equiload.robust import RobustPolicy

NASTY = "</script><b>$x_{&amp;}$ 'β'"


def comparison(seed: int, weight: float = 1500.0, name: str = "eGLB") -> list[Row]:
    agents = {
        "GLB-Cost": GLBCost(),
        name: EGLB(),
        "Robust": RobustPolicy(GLBCost(), EGLB(), rho=0.1),
        "eGLB-Off": EGLBOff(),
    }
    instance = synthetic(seed=seed, horizon=30)
    mu = {"carbon": weight, "water": 60.0}
    instance = instance.replace(objective=type(instance.objective)(equity_weight=mu))
    return compare(agents, instance, reachability="full")


def write_results(folder: Path, comparisons: dict[str, list[Row]]) -> None:
    rows = [row for rows in comparisons.values() for row in rows]
    benchmark.write_results(folder, rows, Origin("hash", "", None))


def study(folder: Path) -> None:
    trials = [
        {"advice": advice, "method": "blend", "rho": rho, "allowance": 0.0}
        | {"ratio": 1 + worse * rho, "bound": 1 + rho, "to_offline": 1.1, "certified": 1.1}
        | {"alpha": 0.5, "holds": True, "verified": True}
        for advice, worse in (("perfect", -0.2), ("adversarial", 0.9))
        for rho in (0.0, 0.1, 0.5)
    ]
    write_json(folder / "robustness.json", {"trials": trials, "versions": {"equiload": "0"}})


def test_studies_are_called_what_was_not_said_of_all(tmp_path: Path) -> None:
    for name, said in (("a", ["seed=1", "horizon=48"]), ("b", ["seed=2", "horizon=48"])):
        study(tmp_path / name)
        write_json(tmp_path / name / "job.json", {"overrides": ["experiment=e", *said]})
    assert [study.title for study in read_contents(tmp_path).experiments] == ["seed=1", "seed=2"]
    assert read_contents(tmp_path / "a").experiments[0].title == "seed=1, horizon=48"
    (tmp_path / "b" / "job.json").unlink()
    titles = [study.title for study in read_contents(tmp_path).experiments]
    assert titles == ["seed=1, horizon=48", "b"]
    write_json(tmp_path / "b" / "job.json", {"overrides": ["seed=1", "horizon=48"]})
    titles = [study.title for study in read_contents(tmp_path).experiments]
    assert titles == ["a", "b"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds at two equity weights, a robustness study and a training run."""
    root = tmp_path_factory.mktemp("runs")
    for weight in (500.0, 1500.0):
        for seed in (0, 1):
            rows = comparison(seed, weight, NASTY)
            write_results(root / f"{weight:g}" / str(seed), {"full": rows})
    study(root / "robust")
    progress = pd.DataFrame({"step": [0, 10, 20], "gap": [0.3, 0.2, 0.1], "constant": 1.0})
    (root / "train").mkdir()
    progress.to_csv(root / "train" / "progress.csv", index=False)
    return root


@pytest.fixture(scope="module")
def page(runs: Path) -> Path:
    return write_report(runs, runs / "report")


def test_history_holds_what_was_played(tmp_path: Path) -> None:
    rows = comparison(0)
    write_history(tmp_path / "h.parquet", rows)
    for row, history in zip(rows, read_history(tmp_path / "h.parquet"), strict=True):
        outcome = row.outcome
        assert (history.algorithm, history.reachability) == (row.algorithm, "full")
        np.testing.assert_array_equal(history.time, outcome.instance.trace.timestamps)
        np.testing.assert_allclose(history.load, outcome.load, rtol=1e-6)
        assert history.energy_cost.sum() == pytest.approx(float(outcome.energy_cost), rel=1e-6)
        for k, kind in enumerate(("carbon", "water")):
            total = history.footprint[kind].sum(0)
            np.testing.assert_allclose(total, outcome.footprint[k], rtol=1e-5)
        if row.certificate is None:
            assert history.slack is None
        else:
            assert history.slack is not None
            np.testing.assert_allclose(history.slack, row.certificate.slack, rtol=1e-6)
    tidy = pd.read_parquet(tmp_path / "h.parquet")
    assert len(tidy) == 4 * 30 * 10
    assert str(tidy["time"].dtype).endswith("UTC]")


def test_the_table_by_region_is_that_of_the_outcomes() -> None:
    rows = comparison(0)
    histories = [EpisodeHistory.of(row) for row in rows]
    table = regional_table(RunEpisodes(histories, describe(rows[0].outcome.instance)))
    assert [column.title for column in table.columns] == [
        *("Load", "Energy"),
        *("Carbon", "of max", "Water", "of max"),
    ]
    regions = rows[0].outcome.instance.fleet.regions
    for number, row in enumerate(rows):
        lines = table.lines[number * len(regions) :][: len(regions)]
        assert [line.labels for line in lines] == [(r, row.algorithm, "full") for r in regions]
        carbon = [line.cells[2].value for line in lines]
        np.testing.assert_allclose(carbon, row.outcome.footprint[0])
        assert max(line.cells[3].value for line in lines) == pytest.approx(100.0)
        cost = sum(line.cells[1].value for line in lines)
        assert cost == pytest.approx(float(row.outcome.energy_cost))


def test_with_knobs_a_region_carries_what_it_imports_and_what_its_sites_draw() -> None:
    instance = synthetic("validation/0", horizon=30, knobs="all")
    agents = {"eGLB": EGLB(), "eGLB with knobs": WithKnobs(EGLB()), "eGLB-Off": EGLBOff()}
    for row in compare(agents, instance, reachability="full"):
        history = EpisodeHistory.of(row)
        totals = regional(history, instance.fleet.membership)
        np.testing.assert_allclose(totals["water"], row.outcome.footprint[1], rtol=1e-9)
        np.testing.assert_allclose(totals["carbon"], row.outcome.footprint[0], rtol=1e-9)
        other = sum(cost.sum() for cost in row.outcome.other_cost.values())
        spent = row.outcome.energy_cost - row.outcome.routing.sum() - other
        assert totals["energy_cost"].sum() == pytest.approx(float(spent))
        last = row.outcome.cumulative_footprint()[:, -1]
        np.testing.assert_allclose(last, row.outcome.footprint, rtol=1e-9)


def test_a_half_written_history_is_named(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    write_history(path, comparison(0))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"h\.parquet: not a whole Parquet file"):
        list(read_history(path))


def test_settings_are_told_from_seeds(runs: Path) -> None:
    contents = read_contents(runs)
    assert [run.name for run in contents.runs] == ["1500/0", "1500/1", "500/0", "500/1"]
    weights = ("μ carbon=1500",) * 2 + ("μ carbon=500",) * 2
    assert tuple(setting_labels(contents.runs)) == weights
    assert not contents.left_out


def test_a_composed_configuration_tells_settings(tmp_path: Path) -> None:
    for name, size, seed in (("a", 1.0, 0), ("b", 1.0, 1), ("c", 2.0, 0)):
        write_results(tmp_path / name, {"full": comparison(seed)})
        config = {"agent": {"step_size": size}, "instance": {"seed": seed}, "report": seed == 0}
        (tmp_path / name / ".hydra").mkdir()
        (tmp_path / name / ".hydra" / "config.yaml").write_text(json.dumps(config))
    labels = setting_labels(read_contents(tmp_path).runs)
    assert labels == ["agent.step_size=1.0", "agent.step_size=1.0", "agent.step_size=2.0"]


def test_means_and_intervals(runs: Path) -> None:
    summary = summarise(rows_of(read_contents(runs).runs))
    assert list(dict.fromkeys(summary.index.get_level_values(0))) == [
        "μ carbon=500",
        "μ carbon=1500",
    ]
    row = summary.loc[("μ carbon=500", "full", "GLB-Cost")]
    both = [float(comparison(seed, 500.0)[0].outcome.objective) for seed in (0, 1)]
    assert row["n"] == 2
    assert row["objective"] == pytest.approx(np.mean(both))
    # Of two runs a resampled mean is either run or their mean.
    assert row["objective_low"] == pytest.approx(min(both))
    assert row["objective_high"] == pytest.approx(max(both))
    alone = summarise(rows_of(read_contents(runs / "500" / "0").runs))
    assert alone["objective_low"].isna().all()


def test_the_front_is_what_nothing_beats() -> None:
    cost, height = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0, 1.5, 1.0])
    assert front(cost, height).tolist() == [1, 3, 0]


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    write_results(tmp_path / "good", {"full": comparison(0)})
    for name, text in (("half", '{"schema": 1, "rows"'), ("new", '{"schema": 3}'), ("odd", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    (tmp_path / "progress.csv").write_text("time,loss\n1,2\n")
    contents = read_contents(tmp_path)
    assert [run.name for run in contents.runs] == ["good"]
    told = "\n".join(contents.left_out)
    assert "half/results.json: it is no JSON (EOF while parsing" in told
    assert "new/results.json: 'schema' must be 1 or 2, got 3" in told
    assert "odd/results.json: must be an object, got []" in told
    assert "progress.csv: it has no column 'step' of numbers" in told
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "&#39;schema&#39; must be 1 or 2, got 3" in text


def test_event_files_are_read(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    writer = EventFileWriter(str(tmp_path))
    for step, value in ((0, 3.0), (5, 1.0)):
        scalar = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
        writer.add_event(Event(step=step, summary=scalar, wall_time=1.0))
    writer.close()
    (curve,) = read_contents(tmp_path).curves
    assert curve.metrics.to_dict("list") == {"step": [0, 5], "loss": [3.0, 1.0]}
    (tmp_path / "progress.csv").write_text("step,loss\n0,3\n5,1\n")
    assert len(read_contents(tmp_path).curves) == 1  # the same run told twice is one curve


def test_a_section_appears_only_with_its_data(tmp_path: Path, page: Path) -> None:
    rows = comparison(0)[:2]
    fleet = rows[0].outcome.instance.fleet
    assert fleet.location is not None
    write_results(tmp_path, {"full": [elsewhere(row, location=None) for row in rows]})
    few = write_report(tmp_path).read_text(encoding="utf-8")
    many = page.read_text(encoding="utf-8")
    for key in ("pareto", "map", "slack", "robustness", "learning"):
        assert f'<section id="{key}">' in many
        assert f'<section id="{key}">' not in few
    for key in ("headline", "par", "objective", "footprints", "load", "provenance"):
        assert f'<section id="{key}">' in few


def elsewhere(row: Row, **changes: Any) -> Row:
    """The same row on a fleet that differs."""
    outcome = row.outcome
    fleet: Fleet = outcome.instance.fleet.replace(**changes)
    instance: Instance = outcome.instance.replace(fleet=fleet)
    changed = type(outcome)(instance=instance, load=outcome.load, routing=outcome.routing)
    return Row(**{**vars(row), "outcome": changed})


def test_every_chart_comes_with_its_files(page: Path) -> None:
    folder = page.parent / "figures"
    names = {path.stem for path in folder.iterdir()}
    assert {"par_carbon_500", "robustness_robust", "learning"} <= names
    for name in names:
        assert (folder / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert len(pd.read_csv(folder / f"{name}.csv")) > 1
    over_time = pd.read_csv(folder / "footprints_carbon_full_reachability.csv")
    assert set(over_time["panel"]) == {"GLB-Cost", NASTY, "Robust", "eGLB-Off"}
    width = 3.5 * 72
    assert f'width="{width:g}pt"' in (folder / "learning.svg").read_text(encoding="utf-8")


def test_nothing_to_report_ends_in_one_sentence_and_status_2(tmp_path: Path) -> None:
    for folder, sentence in (("none", "is not a folder"), (".", "holds no results.json")):
        done = subprocess.run(
            [sys.executable, "-m", "equiload.experiments.cli", "report", str(tmp_path / folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def browser() -> Any:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium is installed: a report cannot be opened in one")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


# A line, a point, a bar or a heat map's image: something of the data is there.
MARK = ".main-svg .overplot :is(.js-line, .point, image)"
DRAWN = f"""[...document.querySelectorAll('.chart:not([hidden]) .plot')]
    .every((plot) => plot.querySelector('{MARK}'))"""


def watched(browser: Any, page: Path, **options: Any) -> tuple[Any, list[str]]:
    """The page in a tab that may ask for files alone, and whatever goes wrong in it."""
    context = browser.new_context(**options)
    tab, trouble = context.new_page(), []
    tab.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: trouble.append(str(error)))

    def answer(route: Any) -> None:
        local = route.request.url.startswith(("file:", "data:"))
        if not local:
            trouble.append(route.request.url)
        route.fallback() if local else route.abort()

    context.route("**/*", answer)
    tab.goto(page.as_uri())
    tab.wait_for_function(DRAWN)
    return tab, trouble


@pytest.mark.slow
def test_a_browser_draws_every_figure_and_asks_nobody(browser: Any, page: Path) -> None:
    tab, trouble = watched(browser, page, viewport={"width": 1280, "height": 900})
    for choice in tab.locator("select").all():
        for value in [option.get_attribute("value") for option in choice.locator("option").all()]:
            choice.select_option(value)
            tab.wait_for_function(DRAWN)
    plots = tab.locator(".plot[role=img]")
    assert plots.count() > 20
    for plot in plots.all():
        assert plot.locator(MARK).count() > 0
    assert tab.locator(".plot.par .bars .point path").count() > 0
    assert tab.locator(".plot.footprints .scatterlayer .js-line").count() > 0
    assert tab.locator(".plot.load .heatmaplayer image").count() > 0
    maps = tab.locator(".plot.map")
    for number in range(maps.count()):
        assert maps.nth(number).locator(".scatterlayer .point").count() == 10  # regions
        assert len(maps.nth(number).locator(".fills path").first.get_attribute("d")) > 10_000
    assert tab.locator("th", has_text=NASTY).count() > 0  # a name is a name
    assert trouble == []


@pytest.mark.slow
def test_a_table_sorts_by_number(browser: Any, page: Path) -> None:
    tab, trouble = watched(browser, page)
    cells = tab.locator("#headline tbody tr td.number:nth-child(5)")

    def values() -> list[float]:
        return [float(cell.get_attribute("data-value")) for cell in cells.all()]

    before = values()
    heading = tab.locator("#headline thead button").nth(4)
    heading.click()
    assert values() == sorted(before)
    heading.click()
    assert values() == sorted(before, reverse=True) != before
    assert trouble == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, page: Path, scheme: str) -> None:
    screen = {"width": 390, "height": 844}
    tab, trouble = watched(browser, page, viewport=screen, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    ink, back = tab.evaluate(
        "[getComputedStyle(document.querySelector('.plot .xtick text')).fill,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    assert brightness(ink) > brightness(back) + 80 if scheme == "dark" else brightness(ink) < 150
    assert trouble == []


def brightness(colour: str) -> float:
    return float(np.mean([float(part) for part in colour.strip("rgb()").split(",")]))


@pytest.mark.slow
def test_print_shows_the_paper_figures(browser: Any, page: Path) -> None:
    tab, trouble = watched(browser, page)
    tab.emulate_media(media="print")
    assert not tab.locator(".chart:not([hidden]) .panels").first.is_visible()
    images = tab.locator(".chart:not([hidden]) img.printed")
    assert images.count() > 5
    for image in images.all():
        assert image.is_visible()
        assert image.evaluate("image => image.naturalWidth") > 0
    assert trouble == []


def test_profiles_need_several_runs_and_count_them() -> None:
    gaps = {"eGLB": [0.04, 0.05, 0.06, 0.07], "Learned": [0.01, 0.02, 0.02, 0.05]}
    lines = [
        {"setting": "", "reachability": "full", "algorithm": name, "offline": False, "gap": gap}
        for name, values in gaps.items()
        for gap in values
    ]
    rows = pd.DataFrame(lines)
    section = profiles(rows)
    learned = next(m for m in section.charts[0].panels[0].marks if m.label == "Learned")
    for threshold, share in ((0.5, 0.0), (1.1, 0.25), (3.0, 0.75), (5.1, 1.0)):
        assert learned.y[learned.x <= threshold][-1] == share
    assert "full: eGLB 5.50%" in section.text
    assert "Learned 2.00% [" in section.text
    assert "], 91%." in section.text  # of 16 pairs 14 and a tie
    assert not profiles(rows.groupby("algorithm").head(3)).charts


def test_axes_of_large_worlds_are_in_millions(tmp_path: Path) -> None:
    """Not 250k thousand US$."""
    for weight, unit in ((1500.0, "thousand"), (1e7, "million")):
        comparisons = {"full": comparison(0, weight)}
        write_results(tmp_path / unit, comparisons)
        section = objective(
            summarise(rows_of(read_contents(tmp_path / unit).runs)), ["carbon", "water"]
        )
        (panel,) = section.charts[0].panels
        assert panel.y == f"objective J, {unit} US$"
