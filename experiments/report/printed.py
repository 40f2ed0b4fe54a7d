"""Charts on paper: figures of a column's width, as the screen shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from equiload.experiments.report.charts import Bars, Bubbles, Chart, Heat, Line, Panel, Scale
from equiload.experiments.running.files import replacing
from equiload.experiments.worlds.land import coastlines
from equiload.experiments.worlds.lettering import lettering

#: Inches, the width of a column in two-column proceedings.
COLUMN = 3.5
#: Dots an inch of pictures: a column is wide enough to read on a screen.
DOTS = 300
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_STYLE: Any = {
    "axes.linewidth": 0.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 7,
    "figure.dpi": DOTS,
    "font.size": 6.5,
    "legend.columnspacing": 1.2,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "path.simplify_threshold": 0.7,  # points: coastlines have more detail than print can show
    "savefig.bbox": None,  # a column is a column
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
}
_MOST_TICKS = 12
_BUBBLE = 9.0  # points, diameter of the largest


def write_column(chart: Chart, path: Path, endings: Sequence[str] = ("svg", "pdf")) -> None:
    """Write a chart in each format; ``path`` has no ending."""
    with mpl.rc_context(_STYLE), lettering():
        figure = column_figure(chart)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out: all files keep it
        for ending in endings:
            with replacing(path.with_name(f"{path.name}.{ending}")) as draft:
                figure.savefig(draft)


def column_figure(chart: Chart) -> Figure:
    """Draw a chart: one panel to a line, or two where there are more than two."""
    with mpl.rc_context(_STYLE), lettering():
        across = 1 if len(chart.panels) == 1 else 2
        down = -(-len(chart.panels) // across)
        legend = [_handle(entry) for entry in chart.legend() if not isinstance(entry, Scale)]
        columns = _legend_columns([str(handle.get_label()) for handle in legend])
        height = (2.0 if across == 1 else 1.25) * _aspect(chart.panels[0]) * down
        size = (COLUMN, height + 0.16 * -(-len(legend) // columns) + 0.15)
        figure = Figure(figsize=size, layout="constrained")
        x_is_one, y_is_one = _shared(chart)
        grid = figure.subplots(down, across, squeeze=False, sharex=x_is_one, sharey=y_is_one)
        for number, axes in enumerate(grid.ravel()):
            if number >= len(chart.panels):
                axes.set_visible(False)
                continue
            _panel(axes, chart.panels[number])
            lowest = number + across >= len(chart.panels)
            axes.tick_params(labelbottom=lowest or not x_is_one)
            if not lowest:
                axes.set_xlabel("")
            if y_is_one and number % across:
                axes.tick_params(labelleft=False)
                axes.set_ylabel("")
        for axes, panel in zip(grid.flat, chart.panels, strict=False):
            _turn_names(axes, panel)  # when all are there: axes that share ticks make them anew
        if legend:
            figure.legend(handles=legend, loc="outside upper center", ncols=columns)
        for scale in (entry for entry in chart.legend() if isinstance(entry, Scale)):
            _colour_bar(figure, list(grid.ravel()), scale)
        return figure


def _panel(axes: Axes, panel: Panel) -> None:
    bubbles = isinstance(panel.marks[0], Bubbles)
    axes.set_title(panel.title + (f" ({panel.note})" if bubbles else ""))
    if panel.note and not bubbles:
        axes.text(0.04, 0.96, panel.note, va="top", fontsize=5.5, transform=axes.transAxes)
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y)
    beside = [mark for mark in panel.marks if isinstance(mark, Bars) and mark.base is None]
    for mark in panel.marks:
        match mark:
            case Line():
                _line(axes, mark)
            case Bars():
                place = (beside.index(mark), len(beside)) if mark in beside else (0, 1)
                _bars(axes, mark, *place)
            case Heat():
                _heat(axes, mark)
            case Bubbles():
                _bubbles(axes, mark)
    if panel.y_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if panel.y_range is not None:
        axes.set_ylim(panel.y_range)
    first = panel.marks[0]
    if not isinstance(first, Bubbles | Heat) and isinstance(first.x, list):
        counted = all(name.isdigit() for name in first.x)  # hours of the day; of names, every one
        every = -(-len(first.x) // _MOST_TICKS) if counted else 1
        axes.set_xticks(range(0, len(first.x), every), first.x[::every])


def _turn_names(axes: Axes, panel: Panel) -> None:
    first = panel.marks[0]
    if not isinstance(first, Bubbles | Heat) and isinstance(first.x, list):
        axes.tick_params(axis="x", labelrotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _line(axes: Axes, mark: Line) -> None:
    x = np.arange(len(mark.x)) if isinstance(mark.x, list) else mark.x
    axes.plot(x, mark.y, **_look(mark))
    if mark.low is not None:
        axes.fill_between(x, mark.low, mark.high, color=mark.colour, alpha=0.15, lw=0)


def _bars(axes: Axes, mark: Bars, number: int, count: int) -> None:
    """One of so many that stand side by side."""
    width = 0.8 / count
    x = np.arange(len(mark.x)) + (number - (count - 1) / 2) * width
    whiskers = None
    if mark.low is not None and mark.high is not None:
        whiskers = np.stack([mark.y - mark.low, mark.high - mark.y])
    style: dict[str, Any] = {"color": mark.colour, "error_kw": {"lw": 0.6}, "yerr": whiskers}
    axes.bar(x, mark.y, width, bottom=0.0 if mark.base is None else mark.base, **style)


def _heat(axes: Axes, mark: Heat) -> None:
    axes.imshow(mark.z, aspect="auto", **_shades(mark.scale))
    every = max(1, len(mark.x) // 4)
    axes.set_xticks(range(0, len(mark.x), every), list(mark.x)[::every])
    axes.set_yticks(range(len(mark.y)), list(mark.y), fontsize=4.5)


def _bubbles(axes: Axes, mark: Bubbles) -> None:
    coast = coastlines()
    axes.plot(coast[:, 0], coast[:, 1], color="0.7", lw=0.25)
    order = np.argsort(-mark.size)
    axes.scatter(
        mark.location[order, 1],
        mark.location[order, 0],
        s=mark.size[order] / mark.largest * _BUBBLE**2,
        c=mark.value[order],
        **_shades(mark.scale),
        edgecolors="white",
        linewidths=0.3,
    )
    axes.set(xlim=(-172, 190), ylim=(-56, 80), xticks=[], yticks=[], aspect=1.25)
    axes.spines[:].set_visible(False)


def _look(line: Line) -> dict[str, Any]:
    return {
        "color": line.colour,
        "lw": 0.6 * line.width,
        "ls": _DASHES[line.dash],
        "marker": "o" if line.marks else None,
        "ms": 2,
        "drawstyle": "steps-post" if line.step else "default",
    }


def _handle(entry: Line | Bars) -> Line2D | Patch:
    if isinstance(entry, Line):
        return Line2D([], [], label=entry.label, **_look(entry))
    return Patch(color=entry.colour, label=entry.label)


def _colour_bar(figure: Figure, axes: list[Axes], scale: Scale) -> None:
    mappable = mpl.cm.ScalarMappable(**_shades(scale))
    bar = figure.colorbar(mappable, ax=axes, location="top", aspect=50, fraction=0.03, pad=0.01)
    bar.set_ticks([scale.low, scale.high], labels=list(scale.ends))
    bar.set_label(scale.label)
    bar.outline.set_visible(False)


def _shades(scale: Scale) -> dict[str, Any]:
    colours = LinearSegmentedColormap.from_list(scale.label, scale.colours)
    return {"cmap": colours, "norm": Normalize(scale.low, scale.high)}


def _aspect(panel: Panel) -> float:
    first = panel.marks[0]
    if isinstance(first, Bubbles):
        return 0.72
    if isinstance(first, Heat):
        return max(1.0, len(first.y) / 12)
    return 1.4 if isinstance(first, Bars) else 1.0


def _shared(chart: Chart) -> tuple[bool, bool]:
    """Do all panels have the same values on their horizontal axis, and on their vertical one?"""
    x = {(panel.x, *_reach(panel)) for panel in chart.panels}
    return len(x) == 1, len({(panel.y, panel.y_range) for panel in chart.panels}) == 1


def _reach(panel: Panel) -> tuple[Any, ...]:
    """Names on the horizontal axis, or where its numbers begin and end; of maps nothing."""
    first = panel.marks[0]
    if isinstance(first, Bubbles):
        return ()
    return tuple(first.x) if isinstance(first.x, list) else (min(first.x), max(first.x))


def _legend_columns(labels: Sequence[str]) -> int:
    """As many columns as are not wider than the page: a letter has about 3.1 points."""
    widest = 28 + 3.1 * max(map(len, labels), default=0)
    return int(np.clip(72 * COLUMN // widest, 1, 3))
