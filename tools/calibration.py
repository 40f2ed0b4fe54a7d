"""Moments of the generator beside public ones and a reference trace's: tables, figures of the docs.

``python tools/calibration.py docs [bloom10 folder]`` writes them anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from equiload.envs.data import Draw, bloom10, synthetic, world
from equiload.envs.data.grid import typical_mix
from equiload.envs.data.regions import PAPER_REGIONS, great_circle, location
from equiload.envs.footprints import unit_of
from equiload.envs.instance import Trace
from equiload.envs.typing import FloatArray
from years import (
    RANGES,
    YEARS,
    Public,
    count_within,
    generated_years,
    public_statistics,
    year_tables,
    yearly,
)

#: Slots of a window, as many as the published trace has; and windows drawn.
WINDOW, WINDOWS = 457, 256
_PAGE = """\
# Calibration

Written by `python tools/calibration.py docs BLOOM10_FOLDER`; what it says is
in [worlds.md](worlds.md#calibration).

## Whole years beside public statistics

{years} generated years of the test split ({ranges}), every region. *Public* is the lowest and the
highest of the years named. *quoted* was read off the source that
[`public_statistics.csv`](../tools/public_statistics.csv) names; *unaudited* is a range
that a maintainer wrote down from general knowledge of the source and nobody has checked. The last
column: *within*, the mean over generated years lies in the public range; *overlaps*, 5–95 % of them
meet it; else the ratio of the mean to the nearer end.

{count}
{tables}

## Levels of every region

{windows} windows of {window} hours, default ranges. *Table*: the price, and the carbon of the
typical mix consumed, of `regions.csv`.

{levels}

## Windows beside bloom10

The same windows of the default fleet; deviations and autocorrelations are within a window.
{moments}
"""
_MOMENTS = ("mean", "deviation", "lag 1", "lag 24")


def moments(values: FloatArray) -> FloatArray:
    """``[4, N]`` of ``values [B, T, N]``: mean, deviation, lag-1 and lag-24 autocorrelation.

    Deviation and autocorrelations are of one window, averaged over windows.
    """
    apart = values - values.mean(1, keepdims=True)
    variance = np.maximum((apart**2).mean(1), 1e-300)

    def lagged(lag: int) -> FloatArray:
        product = (apart[:, lag:] * apart[:, :-lag]).mean(1)
        correlation: FloatArray = (product / variance).mean(0)
        return correlation

    return np.stack([values.mean((0, 1)), np.sqrt(variance).mean(0), lagged(1), lagged(24)])


def correlations(values: FloatArray) -> FloatArray:
    """``[N, N]`` of ``values [B, T, N]``: correlation within a window, averaged over windows."""
    with np.errstate(invalid="ignore"):
        mean: FloatArray = np.nanmean([np.corrcoef(window.T) for window in values], axis=0)
    return mean


def series(trace: Trace) -> dict[str, FloatArray]:
    """``[B, T, N]`` by kind."""
    batch = trace if trace.batch else Trace.stack([trace])
    return {
        "price": batch.price,
        **{kind: batch.intensity[:, k] for k, kind in enumerate(batch.footprints)},
        "demand": batch.demand,
    }


def moment_table(made: Trace, published: Trace | None) -> str:
    """Markdown: the paper's regions, generated beside published."""
    lines = []
    units = {"price": "US$/MWh", "demand": "of capacity"}
    units |= {kind: f"{unit_of(kind)}/MWh" for kind in made.footprints}
    other = None if published is None else series(published)
    for kind, values in series(made).items():
        lines += [
            "",
            f"**{kind}**, {units[kind]}",
            "",
            f"| region | {' | '.join(_MOMENTS)} | bloom10: {' | '.join(_MOMENTS)} |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        left = moments(values)
        right = np.full(left.shape, np.nan) if other is None else moments(other[kind])
        for r, name in enumerate(PAPER_REGIONS):
            cells = [_number(x) for x in (*left[:, r], *right[:, r])]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def level_table(made: Trace) -> str:
    """Markdown: every region's mean price and carbon beside the table's."""
    lines = [
        "| region | price, table | generated | carbon, table | generated | slots ≤ 0 US$ |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    values = series(made)
    for r, region in enumerate(world().values()):
        (mix,) = typical_mix(region, ["carbon"])
        price, carbon = values["price"][..., r], values["carbon"][..., r]
        lines.append(
            f"| {region.name} | {region.price:.0f} | {price.mean():.1f} | {mix:.3f} | "
            f"{carbon.mean():.3f} | {(price <= 0).mean():.1%} |"
        )
    return "\n".join(lines)


def year_figure(made: dict[str, FloatArray], rows: list[Public]) -> Figure:
    """Public ranges as bars, generated years as points with their 5–95 %."""
    panels = [
        ("price", "relative deviation"),
        ("carbon", "mean"),
        ("carbon", "deviation"),
        ("price", "lag 24"),
        ("price", "correlation"),
    ]
    figure = plt.figure(figsize=(12, 9.5), layout="constrained")
    plt.close(figure)
    grid = figure.add_gridspec(2, 6, height_ratios=[2.4, 1])
    places = [grid[0, :2], grid[0, 2:4], grid[0, 4:], grid[1, :3], grid[1, 3:]]
    colour = {"quoted": "C1", "unaudited": "0.75"}
    for place, (series, statistic) in zip(places, panels, strict=True):
        axes = figure.add_subplot(place)
        shown = [r for r in rows if r.series == series and r.statistic.startswith(statistic)]
        for at, row in enumerate(reversed(shown)):
            middle = (row.low + row.high) / 2
            half = max((row.high - row.low) / 2, 0.004 * max(r.high for r in shown))
            axes.barh(at, 2 * half, left=middle - half, color=colour[row.obtained], height=0.7)
            values = yearly(row, made)
            low, high = np.quantile(values, (0.05, 0.95))
            axes.plot([low, high], [at, at], color="C0", linewidth=1.2)
            axes.plot(values.mean(), at, "o", color="C0", markersize=4)
        axes.set_yticks(range(len(shown)), [_label(row) for row in reversed(shown)], fontsize=7)
        axes.set_title(f"{series}: {statistic}", fontsize=10)
        axes.use_sticky_edges = False
        axes.margins(x=0.04, y=0.01)
        if statistic == "relative deviation":
            axes.set_xlim(0, 1.4)  # Australia's reaches 5, Texas's 3
    figure.legend(
        handles=[
            Patch(color="C1", label="public, quoted"),
            Patch(color="0.75", label="public, unaudited"),
            Line2D([], [], color="C0", marker="o", label="generated: mean, 5–95 % of years"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _label(row: Public) -> str:
    if row.statistic.startswith("correlation"):
        return f"{row.region}, {row.statistic.removeprefix('correlation with ')}"
    return f"{row.region}, {row.years}" if row.years == "2020" else row.region


def moment_figure(made: Trace, published: Trace | None) -> Figure:
    """Correlation against distance, and means and deviations against the published trace's."""
    kinds = ("price", *made.footprints)
    figure, axes = plt.subplots(
        2, len(kinds), figsize=(4 * len(kinds), 7.2), layout="constrained", squeeze=False
    )
    plt.close(figure)
    place = location(PAPER_REGIONS)
    distance = great_circle(place, place)
    pairs = np.triu_indices(len(place), 1)
    sources = [("generated, test draws", series(made), "C0", "o")]
    if published is not None:
        sources.append(("bloom10", series(published), "C1", "x"))
    for column, kind in enumerate(kinds):
        for label, values, colour, marker in sources:
            axes[0, column].scatter(
                distance[pairs],
                correlations(values[kind])[pairs],
                c=colour,
                marker=marker,
                s=18,
                label=label,
            )
        axes[0, column].set(
            xlabel="distance, km", title=f"{kind}: correlation between regions", ylim=(-1, 1)
        )
        axes[0, column].axhline(0, color="0.8", zorder=0)
        if published is not None:
            _against(axes[1, column], kind, series(made)[kind], series(published)[kind])
    axes[0, 0].legend(loc="lower right")
    return figure


def _against(axes: Axes, kind: str, made: FloatArray, published: FloatArray) -> None:
    windows = made.mean(1)
    middle = windows.mean(0)
    low, high = np.quantile(windows, 0.05, axis=0), np.quantile(windows, 0.95, axis=0)
    target = published.mean((0, 1))
    axes.errorbar(target, middle, [middle - low, high - middle], fmt="o", ms=5, capsize=2)
    ends = np.array([0.0, 1.1 * max(target.max(), high.max())])
    axes.plot(ends, ends, color="0.7", zorder=0)
    top = ends[1]
    axes.set(xlim=(0, top), ylim=(0, top))
    heights = np.linspace(0.04, 0.96, len(middle)) * top  # names stand apart on the right
    for height, r in zip(heights, np.argsort(middle), strict=True):
        axes.annotate(
            PAPER_REGIONS[r],
            (target[r], middle[r]),
            (1.03 * top, height),
            arrowprops={"arrowstyle": "-", "color": "0.8", "linewidth": 0.6},
            annotation_clip=False,
            va="center",
            fontsize=7,
        )
    axes.set(xlabel="mean in bloom10", ylabel="mean generated, 5–95 % of windows")
    axes.set_title(f"{kind}: level")


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.2f}"


def main(arguments: Iterable[str]) -> None:
    """Write tables and figures into a folder."""
    from equiload.experiments.running.files import write_text
    from equiload.experiments.worlds.portrait import portrait

    folder, *rest = (Path(argument) for argument in arguments)
    published = bloom10(rest[0]).trace if rest else None
    made = synthetic(Draw.test(0), horizon=WINDOW, batch=WINDOWS).trace
    everywhere = synthetic(Draw.test(1), horizon=WINDOW, batch=WINDOWS, regions=len(world())).trace
    years, public = generated_years(), public_statistics()
    text = _PAGE.format(
        years=YEARS,
        ranges=", ".join(f"`{name}` {value}" for name, value in RANGES.items()),
        count=count_within(years, public),
        tables=year_tables(years, public),
        windows=WINDOWS,
        window=WINDOW,
        levels=level_table(everywhere),
        moments=moment_table(made, published),
    )
    write_text(folder / "worlds_calibration.md", text)
    figure = moment_figure(made, published)
    yearly_figure = year_figure(years, public)
    page = portrait(synthetic(Draw.test(0)))
    _save_small(figure, folder / "worlds_moments.png")
    _save_small(yearly_figure, folder / "worlds_years.png")
    _save_small(page, folder / "worlds_portrait.png")


def _save_small(figure: Figure, path: Path) -> None:
    """A PNG of 256 colours: half the size, and nothing that a page would miss."""
    figure.savefig(path, dpi=80)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
