"""Figure of the predictions experiment."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from equiload.experiments.report.figures import PALETTE, STYLE
from equiload.experiments.results.prediction_scores import PERFECT, REFERENCE, Score

#: Line styles of an algorithm under the robust layer, from the smallest ρ on.
_DASHES = ("--", ":", "-.")


def gap_by_error(scores: Sequence[Score]) -> Figure:
    """Gap to eGLB-Off against the forecasts' error, a panel per kind of error.

    A colour per algorithm; dashed where it is under the robust layer.
    """
    kinds = list(dict.fromkeys(s.error for s in scores if s.error not in (REFERENCE, PERFECT)))
    lines = list(dict.fromkeys((s.advice, s.rho) for s in scores if s.error != REFERENCE))
    names = list(dict.fromkeys(advice for advice, _ in lines))
    rhos = sorted({rho for _, rho in lines if rho is not None})
    with mpl.rc_context(STYLE):
        columns = min(3, len(kinds)) or 1
        height = max(1, -(-len(kinds) // columns))
        figure = Figure(figsize=(3.1 * columns, 2.5 * height + 0.5), layout="constrained")
        panels = figure.subplots(height, columns, sharey=True, squeeze=False).ravel()
        for axes, kind in zip(panels, kinds, strict=False):
            for advice, rho in lines:
                line = [
                    s
                    for s in scores
                    if (s.advice, s.rho) == (advice, rho) and s.error in (PERFECT, kind)
                ]
                if not line:
                    continue
                line.sort(key=lambda s: s.footprint_mape)
                at = [100 * s.footprint_mape for s in line]
                colour = PALETTE[names.index(advice) % len(PALETTE)]
                style = "-" if rho is None else _DASHES[rhos.index(rho) % len(_DASHES)]
                gaps = [_percent(s.gap) for s in line]
                label = line[0].algorithm
                axes.plot(at, gaps, "o", ls=style, ms=3, color=colour, label=label)
                if rho is None:  # one band for each algorithm: more would hide the lines
                    low, high = [_percent(s.low) for s in line], [_percent(s.high) for s in line]
                    axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
            for style, score in zip(
                ("-", "--", ":", "-."), (s for s in scores if s.error == REFERENCE), strict=False
            ):
                axes.axhline(
                    _percent(score.gap), color="0.4", lw=0.8, ls=style, label=score.algorithm
                )
            axes.set(title=kind, yscale="log")
            axes.yaxis.set_major_formatter("{x:g}")
        for axes in panels[len(kinds) :]:
            axes.set_visible(False)
        figure.supxlabel("MAPE of the forecast footprint intensities, %", fontsize="medium")
        figure.supylabel("gap to eGLB-Off, %", fontsize="medium")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize="small")
        return figure


def _percent(gap: float) -> float:
    """Per cent, at least 0.01: the axis is logarithmic."""
    return max(100 * gap, 0.01)
