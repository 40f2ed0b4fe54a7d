"""What each region carries: load, energy cost and footprints, per algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from equiload.envs.footprints import title_of
from equiload.experiments.comparison import Row
from equiload.experiments.files import write_csv
from equiload.experiments.tables import amount

FILE = "regions.csv"


def lines_of(row: Row) -> Iterator[dict[str, Any]]:
    """Yield a line per region: load in MWh of server energy, US$ without routing, footprints.

    ``KIND_UNIT`` is the region's total, ``KIND_share`` its share of the highest region's.
    """
    outcome, fleet = row.outcome, row.outcome.instance.fleet
    trace = outcome.instance.trace
    load = outcome.load.sum(0) @ fleet.membership
    cost = (trace.price * fleet.pue * outcome.load).sum(0) @ fleet.membership
    highest = outcome.max_footprint
    for r, region in enumerate(fleet.regions):
        line = {
            "reachability": row.reachability,
            "algorithm": row.algorithm,
            "region": region,
            "load_MWh": float(load[r]),
            "energy_cost_US$": float(cost[r]),
        }
        for k, (kind, unit) in enumerate(zip(trace.footprints, trace.units, strict=True)):
            total = float(outcome.footprint[k, r])
            line[f"{kind}_{unit}"] = total
            line[f"{kind}_share"] = total / highest[k] if highest[k] > 0 else 1.0
        yield line


def write_regions(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``regions.csv``: every algorithm, region by region."""
    write_csv(folder / FILE, [line for row in rows for line in lines_of(row)])


def worth_showing(rows: Sequence[Row]) -> list[Row]:
    """The best online algorithm and the best offline solver, as far as there are any."""
    online = [row for row in rows if row.solution is None]
    offline = [row for row in rows if row.solution is not None]
    return [min(some, key=lambda row: row.gap) for some in (online, offline) if some]


def region_table(rows: Sequence[Row], title: str) -> Table:
    """Table for the terminal: the regions of a few algorithms, one below the other."""
    trace = rows[0].outcome.instance.trace
    table = Table(
        title=escape(title),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("Region", no_wrap=True)
    headers = ["Load\nMWh", "Energy\nUS$"]
    for kind, unit in zip(trace.footprints, trace.units, strict=True):
        headers += [f"{escape(title_of(kind))}\n{unit}", "of max\n%"]
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(f"[bold]{escape(row.algorithm)}[/bold]")
        for line in lines_of(row):
            _, _, region, *numbers = line.values()
            shares = np.arange(len(numbers)) % 2 == 1
            shares[:2] = False
            texts = [
                f"{100 * value:.0f}" if share else amount(value)
                for value, share in zip(numbers, shares, strict=True)
            ]
            table.add_row(escape(region), *texts)
        table.add_section()
    return table
