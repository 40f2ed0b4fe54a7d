"""An episode to look at: as text, or as a picture of loads, footprints and the objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from equiload.envs.footprints import title_of, unit_of
from equiload.envs.instance import Fleet, Objective
from equiload.envs.typing import FloatArray

if TYPE_CHECKING:
    from equiload.envs.gym.core import Core

_SIZE, _DPI = (9.6, 5.4), 100
_INK, _GREY, _PEAK, _BAR, _EXPERT = "#222222", "#8a8a8a", "#c8502d", "#9db8c9", "#3b6f8f"


@dataclass
class History:
    """What has been done so far in ``B`` episodes.

    ``loads`` one ``[B, N]`` per slot, ``objective`` and ``expert`` one ``[B]`` per slot,
    ``footprint [B, K, R]`` and ``cost [B]`` as they stand.
    """

    fleet: Fleet
    objective_of: Objective
    horizon: int
    footprint: FloatArray
    cost: FloatArray
    loads: list[FloatArray] = field(default_factory=list)
    objective: list[FloatArray] = field(default_factory=list)
    expert: list[FloatArray] = field(default_factory=list)

    @classmethod
    def of(cls, core: Core) -> History:
        """Nothing done yet."""
        return cls(
            core.setting.fleet,
            core.setting.objective,
            core.setting.horizon,
            core.state.footprint,
            core.state.cost,
        )

    def add(self, core: Core) -> None:
        """Remember the slot that the core has just done."""
        self.loads.append(core.load)
        self.objective.append(core.totals)
        self.footprint, self.cost = core.state.footprint, core.state.cost
        if core.expert_objective is not None:
            self.expert.append(core.expert_objective)


def text(history: History, index: int = 0) -> str:
    """One line per footprint kind, with the region that pays most, and the objective."""
    done, fleet = len(history.loads), history.fleet
    lines = [f"slot {done}/{history.horizon}   cost {history.cost[index]:,.0f} US$"]
    for k, kind in enumerate(history.objective_of.footprints):
        S = history.footprint[index, k]
        r, mean = int(S.argmax()), S.mean()
        ratio = f", {S[r] / mean:.2f} x mean" if mean > 0 else ""
        unit = unit_of(kind)
        lines.append(f"{kind:>8}: max {S[r]:,.2f} {unit} in {fleet.regions[r]}{ratio}")
    if done:
        lines.append(f"objective so far {history.objective[-1][index]:,.0f} US$")
    if history.expert:
        lines.append(f"the expert's      {history.expert[-1][index]:,.0f} US$")
    return "\n".join(lines)


def picture(history: History, index: int = 0) -> npt.NDArray[np.uint8]:
    """Loads over time, cumulative regional footprints with the max marked, objective so far.

    Returns ``[height, width, 3]``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = history.objective_of.footprints
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    left, right = parts
    above, below = left.subplots(2, 1, height_ratios=(1.25, 1), sharex=True)
    _loads(above, history, index)
    _objective(below, history, index)
    for k, axes in enumerate(right.subplots(len(kinds), 1, squeeze=False)[:, 0]):
        _footprint(axes, history, index, k)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()


def _loads(axes: Any, history: History, index: int) -> None:
    fleet, T = history.fleet, history.horizon
    share = np.full((len(fleet.datacenters), T), np.nan)
    full = np.where(fleet.capacity > 0, fleet.capacity, 1.0)
    for t, load in enumerate(history.loads):
        share[:, t] = 100 * load[index] / full
    box = (0, T, len(fleet.datacenters) - 0.5, -0.5)
    image = axes.imshow(
        share, aspect="auto", cmap="cividis", vmin=0, vmax=100, interpolation="none", extent=box
    )
    axes.set_yticks(range(len(fleet.datacenters)), fleet.datacenters, fontsize=7)
    axes.set_title("Load of each data center", loc="left", fontsize=9, color=_INK)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=14)
    bar.set_label("% of capacity", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    _plain(axes)


def _objective(axes: Any, history: History, index: int) -> None:
    slots = np.arange(1, len(history.objective) + 1)
    mine = np.array([value[index] for value in history.objective]) / 1e3
    axes.plot(slots, mine, color=_PEAK, lw=1.6, label="this policy")
    if history.expert:
        theirs = np.array([value[index] for value in history.expert]) / 1e3
        axes.plot(slots, theirs, color=_EXPERT, lw=1.3, ls="--", label="expert")
        axes.legend(fontsize=7, frameon=False, loc="upper left")
    axes.set_xlim(0, history.horizon)
    axes.set_title("Objective so far (thousand US$)", loc="left", fontsize=9, color=_INK)
    axes.set_xlabel("slot", fontsize=8)
    _plain(axes)


def _footprint(axes: Any, history: History, index: int, k: int) -> None:
    kind, S = history.objective_of.footprints[k], history.footprint[index, k]
    peak, places = int(S.argmax()), np.arange(len(S))
    colors = [_PEAK if r == peak and S[r] > 0 else _BAR for r in places]
    axes.barh(places, S, color=colors, height=0.72)
    if S[peak] > 0:
        axes.axvline(S.mean(), color=_GREY, lw=1, ls=":")
        inside = f"max: {S[peak] / S.mean():.2f} x mean "
        axes.text(S[peak], peak, inside, ha="right", va="center", fontsize=7, color="white")
    axes.set_yticks(places, history.fleet.regions, fontsize=7)
    axes.set_ylim(len(S) - 0.4, -0.6)
    unit = unit_of(kind)
    title = f"{title_of(kind)} so far, by region ({unit}; dotted: mean)"
    axes.set_title(title, loc="left", fontsize=9, color=_INK)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.tick_params(labelsize=7, length=2, colors=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
