"""Charts of other experiments: robustness, predictions, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from equiload.experiments.report.charts import DASHES, SERIES, Chart, Line, Panel, Section, look
from equiload.experiments.report.contents import Curve, Experiment
from equiload.experiments.results.records import LARGEST, PERFECT, REFERENCE

_MOST_PANELS = 12  # as many as one looks through on a page


def consistency_robustness(studies: Sequence[Experiment]) -> Section:
    """``J / J^π`` over ρ by kind of advice, against what the guarantee allows."""
    charts = []
    for study in studies:
        trials = study.lines
        rhos = sorted(trials["rho"].unique())
        place = [f"{rho:g}" for rho in rhos]
        panels = []
        for (method, allowance), here in trials.groupby(["method", "allowance"]):
            marks = [
                Line(
                    label=str(kind),
                    x=place,
                    y=group.groupby("rho")["ratio"].mean().reindex(rhos).to_numpy(),
                    marks=True,
                    **look(number),
                )
                for number, (kind, group) in enumerate(here.groupby("advice", sort=False))
            ]
            limit = here.groupby("rho")["bound"].max().reindex(rhos).to_numpy()
            guarantee = Line(label="guarantee", x=place, y=limit, dash="dash")
            title = f"{method}, B = {allowance:g}·J of the expert"
            panels.append(
                Panel(title=title, marks=[guarantee, *marks], x="ρ", y="J / J of the expert")
            )
        charts.append(Chart(variant=study.title, panels=panels))
    text = (
        "What good and bad advice end up costing, relative to following the expert. Below 1 the "
        "advice has paid; no advice, however hostile, may end above the dashed guarantee."
    )
    return Section(key="robustness", title="Consistency and robustness", text=text, charts=charts)


def kept_gain(studies: Sequence[Experiment]) -> Section:
    """Of what perfect advice saves, the share that is left by the layer, over ρ."""
    charts, panels = [], dict[str, list[Line]]()
    for study in studies:
        trials = study.lines[study.lines["advice"] == "perfect"]
        if trials.empty or "alone" not in trials or not (trials["alone"] < 1).any():
            continue
        rhos = sorted(trials["rho"].unique())
        kept = 100 * (1 - trials["ratio"]) / (1 - trials["alone"])
        for (method, allowance), here in kept.groupby([trials["method"], trials["allowance"]]):
            lines = panels.setdefault(f"{method}, B = {allowance:g}·J of the expert", [])
            y = here.groupby(trials["rho"]).mean().reindex(rhos).to_numpy()
            place = [f"{rho:g}" for rho in rhos]
            lines.append(Line(label=study.title, x=place, y=y, marks=True, **look(len(lines))))
    if panels:
        drawn = [
            Panel(title=title, marks=lines, x="ρ", y="gain kept, %")
            for title, lines in panels.items()
        ]
        charts = [Chart(variant="perfect advice", panels=drawn)]
    text = (
        "How much of what perfect advice saves against the expert is left when the layer stands "
        "between, a line for each run. Below 0 the room was spent before it was earned back."
    )
    return Section(key="kept", title="What is kept of perfect advice", text=text, charts=charts)


def gap_by_error(studies: Sequence[Experiment]) -> Section:
    """Gap to eGLB-Off over the forecasts' error, a panel per kind of error."""
    charts = []
    for study in studies:
        kinds = [k for k in study.lines["error"].unique() if k not in (REFERENCE, PERFECT)]
        panels = [_gaps(study.lines, str(kind)) for kind in kinds]
        charts += [Chart(variant=study.title, panels=panels)] if panels else []
    text = (
        "What wrong forecasts cost, by how wrong they are (weighted MAPE of the footprint "
        "intensities); with dashes under the robust layer, without dots what sees no forecast. "
        "Bands are the bootstrap intervals of algorithms without the layer."
    )
    return Section(key="predictions", title="What wrong predictions cost", text=text, charts=charts)


def _gaps(scores: pd.DataFrame, kind: str) -> Panel:
    advised = scores[scores["error"] != REFERENCE]
    names = list(advised["advice"].unique())
    rhos = sorted(advised["rho"].dropna().unique())
    here = advised[advised["error"].isin([PERFECT, kind])].sort_values(
        "footprint_mape", kind="stable"
    )
    marks = []
    for label, line in here.groupby("algorithm", sort=False):
        rho, alone = line["rho"].max(), bool(line["rho"].isna().all())
        style = 0 if alone else 1 + rhos.index(rho) % (len(DASHES) - 1)
        marks.append(
            Line(
                label=str(label),
                x=100 * line["footprint_mape"].to_numpy(),
                y=_percent(line["gap"]),
                low=_percent(line["low"]) if alone else None,
                high=_percent(line["high"]) if alone else None,
                colour=SERIES[names.index(line["advice"].iloc[0]) % len(SERIES)],
                dash=DASHES[style],
                marks=True,
            )
        )
    ends = 100 * np.array([here["footprint_mape"].min(), here["footprint_mape"].max()])
    for number, (_, reference) in enumerate(scores[scores["error"] == REFERENCE].iterrows()):
        level = np.full(2, _percent(reference["gap"]))
        dash = DASHES[number % len(DASHES)]
        marks.append(Line(label=reference["algorithm"], x=ends, y=level, dash=dash))
    x = "MAPE of footprint intensities, %"
    return Panel(title=kind, marks=marks, x=x, y="gap to eGLB-Off, %", y_log=True)


def _percent(gap: Any) -> Any:
    """Per cent, at least 0.01: the axis is logarithmic."""
    return np.maximum(100 * np.asarray(gap, dtype=np.float64), 0.01)


def learning_curves(curves: Sequence[Curve]) -> Section:
    """Every metric of the training runs by environment step, a panel per metric."""
    shown = [curve.metrics.drop(columns="step") for curve in curves]
    moving = [name for metrics in shown for name in metrics.columns[metrics.nunique() > 1]]
    order = dict.fromkeys(name for metrics in shown for name in metrics)
    names = [name for name in order if name in moving]
    panels = []
    for name in names[:_MOST_PANELS]:
        marks = [
            Line(
                label=curve.name,
                x=curve.metrics["step"].to_numpy()[known],
                y=curve.metrics[name].to_numpy()[known],
                **look(number),
            )
            for number, curve in enumerate(curves)
            if name in curve.metrics
            for known in [(curve.metrics[["step", name]].abs() <= LARGEST).all(axis=1)]
            if known.any()
        ]
        panels += [Panel(title=name, marks=marks, x="step", y=name)] if marks else []
    text = "What the training runs recorded, by step, as their progress files tell it."
    if len(names) > _MOST_PANELS:
        text += f" The first {_MOST_PANELS} of {len(names)} metrics are shown."
    charts = [Chart(variant="", panels=panels)] if panels else []
    return Section(key="learning", title="Learning curves", text=text, charts=charts, wide=False)
