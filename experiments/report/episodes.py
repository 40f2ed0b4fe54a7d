"""Charts of one run's episodes: footprints over time, where the load went, the map, the slack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from equiload.envs.typing import FloatArray
from equiload.experiments.report.charts import (
    SERIES,
    Bubbles,
    Chart,
    Heat,
    Line,
    Panel,
    Scale,
    Section,
    look,
)
from equiload.experiments.results.history import History
from equiload.experiments.results.regions import highest

#: Points of a line over time; more cannot be told apart on a panel.
_POINTS = 160
_FAINT = "#b4b9c2"
_CIVIDIS = tuple(to_hex(mpl.colormaps["cividis"](x)) for x in np.linspace(0, 1, 7))


@dataclass(frozen=True, eq=False)
class Episodes:
    """Histories of one run, and its instance as ``results.json`` describes it."""

    histories: Sequence[History]
    instance: Mapping[str, Any]

    @property
    def regions(self) -> list[str]:
        """``R`` names."""
        return list(self.instance["regions"])

    @property
    def membership(self) -> FloatArray:
        """``[N, R]``: 1 where a data center lies in a region."""
        one: FloatArray = np.eye(len(self.regions))[np.asarray(self.instance["region_of"])]
        return one

    def by_reachability(self) -> Iterator[tuple[str, list[History]]]:
        """Yield each reachability with its episodes."""
        for name in dict.fromkeys(history.reachability for history in self.histories):
            yield name, [history for history in self.histories if history.reachability == name]


def footprints_over_time(episodes: Episodes) -> Section:
    """Cumulative regional footprints, a panel per algorithm, the highest followed."""
    charts = []
    for reachability, histories in episodes.by_reachability():
        for kind, unit in episodes.instance["footprints"].items():
            totals = [h.footprint[kind].cumsum(0) @ episodes.membership for h in histories]
            label = f"cumulative {kind}, {unit}"
            top = 1.04 * max(total.max() for total in totals)
            panels = [
                Panel(
                    title=history.algorithm,
                    marks=_followed(history, total, episodes.regions),
                    x="day",
                    y=label,
                    y_range=(0.0, top),
                    note=f"highest: {episodes.regions[int(highest(total[-1]))]}",
                )
                for history, total in zip(histories, totals, strict=True)
            ]
            charts.append(Chart(variant=f"{kind}, {reachability} reachability", panels=panels))
    text = (
        "Every region's running footprint. The equity term charges the highest line alone; "
        "an equitable algorithm keeps it close to the mean."
    )
    return Section(key="footprints", title="Footprints over time", text=text, charts=charts)


def _followed(history: History, total: FloatArray, regions: list[str]) -> list[Line]:
    shown = _shown(len(total), _POINTS)
    day, lines = _days(history)[shown], total[shown]
    leader = np.asarray(regions)[highest(lines)]
    return [
        *(
            Line(label="each region", x=day, y=line, colour=_FAINT, width=0.8, names=name)
            for name, line in zip(regions, lines.T, strict=True)
        ),
        Line(label="mean of the regions", x=day, y=lines.mean(1), colour=SERIES[0], dash="dash"),
        Line(
            label="the highest region",
            x=day,
            y=lines.max(1),
            colour=SERIES[5],
            width=2.2,
            names=leader.tolist(),
        ),
    ]


def where_the_load_went(episodes: Episodes) -> Section:
    """Mean load by hour of the day and region, as a share of capacity."""
    scale = Scale(
        label="share of capacity in use", low=0, high=1, colours=_CIVIDIS, ends=("0 %", "100 %")
    )
    capacity = np.asarray(episodes.instance["capacity"]) @ episodes.membership
    charts = []
    for reachability, histories in episodes.by_reachability():
        panels = []
        for history in histories:
            hour = history.time.astype("datetime64[h]").astype(np.int64) % 24
            hours = np.unique(hour)
            share = history.load @ episodes.membership / capacity
            mean = np.stack([share[hour == h].mean(0) for h in hours], axis=1)
            cells = Heat(
                label="load",
                x=[f"{h:02d}" for h in hours],
                y=episodes.regions,
                z=mean,
                scale=scale,
            )
            panels.append(Panel(title=history.algorithm, marks=[cells], x="hour of the day, UTC"))
        charts.append(Chart(variant=f"{reachability} reachability", panels=panels))
    text = "How full each region's data centers were, on average, by the hour of the day (UTC)."
    return Section(key="load", title="Where the load went", text=text, charts=charts)


def world_map(episodes: Episodes) -> Section:
    """Regions on the map: footprint as size, share of the mean as colour."""
    scale = Scale(
        label="footprint over the mean of the regions",
        low=0,
        high=2,
        colours=("#0072B2", "#56B4E9", "#c3c8cf", "#E69F00", "#D55E00"),
        ends=("0", "2 × and more"),
    )
    first = np.unique(episodes.instance["region_of"], return_index=True)[1]
    location = np.asarray(episodes.instance["location"])[first]
    charts = []
    for reachability, histories in episodes.by_reachability():
        for kind, unit in episodes.instance["footprints"].items():
            totals = [h.footprint[kind].sum(0) @ episodes.membership for h in histories]
            largest = max(total.max() for total in totals)
            panels = [
                Panel(
                    title=history.algorithm,
                    marks=[
                        Bubbles(
                            label=f"{kind}, {unit}",
                            names=episodes.regions,
                            location=location,
                            size=total,
                            value=total / (total.mean() or 1.0),
                            scale=scale,
                            largest=float(largest) or 1.0,
                        )
                    ],
                    note=f"PAR {total.max() / (total.mean() or 1.0):.2f}",
                )
                for history, total in zip(histories, totals, strict=True)
            ]
            charts.append(Chart(variant=f"{kind}, {reachability} reachability", panels=panels))
    text = (
        "Area is a region's footprint, on one scale for all maps of a choice; colour is its share: "
        "grey carries the mean, orange more, blue less. Coastlines: Natural Earth."
    )
    return Section(key="map", title="Who carries it", text=text, charts=charts, wide=True)


def slack_over_time(episodes: Episodes) -> Section:
    """US$ that the robust layer's condition leaves in each slot."""
    panels = []
    for reachability, histories in episodes.by_reachability():
        certified = [history for history in histories if history.slack is not None]
        marks = [
            Line(
                label=history.algorithm,
                x=_days(history)[_shown(len(history.time), 10 * _POINTS)],
                y=history.slack[_shown(len(history.time), 10 * _POINTS)],
                **look(number),
            )
            for number, history in enumerate(certified)
            if history.slack is not None
        ]
        if marks:
            title = f"{reachability} reachability"
            panels.append(Panel(title=title, marks=marks, x="day", y="slack, US$"))
    text = (
        "What the certificate's condition leaves before the layer must follow the expert. "
        "It is never negative while the guarantee holds."
    )
    charts = [Chart(variant="", panels=panels)]
    return Section(key="slack", title="Certificate slack", text=text, charts=charts, wide=True)


def _days(history: History) -> FloatArray:
    """``[T]``: days from the first slot's beginning to each slot's end."""
    seconds = (history.time - history.time[0]).astype("timedelta64[s]").astype(np.float64)
    slot = seconds[1] if len(seconds) > 1 else 3600.0
    days: FloatArray = (seconds + slot) / 86400
    return days


def _shown(slots: int, most: int) -> Any:
    """Indices of at most ``most`` slots, the first and the last among them."""
    return np.unique(np.linspace(0, slots - 1, min(slots, most)).round().astype(int))
