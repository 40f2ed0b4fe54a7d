"""What a chart shows, apart from who draws it: the same chart goes on the screen and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from equiload.envs.typing import FloatArray

#: Six of Okabe and Ito's colours: told apart by colour-blind readers, on white, on black, in grey.
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
#: Visible on white and on black; for means, bounds and whatever is no series of its own.
NEUTRAL = "#8a8f98"
#: What a line is made of, as both who draw on the screen and on paper know it.
DASHES = ("solid", "dash", "dot", "dashdot")


def look(number: int) -> dict[str, Any]:
    """Colour and dashes of a chart's line of that number."""
    round_, place = divmod(number, len(SERIES))
    return {"colour": SERIES[place], "dash": DASHES[round_ % 2]}


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """``y`` over ``x``, with a band from ``low`` to ``high`` where there are any.

    Equal labels share a legend entry; ``names`` are of each point, or one.
    """

    label: str
    x: Any
    y: Any
    colour: str = NEUTRAL
    width: float = 1.5
    dash: str = "solid"
    marks: bool = False
    step: bool = False
    names: Sequence[str] | str | None = None
    low: Any = None
    high: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """Bars of equal ``x`` stand side by side, or on each other when they have a ``base``."""

    label: str
    x: Sequence[str]
    y: FloatArray
    colour: str
    low: FloatArray | None = None
    high: FloatArray | None = None
    base: FloatArray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """Colours from ``low`` to ``high``, with what stands at its ends."""

    label: str
    low: float
    high: float
    colours: tuple[str, ...]
    ends: tuple[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """Cells ``z [len(y), len(x)]``."""

    label: str
    x: Sequence[str]
    y: Sequence[str]
    z: FloatArray
    scale: Scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Bubbles:
    """Places on the map of the world: area by ``size`` (``largest`` fills), colour by ``value``."""

    label: str
    names: Sequence[str]
    location: FloatArray
    size: FloatArray
    value: FloatArray
    scale: Scale
    largest: float


Mark = Line | Bars | Heat | Bubbles


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Marks on one pair of axes; ``y_log`` makes the upright one logarithmic."""

    title: str
    marks: Sequence[Mark]
    x: str = ""
    y: str = ""
    y_range: tuple[float, float] | None = None
    y_log: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """Panels that belong together. ``variant`` tells it from the other charts of its section."""

    variant: str
    panels: Sequence[Panel]

    def legend(self) -> list[Line | Bars | Scale]:
        """One mark or scale for each entry of the legend."""
        entries: dict[str, Line | Bars | Scale] = {}  # the first of each label
        for mark in (mark for panel in self.panels for mark in panel.marks):
            entry = mark if isinstance(mark, Line | Bars) else mark.scale
            entries.setdefault(entry.label, entry)
        return [entry for label, entry in entries.items() if label]

    def frame(self) -> pd.DataFrame:
        """Return what is drawn, one line per point."""
        frames = [
            _points(mark, panel).assign(panel=panel.title)
            for panel in self.panels
            for mark in panel.marks
        ]
        table = pd.concat(frames, ignore_index=True)
        return table[["panel", *table.columns.drop("panel")]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A question, how to read the answer, and its charts, of which the first is shown first."""

    key: str
    title: str
    text: str
    charts: Sequence[Chart]
    wide: bool = True


def _points(mark: Mark, panel: Panel) -> pd.DataFrame:
    x, y = panel.x or "x", panel.y or "y"
    if isinstance(mark, Bubbles):
        columns: dict[str, Any] = {"series": list(mark.names), "latitude": mark.location[:, 0]}
        columns |= {"longitude": mark.location[:, 1], mark.label: mark.size}
        return pd.DataFrame({**columns, mark.scale.label: mark.value})
    if isinstance(mark, Heat):
        row, column = np.indices(mark.z.shape).reshape(2, -1)
        names = {x: np.asarray(mark.x)[column], "region": np.asarray(mark.y)[row]}
        return pd.DataFrame({**names, mark.scale.label: mark.z.ravel()})
    drawn = {"series": mark.label, x: mark.x, y: mark.y}
    if mark.low is not None:
        drawn |= {"low": mark.low, "high": mark.high}
    if isinstance(mark, Line) and mark.names is not None:
        drawn["name"] = mark.names
    return pd.DataFrame(drawn)
