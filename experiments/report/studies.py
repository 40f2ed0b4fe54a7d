"""Charts of other experiments: consistency and robustness, learning curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equiload.experiments.report.charts import NEUTRAL, Chart, Line, Panel, Section
from equiload.experiments.report.found import Curve, Study
from equiload.experiments.report.overview import SERIES

_MOST_PANELS = 12


def consistency_robustness(studies: Sequence[Study]) -> Section:
    """``J / J^π`` over ρ by kind of advice, against what the guarantee allows."""
    charts = []
    for study in studies:
        trials = study.trials
        rhos = sorted(trials["rho"].unique())
        place = [f"{rho:g}" for rho in rhos]
        panels = []
        for (method, allowance), here in trials.groupby(["method", "allowance"]):
            marks = [
                Line(
                    label=str(kind),
                    x=place,
                    y=group.groupby("rho")["ratio"].mean().reindex(rhos).to_numpy(),
                    colour=SERIES[number % len(SERIES)],
                    marks=True,
                )
                for number, (kind, group) in enumerate(here.groupby("advice", sort=False))
            ]
            limit = here.groupby("rho")["bound"].max().reindex(rhos).to_numpy()
            guarantee = Line(label="guarantee", x=place, y=limit, colour=NEUTRAL, dash=True)
            title = f"{method}, B = {allowance:g}·J of the expert"
            panels.append(
                Panel(title=title, marks=[guarantee, *marks], x="ρ", y="J / J of the expert")
            )
        charts.append(Chart(variant=study.name, panels=panels))
    text = (
        "What good and bad advice end up costing, relative to following the expert. Below 1 the "
        "advice has paid; no advice, however hostile, may end above the dashed guarantee."
    )
    return Section(
        key="robustness", title="Consistency and robustness", text=text, charts=charts, wide=True
    )


def learning_curves(curves: Sequence[Curve]) -> Section:
    """Every metric of the training runs by environment step, a panel per metric."""
    names = list(
        dict.fromkeys(name for curve in curves for name in curve.metrics if name != "step")
    )
    names = [name for name in names if any(_moves(curve, name) for curve in curves)]
    panels = []
    for name in names[:_MOST_PANELS]:
        marks = [
            Line(
                label=curve.name,
                x=curve.metrics["step"].to_numpy()[known],
                y=curve.metrics[name].to_numpy()[known],
                colour=SERIES[number % len(SERIES)],
                dash=number // len(SERIES) % 2 == 1,
            )
            for number, curve in enumerate(curves)
            if name in curve.metrics
            for known in [np.isfinite(curve.metrics[name].to_numpy())]
        ]
        panels.append(Panel(title=name, marks=marks, x="step", y=name))
    text = "What the training runs recorded, by step, as their progress files tell it."
    if len(names) > _MOST_PANELS:
        text += f" The first {_MOST_PANELS} of {len(names)} metrics are shown."
    charts = [Chart(variant="", panels=panels)] if panels else []
    return Section(key="learning", title="Learning curves", text=text, charts=charts)


def _moves(curve: Curve, name: str) -> bool:
    return name in curve.metrics and curve.metrics[name].nunique() > 1
