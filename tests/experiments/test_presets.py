"""Every ``experiment=`` preset: what it composes, and that its first and last jobs run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

import equiload.conf
from equiload.agents import GLBCost
from equiload.envs import DataError, Instance
from equiload.envs.data import synthetic
from equiload.experiments.results.published import beside, published_table
from equiload.experiments.results.study import Study, build_agents, compare
from equiload.experiments.running import config
from equiload.experiments.running.sources import make_source, one_instance

CONF = Path(next(iter(equiload.conf.__path__)))
OTHER_PROGRAMS = {
    "robustness": "robustness",
    "robustness_knobs": "robustness",
    "predictions": "predictions",
    "forecasts": "predictions",
    "mpc_options": "predictions",
    "learners": "train",
    "rewards": "train",
    "learn_with_forecasts": "train",
    "refine": "train",
}
PARTS = ("solar", "storage", "training", "servers", "models")
PRESETS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
OURS = [name for name in PRESETS if name not in OTHER_PROGRAMS]


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    config.register()
    with initialize_config_module("equiload.conf", version_base="1.3"):
        yield


def configured(*overrides: str) -> config.BenchmarkConfig:
    return config.BenchmarkConfig.of(compose("benchmark", list(overrides)))


def build_instance(cfg: Any, reachability: str) -> Instance:
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    return one_instance(source, reachability)


def jobs(preset: str, *overrides: str) -> list[list[str]]:
    """Overrides of every job of a preset's sweep."""
    chosen = [f"experiment={preset}", *overrides]
    program = OTHER_PROGRAMS.get(preset, "benchmark")
    params = compose(program, chosen, return_hydra_config=True).hydra.sweeper.params or {}
    given = [*(f"{key}={value}" for key, value in params.items()), *chosen]
    overrides_ = OverridesParser.create().parse_overrides(given)
    (combinations,) = BasicSweeper.split_arguments(overrides_, None)
    return combinations


@pytest.mark.parametrize("preset", PRESETS)
def test_every_job_composes_and_is_another(preset: str) -> None:
    program = OTHER_PROGRAMS.get(preset, "benchmark")
    cfgs = [compose(program, job) for job in (*islice(jobs(preset), 3), jobs(preset)[-1])]
    assert len({str(cfg) for cfg in cfgs}) == min(4, len(jobs(preset)))
    text = (CONF / "experiment" / f"{preset}.yaml").read_text(encoding="utf-8")
    assert f"equiload {program}" in text  # it says how it is run


@pytest.mark.parametrize("preset", [name for name in OURS if name != "paper_table"])
def test_the_first_and_the_last_job_run(preset: str, request: pytest.FixtureRequest) -> None:
    data = []
    if preset.endswith("bloom10"):
        data = [f"instance.root={request.getfixturevalue('bloom10_root')}"]
    for job in (jobs(preset)[0], jobs(preset)[-1]):
        cfg = configured(*job, *data, "instance.horizon=5")
        instance = build_instance(cfg, "partial")
        rows = compare(build_agents(cfg.algorithms), instance, reachability="partial")
        assert all(row.gap >= -1e-9 for row in rows)
        assert all(row.certificate is None or row.certificate.holds for row in rows)


def test_the_pareto_sweep_moves_the_weights() -> None:
    one_draw = jobs("equity_pareto")[::8]
    weights = [compose("benchmark", job).equity_weight for job in one_draw]
    assert [w.carbon for w in weights] == [0, 187.5, 375, 750, 1500, 3000, 6000, 12000]
    assert all(w.carbon == 25 * w.water for w in weights)


def test_knobs_are_turned_alone_all_but_one_and_together() -> None:
    asked = [compose("benchmark", job).instance.knobs for job in jobs("knobs_bloom10")]
    sets = [{*PARTS} if one == "all" else {*one} for one in asked]
    assert [one for one in sets if len(one) == 1] == [{name} for name in PARTS]
    assert {*PARTS} in sets
    assert [{*PARTS} - one for one in sets if len(one) == 4] == [{name} for name in PARTS]
    assert len(jobs("knobs")) == 8 * len(sets) == 8 * 11


def stressed(name: str) -> Instance:
    cfg = configured("experiment=stress", f"+stress={name}", "instance.horizon=336")
    cfg.instance["seed"] = "test/0"
    return build_instance(cfg, "full")


def test_stress_is_stress() -> None:
    calm = stressed("none")
    assert calm.trace.price.tolist() == synthetic("test/0", horizon=336).trace.price.tolist()
    price = stressed("price_spike").trace.price
    assert price.mean() > 1.2 * calm.trace.price.mean()
    assert price.std() > 1.5 * calm.trace.price.std()
    dry = stressed("drought").trace
    assert dry.intensity[0].mean() > 1.02 * calm.trace.intensity[0].mean()  # fuel for rivers
    crowded = stressed("demand_surge").trace.demand
    assert crowded.mean() > 1.1 * calm.trace.demand.mean()
    assert (crowded > 0.95).mean() > 2 * (calm.trace.demand > 0.95).mean()
    down, usual = (1 - stressed(name).capacity.mean() for name in ("outage", "none"))
    assert down > 3 * usual > 0


def test_published_numbers_beside_ours() -> None:
    instance = synthetic("test/0", horizon=6)
    rows = compare({"GLB-Cost": GLBCost()}, instance, reachability="full")
    cost, par = float(rows[0].outcome.energy_cost) / 10, float(rows[0].outcome.par[0])
    numbers = {
        "cost_per_datacenter": round(cost),
        "carbon_par": round(par, 2) + 0.5,
        "objective": float(rows[0].outcome.objective) / 2,
    }
    cells = beside(rows, {"full": {"GLB-Cost": numbers}})
    assert [cell.verdict for cell in cells] == ["matches", "better", "higher"]
    assert cells[0].ours == cost
    assert cells[2].difference == pytest.approx(1.0)
    assert published_table(cells).row_count == 1
    for wrong in ({"half": {"GLB-Cost": numbers}}, {"full": {"GLB-Coal": numbers}}):
        with pytest.raises(DataError, match="does not run here"):
            beside(rows, wrong)
    with pytest.raises(DataError, match="there is no 'colour'"):
        beside(rows, {"full": {"GLB-Cost": {"colour": 1}}})


def test_the_papers_table_beside_ours(bloom10_root: Path) -> None:
    cfg = configured("experiment=paper_table", f"instance.root={bloom10_root}")
    study = Study(strict=True)
    for name in cfg.reachability:
        study.compare(build_agents(cfg.algorithms), build_instance(cfg, name), reachability=name)
    cells = beside(study.rows, cfg.published or {})
    assert len(cells) == 2 * 5 * 3
    # As the README tells: eGLB's six differ, and two of the optimum with partial reachability.
    assert sum(cell.verdict == "matches" for cell in cells) == 22
    others = [cell for cell in cells if cell.verdict != "matches" and cell.algorithm != "eGLB"]
    assert [(c.reachability, c.algorithm, c.quantity) for c in others] == [
        ("partial", "eGLB-Off", "cost_per_datacenter"),
        ("partial", "eGLB-Off", "carbon_par"),
    ]
    # eGLB buys lower peaks in both footprints for less than a percent of the energy cost.
    eglb = [cell for cell in cells if cell.algorithm == "eGLB"]
    higher = [cell for cell in eglb if cell.verdict == "higher"]
    assert {cell.quantity for cell in higher} == {"cost_per_datacenter"}
    assert max(cell.difference for cell in higher) < 0.01
    assert all(cell.difference < -0.04 for cell in eglb if cell not in higher)
