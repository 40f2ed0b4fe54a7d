"""Charts of the rows of all runs: peak-to-average ratios, what J is made of, the Pareto front."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from equiload.experiments.report.charts import (
    NEUTRAL,
    SERIES,
    Bars,
    Chart,
    Line,
    Panel,
    Section,
    look,
)
from equiload.experiments.results.statistics import improvement, interval, performance_profile
from equiload.experiments.results.tables import money_unit

_FEW_RUNS = 4  # fewer make no profile
_FARTHEST = 5.0  # times the best algorithm's median gap: where profiles end
_REST = "wear, starts, late work, refilling"
_MORE = "What else knobs cost stands beside energy."
_RESAMPLES = 2000  # as the summary's


def _by_setting(
    frame: pd.DataFrame, panel: Callable[[str, pd.DataFrame, pd.DataFrame], Panel | None]
) -> list[Chart]:
    """A chart per setting, a panel per reachability, of what there is a panel of.

    ``panel`` is given its title, its rows, and those of all reachabilities of the setting.
    """
    charts = []
    for setting, here in frame.groupby("setting", sort=False):
        groups = here.groupby("reachability", sort=False)
        panels = [panel(f"{name} reachability", group, here) for name, group in groups]
        drawn = [one for one in panels if one is not None]
        charts += [Chart(variant=str(setting), panels=drawn)] if drawn else []
    return charts


def peak_to_average(summary: pd.DataFrame, kinds: Iterable[str]) -> Section:
    """Bars by algorithm, a colour per kind, a panel per reachability (paper, table 1)."""
    kinds = list(kinds)
    highest = max(_most(summary, f"{kind}_par") for kind in kinds)

    def panel(title: str, group: pd.DataFrame, _: pd.DataFrame) -> Panel:
        bars = [
            Bars(
                label=kind,
                x=list(group.index.get_level_values("algorithm")),
                y=group[f"{kind}_par"].to_numpy(),
                low=_bound(group, f"{kind}_par_low"),
                high=_bound(group, f"{kind}_par_high"),
                colour=SERIES[k % len(SERIES)],
            )
            for k, kind in enumerate(kinds)
        ]
        y_range = (1.0, 1 + 1.06 * (highest - 1))
        return Panel(title=title, marks=bars, y="peak-to-average ratio", y_range=y_range)

    text = (
        "The highest regional footprint over the mean: 1 is equal shares. "
        "Whiskers are 95 % bootstrap intervals over runs, where there are several."
    )
    charts = _by_setting(summary, panel)
    return Section(key="par", title="Peak-to-average ratio", text=text, charts=charts)


def objective(summary: pd.DataFrame, kinds: Iterable[str]) -> Section:
    """What ``J`` is made of: energy cost and each kind's equity cost, and the lower bound."""
    kinds = list(kinds)
    colours = {
        "energy": NEUTRAL,
        "quality lost": SERIES[3],
        _REST: SERIES[2],
    }

    def panel(title: str, group: pd.DataFrame, setting: pd.DataFrame) -> Panel:
        top = 1.05 * _most(setting, "objective")
        unit, money = money_unit(top)
        names = list(group.index.get_level_values("algorithm"))
        bound = np.full(len(names), group["lower_bound"].mean() / unit)
        parts = {label: cost / unit for label, cost in _costs(group).items()}
        for kind in kinds:  # one that these runs do not weigh costs nothing
            parts[f"equity: {kind}"] = group[f"{kind}_equity"].fillna(0.0).to_numpy() / unit
        base, others = np.zeros(len(names)), itertools.cycle(SERIES)
        marks: list[Bars | Line] = []
        for label, y in parts.items():
            colour = colours[label] if label in colours else next(others)
            marks.append(Bars(label=label, x=names, y=y, base=base, colour=colour))
            base = base + y
        label = "lower bound on eGLB-Off"
        marks.append(Line(label=label, x=names, y=bound, colour=SERIES[5], dash="dash"))
        y_range = (min(0.0, *(part.min() for part in parts.values())), top / unit)
        return Panel(title=title, marks=marks, y=f"objective J, {money}", y_range=y_range)

    text = (
        "The objective J: energy cost plus each footprint's highest regional cost. "
        + (f"{_MORE} " if any(str(name).startswith("cost_") for name in summary) else "")
        + "No allocation can end below the dashed line."
    )
    charts = _by_setting(summary, panel)
    return Section(key="objective", title="What J is made of", text=text, charts=charts)


def _costs(group: pd.DataFrame) -> dict[str, np.ndarray]:
    """Energy (and routing), and what it costs to decide more, in US$ by what it is for."""
    energy = group["energy_cost"].to_numpy()
    causes = [str(name) for name in group if re.fullmatch("cost_[a-z]+", str(name))]
    if not causes:
        return {"energy": energy}
    other = group[causes].fillna(0.0)
    quality = other["cost_quality"].to_numpy() if "cost_quality" in other else 0.0 * energy
    rest = other.to_numpy().sum(1)
    costs = {"energy": energy - rest, "quality lost": quality}
    costs[_REST] = rest - quality
    return {label: cost for label, cost in costs.items() if label == "energy" or cost.any()}


