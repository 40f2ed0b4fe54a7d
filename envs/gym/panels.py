"""Panels of an episode's picture: what moves in each is an artist that is brought up to date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from equiload.envs.footprints import title_of, unit_of
from equiload.envs.gym.film import Film
from equiload.envs.typing import FloatArray

INK, GREY, PEAK, BAR, EXPERT = "#222222", "#8a8a8a", "#c8502d", "#9db8c9", "#3b6f8f"
# Pixels by which lines and their ends reach beyond what is measured, at most.
_STROKE = 2
_SOLAR, _BATTERY = "#e9b949", "#5f9e74"
_WAITING = ("#f0c9a8", "#dd8f5f", "#b9512f", "#7e2f1d")


#: A panel that is still to get its axes.
PanelOf: TypeAlias = Callable[[Any], "Panel"]


def maps_of(film: Film, index: int) -> list[PanelOf]:
    """What each data center does over time: its load, and what is on and stored."""
    fleet = film.setting.fleet
    full = np.where(fleet.capacity > 0, fleet.capacity, 1.0)
    per_cent = partial(partial, Shares, film=film, index=index, unit="% of capacity")
    maps: list[PanelOf] = [
        per_cent(
            title="Load of each data center",
            cmap="cividis",
            whole=full,
            read=lambda t: film.loads[t][index],
        )
    ]
    if fleet.servers is not None:
        maps.append(
            per_cent(
                title="Servers that are on",
                cmap="cividis",
                whole=full,
                read=lambda t: film.levels[t].on[index],
            )
        )
    if fleet.storage is not None:
        energy = fleet.storage.energy
        maps.append(
            per_cent(
                title="Stored in batteries",
                unit="% of what fits",
                cmap="viridis",
                whole=np.where(energy > 0, energy, np.nan),
                read=lambda t: film.levels[t].stored[index],
            )
        )
    return maps


def stacks_of(film: Film, index: int) -> list[PanelOf]:
    """What the fleet comes to over time: energy by its source, and training work that waits."""
    setting, fleet, storage = film.setting, film.setting.fleet, film.setting.fleet.storage
    stack, stacks = partial(partial, Stack, film=film, index=index), list[PanelOf]()
    drawn = float((fleet.capacity * fleet.pue).sum())
    sources = {"generation": _SOLAR} if "generation" in setting.sites else {}
    sources |= {"discharge": _BATTERY} if storage is not None else {}
    if sources:
        fields = ["grid", *sources]
        names = {"grid": "grid", "generation": "on-site", "discharge": "batteries"}

        def supplied(t: int) -> list[float]:
            return [float(getattr(film.operations[t], name)[index].sum()) for name in fields]

        colors = {names[name]: color for name, color in {"grid": BAR, **sources}.items()}
        most = 0.5 * drawn
        stacks.append(stack(title="Energy (MWh)", colors=colors, most=most, read=supplied))
    if fleet.training is not None:
        classes = fleet.training.classes
        shades = (_WAITING[::-1] * len(classes))[: len(classes)]
        stacks.append(
            stack(
                title="Work that waits (MWh)",
                colors=dict(zip(classes, shades, strict=True)),
                most=0.4 * drawn,
                read=lambda t: film.levels[t].waiting[index],
            )
        )
    return stacks


class Panel(ABC):
    """One panel of a picture: what moves in it, and where it has to be drawn anew as a whole."""

    def __init__(self, axes: Any, film: Film, index: int) -> None:
        self.axes, self.film, self.index = axes, film, index
        self.moving: list[Any] = []
        self._ends: dict[str, tuple[float, float]] = {}

    @abstractmethod
    def update(self) -> bool:
        """Bring what moves up to date; true where an axis had to grow."""

    def measure(self) -> None:
        """Note where the panel has ink, moving or not."""
        height, box = self.axes.figure.bbox.height, self.axes.get_tightbbox().padded(_STROKE)
        left, right = max(int(box.x0), 0), int(box.x1) + 1
        top, bottom = max(int(height - box.y1), 0), int(height - box.y0) + 1
        self._ink = slice(top, bottom), slice(left, right)

    def redraw(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Draw the whole panel anew in place of what it was: ``pixels`` are the canvas's."""
        pixels[self._ink] = 255
        self.axes.draw(self.axes.figure.canvas.get_renderer())

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


class Shares(Panel):
    """A share of each data center over time, in per cent of ``whole [N]``; ``read`` one slot's."""

    def __init__(
        self,
        axes: Any,
        film: Film,
        index: int,
        *,
        title: str,
        unit: str,
        cmap: str,
        whole: FloatArray,
        read: Callable[[int], FloatArray],
    ) -> None:
        super().__init__(axes, film, index)
        fleet, T = film.setting.fleet, film.setting.horizon
        self._share = np.full((len(fleet.datacenters), T), np.nan)
        self._whole, self._read, self._drawn = whole, read, 0
        box = (0, T, len(fleet.datacenters) - 0.5, -0.5)
        self._image = axes.imshow(
            self._share, aspect="auto", cmap=cmap, vmin=0, vmax=100, interpolation="none",
            extent=box,
        )  # fmt: skip
        axes.set_yticks(range(len(fleet.datacenters)), fleet.datacenters, fontsize=7)
        axes.set_title(title, loc="left", fontsize=9, color=INK)
        bar = axes.figure.colorbar(self._image, ax=axes, pad=0.01, aspect=14)
        bar.set_label(unit, fontsize=7)
        bar.ax.tick_params(labelsize=7)
        _plain(axes)
        self._moves(self._image)

    def update(self) -> bool:
        """See :class:`Panel`."""
        for t in range(self._drawn, len(self.film.loads)):
            self._share[:, t] = 100 * self._read(t) / self._whole
        self._drawn = len(self.film.loads)
        self._image.set_data(self._share)
        return False


