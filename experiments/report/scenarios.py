"""What scenarios change against their base: tables, findings in words, and bars by region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from equiload.envs.footprints import title_of, unit_of
from equiload.experiments.report.charts import SERIES, Bars, Chart, Panel, Section
from equiload.experiments.report.contents import Experiment
from equiload.experiments.report.headline import Headline, NumberColumn, TableCell, TableLine
from equiload.experiments.results.records import OF_ALL, ScenarioLine
from equiload.experiments.results.scenarios import TOTAL, percent_change, weights_told
from equiload.experiments.results.tables import amount, signed
from equiload.experiments.running.scenarios import BASE


class Comparison(NamedTuple):
    """What a page shows of the scenarios of a run."""

    name: str
    findings: list[str]
    totals: Headline
    regions: Headline


def comparisons(studies: Sequence[Experiment]) -> list[Comparison]:
    """The tables of each run."""
    found = []
    for study in studies:
        lines = _lines(study)
        kinds = _kinds(lines)
        told = [*_findings(lines, kinds)]
        found.append(Comparison(study.title, told, _totals(lines, kinds), _regions(lines, kinds)))
    return found


def changes_by_region(studies: Sequence[Experiment]) -> Section:
    """Bars by region of what each scenario changes, a panel a quantity, a colour an algorithm."""
    charts = []
    for study in studies:
        lines = _lines(study)
        columns = {"load": "load, MWh", "energy_cost": "energy cost, US$"}
        columns |= {kind: f"{kind}, {unit_of(kind)}" for kind in _kinds(lines)}
        algorithms = list(dict.fromkeys(line.algorithm for line in lines))
        for scenario in dict.fromkeys(line.scenario for line in lines if line.scenario != BASE):
            own = [line for line in lines if line.scenario == scenario and line.region is not None]
            panels = [_panel(own, name, label, algorithms) for name, label in columns.items()]
            several = f"{study.title}: {scenario}" if len(studies) > 1 else scenario
            charts += [Chart(variant=several, panels=panels)] if own else []
    text = "How much more, or less, each region carries than in the base, in the whole horizon."
    return Section(key="changes", title="Change by region", text=text, charts=charts)


def _panel(
    lines: Sequence[ScenarioLine], name: str, label: str, algorithms: Sequence[str]
) -> Panel:
    marks = []
    for algorithm in dict.fromkeys(line.algorithm for line in lines):
        own = [line for line in lines if line.algorithm == algorithm]
        marks.append(
            Bars(
                label=algorithm,
                x=[str(line.region) for line in own],
                y=np.array([line.changes[name] for line in own]),
                colour=SERIES[algorithms.index(algorithm) % len(SERIES)],
            )
        )
    return Panel(title=label.partition(",")[0], marks=marks, y=f"change of {label}")


def _lines(study: Experiment) -> list[ScenarioLine]:
    return [ScenarioLine(**line) for line in study.lines.to_dict("records")]


def _kinds(lines: Sequence[ScenarioLine]) -> list[str]:
    """Footprint kinds that all lines have."""
    first = next(line.values for line in lines if line.region is None)
    kinds = [name.removesuffix("_max") for name in first if name.endswith("_max")]

    def has(line: ScenarioLine, kind: str) -> bool:
        names = [kind, *(f"{kind}_{part}" for part in OF_ALL if line.region is None)]
        return line.values.keys() >= set(names)

    return [kind for kind in kinds if all(has(line, kind) for line in lines)]


def _findings(lines: Sequence[ScenarioLine], kinds: Sequence[str]) -> Iterator[str]:
    """A sentence for each scenario on its first algorithm."""
    weights = weights_told(lines)
    seen = {BASE}
    for line in (line for line in lines if line.region is None):
        if line.scenario in seen:
            continue
        seen.add(line.scenario)
        names = {"energy cost": "energy_cost"}
        names |= {f"the highest {kind} footprint": f"{kind}_max" for kind in kinds}
        changes = {label: percent_change(line, name) for label, name in names.items()}
        parts = [f"{label} {change}\N{NO-BREAK SPACE}%" for label, change in changes.items()]
        weighed = f" ({weights[line.scenario]})" if line.scenario in weights else ""
        alike = line.algorithm == line.compared_with
        against = "" if alike else f" against the base's {line.compared_with}"
        yield f"{line.scenario}{weighed}, {line.algorithm}{against}: {', '.join(parts)}."


def _totals(lines: Sequence[ScenarioLine], kinds: Sequence[str]) -> Headline:
    columns = [
        NumberColumn("objective", "J", "US$", ""),
        NumberColumn("energy_cost", "Energy", "US$", ""),
    ]
    for kind in kinds:
        columns.append(NumberColumn(f"{kind}_max", f"{title_of(kind)} max", unit_of(kind), ""))
        columns.append(NumberColumn(f"{kind}_par", f"{title_of(kind)} PAR", "", ""))
        columns.append(NumberColumn(f"{kind}_weight", f"μ {kind}", f"US$/{unit_of(kind)}", ""))
    shown = []
    for line in (line for line in lines if line.region is None):
        cells = tuple(_with_percent(line, column.name) for column in columns)
        shown.append(TableLine((line.scenario, line.algorithm), cells))
    return Headline(("Scenario", "Algorithm"), tuple(columns), tuple(shown), repeated=False)


def _with_percent(line: ScenarioLine, name: str) -> TableCell:
    value = line.values[name]
    text = f"{value:.3f}" if name.endswith("_par") else amount(value)
    change = percent_change(line, name)
    told = line.scenario != BASE and not name.endswith("_weight") and change != "–"
    return TableCell(text, value, f"{change} %" if told else "")


def _regions(lines: Sequence[ScenarioLine], kinds: Sequence[str]) -> Headline:
    columns = [
        NumberColumn("load", "Load", "MWh", ""),
        NumberColumn("energy_cost", "Energy", "US$", ""),
        *(NumberColumn(kind, title_of(kind), unit_of(kind), "") for kind in kinds),
    ]
    shown = []
    for line in (line for line in lines if line.scenario != BASE):
        numbers = [line.changes.get(column.name, 0.0) for column in columns]
        cells = tuple(TableCell(signed(number), number) for number in numbers)
        region = TOTAL if line.region is None else line.region
        shown.append(TableLine((line.scenario, line.algorithm, region), cells))
    labels = ("Scenario", "Algorithm", "Region")
    return Headline(labels, tuple(columns), tuple(shown), repeated=False)