def profiles(rows: pd.DataFrame) -> Section:
    """Performance profiles of the gap over runs (Dolan and Moré 2002; Agarwal et al. 2021)."""
    middles = []

    def panel(title: str, group: pd.DataFrame, _: pd.DataFrame) -> Panel | None:
        algorithms = group.groupby("algorithm", sort=False)["gap"]
        gaps = {str(name): runs.to_numpy() for name, runs in algorithms}
        if min(map(len, gaps.values())) < _FEW_RUNS:
            return None
        names = f"{group['setting'].iloc[0]} {group['reachability'].iloc[0]}"
        middles.append(f"{names}: {_middles(gaps)}.".strip())
        return _profile(title, gaps)

    charts = _by_setting(rows[~rows["offline"]], panel)
    text = (
        "The share of runs (draws, seeds) in which an algorithm's gap to eGLB-Off is at most so "
        "much; up and to the left is better. Interquartile means with 95 % bootstrap intervals, "
        "and the share of pairs of runs in which an algorithm's gap is below eGLB's: "
    )
    text += " ".join(middles)
    return Section(key="profile", title="How often how close", text=text, charts=charts)


def _profile(title: str, gaps: Mapping[str, np.ndarray]) -> Panel:
    nearest = min(float(np.median(runs)) for runs in gaps.values())
    thresholds = np.linspace(0.0, _FARTHEST * max(nearest, 1e-4), 200)
    marks = []
    for number, (name, runs) in enumerate(gaps.items()):
        share = performance_profile([runs], thresholds)
        marks.append(Line(label=name, x=100 * thresholds, y=share, **look(number)))
    return Panel(
        title=title, marks=marks, x="gap to eGLB-Off, %", y="share of runs", y_range=(0.0, 1.02)
    )


def _middles(gaps: Mapping[str, np.ndarray]) -> str:
    parts = []
    for name, runs in gaps.items():
        middle = interval([runs], rng=np.random.default_rng(0), resamples=_RESAMPLES)
        part = f"{name} {middle.value:.2%} [{middle.low:.2%}, {middle.high:.2%}]"
        if name != "eGLB" and "eGLB" in gaps:
            part += f", {improvement([runs], [gaps['eGLB']]):.0%}"
        parts.append(part)
    return "; ".join(parts)


def pareto(summary: pd.DataFrame, footprints: Mapping[str, str]) -> Section:
    """Energy cost against the highest footprint and PAR, a line per algorithm over the settings."""
    charts = []
    for reachability, here in summary.groupby("reachability", sort=False):
        panels = []
        for kind, unit in footprints.items():
            panels.append(_trade_off(here, f"{kind}_max", f"highest {kind} footprint, {unit}"))
            panels.append(_trade_off(here, f"{kind}_par", f"peak-to-average ratio of {kind}"))
        charts.append(Chart(variant=f"{reachability} reachability", panels=panels))
    text = (
        "Each dot is an algorithm at one equity weight (means over seeds); down and to the left is "
        "better. The dashed steps join what no other dot beats in both."
    )
    return Section(key="pareto", title="Cost against equity", text=text, charts=charts)


def _trade_off(rows: pd.DataFrame, column: str, label: str) -> Panel:
    rows = rows[rows[column].notna()]
    unit, money = money_unit(rows["energy_cost"].max())
    cost, height = rows["energy_cost"].to_numpy() / unit, rows[column].to_numpy()
    best = front(cost, height)
    marks = [Line(label="front", x=cost[best], y=height[best], dash="dash", step=True)]
    for number, (name, group) in enumerate(rows.groupby("algorithm", sort=False)):
        order = group["energy_cost"].argsort()
        marks.append(
            Line(
                label=str(name),
                x=group["energy_cost"].to_numpy()[order] / unit,
                y=group[column].to_numpy()[order],
                names=group.index.get_level_values("setting")[order].tolist(),
                marks=True,
                **look(number),
            )
        )
    title = label.partition(",")[0]
    return Panel(title=title, marks=marks, x=f"energy cost, {money}", y=label)


def front(cost: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Indices of the points that none is at least as low in both, by ascending cost."""
    order = np.lexsort((height, cost))
    lowest = np.minimum.accumulate(height[order])
    keeps = np.concatenate([[True], height[order][1:] < lowest[:-1]])
    return np.asarray(order[keeps])


def _bound(group: pd.DataFrame, column: str) -> np.ndarray | None:
    values = group[column].to_numpy()
    return None if np.isnan(values).all() else values


def _most(frame: pd.DataFrame, column: str) -> float:
    return float(np.nanmax(frame[[column, f"{column}_high"]].to_numpy()))
