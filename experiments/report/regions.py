"""The report's table of regions: what each carries under each algorithm of one run."""

from __future__ import annotations

from equiload.envs.footprints import title_of
from equiload.experiments.report.episodes import Episodes
from equiload.experiments.report.headline import Cell, Column, Headline, Line
from equiload.experiments.results.regions import regional


def regional_table(episodes: Episodes) -> Headline:
    """Load, energy cost and footprints by region, the latter also as a share of the highest."""
    columns = [
        Column("load", "Load", "MWh", "{:,.1f}"),
        Column("energy_cost", "Energy", "US$", "{:,.0f}"),
    ]
    for kind, unit in episodes.instance["footprints"].items():
        columns.append(Column(kind, title_of(kind), unit, "{:,.2f}"))
        columns.append(Column(f"{kind}_share", "of max", "%", "{:.0f}", factor=100.0))
    lines = []
    for history in episodes.histories:
        totals = regional(history, episodes.membership)
        for r, region in enumerate(episodes.regions):
            numbers = [(column, column.factor * totals[column.name][r]) for column in columns]
            cells = tuple(Cell(column.form.format(n), float(n)) for column, n in numbers)
            lines.append(Line((region, history.algorithm, history.reachability), cells))
    return Headline(("Region", "Algorithm", "Reach"), tuple(columns), tuple(lines), repeated=False)
