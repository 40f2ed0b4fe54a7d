"""Consistency and robustness: what good and bad advice end up costing, against the guarantee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from equiload.experiments.report.figures import PALETTE, STYLE

if TYPE_CHECKING:
    from equiload.experiments.programs.robustness import Trial


def consistency_robustness(trials: Sequence[Trial], name: str) -> Figure:
    """``J / J^π`` over ρ by kind of advice, a panel per allowance and method."""
    panels = sorted({(t.method, t.allowance) for t in trials})
    kinds = list(dict.fromkeys(t.advice for t in trials))
    rhos = sorted({t.rho for t in trials})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
        for axes, (method, allowance) in zip(
            np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels, strict=True
        ):
            here = [t for t in trials if (t.method, t.allowance) == (method, allowance)]
            place = np.arange(len(rhos))
            limit = [max(t.bound for t in here if t.rho == rho) for rho in rhos]
            axes.plot(place, limit, color="black", ls="--", label="guarantee")
            axes.axhline(1.0, color="0.7", lw=0.8)
            for i, kind in enumerate(kinds):
                line = {t.rho: t.ratio for t in here if t.advice == kind}
                axes.plot(place, [line[r] for r in rhos], "o-", color=PALETTE[i], label=kind, ms=3)
            axes.set_xticks(place, [f"{rho:g}" for rho in rhos])
            axes.set(xlabel="ρ", title=f"{name}, {method}, B = {allowance:g}·J of the expert")
        figure.axes[0].set_ylabel("J / J of the expert")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
        return figure