class Stack(Panel):
    """What adds up over time, as areas on top of each other.

    ``colors`` by name, from the bottom; ``read`` one slot's amounts in that order; ``most``: what
    the axis holds at least.
    """

    def __init__(
        self,
        axes: Any,
        film: Film,
        index: int,
        *,
        title: str,
        colors: Mapping[str, str],
        most: float,
        read: Callable[[int], Sequence[float]],
    ) -> None:
        from matplotlib.patches import Polygon

        super().__init__(axes, film, index)
        self._total = np.zeros((len(colors), film.setting.horizon))
        self._read, self._most, self._drawn = read, most, 0
        areas = [
            Polygon(np.zeros((1, 2)), color=color, label=name, lw=0)
            for name, color in colors.items()
        ]
        # Each reaches to the ground, so the highest is drawn first.
        self._areas = [axes.add_patch(area) for area in reversed(areas)]
        axes.legend(
            handles=areas, fontsize=7, frameon=False, ncols=len(areas), loc="lower right",
            bbox_to_anchor=(1.0, 0.98), borderaxespad=0.0, handlelength=1.0, columnspacing=1.0,
        )  # fmt: skip
        axes.set_xlim(0, film.setting.horizon)
        axes.set_title(title, loc="left", fontsize=9, color=INK)
        _plain(axes)
        self._moves(*self._areas)

    def update(self) -> bool:
        """See :class:`Panel`."""
        for t in range(self._drawn, len(self.film.loads)):
            self._total[:, t] = np.cumsum(self._read(t))
        self._drawn = t = len(self.film.loads)
        x = np.repeat(np.arange(t + 1), 2)
        for area, total in zip(self._areas, self._total[::-1, :t], strict=True):
            area.set_xy(np.column_stack([x, np.r_[0.0, np.repeat(total, 2), 0.0]]))
        return not self._fits("y", 0.0, max(self._most, float(self._total[-1].max())))


class ObjectiveSoFar(Panel):
    """The objective, and an expert's beside it."""

    def __init__(self, axes: Any, film: Film, index: int) -> None:
        super().__init__(axes, film, index)
        (self._played,) = axes.plot([], [], color=PEAK, lw=1.6, label="this policy")
        self._moves(self._played)
        self._expert: Any = None
        if film.core.expert_objective is not None:
            (self._expert,) = axes.plot([], [], color=EXPERT, lw=1.3, ls="--", label="expert")
            axes.legend(fontsize=7, frameon=False, loc="upper left")
            self._moves(self._expert)
        axes.set_xlim(0, film.setting.horizon)
        axes.set_title("Objective so far (thousand US$)", loc="left", fontsize=9, color=INK)
        _plain(axes)

    def update(self) -> bool:
        """See :class:`Panel`."""
        low = high = 0.0
        paths = [(self._played, self.film.objective), (self._expert, self.film.expert)]
        for line, values in paths[: 1 + (self._expert is not None)]:
            path = np.array([value[self.index] for value in values]) / 1e3
            line.set_data(np.arange(1, len(path) + 1), path)
            low, high = min(low, *path, 0.0), max(high, *path, 0.0)
        return not self._fits("y", low, high)


class Footprint(Panel):
    """What a kind of footprint has come to in each region."""

    def __init__(self, axes: Any, film: Film, index: int, kind: int) -> None:
        from matplotlib.collections import PolyCollection

        super().__init__(axes, film, index)
        self._kind, regions = kind, film.setting.fleet.regions
        # One artist for all bars: many are slow to draw.
        self._bars = PolyCollection([], linewidths=1.0)
        self._edges = np.arange(len(regions))[:, None] + np.array([-0.36, -0.36, 0.36, 0.36])
        axes.add_collection(self._bars, autolim=False)
        self._mean = axes.axvline(0.0, color=GREY, lw=1, ls=":")
        self._label = axes.text(
            0, 0, "", ha="right", va="center", fontsize=7, color="white", clip_on=True
        )
        axes.set_yticks(range(len(regions)), regions, fontsize=7)
        axes.set_ylim(len(regions) - 0.4, -0.6)
        name = film.setting.objective.footprints[kind]
        title = f"{title_of(name)} so far, by region ({unit_of(name)}; dotted: mean)"
        axes.set_title(title, loc="left", fontsize=9, color=INK)
        _plain(axes)
        self._moves(self._bars, self._mean, self._label)

    def update(self) -> bool:
        """See :class:`Panel`."""
        S = self.film.core.state.footprint[self.index, self._kind]
        peak, mean = int(S.argmax()), float(S.mean())
        widths = S[:, None] * np.array([0.0, 1.0, 1.0, 0.0])
        self._bars.set_verts(list(np.stack([widths, self._edges], axis=-1)))
        self._bars.set_color([PEAK if r == peak and S[r] > 0 else BAR for r in range(len(S))])
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
    axes.tick_params(labelsize=7, length=2, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
