"""Published numbers beside ours: the difference of every cell.

The preset ``experiment=paper_table`` holds the paper's table 1. A cell of ours *matches* where it
rounds to the published number; all quantities are better when smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table

from equiload.envs import DataError
from equiload.experiments.results.comparison import Row
from equiload.experiments.results.tables import flat


@dataclass(frozen=True)
class Cell:
    """One published number and ours."""

    reachability: str
    algorithm: str
    quantity: str
    published: float
    ours: float
    difference: float
    verdict: str


def beside(comparisons: Mapping[str, Sequence[Row]], published: Any) -> list[Cell]:
    """Return every published cell: ``{reachability: {algorithm: {quantity: number}}}``.

    Quantities are the columns of ``results.csv`` and ``cost_per_datacenter`` (US$).

    Raises
    ------
    DataError
        If a published row or quantity has no counterpart.
    """
    return [
        _cell(reachability, row, quantity, float(number))
        for reachability, lines in published.items()
        for algorithm, numbers in lines.items()
        for row in [_row(comparisons, reachability, algorithm)]
        for quantity, number in numbers.items()
    ]


def _row(comparisons: Mapping[str, Sequence[Row]], reachability: str, algorithm: str) -> Row:
    for row in comparisons.get(reachability, ()):
        if row.algorithm == algorithm:
            return row
    raise DataError(f"published.{reachability} has {algorithm}, which does not run here")


def _cell(reachability: str, row: Row, quantity: str, number: float) -> Cell:
    datacenters = len(row.outcome.instance.fleet.datacenters)
    values = {**flat(row), "cost_per_datacenter": float(row.outcome.energy_cost) / datacenters}
    if not isinstance(values.get(quantity), float):
        raise DataError(f"published.{reachability}.{row.algorithm}: there is no {quantity!r}")
    ours = values[quantity]
    unit = float(Decimal(1).scaleb(int(Decimal(repr(number)).as_tuple().exponent)))
    unit = 1.0 if number == round(number) else unit
    matches = abs(ours - number) <= unit / 2
    verdict = "matches" if matches else "better" if ours < number else "higher"
    return Cell(reachability, row.algorithm, quantity, number, ours, ours / number - 1, verdict)


def published_table(cells: Sequence[Cell]) -> Table:
    """Table for the terminal: a line per row, published → ours and the difference per cell."""
    table = Table(
        title="Published, ours, difference",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    quantities = list(dict.fromkeys(cell.quantity for cell in cells))
    for header in ("Reachability", "Algorithm", *(name.replace("_", " ") for name in quantities)):
        table.add_column(header, no_wrap=True)
    lines: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        lines.setdefault((cell.reachability, cell.algorithm), {})[cell.quantity] = cell
    for names, line in lines.items():
        table.add_row(*names, *(_text(line[name]) if name in line else "" for name in quantities))
    return table


def _text(cell: Cell) -> str:
    ours = f"{cell.ours:.0f}" if cell.published >= 1000 else f"{cell.ours:.3f}"
    return f"{cell.published:g}, {ours}, {cell.difference:+.2%} {cell.verdict}"
