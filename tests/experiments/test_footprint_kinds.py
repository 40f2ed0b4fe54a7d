"""A third kind of footprint through everything that an instance goes through."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from equiload.agents import EGLB, EGLBMPC, EGLBOff, GLBCost, GLBDist, GLBFootprint
from equiload.agents.forecast import PastDays, forecast_errors
from equiload.agents.learn import LearnedPolicy
from equiload.envs import DataError, Instance, footprints, rollout
from equiload.envs.data import SyntheticSource
from equiload.envs.footprints import FUELS, Footprint
from equiload.envs.gym import AgentPolicy, GLBEnv, GLBVectorEnv
from equiload.experiments.programs import benchmark
from equiload.experiments.programs.collect import collect
from equiload.experiments.report import write_report
from equiload.experiments.report.contents import read_contents
from equiload.experiments.report.figures import write_figures
from equiload.experiments.report.summary import setting_labels
from equiload.experiments.results.history import read_history
from equiload.experiments.results.parquet import Origin
from equiload.experiments.results.rows import Row
from equiload.experiments.results.study import compare
from equiload.experiments.results.tables import comparison_table
from equiload.experiments.worlds.portrait import portrait
from equiload.robust import RobustPolicy

KINDS = ("carbon", "water", "nox")


def world(horizon: int = 48, **weights: float) -> Instance:
    source = SyntheticSource(3, horizon=horizon).weighed(weights or {"nox": 10.0})
    return source.instance(reachability="partial")


def rows(instance: Instance) -> list[Row]:
    agents = {
        "GLB-Cost": GLBCost(),
        "GLB-NOx": GLBFootprint("nox"),
        "GLB-Dist": GLBDist(),
        "eGLB": EGLB(),
        "eGLB-MPC": EGLBMPC(PastDays(samples=2), every=3, memory=6),
        "Robust": RobustPolicy(GLBCost(), EGLB(), rho=0.1),
        "eGLB-Off": EGLBOff(),
    }
    return compare(agents, instance, reachability="partial")


@pytest.fixture(scope="module")
def compared() -> list[Row]:
    return rows(world())


def test_every_algorithm_weighs_it(compared: list[Row]) -> None:
    by = {row.algorithm: row for row in compared}
    for name, row in by.items():
        outcome = row.outcome
        assert list(row.as_dict()["footprints"]) == list(KINDS), name
        equity = outcome.max_footprint @ [1500.0, 60.0, 10.0]
        assert float(outcome.objective) == pytest.approx(float(outcome.energy_cost) + equity)
        assert row.gap >= -1e-9, name
    total = {name: row.outcome.footprint[2].sum() for name, row in by.items()}
    assert min(total, key=total.__getitem__) == "GLB-NOx"
    assert by["eGLB-Off"].gap <= 1e-6
    certificate = by["Robust"].certificate
    assert certificate is not None
    assert certificate.holds


def test_a_heavy_weight_evens_it_out() -> None:
    light, heavy = world(nox=0.0), world(nox=5000.0)
    for policy in (EGLB, EGLBOff):
        par = []
        for instance in (light, heavy):
            run = policy()
            done = run.solve(instance).outcome if hasattr(run, "solve") else rollout(run, instance)
            par.append(done.par[2])
        assert par[1] < par[0], policy


def test_the_environment_shows_and_charges_it() -> None:
    env = GLBEnv(instance=world(24))
    assert env.action_space.shape == (len(KINDS) * 10,)
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    done = False
    while not done:
        seen, _, done, _, info = env.step(np.zeros(env.action_space.shape, np.float32))
    assert info["max_footprint"].shape == (len(KINDS),)
    many = GLBVectorEnv(num_envs=2, instance=SyntheticSource(0).weighed({"nox": 10.0}).draw(0))
    assert many.single_action_space.shape == (len(KINDS) * 10,)
    still = AgentPolicy(lambda seen: np.zeros((len(KINDS), 10)))
    outcome = rollout(still, world(24))
    np.testing.assert_allclose(info["max_footprint"], outcome.max_footprint, rtol=1e-9)
    assert float(info["objective"]) == pytest.approx(float(outcome.objective))


def test_forecasts_tell_how_wrong_they_are_of_it() -> None:
    errors = forecast_errors(PastDays(samples=2), world(72))
    assert set(errors) == {"price", *KINDS, "demand"}
    assert 0 < errors["nox"]["mape"] < 1


def test_files_and_figures_hold_it(compared: list[Row], tmp_path: Path) -> None:
    benchmark.write_results(tmp_path, compared, Origin("hash", "", None))
    write_figures(tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["instance"]["footprints"] == {"carbon": "t", "water": "m³", "nox": "kg"}
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, compared, strict=True):
        assert float(line["nox_max"]) == row.outcome.max_footprint[2]
    assert (tmp_path / "cumulative_nox_partial.png").stat().st_size > 5000
    history = next(read_history(tmp_path / "history.parquet"))
    assert set(history.footprint) == set(KINDS)
    headers = [str(column.header) for column in comparison_table(compared, "title").columns]
    assert "NOx\nmax kg" in headers


def test_a_portrait_shows_it() -> None:
    titles = {axes.get_title() for axes in portrait(world(24)).axes}
    assert "correlation of nox between data centers" in titles


@pytest.mark.slow
def test_runs_of_two_and_of_three_kinds_share_a_report(compared: list[Row], tmp_path: Path) -> None:
    paper = compare(
        {"GLB-Cost": GLBCost(), "eGLB": EGLB()},
        SyntheticSource(3, horizon=24).instance(),
        reachability="partial",
    )
    for name, lines in (("a", compared), ("b", paper)):
        benchmark.write_results(tmp_path / name, lines, Origin(name, "", None))
    assert setting_labels(read_contents(tmp_path).runs) == ["μ nox=10", "μ nox=none"]
    text = write_report(tmp_path).read_text()
    assert "NOx PAR" in text
    assert re.search(
        r"ratios are \d\.\d\d \(carbon\), \d\.\d\d \(water\) and \d\.\d\d \(nox\)", text
    )
    assert ">–</td>" in text  # what the paper's runs have no NOx in
    assert ">nan<" not in text
    assert list((tmp_path / "report" / "figures").glob("*nox*.svg"))
    table, _ = collect(tmp_path)
    assert table["nox_par"].null_count == len(paper)


def test_a_policy_trained_for_two_kinds_says_so() -> None:
    with pytest.raises(DataError, match=r"trained for the footprints carbon, water .*water, nox"):
        rollout(LearnedPolicy(), world(4))


def test_an_invented_kind_goes_all_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    coal = {fuel: 0.1 * (fuel == "coal") for fuel in FUELS}
    monkeypatch.setitem(footprints._ROWS, "particles", Footprint(unit="kg", factors=coal))
    instance = world(nox=10.0, particles=100.0)
    assert instance.trace.footprints == (*KINDS, "particles")
    outcome = rollout(EGLB(), instance)
    assert outcome.par.shape == (4,)
    offline = EGLBOff().solve(instance)
    assert float(offline.outcome.objective) <= float(outcome.objective) * (1 + 1e-9)
    assert float(offline.lower_bound) == pytest.approx(float(offline.outcome.objective), rel=1e-5)
