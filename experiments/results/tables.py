"""Rows as tables: for the terminal and for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from equiload.envs.footprints import title_of
from equiload.experiments.results.rows import LeftOut, Row


def comparison_table(rows: Sequence[Row], title: str, left_out: Sequence[LeftOut] = ()) -> Table:
    """Table of one comparison for the terminal; the best online value of a column is bold.

    Algorithms that could not act stand at its end without numbers; :func:`show` says why.
    """
    trace = rows[0].outcome.instance.trace
    headers = ["Energy\nUS$"]
    for kind, unit in zip(trace.footprints, trace.units, strict=True):
        name = escape(title_of(kind))
        headers += [f"{name}\nmax {unit}", f"{name}\nmean {unit}", f"{name}\nPAR"]
    headers += ["J\nUS$", "Gap\n%", "Time\ns"]
    table = text_table(title, ["Algorithm"], headers, narrow=True)
    lines = [row.flat() for row in rows]
    numbers = [[line[name] for name in _columns(trace.footprints)] for line in lines]
    texts = [_texts(line) for line in numbers]
    online = [i for i, row in enumerate(rows) if row.solution is None]
    for column in range(len(headers) - 1) if len(online) > 1 else ():
        best = min(numbers[i][column] for i in online)
        for i in online:
            if numbers[i][column] == best:
                texts[i][column] = f"[bold]{texts[i][column]}[/bold]"
    for row, text in zip(rows, texts, strict=True):
        table.add_row(escape(row.algorithm), *text)
    for absent in left_out:
        table.add_row(escape(absent.algorithm), *["–"] * len(headers))
    return table


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


def _columns(kinds: Sequence[str]) -> list[str]:
    footprints = [f"{kind}_{what}" for kind in kinds for what in ("max", "mean", "par")]
    return ["energy_cost", *footprints, "objective", "gap", "seconds"]


def _texts(numbers: Sequence[float]) -> list[str]:
    kinds = (len(numbers) - 4) // 3
    texts = [amount(numbers[0])]
    for k in range(kinds):
        highest, mean, par = numbers[1 + 3 * k : 4 + 3 * k]
        texts += [amount(highest), amount(mean), f"{par:.3f}"]
    objective, gap, seconds = numbers[-3:]
    return [
        *texts,
        amount(objective),
        f"{100 * gap:.2f}".replace("-0.00", "0.00"),
        f"{seconds:.2f}",
    ]


def amount(value: float) -> str:
    """A number of any size as text: whole numbers from 1,000 on, four significant digits below."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def money_unit(largest: float) -> tuple[float, str]:
    """The unit of an axis that reaches ``largest`` US$: how many US$ it is, and its name."""
    return (1e6, "million US$") if abs(largest) >= 1e7 else (1e3, "thousand US$")
