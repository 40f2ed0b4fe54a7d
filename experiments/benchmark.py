"""Compare algorithms on an instance: table, ``results.json``, CSV, Parquet and figures.

``python -m equiload.experiments.benchmark instance=synthetic`` (Hydra; ``--help`` lists the rest).
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
from equiload.envs import DataError, Instance, Objective, Policy
from equiload.experiments import results
from equiload.experiments.comparison import Row, Track, compare, describe
from equiload.experiments.config import BenchmarkConfig
from equiload.experiments.entry import build, entry_point, run_folder
from equiload.experiments.files import replacing, versions, write_csv, write_json
from equiload.experiments.history import write_history
from equiload.experiments.progress import Bars, bars
from equiload.experiments.published import beside, published_table
from equiload.experiments.tables import comparison_table, flat, show

#: Version of the layout of ``results.json``.
SCHEMA = 1


@entry_point("benchmark")
def main(cfg: BenchmarkConfig) -> None:
    """Run every algorithm of the configuration on its instance, for each reachability."""
    folder = run_folder()
    agents = build_agents(cfg.algorithms)
    instances = {name: build_instance(cfg, name) for name in cfg.reachability}
    if not instances:
        raise DataError("reachability names nothing to run, expected full, partial or both")
    comparisons: dict[str, list[Row]] = {}
    origin, finished = results.Origin.of(cfg), []

    def keep(row: Row) -> None:
        finished.append(row)
        write_results(folder, finished, origin)

    with bars() as shown:
        for name, instance in instances.items():
            comparisons[name] = compare(
                agents,
                instance,
                reachability=name,
                track=partial(_track, shown, name),
                finished=keep,
            )
    cells = beside(comparisons, cfg.published or {})
    write_results(folder, [row for rows in comparisons.values() for row in rows], origin)
    if cfg.figures:
        write_figures(folder, comparisons)
    for name, rows in comparisons.items():
        instance = instances[name]
        title = f"{instance.name}: {instance.horizon} slots, {name} reachability"
        show(comparison_table(rows, title))
    if cells:
        write_csv(folder / "published.csv", [asdict(cell) for cell in cells])
        show(published_table(cells))
    print(f"Gap: to eGLB-Off's certified lower bound. Written to {_readable(folder)}")  # noqa: T201
    if cfg.report and HydraConfig.get().mode == RunMode.RUN:
        from equiload.experiments.report import write_report  # plotly loads slowly

        print(f"Report: {_readable(write_report(folder))}")  # noqa: T201


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


def build_instance(cfg: BenchmarkConfig, reachability: str) -> Instance:
    """Return the configured instance with the given reachability."""
    instance = build(cfg.instance, reachability=reachability)
    if not isinstance(instance, Instance):
        raise DataError(f"instance must be an Instance, got {type(instance).__name__}")
    if instance.batch:
        raise DataError("the benchmark compares on one instance, not on a batch")
    if cfg.equity_weight is not None:
        instance = instance.replace(objective=_reweighted(instance, cfg.equity_weight))
    return instance


def _reweighted(instance: Instance, changes: Any) -> Objective:
    try:
        given = {str(kind): float(weight) for kind, weight in changes.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(
            f"equity_weight must map footprint kinds to numbers, got {changes!r}"
        ) from None
    return Objective(equity_weight={**instance.objective.equity_weight, **given})


def write_results(folder: Path, rows: Sequence[Row], origin: results.Origin) -> None:
    """Write ``results.json`` (the contract is in the README), CSV and Parquet."""
    content = {
        "schema": SCHEMA,
        "instance": describe(rows[0].outcome.instance),
        "rows": [row.as_dict() for row in rows],
        "versions": versions(),
    }
    write_json(folder / "results.json", content)  # the one that may refuse comes first
    write_csv(folder / "results.csv", [flat(row) for row in rows])
    write_history(folder / "history.parquet", rows)
    results.write(folder / results.FILE, [results.line(row, origin) for row in rows])


def write_figures(folder: Path, comparisons: Mapping[str, Sequence[Row]]) -> None:
    """Write the figures as PNG and PDF."""
    from equiload.experiments import figures  # matplotlib loads slowly

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


if __name__ == "__main__":
    main()
