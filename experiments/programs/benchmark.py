"""Compare algorithms on an instance: table, ``results.json``, CSV, Parquet and figures.

``equiload benchmark instance=synthetic`` (Hydra; ``--help`` lists the rest).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import to_absolute_path

from equiload.agents.offline import OfflineSolver
from equiload.envs import DataError, Instance, Policy
from equiload.envs.data import Source
from equiload.experiments.results import parquet
from equiload.experiments.results.comparison import LeftOut, Row, Track, compare, describe
from equiload.experiments.results.history import write_history
from equiload.experiments.results.published import beside, published_table
from equiload.experiments.results.regions import region_table, worth_showing, write_regions
from equiload.experiments.results.tables import comparison_table, flat, show
from equiload.experiments.running.config import BenchmarkConfig
from equiload.experiments.running.entry import build, entry_point, run_folder
from equiload.experiments.running.files import replacing, versions, write_csv, write_json
from equiload.experiments.running.progress import Bars, bars
from equiload.experiments.running.sources import make_source, reachabilities

#: Version of the layout of ``results.json``.
SCHEMA = 1
#: More regions stand in ``regions.csv`` alone.
MOST_REGIONS = 20


@entry_point("benchmark")
def main(cfg: BenchmarkConfig) -> None:
    """Run every algorithm of the configuration on its instance, for each reachability."""
    folder = run_folder()
    agents = build_agents(cfg.algorithms)
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    instances = {
        name: one_instance(source, name) for name in reachabilities(source, cfg.reachability)
    }
    comparisons, left_out = _compare_all(folder, cfg, agents, instances)
    cells = beside(comparisons, without(cfg.published or {}, left_out))
    if cfg.figures:
        write_figures(folder, comparisons)
    for name, rows in comparisons.items():
        here = [row for row in left_out if row.reachability == name]
        size = f"{instances[name].name}: {instances[name].horizon} slots"
        show(comparison_table(rows, f"{size}, {name} reachability", here), here)
    alone = HydraConfig.get().mode == RunMode.RUN
    for name, rows in comparisons.items() if alone else ():
        if len(instances[name].fleet.regions) <= MOST_REGIONS:
            show(region_table(worth_showing(rows), f"By region, {name} reachability"))
    for row in left_out:
        if row.reachability not in comparisons:
            print(f"{row.reachability} reachability: {row}")  # noqa: T201
    if cells:
        write_csv(folder / "published.csv", [asdict(cell) for cell in cells])
        show(published_table(cells))
    print(f"Gap: to eGLB-Off's certified lower bound. Written to {_readable(folder)}")  # noqa: T201
    if cfg.report and alone:
        from equiload.experiments.report import write_report  # plotly loads slowly

        print(f"Report: {_readable(write_report(folder))}")  # noqa: T201


def _compare_all(
    folder: Path,
    cfg: BenchmarkConfig,
    agents: Mapping[str, Policy | OfflineSolver],
    instances: Mapping[str, Instance],
) -> tuple[dict[str, list[Row]], list[LeftOut]]:
    """Rows by reachability, written to files as they come, and what cannot act."""
    origin, finished = parquet.Origin.of(cfg), list[Row]()
    left_out: list[LeftOut] = []
    comparisons = {}

    def keep(row: Row) -> None:
        finished.append(row)
        write_results(folder, finished, origin, left_out)

    with bars() as shown:
        for name, instance in instances.items():
            rows = compare(
                agents,
                instance,
                reachability=name,
                track=partial(_track, shown, name),
                finished=keep,
                left_out=left_out.append,
            )
            if rows:
                comparisons[name] = rows
    if not comparisons:
        raise DataError(
            f"no algorithm can act on {next(iter(instances.values())).name}: "
            f"{left_out[0].algorithm}: {left_out[0].reason}"
        )
    in_order = [row for rows in comparisons.values() for row in rows]
    write_results(folder, in_order, origin, left_out)
    write_regions(folder, in_order)
    return comparisons, left_out


def build_agents(algorithms: Mapping[str, Any]) -> dict[str, Policy | OfflineSolver]:
    """Return the configured algorithms by name."""
    agents: dict[str, Policy | OfflineSolver] = {}
    for key, row in algorithms.items():
        if not isinstance(row, Mapping) or set(row) != {"name", "agent"}:
            raise DataError(f"algorithms.{key} must have a name and an agent, got {row}")
        if not (isinstance(row["name"], str) and row["name"].isprintable() and row["name"]):
            raise DataError(f"algorithms.{key}.name must be a text, got {row['name']!r}")
        if row["name"] in agents:
            raise DataError(f"two algorithms are named {row['name']!r}")
        agents[row["name"]] = build(row["agent"])
    if not agents:
        raise DataError("there is no algorithm to run, expected some in the group 'algorithm'")
    return agents


def one_instance(source: Source, reachability: str) -> Instance:
    """The source's configured instance, refused if it is a batch."""
    instance = source.instance(reachability=reachability)
    if instance.batch:
        raise DataError(f"{source.name}: one instance is needed here, not a batch")
    return instance


def without(published: Mapping[str, Any], left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Published numbers but for those of algorithms that cannot act here."""
    gone = {(row.reachability, row.algorithm) for row in left_out}
    return {
        reachability: {name: row for name, row in rows.items() if (reachability, name) not in gone}
        for reachability, rows in published.items()
    }


def write_results(
    folder: Path,
    rows: Sequence[Row],
    origin: parquet.Origin,
    left_out: Sequence[LeftOut] = (),
) -> None:
    """Write ``results.json`` (the contract is in the README), CSV and Parquet."""
    content = {
        "schema": SCHEMA,
        "instance": describe(rows[0].outcome.instance),
        "rows": [row.as_dict() for row in rows],
        "left_out": [asdict(row) for row in left_out],
        "versions": versions(),
    }
    write_json(folder / "results.json", content)  # the one that may refuse comes first
    write_csv(folder / "results.csv", [flat(row) for row in rows])
    write_history(folder / "history.parquet", rows)
    parquet.write(folder / parquet.FILE, [parquet.line(row, origin) for row in rows])


def write_figures(folder: Path, comparisons: Mapping[str, Sequence[Row]]) -> None:
    """Write the figures as PNG and PDF."""
    from equiload.experiments.report import figures  # matplotlib loads slowly

    drawn = {
        "peak_to_average": figures.par_bars(comparisons),
        "objective": figures.objective_bars(comparisons),
    }
    for reachability, rows in comparisons.items():
        for kind in rows[0].outcome.instance.trace.footprints:
            name = re.sub(r"[^\w-]+", "_", f"cumulative_{kind}_{reachability}")
            drawn[name] = figures.footprints_over_time(rows, kind)
    for name, figure in drawn.items():
        for ending in ("png", "pdf"):
            with replacing(folder / f"{name}.{ending}") as draft:
                figure.savefig(draft)


def _track(shown: Bars, reachability: str, algorithm: str) -> Track:
    return shown.track(f"{algorithm}, {reachability}")


def _readable(folder: Path) -> Path:
    here = Path(to_absolute_path("."))
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
