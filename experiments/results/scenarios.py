"""What each scenario changes, region by region and in total, against the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from equiload.envs.footprints import title_of
from equiload.experiments.results.history import SUPPLY, EpisodeHistory
from equiload.experiments.results.records import ScenarioLine
from equiload.experiments.results.regions import regional
from equiload.experiments.results.rows import Row
from equiload.experiments.results.tables import amount, signed, text_table
from equiload.experiments.running.scenarios import BASE

#: The region of a line about all of them, in tables.
TOTAL = "total"


def scenario_lines(rows: Mapping[str, Sequence[Row]]) -> list[ScenarioLine]:
    """A line for each scenario, algorithm and region, and for all regions together.

    ``rows`` are those of each scenario by name, at least one of the base. They are compared with
    the same algorithm's in the base, or else with the base's first.
    """
    before = {row.algorithm: row for row in rows[BASE]}
    lines = []
    for name, played in rows.items():
        for row in played:
            reference = before.get(row.algorithm, rows[BASE][0])
            there = _by_region(reference)
            for region, values in _by_region(row).items():
                base = there[region]
                changes = {k: _change(now, base.get(k, 0.0)) for k, now in values.items()}
                line = ScenarioLine(
                    scenario=name,
                    algorithm=row.algorithm,
                    compared_with=reference.algorithm,
                    region=region,
                    values=values,
                    changes=changes,
                )
                lines.append(line)
    return lines


def _change(value: float, before: float) -> float:
    """How much more it is than before; what is no more than rounding is nothing."""
    return 0.0 if abs(value - before) <= 1e-9 * max(abs(value), abs(before)) else value - before


def _by_region(row: Row) -> dict[str | None, dict[str, float]]:
    """Numbers of each region, and under None those of all together."""
    outcome, objective = row.outcome, row.outcome.instance.objective
    fleet = outcome.instance.fleet
    parts = regional(EpisodeHistory.of(row), fleet.membership)
    parts = {name: part for name, part in parts.items() if not name.endswith("_share")}
    numbers: dict[str | None, dict[str, float]] = {
        region: {name: float(part[r]) for name, part in parts.items()}
        for r, region in enumerate(fleet.regions)
    }
    total = {name: float(part.sum()) for name, part in parts.items()}
    total |= {"energy_cost": float(outcome.energy_cost), "objective": float(outcome.objective)}
    for k, kind in enumerate(objective.footprints):
        total[f"{kind}_max"] = float(outcome.max_footprint[k])
        total[f"{kind}_par"] = float(outcome.par[k])
        total[f"{kind}_weight"] = float(objective.mu[k])
    numbers[None] = total
    return numbers


def flat(line: ScenarioLine, footprints: Mapping[str, str]) -> dict[str, Any]:
    """A line of ``scenarios.csv``: every number with its unit in the name, and its change."""
    units = {"load": "MWh", "energy_cost": "US$", "objective": "US$"}
    units |= dict.fromkeys(SUPPLY, "MWh")
    for kind, unit in footprints.items():
        units |= {kind: unit, f"{kind}_max": unit, f"{kind}_weight": f"US$/{unit}"}
    cells: dict[str, Any] = {
        "scenario": line.scenario,
        "algorithm": line.algorithm,
        "compared_with": line.compared_with,
        "region": TOTAL if line.region is None else line.region,
    }
    for name, value in line.values.items():
        column = "_".join(filter(None, (name, units.get(name))))
        cells |= {column: value, f"{column}_change": line.changes[name]}
    return cells


def total_table(lines: Sequence[ScenarioLine], footprints: Mapping[str, str]) -> Table:
    """Table for the terminal: the base's numbers, and below by how many per cent others differ."""
    columns = {"Energy\nUS$": "energy_cost"}
    for kind, unit in footprints.items():
        columns[f"{escape(title_of(kind))}\nmax {unit}"] = f"{kind}_max"
        columns[f"{escape(title_of(kind))}\nPAR"] = f"{kind}_par"
    columns["J\nUS$"] = "objective"
    totals = [line for line in lines if line.region is None]
    title = "In total: the base, and by how many per cent the others differ from it"
    table = text_table(title, ["Scenario"], columns, narrow=True)
    for algorithm in dict.fromkeys(line.algorithm for line in totals):
        table.add_row(f"[bold]{escape(algorithm)}[/bold]")
        for line in (line for line in totals if line.algorithm == algorithm):
            shown = _amounts if line.scenario == BASE else _percents
            table.add_row(escape(line.scenario), *shown(line, columns.values()))
        table.add_section()
    return table


def change_table(lines: Sequence[ScenarioLine], footprints: Mapping[str, str]) -> Table:
    """Table for the terminal: how much more each region carries, of the first algorithm."""
    columns = {"Load\nMWh": "load", "Energy\nUS$": "energy_cost"}
    columns |= {f"{escape(title_of(kind))}\n{unit}": kind for kind, unit in footprints.items()}
    scenarios: dict[str, list[ScenarioLine]] = {}
    for line in lines:
        scenarios.setdefault(line.scenario, []).append(line)
    table = text_table("Change by region", ["Region"], columns, narrow=True)
    for name, own in scenarios.items():
        first = own[0].algorithm
        if name == BASE:
            continue
        table.add_row(f"[bold]{escape(f'{name}, {first}')}[/bold]")
        for line in (line for line in own if line.algorithm == first):
            cells = (signed(line.changes[number]) for number in columns.values())
            table.add_row(escape(TOTAL if line.region is None else line.region), *cells)
        table.add_section()
    return table


def weights_told(lines: Sequence[ScenarioLine]) -> dict[str, str]:
    """Equity weights, as a text, of the scenarios that change some."""
    told: dict[str, str] = {}
    for line in (line for line in lines if line.region is None):
        weights = {k: v for k, v in line.values.items() if k.endswith("_weight")}
        if any(line.changes[name] for name in weights):
            texts = (f"{k.removesuffix('_weight')} {amount(v)}" for k, v in weights.items())
            told[line.scenario] = f"μ {', '.join(texts)}"
    return told


def percent_change(line: ScenarioLine, name: str) -> str:
    """How many per cent a number differs; ``–`` where that says nothing.

    ``J`` is compared at equal equity weights alone: at others it measures something else.
    """
    before = line.values[name] - line.changes[name]
    weighed = any(line.changes[each] for each in line.changes if each.endswith("_weight"))
    if not before or (weighed and name == "objective"):
        return "–"
    text = f"{100 * line.changes[name] / abs(before):+.1f}"
    return text if float(text) else "0.0"


def _amounts(line: ScenarioLine, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"{line.values[name]:.3f}" if name.endswith("_par") else amount(line.values[name])


def _percents(line: ScenarioLine, names: Iterable[str]) -> Iterator[str]:
    return (percent_change(line, name) for name in names)
