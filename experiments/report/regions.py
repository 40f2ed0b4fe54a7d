"""The report's table of regions: what each carries under each algorithm of one run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equiload.envs.footprints import title_of
from equiload.envs.typing import FloatArray
from equiload.experiments.history import History
from equiload.experiments.report.episodes import Episodes
from equiload.experiments.report.headline import Cell, Column, Headline, Line


def regional_table(episodes: Episodes) -> Headline:
    """Load, energy cost and footprints by region, the latter also as a share of the highest."""
    columns = [
        Column("load", "Load", "MWh", "{:,.1f}"),
        Column("energy_cost", "Energy", "US$", "{:,.0f}"),
    ]
    for kind, unit in episodes.instance["footprints"].items():
        columns.append(Column(kind, title_of(kind), unit, "{:,.2f}"))
        columns.append(Column(f"{kind}_share", "of max", "%", "{:.0f}"))
    lines = []
    for history in episodes.histories:
        numbers = np.stack(list(_numbers(episodes, history)), axis=-1)
        for region, values in zip(episodes.regions, numbers, strict=True):
            cells = tuple(
                Cell(column.form.format(value), float(value))
                for column, value in zip(columns, values, strict=True)
            )
            lines.append(Line((region, history.algorithm, history.reachability), cells))
    return Headline(("Region", "Algorithm", "Reach"), tuple(columns), tuple(lines), repeated=False)


def _numbers(episodes: Episodes, history: History) -> Iterator[FloatArray]:
    """``[R]`` each: the columns of the table."""
    yield history.load.sum(0) @ episodes.membership
    yield history.energy_cost.sum(0) @ episodes.membership
    for kind in episodes.instance["footprints"]:
        total = history.footprint[kind].sum(0) @ episodes.membership
        yield total
        yield 100 * total / (total.max() or 1.0)
