"""Figure of the predictions experiment."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from equiload.experiments.figures import PALETTE, STYLE
from equiload.experiments.predictions import PERFECT, REFERENCE, Score


def gap_by_error(scores: Sequence[Score]) -> Figure:
    """Gap to eGLB-Off against the forecasts' error, a panel per kind of error."""
    kinds = list(dict.fromkeys(s.error for s in scores if s.error not in (REFERENCE, PERFECT)))
    names = list(dict.fromkeys(s.algorithm for s in scores if s.error != REFERENCE))
    with mpl.rc_context(STYLE):
        columns = min(3, len(kinds)) or 1
        lines = max(1, -(-len(kinds) // columns))
        figure = Figure(figsize=(3.1 * columns, 2.5 * lines + 0.5), layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for axes, kind in zip(panels, kinds, strict=False):
            for n, name in enumerate(names):
                line = [s for s in scores if s.algorithm == name and s.error in (PERFECT, kind)]
                line.sort(key=lambda s: s.footprint_mape)
                at = [100 * s.footprint_mape for s in line]
                colour = PALETTE[n % len(PALETTE)]
                axes.plot(at, [_percent(s.gap) for s in line], "o-", ms=3, color=colour, label=name)
                low, high = [_percent(s.low) for s in line], [_percent(s.high) for s in line]
                axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
            for style, score in zip(
                ("--", ":", "-."), (s for s in scores if s.error == REFERENCE), strict=False
            ):
                axes.axhline(
                    _percent(score.gap), color="black", lw=0.9, ls=style, label=score.algorithm
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
