"""Answer "what if": named changes of a file, each against the same base, region by region.

``equiload scenarios file=scenarios.yaml`` (docs/scenarios.md). Writes the base's ``results.json``
as the benchmark does, and what each scenario changes: ``scenarios.json`` and ``scenarios.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from rich.progress import Progress

from equiload.experiments.programs.benchmark import MOST_REGIONS, readable, write_results
from equiload.experiments.results import parquet
from equiload.experiments.results.records import LeftOut, ScenarioLine
from equiload.experiments.results.rows import Row, describe
from equiload.experiments.results.scenarios import (
    change_table,
    flat,
    scenario_lines,
    total_table,
    weights_told,
)
from equiload.experiments.results.study import Study, build_agents
from equiload.experiments.results.tables import show
from equiload.experiments.running.config import ScenariosConfig
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import write_csv, write_record
from equiload.experiments.running.progress import bars, tracker
from equiload.experiments.running.scenarios import BASE, Case, about, applied, read_scenarios
from equiload.experiments.running.sources import make_source, one_instance

#: What recorded loads are called as a row.
RECORDED = "Recorded"


def perform(cfg: ScenariosConfig) -> None:
    """Run the algorithms on the base and on every scenario, write the files, print the tables."""
    agents, folder = build_agents(cfg.algorithms), run_folder()
    origin = parquet.Origin.of(cfg)
    rows: dict[str, list[Row]] = {}
    left_out: list[LeftOut] = []
    with bars() as progress:
        for name, case in _cases(cfg, progress).items():
            study = Study()
            study.compare(
                agents if case.recorded is None else {RECORDED: case.recorded},
                case.instance,
                reachability=cfg.reachability,
                track=lambda algorithm, name=name: tracker(progress, f"{name}: {algorithm}"),  # type: ignore[misc]
            )
            with about(Path(cfg.file), name):
                study.need_rows()
            rows[name] = study.rows
            left_out += [
                replace(row, algorithm=f"{row.algorithm} ({name})") for row in study.left_out
            ]
            if name == BASE:
                write_results(folder, study.rows, origin, study.left_out)
    lines = scenario_lines(rows)
    footprints = describe(rows[BASE][0].outcome.instance).footprints
    content = {"footprints": footprints, "lines": lines, "left_out": left_out}
    write_record(folder / "scenarios.json", content)
    write_csv(folder / "scenarios.csv", [flat(line, footprints) for line in lines])
    parquet.write(folder, [row for played in rows.values() for row in played], origin)
    _print_tables(lines, footprints, left_out)
    print(f"All numbers: {readable(folder / 'scenarios.csv')}")  # noqa: T201
    if cfg.report and HydraConfig.get().mode == RunMode.RUN:
        from equiload.experiments.report import write_report  # plotly loads slowly

        print(f"Report: {readable(write_report(folder, running=True))}")  # noqa: T201


def _cases(cfg: ScenariosConfig, progress: Progress) -> dict[str, Case]:
    """What each scenario is, the base first; whatever is wrong with one is said before any runs."""
    path = Path(cfg.file)
    scenarios = read_scenarios(path)
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    base = one_instance(source, cfg.reachability)
    cases: dict[str, Case] = {}
    for name, scenario in progress.track(scenarios.items(), description="scenarios read"):
        with about(path, name):
            case = applied(scenario, base, path.parent)
        if name == BASE:
            base = case.instance
        else:
            case = case.named(f"{base.name}, {name}")
        cases[name] = case
    return cases


def _print_tables(
    lines: Sequence[ScenarioLine], footprints: Mapping[str, str], left_out: Sequence[LeftOut]
) -> None:
    show(total_table(lines, footprints), left_out)
    for name, weights in weights_told(lines).items():
        print(f"{name}: {weights} (J is not compared)")  # noqa: T201
    if len({line.region for line in lines}) <= MOST_REGIONS:
        show(change_table(lines, footprints))
