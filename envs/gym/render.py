"""An episode to look at: as text, or as a picture of loads, footprints and the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from equiload.envs.errors import DataError, UsageError
from equiload.envs.footprints import title_of, unit_of
from equiload.envs.typing import FloatArray

if TYPE_CHECKING:
    from equiload.envs.gym.core import Core

_SIZE, _DPI = (9.6, 5.4), 100  # inches, and pixels per inch: 960 x 540
_INK, _GREY, _PEAK, _BAR, _EXPERT = "#222222", "#8a8a8a", "#c8502d", "#9db8c9", "#3b6f8f"


class Rendered:
    """What both environments are beside their steps: pictures of the episodes, and names."""

    metadata: dict[str, Any] = {  # noqa: RUF012 (as in Gymnasium's base classes)
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 12,
    }
    #: The episodes, or the first of their shards.
    core: Core
    _film: Film | None = None

    def _set_render_mode(self, render_mode: str | None) -> None:
        """Raise :class:`DataError` unless it is one of the modes, or none."""
        modes = self.metadata["render_modes"]
        if render_mode not in (None, *modes):
            raise DataError(f"render_mode must be {', '.join(modes)} or None, got {render_mode}")
        self.render_mode = render_mode

    def _begin_film(self) -> None:
        self._film = None if self.render_mode is None else Film(self.core)

    def _extend_film(self) -> None:
        if self._film is not None:
            self._film.add()

    def render(self) -> Any:
        """Text, or a picture ``[height, width, 3]`` of uint8, by ``render_mode``: of each episode.

        Raises
        ------
        UsageError
            Without a ``render_mode``, or before the first reset.
        """
        if self._film is None:
            raise UsageError("nothing to render: give a render_mode, and reset first")
        draw = text if self.render_mode == "ansi" else picture
        return tuple(draw(self._film, b) for b in range(self.core.count))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each feature of the flat observation."""
        return self.core.observer.feature_names


class Film:
    """What ``B`` episodes have come to, slot by slot.

    ``loads`` one ``[B, N]`` per slot, ``objective`` and ``expert`` one ``[B]`` per slot; how they
    stand is in ``core``.
    """

    def __init__(self, core: Core) -> None:
        self.core, self.setting = core, core.setting
        self.loads: list[FloatArray] = []
        self.objective: list[FloatArray] = []
        self.expert: list[FloatArray] = []

    def add(self) -> None:
        """Remember the slots that the core has just done."""
        for slot in self.core.played:
            self.loads.append(slot.load)
            self.objective.append(slot.objective)
            if slot.expert is not None:
                self.expert.append(slot.expert)


def text(film: Film, index: int = 0) -> str:
    """One line per footprint kind, with the region that pays most, and the objective."""
    slots, fleet = len(film.loads), film.setting.fleet
    lines = [f"slot {slots}/{film.setting.horizon}   cost {film.core.state.cost[index]:,.0f} US$"]
    for k, kind in enumerate(film.setting.objective.footprints):
        S = film.core.state.footprint[index, k]
        r, mean = int(S.argmax()), S.mean()
        ratio = f", {S[r] / mean:.2f} x mean" if mean > 0 else ""
        unit = unit_of(kind)
        lines.append(f"{kind:>8}: max {S[r]:,.2f} {unit} in {fleet.regions[r]}{ratio}")
    if slots:
        lines.append(f"objective so far {film.objective[-1][index]:,.0f} US$")
    if film.expert:
        lines.append(f"the expert's      {film.expert[-1][index]:,.0f} US$")
    return "\n".join(lines)


def picture(film: Film, index: int = 0) -> npt.NDArray[np.uint8]:
    """Loads over time, cumulative regional footprints with the max marked, objective so far.

    Returns ``[height, width, 3]``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = film.setting.objective.footprints
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    left, right = halves
    above, below = left.subplots(2, 1, height_ratios=(1.25, 1), sharex=True)
    _loads(above, film, index)
    _objective(below, film, index)
    for k, axes in enumerate(right.subplots(len(kinds), 1, squeeze=False)[:, 0]):
        _footprint(axes, film, index, k)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()


def _loads(axes: Any, film: Film, index: int) -> None:
    fleet, T = film.setting.fleet, film.setting.horizon
    share = np.full((len(fleet.datacenters), T), np.nan)
    full = np.where(fleet.capacity > 0, fleet.capacity, 1.0)
    for t, load in enumerate(film.loads):
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


def _objective(axes: Any, film: Film, index: int) -> None:
    slots = np.arange(1, len(film.objective) + 1)
    played = np.array([value[index] for value in film.objective]) / 1e3
    axes.plot(slots, played, color=_PEAK, lw=1.6, label="this policy")
    if film.expert:
        expert = np.array([value[index] for value in film.expert]) / 1e3
        axes.plot(slots, expert, color=_EXPERT, lw=1.3, ls="--", label="expert")
        axes.legend(fontsize=7, frameon=False, loc="upper left")
    axes.set_xlim(0, film.setting.horizon)
    axes.set_title("Objective so far (thousand US$)", loc="left", fontsize=9, color=_INK)
    axes.set_xlabel("slot", fontsize=8)
    _plain(axes)


def _footprint(axes: Any, film: Film, index: int, k: int) -> None:
    kind, S = film.setting.objective.footprints[k], film.core.state.footprint[index, k]
    peak, places = int(S.argmax()), np.arange(len(S))
    colors = [_PEAK if r == peak and S[r] > 0 else _BAR for r in places]
    axes.barh(places, S, color=colors, height=0.72)
    if S[peak] > 0:
        axes.axvline(S.mean(), color=_GREY, lw=1, ls=":")
        inside = f"max: {S[peak] / S.mean():.2f} x mean "
        axes.text(S[peak], peak, inside, ha="right", va="center", fontsize=7, color="white")
    axes.set_yticks(places, film.setting.fleet.regions, fontsize=7)
    axes.set_ylim(len(S) - 0.4, -0.6)
    unit = unit_of(kind)
    title = f"{title_of(kind)} so far, by region ({unit}; dotted: mean)"
    axes.set_title(title, loc="left", fontsize=9, color=_INK)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.tick_params(labelsize=7, length=2, colors=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
