"""Rows as tables: for the terminal and for spreadsheets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from equiload.envs.footprints import title_of
from equiload.experiments.results.records import LeftOut
from equiload.experiments.results.rows import Row


def comparison_table(rows: Sequence[Row], title: str, left_out: Sequence[LeftOut] = ()) -> Table:
    """Table of one comparison for the terminal; the best online value of a column is bold.

    Algorithms that could not act stand at its end without numbers; :func:`show` says why.
    """
    trace = rows[0].outcome.instance.trace
    # Heading, column of ``results.csv``, format.
    columns: list[tuple[str, str, Callable[[float], str]]] = [
        ("Energy\nUS$", "energy_cost", amount)
    ]
    for kind, unit in zip(trace.footprints, trace.units, strict=True):
        name = escape(title_of(kind))
        columns.append((f"{name}\nmax {unit}", f"{kind}_max", amount))
        columns.append((f"{name}\nmean {unit}", f"{kind}_mean", amount))
        columns.append((f"{name}\nPAR", f"{kind}_par", "{:.3f}".format))
    columns += [("J\nUS$", "objective", amount), ("Gap\n%", "gap", percent)]
    columns.append(("Time\ns", "seconds", "{:.2f}".format))
    table = text_table(title, ["Algorithm"], [heading for heading, *_ in columns], narrow=True)
    lines = [row.flat() for row in rows]
    online = [line for row, line in zip(rows, lines, strict=True) if row.solution is None]
    compared = columns[:-1] if len(online) > 1 else []  # time is no merit
    best = {name: min(line[name] for line in online) for _, name, _ in compared}
    for row, line in zip(rows, lines, strict=True):
        bold = {name for name in best if row.solution is None and line[name] == best[name]}
        texts = [(name, text(line[name])) for _, name, text in columns]
        cells = [f"[bold]{text}[/bold]" if name in bold else text for name, text in texts]
        table.add_row(escape(row.algorithm), *cells)
    for absent in left_out:
        table.add_row(escape(absent.algorithm), *["–"] * len(columns))
    return table


def operation_table(rows: Sequence[Row], title: str) -> Table:
    """Table for the terminal: where energy came from, and what else was decided beside routing.

    Columns of what the fleet has; of servers the share of capacity that was on.
    """
    capacity = float(rows[0].outcome.instance.capacity.sum())
    lines = [row.record().operation or {} for row in rows]
    headings = {name: text for name, text in _OPERATION.items() if name in lines[0]}
    table = text_table(title, ["Algorithm"], headings.values(), narrow=True)
    for row, line in zip(rows, lines, strict=True):
        shown = line | {"on": 100 * line["on"] / capacity} if "on" in line else line
        table.add_row(escape(row.algorithm), *(f"{shown[name]:,.1f}" for name in headings))
    return table


# Headings by the part of ``Operation``.
_OPERATION = {
    "grid": "Grid\nMWh",
    "generation": "Own\nMWh",
    "discharge": "Battery\nMWh",
    "on": "Servers\non %",
    "late": "Late\nMWh",
    "saved": "Saved\nMWh",
}


def text_table(
    title: str, names: Iterable[str], numbers: Iterable[str] = (), *, narrow: bool = False
) -> Table:
    """An empty table for the terminal; its columns of names stand to the left of their place."""
    table = Table(
        title=escape(title) or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=narrow,
    )
    for header in names:
        table.add_column(header, no_wrap=True)
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def show(table: Table, left_out: Sequence[LeftOut] = ()) -> None:
    """Print a table, never squeezed: in a terminal that is too narrow its lines wrap.

    Below it, a sentence for each algorithm that could not act.
    """
    console = Console()
    console.width = max(console.width, Console(width=1000).measure(table).maximum)
    console.print(table, crop=False, soft_wrap=True)
    for row in left_out:
        print(row)  # noqa: T201
    if left_out:
        print()  # noqa: T201


def amount(value: float) -> str:
    """A number of any size as text: whole numbers from 1,000 on, four significant digits below."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def signed(change: float) -> str:
    """A difference as :func:`amount` has it, with its sign."""
    return f"{'+' if change > 0 else ''}{amount(change)}"


def percent(share: float) -> str:
    """A share in per cent, two digits; what rounds to nothing has no sign."""
    return f"{100 * share:.2f}".replace("-0.00", "0.00")


def money_unit(largest: float) -> tuple[float, str]:
    """The unit of an axis that reaches ``largest`` US$: how many US$ it is, and its name."""
    return (1e6, "million US$") if abs(largest) >= 1e7 else (1e3, "thousand US$")
