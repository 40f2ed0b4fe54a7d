"""Charts of one run's episodes: footprints over time, where the load went, the map, the slack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from equiload.envs import DataError
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
from equiload.experiments.results.history import EpisodeHistory
from equiload.experiments.results.records import InstanceRecord
from equiload.experiments.results.regions import highest

Histories = Sequence[EpisodeHistory]
#: Points of a line over time; more cannot be told apart on a panel.
POINTS = 160
_FAINT = "#b4b9c2"
_CIVIDIS = tuple(to_hex(mpl.colormaps["cividis"](x)) for x in np.linspace(0, 1, 7))


@dataclass(frozen=True, eq=False)
class RunEpisodes:
    """Histories of one run, and its instance as ``results.json`` describes it."""

    histories: Sequence[EpisodeHistory]
    instance: InstanceRecord

    def __post_init__(self) -> None:
        datacenters, kinds = tuple(self.instance.datacenters), set(self.instance.footprints)
        if any(h.datacenters != datacenters or set(h.footprint) != kinds for h in self.histories):
            raise DataError("its data centers or footprints are not those of results.json")

    @property
    def regions(self) -> list[str]:
        """``R`` names."""
        return self.instance.regions

    @cached_property
    def membership(self) -> FloatArray:
        """``[N, R]``: 1 where a data center lies in a region."""
        return self.instance.fleet().membership

    def by_reachability(self) -> Iterator[tuple[str, list[EpisodeHistory]]]:
        """Yield each reachability with its episodes."""
        for name in dict.fromkeys(history.reachability for history in self.histories):
            yield name, [history for history in self.histories if history.reachability == name]


def footprints_over_time(episodes: RunEpisodes) -> Section:
    """Cumulative regional footprints, a panel per algorithm, the highest followed."""

    def panels(kind: str, unit: str, histories: Histories) -> list[Panel]:
        totals = [h.footprint[kind].cumsum(0) @ episodes.membership for h in histories]
        top = 1.04 * max(total.max() for total in totals)
        return [
            Panel(
                title=history.algorithm,
                marks=_followed(history, total, episodes.regions),
                x="day",
                y=f"cumulative {kind}, {unit}",
                y_range=(0.0, top),
                note=f"highest: {episodes.regions[int(highest(total[-1]))]}",
            )
            for history, total in zip(histories, totals, strict=True)
        ]

    text = (
        "Every region's running footprint. The equity term charges the highest line alone; "
        "an equitable algorithm keeps it close to the mean."
    )
    charts = _by_kind(episodes, panels)
    return Section(
        key="footprints", title="Footprints over time", text=text, charts=charts, wide=False
    )


def _by_kind(
    episodes: RunEpisodes, panels: Callable[[str, str, Histories], Sequence[Panel]]
) -> list[Chart]:
    """A chart per reachability and footprint kind."""
    return [
        Chart(variant=f"{kind}, {reachability} reachability", panels=panels(kind, unit, histories))
        for reachability, histories in episodes.by_reachability()
        for kind, unit in episodes.instance.footprints.items()
    ]


def _followed(history: EpisodeHistory, total: FloatArray, regions: list[str]) -> list[Line]:
    shown = shown_slots(len(total), POINTS)
    day, lines = days_of(history)[shown], total[shown]
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


def where_the_load_went(episodes: RunEpisodes) -> Section:
    """Mean load by hour of the day and region, as a share of capacity."""
    scale = Scale(
        label="share of capacity in use", low=0, high=1, colours=_CIVIDIS, ends=("0 %", "100 %")
    )
    capacity = np.asarray(episodes.instance.capacity) @ episodes.membership
    charts = []
    for reachability, histories in episodes.by_reachability():
        panels = []
        for history in histories:
            hour = history.time.astype("datetime64[h]").astype(np.int64) % 24
            hours = np.unique(hour)
            load = history.load @ episodes.membership
            some = load < 1e6 * capacity  # a data center may have none
            share = np.divide(load, capacity, out=np.zeros_like(load), where=some)
            mean = np.stack([share[hour == h].mean(0) for h in hours], axis=1)
            cells = Heat(
                label="load", x=[f"{h:02d}" for h in hours], y=episodes.regions, z=mean, scale=scale
            )
            panels.append(Panel(title=history.algorithm, marks=[cells], x="hour of the day, UTC"))
        charts.append(Chart(variant=f"{reachability} reachability", panels=panels))
    text = "How full each region's data centers were, on average, by the hour of the day (UTC)."
    return Section(key="load", title="Where the load went", text=text, charts=charts, wide=False)


def world_map(episodes: RunEpisodes) -> Section:
    """Regions on the map: footprint as size, share of the mean as colour."""
    scale = Scale(
        label="footprint over the mean of the regions",
        low=0,
        high=2,
        colours=("#0072B2", "#56B4E9", "#c3c8cf", "#E69F00", "#D55E00"),
        ends=("0", "2 × and more"),
    )
    first = np.unique(episodes.instance.region_of, return_index=True)[1]
    location = np.asarray(episodes.instance.location)[first]

    def panels(kind: str, unit: str, histories: Histories) -> list[Panel]:
        totals = [h.footprint[kind].sum(0) @ episodes.membership for h in histories]
        bubbles = [
            Bubbles(
                label=f"{kind}, {unit}",
                names=episodes.regions,
                location=location,
                size=total,
                value=total / (total.mean() or 1.0),
                scale=scale,
                largest=float(max(map(np.max, totals))) or 1.0,
            )
            for total in totals
        ]
        return [
            Panel(title=h.algorithm, marks=[b], note=f"PAR {b.value.max():.2f}")
            for h, b in zip(histories, bubbles, strict=True)
        ]

    text = (
        "Area is a region's footprint, on one scale for all maps of a choice; colour is its share: "
        "grey carries the mean, orange more, blue less. Coastlines: Natural Earth."
    )
    charts = _by_kind(episodes, panels)
    return Section(key="map", title="Who carries it", text=text, charts=charts)


def slack_over_time(episodes: RunEpisodes) -> Section:
    """US$ that the robust layer's condition leaves in each slot."""
    panels = []
    for reachability, histories in episodes.by_reachability():
        certified = [(h, h.slack) for h in histories if h.slack is not None]
        marks = []
        for number, (history, slack) in enumerate(certified):
            shown = shown_slots(len(slack), 10 * POINTS)
            x, y = days_of(history)[shown], slack[shown]
            marks.append(Line(label=history.algorithm, x=x, y=y, **look(number)))
        if marks:
            title = f"{reachability} reachability"
            panels.append(Panel(title=title, marks=marks, x="day", y="slack, US$"))
    text = (
        "What the certificate's condition leaves before the layer must follow the expert. "
        "It is never negative while the guarantee holds."
    )
    charts = [Chart(variant="", panels=panels)]
    return Section(key="slack", title="Certificate slack", text=text, charts=charts)


def days_of(history: EpisodeHistory) -> FloatArray:
    """``[T]``: days from the first slot's beginning to each slot's end."""
    seconds = (history.time - history.time[0]).astype("timedelta64[s]").astype(np.float64)
    slot = seconds[1] if len(seconds) > 1 else 3600.0
    days: FloatArray = (seconds + slot) / 86400
    return days


def shown_slots(slots: int, most: int) -> Any:
    """Indices of at most ``most`` slots, the first and the last among them."""
    return np.unique(np.linspace(0, slots - 1, min(slots, most)).round().astype(int))
