"""The figures in a run's own folder: the report's charts of what the run wrote, as PNG and PDF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from equiload.experiments.report import episodes, knobs, overview, studies
from equiload.experiments.report.charts import Chart
from equiload.experiments.report.contents import read_contents
from equiload.experiments.report.printed import write_column
from equiload.experiments.report.summary import rows_of, summarise


def write_figures(folder: Path) -> None:
    """Draw what the run in a folder found, each chart under its name."""
    for name, chart in charts_of(folder):
        write_column(chart, folder / re.sub(r"[^\w-]+", "_", name), ("png", "pdf"))


def charts_of(folder: Path) -> Iterator[tuple[str, Chart]]:
    """Yield the name and the chart of every figure that a run's files make."""
    contents = read_contents(folder, running=True)
    for run in contents.runs:
        summary = summarise(rows_of([run]))
        kinds = run.results.instance.footprints
        yield "peak_to_average", overview.peak_to_average(summary, kinds).charts[0]
        yield "objective", overview.objective(summary, kinds).charts[0]
        played = run.episodes()
        names = [
            f"cumulative_{kind}_{name}" for name, _ in played.by_reachability() for kind in kinds
        ]
        yield from zip(names, episodes.footprints_over_time(played).charts, strict=True)
        for section in (knobs.where_energy_came_from(played), knobs.levels_over_time(played)):
            for chart in section.charts:
                words = f"{section.key} {chart.variant}".removesuffix(" reachability")
                yield words, chart
    for section in (
        studies.consistency_robustness(contents.of("robustness")),
        studies.kept_gain(contents.of("robustness")),
        studies.gap_by_error(contents.of("predictions")),
    ):
        yield from ((section.key, chart) for chart in section.charts)
