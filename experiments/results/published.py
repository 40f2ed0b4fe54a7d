"""Published numbers beside ours: the difference of every cell.

The preset ``experiment=paper_table`` holds the paper's table 1. A cell of ours *matches* where it
rounds to the published number; all quantities are better when smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from rich.table import Table

from equiload.envs import DataError
from equiload.experiments.results.records import LeftOut
from equiload.experiments.results.rows import Row
from equiload.experiments.results.tables import text_table


@dataclass(frozen=True)
class PublishedNumber:
    """One published number and ours."""

    reachability: str
    algorithm: str
    quantity: str
    published: float
    ours: float
    difference: float
    verdict: str


def beside(
    rows: Sequence[Row],
    published: Mapping[Any, Mapping[str, Mapping[str, float]]],
    left_out: Sequence[LeftOut] = (),
) -> list[PublishedNumber]:
    """Return every published cell: ``{reachability: {algorithm: {quantity: number}}}``.

    Quantities are the columns of ``results.csv`` and ``cost_per_datacenter`` (US$). Algorithms that
    cannot act here have none.

    Raises
    ------
    DataError
        If a published row or quantity has no counterpart.
    """
    by_name = {(row.reachability, row.algorithm): row for row in rows}
    absent = {(row.reachability, row.algorithm) for row in left_out}
    cells = []
    for reachability, lines in published.items():
        for algorithm, numbers in lines.items():
            row = by_name.get((reachability, algorithm))
            if row is not None:
                cells += [_cell(reachability, row, name, n) for name, n in numbers.items()]
            elif (reachability, algorithm) not in absent:
                raise DataError(
                    f"published.{reachability} has {algorithm}, which does not run here"
                )
    return cells


def _cell(reachability: str, row: Row, quantity: str, number: float) -> PublishedNumber:
    datacenters = len(row.outcome.instance.fleet.datacenters)
    values = {**row.flat(), "cost_per_datacenter": float(row.outcome.energy_cost) / datacenters}
    if not isinstance(values.get(quantity), float):
        raise DataError(f"published.{reachability}.{row.algorithm}: there is no {quantity!r}")
    ours = values[quantity]
    unit = float(Decimal(1).scaleb(int(Decimal(repr(number)).as_tuple().exponent)))
    unit = 1.0 if number == round(number) else unit
    matches = abs(ours - number) <= unit / 2
    verdict = "matches" if matches else "better" if ours < number else "higher"
    return PublishedNumber(
        reachability, row.algorithm, quantity, number, ours, ours / number - 1, verdict
    )


def published_table(cells: Sequence[PublishedNumber]) -> Table:
    """Table for the terminal: a line per row, published → ours and the difference per cell."""
    quantities = list(dict.fromkeys(cell.quantity for cell in cells))
    headers = ["Reachability", "Algorithm", *(name.replace("_", " ") for name in quantities)]
    table = text_table("Published, ours, difference", headers)
    for names, line in groupby(cells, lambda cell: (cell.reachability, cell.algorithm)):
        texts = {cell.quantity: _text(cell) for cell in line}
        table.add_row(*names, *(texts.get(name, "") for name in quantities))
    return table


def _text(cell: PublishedNumber) -> str:
    ours = f"{cell.ours:.0f}" if cell.published >= 1000 else f"{cell.ours:.3f}"
    return f"{cell.published:g}, {ours}, {cell.difference:+.2%} {cell.verdict}"
