"""An episode to look at: as text, or as a picture of loads, footprints and the objective."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from equiload.envs.errors import DataError, UsageError
from equiload.envs.footprints import title_of, unit_of
from equiload.envs.gym.written import WrittenSpec
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
    _spec: EnvSpec | None = None
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
        if self.render_mode == "ansi":
            return tuple(text(self._film, b) for b in range(self.core.count))
        return tuple(self._film.picture(b) for b in range(self.core.count))

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's; of a single environment with the number of steps of an episode."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        # `make_vec` takes no number of steps.
        steps = None if isinstance(self, VectorEnv) else self.core.steps
        self._spec = spec and WrittenSpec.of(spec, steps)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each feature of the flat observation."""
        return self.core.observer.feature_names

    @property
    def action_names(self) -> tuple[str, ...]:
        """Name of each number of an action, in a row."""
        action = self.core.action
        count = math.prod(action.shape)
        names: tuple[str, ...] = getattr(action, "names", ())
        return names or tuple(f"action[{n}]" for n in range(count))


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
        self._pictures: dict[int, Picture] = {}

    def picture(self, index: int) -> npt.NDArray[np.uint8]:
        """Of one episode, ``[height, width, 3]``."""
        if index not in self._pictures:
            self._pictures[index] = Picture(self, index)
        return self._pictures[index].pixels()

    def __getstate__(self) -> dict[str, Any]:
        # A copy draws pictures of its own: canvases cannot be copied.
        return {**vars(self), "_pictures": {}}

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


