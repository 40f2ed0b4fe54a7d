"""One page about an instance: its map, its series, their days, durations and correlations."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equiload.envs.errors import DataError
from equiload.envs.instance import Instance
from equiload.envs.typing import FloatArray
from equiload.experiments.worlds.land import land
from equiload.experiments.worlds.lettering import lettering

_MOST_NAMED = 16
_HEIGHT, _PER_ROW = 16 / 7.2, 3  # inches to a row's share; correlations side by side


def portrait(instance: Instance) -> Figure:
    """Draw the page. For a batch, take one of it first.

    Raises
    ------
    DataError
        For a batch, or fewer than two slots.
    """
    if instance.batch:
        raise DataError("a portrait shows one instance; take one from the batch first")
    if instance.horizon < 2:
        raise DataError("a portrait needs at least two slots")
    with lettering():
        return _page(instance)


def _page(instance: Instance) -> Figure:
    series = _series(instance)
    related = list(series)[: max(_PER_ROW, len(series) - 1)]  # demand if there is room
    last = -(-len(related) // _PER_ROW)
    heights = [1.7, *[1.0] * len(series), *[1.5] * last]
    figure = plt.figure(figsize=(13, _HEIGHT * sum(heights)), layout="constrained")
    plt.close(figure)  # the caller's now: keep it out of pyplot's list
    grid = figure.add_gridspec(len(heights), 6, height_ratios=heights)
    colours = _colours(len(instance.fleet.regions))
    _map(figure.add_subplot(grid[0, :4]), instance, colours)
    _facts(figure.add_subplot(grid[0, 4:]), instance)
    for row, (label, names, values) in enumerate(series.values(), start=1):
        week = figure.add_subplot(grid[row, :3])
        day = figure.add_subplot(grid[row, 3:5])
        duration = figure.add_subplot(grid[row, 5])
        for axes in (week, day, duration):  # one line per column
            axes.set_prop_cycle(color=_region_colours(instance, names, colours))
        _week(week, instance, label, values)
        _day(day, instance, values)
        _duration(duration, values)
    for at, kind in enumerate(related):
        label, names, values = series[kind]
        row, column = 1 + len(series) + at // _PER_ROW, 2 * (at % _PER_ROW)
        axes = figure.add_subplot(grid[row, column : column + 2])
        _correlation(axes, label, names, values)
    ends = instance.trace.timestamps[[0, -1]]
    begin, end = (str(stamp)[:16].replace("T", " ") for stamp in ends)
    figure.suptitle(f"{instance.name}  ({begin} to {end} UTC)", fontsize=15)
    return figure


def _series(instance: Instance) -> dict[str, tuple[str, tuple[str, ...], FloatArray]]:
    """Label, names and values ``[T, ·]`` of each kind of series."""
    trace, fleet = instance.trace, instance.fleet
    series = {"price": ("price, US$/MWh", fleet.datacenters, trace.price)}
    for k, kind in enumerate(trace.footprints):
        label = f"{kind}, {trace.units[k]}/MWh"
        series[kind] = (label, fleet.datacenters, trace.intensity[k])
    series["demand"] = ("demand, MWh per slot", fleet.gateways, trace.demand)
    return series


def _colours(count: int) -> list[Any]:
    if count <= 10:
        return list(plt.get_cmap("tab10").colors[:count])  # type: ignore[attr-defined]
    return [plt.get_cmap("turbo")(x) for x in np.linspace(0.03, 0.95, count)]


def _region_colours(instance: Instance, names: tuple[str, ...], colours: list[Any]) -> list[Any]:
    fleet = instance.fleet
    if names is fleet.datacenters:
        return [colours[r] for r in fleet.region_of]
    known = {name: colours[r] for r, name in enumerate(fleet.regions)}
    return [known.get(name, "0.4") for name in names]


def _map(axes: Axes, instance: Instance, colours: list[Any]) -> None:
    axes.set(xlim=(-180, 180), ylim=(-58, 80), xticks=[], yticks=[], aspect=1.25)
    for ring in land():
        axes.fill(ring[:, 0], ring[:, 1], facecolor="0.92", edgecolor="0.75", linewidth=0.5)
    fleet = instance.fleet
    if fleet.location is None:
        axes.set_title("where: the fleet gives no location")
        return
    first = np.unique(fleet.region_of, return_index=True)[1]
    counts = np.bincount(fleet.region_of)
    dot: Any = {"marker": "o", "ls": "", "mec": "k"}
    where = zip(fleet.location[first], counts, colours, strict=True)
    for (latitude, longitude), count, colour in where:
        axes.plot(longitude, latitude, color=colour, markersize=5 + 2 * count**0.5, **dot)
    named = zip(fleet.regions, counts, strict=True)
    axes.legend(
        [Line2D([], [], color=colour, **dot) for colour in colours],
        [name if count == 1 else f"{name} ({count})" for name, count in named],
        ncols=2 if len(colours) <= _MOST_NAMED else 4,
        fontsize=8 if len(colours) <= _MOST_NAMED else 6,
        loc="lower left",
        framealpha=0.9,
    )
    axes.set_title("where (coastlines: Natural Earth)")


def _facts(axes: Axes, instance: Instance) -> None:
    fleet, trace = instance.fleet, instance.trace
    used = trace.demand.sum(-1) / instance.capacity.sum(-1)
    minutes = int((trace.timestamps[1] - trace.timestamps[0]) / np.timedelta64(60, "s"))
    price = trace.price
    sizes = [len(names) for names in (fleet.datacenters, fleet.regions, fleet.gateways)]
    rows = {
        "data centers, regions, gateways": ", ".join(map(str, sizes)),
        "slots": f"{instance.horizon} of {minutes} min",
        "pairs within reach": f"{fleet.reachable.mean():.0%}",
        "capacity used: mean, highest": f"{used.mean():.0%}, {used.max():.0%}",
        "capacity that is up, mean": f"{instance.capacity.mean() / fleet.capacity.mean():.1%}",
        "price, US$/MWh: mean": f"{price.mean():.0f}",
        "lowest, highest": f"{price.min():.0f}, {price.max():.0f}",
        "slots at or below 0 US$/MWh": f"{(price <= 0).mean():.1%}",
    }
    for kind, unit, intensity in zip(trace.footprints, trace.units, trace.intensity, strict=True):
        mean, weight = intensity.mean(0), instance.objective.equity_weight[kind]
        ends = f"{mean.min():.3g}, {mean.max():.3g} {unit}/MWh"
        rows[f"{kind}: least, most region"] = ends
        rows[f"equity weight of {kind}"] = f"{weight:g} US$/{unit}"
    axes.axis("off")
    step = min(0.083, 0.913 / (len(rows) - 1))
    for at, (name, value) in enumerate(rows.items()):
        y = 0.96 - at * step
        axes.text(0.0, y, name, fontsize=9, color="0.35", transform=axes.transAxes)
        axes.text(1.0, y, value, fontsize=9, ha="right", transform=axes.transAxes)


def _week(axes: Axes, instance: Instance, label: str, values: FloatArray) -> None:
    """The first week, slot by slot."""
    stamps = instance.trace.timestamps
    shown = stamps < stamps[0] + np.timedelta64(7, "D")
    axes.plot(stamps[shown], values[shown], linewidth=0.9)
    axes.set_ylabel(label)
    axes.set_title("first week, UTC", fontsize=9)
    axes.xaxis.set_major_formatter(DateFormatter("%d %b"))  # type: ignore[no-untyped-call]
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0)
    _limit(axes, values)


def _day(axes: Axes, instance: Instance, values: FloatArray) -> None:
    """The median over all days at each hour of the day."""
    hour = (instance.trace.timestamps.astype("datetime64[h]").astype(np.int64)) % 24
    hours = np.unique(hour)
    axes.plot(hours + 0.5, [np.median(values[hour == h], axis=0) for h in hours], linewidth=1.3)
    axes.set(xlim=(0, 24), xticks=range(0, 25, 6))
    axes.set_title("median by hour of the day, UTC", fontsize=9)


def _duration(axes: Axes, values: FloatArray) -> None:
    """How much of the time a value is exceeded."""
    share = (np.arange(len(values)) + 0.5) / len(values) * 100
    axes.plot(share, np.sort(values, axis=0)[::-1], linewidth=1.0)
    axes.set(xlim=(0, 100), xticks=(0, 50, 100))
    axes.set_title("duration, % of slots", fontsize=9)
    _limit(axes, values)


def _limit(axes: Axes, values: FloatArray) -> None:
    """Cut off spikes, so that the rest can be seen."""
    low, high = np.quantile(values, [0.0005, 0.998])
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)


def _correlation(axes: Axes, label: str, names: tuple[str, ...], values: FloatArray) -> None:
    # One value throughout correlates with nothing: its deviation is rounding, or 0 / 0.
    moving = np.ptp(values, axis=0) > 1e-9 * np.abs(values).max(0)
    matrix = np.full((len(names),) * 2, np.nan)
    if moving.sum() > 1:
        matrix[np.ix_(moving, moving)] = np.corrcoef(values[:, moving].T)
    image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
    title = f"correlation of {label.partition(',')[0]} between data centers"
    if not moving.all():
        title += f"\n({int((~moving).sum())} of {len(moving)} constant, left blank)"
    axes.set_title(title, fontsize=9)
    if len(names) <= 2 * _MOST_NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_yticks(range(len(names)), names, fontsize=6)
    else:
        axes.set(xticks=[], yticks=[])
    axes.figure.colorbar(image, ax=axes, shrink=0.7)
