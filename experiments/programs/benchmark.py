"""Compare algorithms on an instance: table, ``results.json``, CSV, Parquet and figures.

``equiload benchmark instance=synthetic`` (Hydra; ``--help`` lists the rest).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import to_absolute_path

from equiload.envs import Instance
from equiload.experiments.results import parquet
from equiload.experiments.results.history import write_history
from equiload.experiments.results.published import beside, published_table
from equiload.experiments.results.records import LeftOut
from equiload.experiments.results.regions import region_table, worth_showing, write_regions
from equiload.experiments.results.rows import Row, describe
from equiload.experiments.results.study import Study, build_agents
from equiload.experiments.results.tables import comparison_table, operation_table, show
from equiload.experiments.running.config import BenchmarkConfig
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import write_csv, write_record
from equiload.experiments.running.progress import bars, tracker
from equiload.experiments.running.sources import make_source, one_instance, reachabilities

#: More regions stand in ``regions.csv`` alone.
MOST_REGIONS = 20


def perform(cfg: BenchmarkConfig) -> None:
    """Run every algorithm of the configuration on its instance, for each reachability."""
    folder = run_folder()
    agents = build_agents(cfg.algorithms)
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    instances = {
        name: one_instance(source, name) for name in reachabilities(source, cfg.reachability)
    }
    origin = parquet.Origin.of(cfg)

    def write() -> None:
        write_results(folder, study.rows, origin, study.left_out)

    study = Study(finished=write)
    with bars() as progress:
        for name, instance in instances.items():
            study.compare(
                agents,
                instance,
                reachability=name,
                track=lambda algorithm, name=name: tracker(progress, f"{algorithm}, {name}"),  # type: ignore[misc]
            )
    study.need_rows()
    write()  # what was left out last is in none yet
    write_regions(folder, study.rows)
    alone = HydraConfig.get().mode == RunMode.RUN
    _print_tables(study, instances, by_region=alone)
    cells = beside(study.rows, cfg.published or {}, study.left_out)
    if cells:
        write_csv(folder / "published.csv", [vars(cell) for cell in cells])
        show(published_table(cells))
    if cfg.figures:
        from equiload.experiments.report.figures import write_figures  # matplotlib loads slowly

        write_figures(folder)
    print(f"Gap: to eGLB-Off's certified lower bound. Written to {readable(folder)}")  # noqa: T201
    if cfg.report and alone:
        from equiload.experiments.report import write_report  # plotly loads slowly

        print(f"Report: {readable(write_report(folder, running=True))}")  # noqa: T201


def _print_tables(study: Study, instances: Mapping[str, Instance], *, by_region: bool) -> None:
    """Print each reachability's table, then those of regions, then what has no table."""
    rows = {name: [row for row in study.rows if row.reachability == name] for name in instances}
    compared = {name: own for name, own in rows.items() if own}
    for name, own in compared.items():
        here = [row for row in study.left_out if row.reachability == name]
        size = f"{instances[name].name}: {instances[name].horizon} slots"
        show(comparison_table(own, f"{size}, {name} reachability", here), here)
        if own[0].outcome.operation is not None:
            show(operation_table(own, f"Beside routing, {name} reachability"))
    for name, own in compared.items() if by_region else ():
        if len(instances[name].fleet.regions) <= MOST_REGIONS:
            show(region_table(worth_showing(own), f"By region, {name} reachability"))
    for row in study.left_out:
        if row.reachability not in compared:
            print(f"{row.reachability} reachability: {row}")  # noqa: T201


def write_results(
    folder: Path, rows: Sequence[Row], origin: parquet.Origin, left_out: Sequence[LeftOut] = ()
) -> None:
    """Write ``results.json`` (the contract is in the README), CSV and Parquet."""
    content = {
        "instance": describe(rows[0].outcome.instance),
        "rows": [row.as_dict() for row in rows],
        "left_out": left_out,
    }
    write_record(folder / "results.json", content)  # the one that may refuse comes first
    write_csv(folder / "results.csv", [row.flat() for row in rows])
    write_history(folder / "history.parquet", rows)
    parquet.write(folder, rows, origin)


def readable(folder: Path) -> Path:
    """A path as people type it: from where they are, if it lies below."""
    here = Path(to_absolute_path("."))
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
