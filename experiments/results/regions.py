"""What each region carries: load, energy cost and footprints, per algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from equiload.envs.footprints import title_of
from equiload.envs.typing import FloatArray, IntArray
from equiload.experiments.results.history import SUPPLY, EpisodeHistory
from equiload.experiments.results.rows import Row
from equiload.experiments.results.tables import amount, text_table
from equiload.experiments.running.files import write_csv


def regional(history: EpisodeHistory, membership: FloatArray) -> dict[str, FloatArray]:
    """``[R]`` each: ``load``, MWh of server energy; ``energy_cost``, US$ without routing.

    And by footprint kind the region's total, and as ``KIND_share`` its share of the highest
    region's; where there is more to decide than routing, MWh by source (``SUPPLY`` of histories).
    ``membership [N, R]`` is 1 where a data center lies in a region.
    """
    totals = {
        "load": history.load.sum(0) @ membership,
        "energy_cost": history.energy_cost.sum(0) @ membership,
    }
    for kind, footprint in history.footprint.items():
        total = footprint.sum(0) @ membership
        top = total.max()
        totals[kind] = total
        totals[f"{kind}_share"] = total / top if top > 0 else np.ones_like(total)
    return totals | {name: part.sum(0) @ membership for name, part in history.supply.items()}


def highest(totals: FloatArray) -> IntArray:
    """Which region of ``totals [..., R]`` is the highest: at a tie the first.

    A history's numbers have 32 bits, so closer than that is a tie.
    """
    top = totals.max(-1, keepdims=True)
    first: IntArray = (totals >= top - 1e-6 * np.abs(top)).argmax(-1)
    return first


def lines_of(row: Row) -> Iterator[dict[str, Any]]:
    """Yield a line of ``regions.csv`` per region: names with units, and :func:`regional`."""
    fleet, trace = row.outcome.instance.fleet, row.outcome.instance.trace
    units = {"load": "load_MWh", "energy_cost": "energy_cost_US$"}
    units |= {k: f"{k}_{unit}" for k, unit in zip(trace.footprints, trace.units, strict=True)}
    units |= {name: f"{name}_MWh" for name in SUPPLY}
    totals = regional(EpisodeHistory.of(row), fleet.membership)
    for r, region in enumerate(fleet.regions):
        names = {"reachability": row.reachability, "algorithm": row.algorithm, "region": region}
        yield names | {units.get(k, k): float(total[r]) for k, total in totals.items()}


def write_regions(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``regions.csv``: every algorithm, region by region."""
    write_csv(folder / "regions.csv", [line for row in rows for line in lines_of(row)])


def worth_showing(rows: Sequence[Row]) -> list[Row]:
    """The best online algorithm and the best offline solver, as far as there are any."""
    online = [row for row in rows if row.solution is None]
    offline = [row for row in rows if row.solution is not None]
    return [min(some, key=lambda row: row.gap) for some in (online, offline) if some]


def region_table(rows: Sequence[Row], title: str) -> Table:
    """Table for the terminal: the regions of a few algorithms, one below the other."""
    trace = rows[0].outcome.instance.trace
    headers = ["Load\nMWh", "Energy\nUS$"]
    for kind, unit in zip(trace.footprints, trace.units, strict=True):
        headers += [f"{escape(title_of(kind))}\n{unit}", "of max\n%"]
    table = text_table(title, ["Region"], headers, narrow=True)
    for row in rows:
        table.add_row(f"[bold]{escape(row.algorithm)}[/bold]")
        for line in lines_of(row):
            _, _, (_, region), *numbers = list(line.items())[: 3 + len(headers)]
            texts = [
                f"{100 * value:.0f}" if name.endswith("_share") else amount(value)
                for name, value in numbers
            ]
            table.add_row(escape(region), *texts)
        table.add_section()
    return table
