"""An episode to look at: as text, or as a picture of loads, footprints and the objective."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from equiload.envs.errors import DataError, UsageError
from equiload.envs.gym.film import Film, text
from equiload.envs.gym.panels import Footprint, ObjectiveSoFar, Panel, PanelOf, maps_of, stacks_of
from equiload.envs.gym.written import WrittenSpec

if TYPE_CHECKING:
    from equiload.envs.gym.core import Core

_DPI = 100  # pixels per inch
_SIZE = (9.6, 5.4)  # inches: 960 x 540
_WIDE = (12.8, 7.2)  # where levels are shown, too: 1280 x 720
_WIDTHS = {False: (1.35, 1), True: (1.2, 1.05, 1)}  # of the columns, relative to each other


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
        return tuple(self._film.picture(b, Picture) for b in range(self.core.count))

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


class Picture:
    """Loads over time, cumulative regional footprints with the max marked, objective so far.

    Of a fleet with storage, training work, servers or generation also what is stored, waiting and
    on, and where the energy came from. Drawn once: from then on only what moves is drawn anew, on a
    copy of what does not, and a panel as a whole where an axis of it has become too short.
    """

    def __init__(self, film: Film, index: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        maps, stacks = maps_of(film, index), stacks_of(film, index)
        stacks.append(partial(ObjectiveSoFar, film=film, index=index))
        kinds = range(len(film.setting.objective.footprints))
        bars: list[PanelOf] = [partial(Footprint, film=film, index=index, kind=k) for k in kinds]
        wide = len(maps) + len(stacks) > 2
        over_time = [maps, stacks] if wide else [maps + stacks]
        figure = Figure(figsize=_WIDE if wide else _SIZE, dpi=_DPI, layout="constrained")
        if wide:  # room for the last number of an axis
            figure.set_layout_engine("constrained", w_pad=0.1)
        self._canvas = FigureCanvasAgg(figure)
        columns: Any = figure.subfigures(1, len(over_time) + 1, width_ratios=_WIDTHS[wide])
        self._parts: list[Panel] = []
        for column, panels in zip(columns, [*over_time, bars], strict=True):
            shared, count = panels is not bars, len(panels)
            heights = [1.0 if wide or not shared else 1.25, *[1.0] * (count - 1)]
            axes = column.subplots(count, 1, squeeze=False, height_ratios=heights, sharex=shared)
            self._parts += [panel(ax) for panel, ax in zip(panels, axes[:, 0], strict=True)]
            if shared:
                axes[-1, 0].set_xlabel("slot", fontsize=8)
        self._canvas.draw()  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")  # all is placed, whatever the episode came to so far
        self._still: Any = None

    def pixels(self) -> npt.NDArray[np.uint8]:
        """``[height, width, 3]``, of the film as it is now."""
        grown = [part for part in self._parts if part.update()]
        canvas: Any = self._canvas
        pixels = np.asarray(canvas.buffer_rgba())
        if self._still is None:
            canvas.draw()
            grown = self._parts
        else:
            canvas.restore_region(self._still)
            for part in grown:
                part.redraw(pixels)
        if grown:
            self._still = canvas.copy_from_bbox(canvas.figure.bbox)
        for part in grown:
            part.measure()
        for part in self._parts:
            for artist in part.moving:
                part.axes.draw_artist(artist)
        return pixels[..., :3].copy()
