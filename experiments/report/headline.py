"""The report's tables, of algorithms and of regions, and its findings in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from equiload.envs.footprints import title_of
from equiload.experiments.report.episodes import RunEpisodes
from equiload.experiments.results.regions import regional

# Where energy comes from, as the table by region calls it.
_SOURCES = {
    "grid": "From grid",
    "generation": "Own",
    "discharge": "From battery",
    "charge": "Charged",
}


class NumberColumn(NamedTuple):
    """A number of the table: its name in the summary, its heading, its unit, its format."""

    name: str
    title: str
    unit: str
    form: str
    factor: float = 1.0


class TableCell(NamedTuple):
    """What a cell shows, what it sorts by, and whether no online algorithm is better."""

    text: str
    value: float
    interval: str = ""
    best: bool = False


class TableLine(NamedTuple):
    """A line of the table."""

    labels: tuple[str, ...]
    cells: tuple[TableCell, ...]


class Headline(NamedTuple):
    """The table. ``labels`` head the columns of text, ``columns`` those of numbers."""

    labels: tuple[str, ...]
    columns: tuple[NumberColumn, ...]
    lines: tuple[TableLine, ...]
    repeated: bool


def headline_table(summary: pd.DataFrame, footprints: Mapping[str, str]) -> Headline:
    """Return means by algorithm, with intervals where there are several runs."""
    columns = tuple(_columns(footprints))
    settings = summary.index.get_level_values("setting")
    several = len(settings.unique()) > 1
    repeated = bool((summary["n"] > 1).any())
    labels = ("Algorithm", "Reach", *(("Setting",) if several else ()))
    labels += ("Runs",) if repeated else ()
    lines = []
    for _, group in summary.groupby(["setting", "reachability"], sort=False):
        online = group[~group["offline"].astype(bool)]
        for (setting, reachability, algorithm), row in group.iterrows():
            names = (algorithm, reachability, *((setting,) if several else ()))
            names += (f"{row['n']:g}",) if repeated else ()
            among = online if not row["offline"] and len(online) > 1 else None
            cells = tuple(_cell(row, column, among) for column in columns)
            lines.append(TableLine(tuple(map(str, names)), cells))
    return Headline(labels, columns, tuple(lines), repeated)


def regional_table(episodes: RunEpisodes) -> Headline:
    """Load, energy cost and footprints by region, the latter also as a share of the highest."""
    columns = [
        NumberColumn("load", "Load", "MWh", "{:,.1f}"),
        NumberColumn("energy_cost", "Energy", "US$", "{:,.0f}"),
    ]
    for kind, unit in episodes.instance.footprints.items():
        columns.append(NumberColumn(kind, title_of(kind), unit, "{:,.2f}"))
        columns.append(NumberColumn(f"{kind}_share", "of max", "%", "{:.0f}", factor=100.0))
    sources = {name for history in episodes.histories for name in history.supply}
    columns += [
        NumberColumn(name, title, "MWh", "{:,.1f}")
        for name, title in _SOURCES.items()
        if name in sources
    ]
    lines = []
    for history in episodes.histories:
        totals = regional(history, episodes.membership)
        for r, region in enumerate(episodes.regions):
            numbers = [(column, column.factor * totals[column.name][r]) for column in columns]
            cells = tuple(TableCell(column.form.format(n), float(n)) for column, n in numbers)
            lines.append(TableLine((region, history.algorithm, history.reachability), cells))
    return Headline(("Region", "Algorithm", "Reach"), tuple(columns), tuple(lines), repeated=False)


def sentences(summary: pd.DataFrame, footprints: Mapping[str, str]) -> Iterator[str]:
    """Yield what the first setting shows, one sentence or two per reachability."""
    setting = summary.index.get_level_values("setting")[0]
    at = f"At {setting}, with" if setting else "With"
    for reachability, group in summary.loc[[setting]].groupby("reachability", sort=False):
        online = group[~group["offline"].astype(bool)]
        if len(online) < 2:
            continue
        best = online.loc[online["objective"].idxmin()]
        cheapest = online.loc[online["energy_cost"].idxmin()]
        text = (
            f"{at} {reachability} reachability, {best.name[-1]} has the lowest objective of the "
            f"online algorithms, {percent(best['gap'])} above eGLB-Off's certified lower bound. "
            f"Its peak-to-average ratios are {_pars(best, footprints)}"
        )
        if cheapest.name != best.name:
            paid, least = best["energy_cost"], cheapest["energy_cost"]
            text += f", where {cheapest.name[-1]}, the cheapest, has {_pars(cheapest, footprints)}"
            if 0 < paid < 1e6 * least:  # of nothing, or of an income, no share says anything
                text += f"; it pays {percent(paid / least - 1)} more for energy"
        yield text + "."


def _pars(row: pd.Series[Any], footprints: Mapping[str, str]) -> str:
    pars = {kind: row[f"{kind}_par"] for kind in footprints}
    *most, last = (f"{par:.2f} ({kind})" for kind, par in pars.items() if not np.isnan(par))
    return f"{', '.join(most)} and {last}" if most else last


def percent(share: float) -> str:
    """A share in per cent, with its sign in the same line."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _columns(footprints: Mapping[str, str]) -> Iterator[NumberColumn]:
    yield NumberColumn("objective", "J", "US$", ",.0f")
    yield NumberColumn("gap", "Gap", "%", ".2f", 100.0)
    yield NumberColumn("energy_cost", "Energy", "US$", ",.0f")
    for kind, unit in footprints.items():
        title = title_of(kind)
        yield NumberColumn(f"{kind}_max", f"{title} max", unit, ",.4g")
        yield NumberColumn(f"{kind}_mean", f"{title} mean", unit, ",.4g")
        yield NumberColumn(f"{kind}_par", f"{title} PAR", "", ".3f")
    yield NumberColumn("seconds", "Time", "s", ".2f")


def _cell(row: pd.Series[Any], column: NumberColumn, among: pd.DataFrame | None) -> TableCell:
    value = float(row[column.name])
    low, high = (float(row[f"{column.name}_{end}"]) for end in ("low", "high"))
    interval = "" if np.isnan(low) else f"{_text(low, column)}–{_text(high, column)}"
    best = among is not None and column.name != "seconds" and value == among[column.name].min()
    return TableCell(_text(value, column), value, interval, best)


def _text(value: float, column: NumberColumn) -> str:
    if np.isnan(value):
        return "–"  # a footprint that these runs have none of
    scaled = column.factor * value
    if column.form == ",.4g" and abs(scaled) >= 1000:
        return f"{scaled:,.0f}"
    return f"{scaled:{column.form}}".replace("-0.00", "0.00")