class Picture:
    """Loads over time, cumulative regional footprints with the max marked, objective so far.

    Drawn once: from then on only what moves is drawn anew, on a copy of what does not, and all of
    it where an axis has become too short.
    """

    def __init__(self, film: Film, index: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._film, self._index = film, index
        kinds = film.setting.objective.footprints
        figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(figure)
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.35, 1))
        left, right = halves
        above, below = left.subplots(2, 1, height_ratios=(1.25, 1), sharex=True)
        self._parts = [_Loads(above, film, index), _Objective(below, film, index)]
        self._parts += [
            _Footprint(axes, film, index, k)
            for k, axes in enumerate(right.subplots(len(kinds), 1, squeeze=False)[:, 0])
        ]
        self._canvas.draw()  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")  # all is placed, whatever the episode came to so far
        self._still: Any = None

    def pixels(self) -> npt.NDArray[np.uint8]:
        """``[height, width, 3]``, of the film as it is now."""
        grown = [part.update() for part in self._parts]
        if any(grown) or self._still is None:
            self._canvas.draw()  # type: ignore[no-untyped-call]
            self._still = self._canvas.copy_from_bbox(self._canvas.figure.bbox)  # type: ignore[no-untyped-call]
        self._canvas.restore_region(self._still)  # type: ignore[no-untyped-call]
        for part in self._parts:
            for artist in part.moving:
                part.axes.draw_artist(artist)
        pixels = np.asarray(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return pixels[..., :3].copy()


class _Panel(ABC):
    """One panel of a picture: what moves in it, and where it has to be drawn anew as a whole."""

    def __init__(self, axes: Any, film: Film, index: int) -> None:
        self.axes, self.film, self.index = axes, film, index
        self.moving: list[Any] = []
        self._ends: dict[str, tuple[float, float]] = {}

    @abstractmethod
    def update(self) -> bool:
        """Bring what moves up to date; true where an axis had to grow."""

    def _moves(self, *artists: Any) -> None:
        """Leave these out when the whole is drawn."""
        for artist in artists:
            artist.set_animated(True)
        self.moving += artists

    def _fits(self, axis: str, low: float, high: float) -> bool:
        """Make an axis (``"x"``, ``"y"``) hold these numbers, with room to grow; did it before?"""
        ends = (-_round(-low), _round(high) or 1.0)
        before, self._ends[axis] = self._ends.get(axis), ends
        getattr(self.axes, f"set_{axis}lim")(*ends)
        return before == ends


class _Loads(_Panel):
    def __init__(self, axes: Any, film: Film, index: int) -> None:
        super().__init__(axes, film, index)
        fleet, T = film.setting.fleet, film.setting.horizon
        self._share = np.full((len(fleet.datacenters), T), np.nan)
        self._drawn = 0
        box = (0, T, len(fleet.datacenters) - 0.5, -0.5)
        self._image = axes.imshow(
            self._share, aspect="auto", cmap="cividis", vmin=0, vmax=100, interpolation="none",
            extent=box,
        )  # fmt: skip
        axes.set_yticks(range(len(fleet.datacenters)), fleet.datacenters, fontsize=7)
        axes.set_title("Load of each data center", loc="left", fontsize=9, color=_INK)
        bar = axes.figure.colorbar(self._image, ax=axes, pad=0.01, aspect=14)
        bar.set_label("% of capacity", fontsize=7)
        bar.ax.tick_params(labelsize=7)
        _plain(axes)
        self._moves(self._image)

    def update(self) -> bool:
        full = self.film.setting.fleet.capacity
        for t in range(self._drawn, len(self.film.loads)):
            self._share[:, t] = 100 * self.film.loads[t][self.index] / np.where(full > 0, full, 1.0)
        self._drawn = len(self.film.loads)
        self._image.set_data(self._share)
        return False


class _Objective(_Panel):
    def __init__(self, axes: Any, film: Film, index: int) -> None:
        super().__init__(axes, film, index)
        (self._played,) = axes.plot([], [], color=_PEAK, lw=1.6, label="this policy")
        self._moves(self._played)
        self._expert: Any = None
        if film.core.expert_objective is not None:
            (self._expert,) = axes.plot([], [], color=_EXPERT, lw=1.3, ls="--", label="expert")
            axes.legend(fontsize=7, frameon=False, loc="upper left")
            self._moves(self._expert)
        axes.set_xlim(0, film.setting.horizon)
        axes.set_title("Objective so far (thousand US$)", loc="left", fontsize=9, color=_INK)
        axes.set_xlabel("slot", fontsize=8)
        _plain(axes)

    def update(self) -> bool:
        low = high = 0.0
        paths = [(self._played, self.film.objective), (self._expert, self.film.expert)]
        for line, values in paths[: 1 + (self._expert is not None)]:
            path = np.array([value[self.index] for value in values]) / 1e3
            line.set_data(np.arange(1, len(path) + 1), path)
            low, high = min(low, *path, 0.0), max(high, *path, 0.0)
        return not self._fits("y", low, high)


class _Footprint(_Panel):
    def __init__(self, axes: Any, film: Film, index: int, kind: int) -> None:
        super().__init__(axes, film, index)
        self._kind, regions = kind, film.setting.fleet.regions
        self._bars = axes.barh(range(len(regions)), np.zeros(len(regions)), color=_BAR, height=0.72)
        self._mean = axes.axvline(0.0, color=_GREY, lw=1, ls=":")
        self._label = axes.text(
            0, 0, "", ha="right", va="center", fontsize=7, color="white", clip_on=True
        )
        axes.set_yticks(range(len(regions)), regions, fontsize=7)
        axes.set_ylim(len(regions) - 0.4, -0.6)
        name = film.setting.objective.footprints[kind]
        title = f"{title_of(name)} so far, by region ({unit_of(name)}; dotted: mean)"
        axes.set_title(title, loc="left", fontsize=9, color=_INK)
        _plain(axes)
        self._moves(*self._bars, self._mean, self._label)

    def update(self) -> bool:
        S = self.film.core.state.footprint[self.index, self._kind]
        peak, mean = int(S.argmax()), float(S.mean())
        for r, bar in enumerate(self._bars):
            bar.set_width(S[r])
            bar.set_color(_PEAK if r == peak and S[r] > 0 else _BAR)
        self._mean.set_xdata([mean, mean])
        self._mean.set_visible(S[peak] > 0)
        self._label.set_position((S[peak], peak))
        self._label.set_text(f"max: {S[peak] / mean:.2f} x mean " if S[peak] > 0 else "")
        return not self._fits("x", float(S.min()), float(S.max()))


def _round(most: float) -> float:
    """The next of 1, 2, 5, 10, …; 0 for what is not above it."""
    if most <= 0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(most))
    return float(power * next(step for step in (1.0, 2.0, 5.0, 10.0, 20.0) if step * power >= most))


def _plain(axes: Any) -> None:
    axes.tick_params(labelsize=7, length=2, colors=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
