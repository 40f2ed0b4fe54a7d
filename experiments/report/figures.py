"""Figures of a comparison. Each function returns a figure; nothing is shown or written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from equiload.experiments.results.comparison import Row
from equiload.experiments.results.tables import money_unit

# Okabe and Ito's palette: told apart by colour-blind readers and in grey.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "figure.dpi": 150,
    "font.size": 9,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.bbox": "tight",
    "text.parse_math": False,  # names are names
}


def par_bars(comparisons: Mapping[str, Sequence[Row]]) -> Figure:
    """Peak-to-average ratio by algorithm, a panel per reachability (paper, table 1)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(comparisons), 3.0), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(comparisons), sharey=True))
        for axes, (reachability, rows) in zip(panels, comparisons.items(), strict=True):
            kinds = rows[0].outcome.instance.trace.footprints
            place = np.arange(len(rows))
            width = 0.8 / len(kinds)
            for k, kind in enumerate(kinds):
                axes.bar(
                    place + (k - (len(kinds) - 1) / 2) * width,
                    [row.outcome.par[k] for row in rows],
                    width,
                    label=kind,
                    color=PALETTE[k % len(PALETTE)],
                )
            axes.set(title=f"{reachability} reachability", ylim=(1, None))
            axes.set_xticks(place, [row.algorithm for row in rows], rotation=30, ha="right")
        panels[0].set_ylabel("peak-to-average ratio")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return figure


def objective_bars(comparisons: Mapping[str, Sequence[Row]]) -> Figure:
    """What ``J`` is made of: energy cost and each kind's equity cost, with the lower bound."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(comparisons), 3.2), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(comparisons), sharey=True))
        every = [row for rows in comparisons.values() for row in rows]
        unit, money = money_unit(max(float(row.outcome.objective) for row in every))
        for axes, (reachability, rows) in zip(panels, comparisons.items(), strict=True):
            instance = rows[0].outcome.instance
            names = [row.algorithm for row in rows]
            parts = {"energy": np.array([float(row.outcome.energy_cost) for row in rows])}
            for k, kind in enumerate(instance.trace.footprints):
                highest = np.array([row.outcome.max_footprint[k] for row in rows])
                parts[f"equity: {kind}"] = instance.objective.mu[k] * highest
            bottom = np.zeros(len(rows))
            for part, (label, value) in enumerate(parts.items()):
                colour = PALETTE[(part - 1) % len(PALETTE)] if part else "#999999"
                axes.bar(names, value / unit, bottom=bottom / unit, label=label, color=colour)
                bottom += value
            bound = rows[0].lower_bound / unit
            axes.axhline(bound, color="black", lw=0.8, ls="--", label="eGLB-Off's lower bound")
            axes.set_title(f"{reachability} reachability")
            axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        panels[0].set_ylabel(f"objective J, {money}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return figure


def footprints_over_time(rows: Sequence[Row], kind: str) -> Figure:
    """Cumulative footprint of every region, a panel per algorithm, the highest drawn out."""
    with mpl.rc_context(STYLE):
        trace = rows[0].outcome.instance.trace
        k = trace.footprints.index(kind)
        columns = min(3, len(rows))
        lines = -(-len(rows) // columns)
        figure = Figure(figsize=(2.9 * columns, 2.2 * lines + 0.3), layout="constrained")
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        step = np.diff(trace.timestamps[:2]).astype(float)
        days = (np.arange(trace.horizon) + 1) * (float(step[0]) if len(step) else 3600) / 86400
        for axes, row in zip(panels, rows, strict=False):
            cumulative = row.outcome.cumulative_footprint()[k]
            highest = int(cumulative[-1].argmax())
            axes.plot(days, cumulative, color="#bbbbbb", lw=0.7)
            axes.plot(days, cumulative[:, highest], color=PALETTE[5], lw=1.6)
            axes.plot(days, cumulative.mean(-1), color="black", lw=1.0, ls="--")
            region = row.outcome.instance.fleet.regions[highest]
            axes.text(0.03, 0.95, f"highest: {region}", va="top", transform=axes.transAxes)
            axes.set_title(row.algorithm)
        for axes in panels[len(rows) :]:
            axes.set_visible(False)
        panels[0].text(0.03, 0.84, "dashed: mean", va="top", transform=panels[0].transAxes)
        figure.supxlabel("day", fontsize="medium")
        figure.supylabel(f"cumulative {kind}, {trace.units[k]}", fontsize="medium")
        return figure
