"""Moments of the generator, beside those of a reference trace: tables and figures of the docs.

``python -m equiload.experiments.worlds.calibration docs [bloom10 folder]`` writes them anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from equiload.envs.data import Draw, bloom10, synthetic, world
from equiload.envs.data.grid import typical_mix
from equiload.envs.data.regions import PAPER_REGIONS, great_circle, location
from equiload.envs.instance import Trace
from equiload.envs.typing import FloatArray

#: Slots of a window, as many as the published trace has; and windows drawn.
WINDOW, WINDOWS = 457, 256
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
        "carbon": batch.intensity[:, 0],
        "water": batch.intensity[:, 1],
        "demand": batch.demand,
    }


def moment_table(made: Trace, published: Trace | None) -> str:
    """Markdown: the paper's regions, generated beside published."""
    lines = []
    units = {"price": "US$/MWh", "carbon": "t/MWh", "water": "m³/MWh", "demand": "of capacity"}
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
    for r, region in enumerate(world().values()):
        mix, _ = typical_mix(region)
        price, carbon = made.price[..., r], made.intensity[:, 0, :, r]
        lines.append(
            f"| {region.name} | {region.price:.0f} | {price.mean():.1f} | {mix:.3f} | "
            f"{carbon.mean():.3f} | {(price <= 0).mean():.1%} |"
        )
    return "\n".join(lines)


def moment_figure(made: Trace, published: Trace | None) -> Figure:
    """Correlation against distance, and means and deviations against the published trace's."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 7.2), layout="constrained")
    plt.close(figure)
    place = location(PAPER_REGIONS)
    distance = great_circle(place, place)
    pairs = np.triu_indices(len(place), 1)
    sources = [("generated, test draws", series(made), "C0", "o")]
    if published is not None:
        sources.append(("bloom10", series(published), "C1", "x"))
    for column, kind in enumerate(("price", "carbon", "water")):
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
    axes[0, 0].legend()
    return figure


def _against(axes: Axes, kind: str, made: FloatArray, published: FloatArray) -> None:
    windows = made.mean(1)
    middle = windows.mean(0)
    low, high = np.quantile(windows, 0.05, axis=0), np.quantile(windows, 0.95, axis=0)
    target = published.mean((0, 1))
    axes.errorbar(target, middle, [middle - low, high - middle], fmt="o", ms=5, capsize=2)
    ends = np.array([0.0, 1.1 * max(target.max(), high.max())])
    axes.plot(ends, ends, color="0.7", zorder=0)
    for place, r in enumerate(np.argsort(middle)):  # neighbours in height on either side
        side, align = ((5, "left"), (-5, "right"))[place % 2]
        axes.annotate(
            PAPER_REGIONS[r],
            (target[r], middle[r]),
            (side, 2),
            textcoords="offset points",
            ha=align,
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
    from equiload.experiments.data import write_whole
    from equiload.experiments.worlds.portrait import portrait

    folder, *rest = (Path(argument) for argument in arguments)
    published = bloom10(rest[0]).trace if rest else None
    made = synthetic(Draw.test(0), horizon=WINDOW, batch=WINDOWS).trace
    everywhere = synthetic(Draw.test(1), horizon=WINDOW, batch=WINDOWS, regions=len(world())).trace
    text = f"{level_table(everywhere)}\n\n{moment_table(made, published)}\n"
    write_whole(folder / "worlds_calibration.md", lambda draft: draft.write_text(text, "utf-8"))
    figure = moment_figure(made, published)
    page = portrait(synthetic(Draw.test(0)))
    write_whole(folder / "worlds_moments.png", lambda draft: _save_small(figure, draft))
    write_whole(folder / "worlds_portrait.png", lambda draft: _save_small(page, draft))


def _save_small(figure: Figure, path: Path) -> None:
    """A PNG of 256 colours: half the size, and nothing that a page would miss."""
    figure.savefig(path, dpi=80)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
