"""Charts of what was done beside routing: where energy came from, levels, what each knob saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from equiload.envs.typing import FloatArray
from equiload.experiments.report.charts import (
    DASHES,
    NEUTRAL,
    SERIES,
    Bars,
    Chart,
    Line,
    Panel,
    Section,
)
from equiload.experiments.report.episodes import POINTS, RunEpisodes, days_of, shown_slots
from equiload.experiments.report.headline import percent
from equiload.experiments.results.history import EpisodeHistory

#: The policy that leaves knobs at their defaults: the others are put beside it.
IDLE = "eGLB"
_SOURCES = {
    "grid": ("grid", NEUTRAL),
    "generation": ("own generation", SERIES[1]),
    "discharge": ("battery", SERIES[2]),
}


def where_energy_came_from(episodes: RunEpisodes) -> Section:
    """Energy by source, by region and by the hour of the day, a panel per algorithm."""
    charts = []
    for reachability, histories in episodes.by_reachability():
        by_region, by_hour = [], []
        for history in histories:
            parts = history.supply
            if parts:
                region = {name: part.sum(0) @ episodes.membership for name, part in parts.items()}
                by_region.append((history, episodes.regions, region))
                by_hour.append((history, *_by_hour(history)))
        for way, unit, found in (("region", "MWh", by_region), ("hour", "MWh a slot", by_hour)):
            variant = f"by {way}, {reachability} reachability"
            charts += [Chart(variant=variant, panels=_sources(found, unit))] if found else []
    text = (
        "What the sites took from the grid, from their own generation and from their batteries. "
        "What batteries took stands below zero; the rest is what servers and cooling drew. Hours "
        "of the day are UTC."
    )
    return Section(key="energy", title="Where the energy came from", text=text, charts=charts)


def _by_hour(history: EpisodeHistory) -> tuple[list[str], dict[str, FloatArray]]:
    """Hours of the day, and by source the mean slot of each."""
    hour = history.time.astype("datetime64[h]").astype(np.int64) % 24
    hours = np.unique(hour)
    mean = {
        name: np.array([part[hour == one].sum(-1).mean() for one in hours])
        for name, part in history.supply.items()
    }
    return [f"{one:02d}" for one in hours], mean


def _sources(
    found: Iterable[tuple[EpisodeHistory, list[str], dict[str, FloatArray]]], unit: str
) -> list[Panel]:
    stacks = []
    for history, x, parts in found:
        base, marks = np.zeros(len(x)), list[Bars]()
        for name, (label, colour) in _SOURCES.items():
            if name in parts:
                marks.append(Bars(label=label, x=x, y=parts[name], base=base, colour=colour))
                base = base + parts[name]
        taken = np.zeros(len(x))
        if "charge" in parts:
            taken = -parts["charge"]
            marks.append(Bars(label="charged", x=x, y=taken, base=0.0 * base, colour=SERIES[4]))
        stacks.append((history.algorithm, marks, float(taken.min()), float(base.max())))
    low = min(0.0, *(1.04 * lowest for *_, lowest, _ in stacks))
    high = 1.04 * max(highest for *_, highest in stacks) or 1.0
    return [
        Panel(title=name, marks=marks, y=unit, y_range=(low, high)) for name, marks, *_ in stacks
    ]


class _Level(NamedTuple):
    """A level as a panel shows it."""

    title: str
    y: str
    #: Sums over data centers, of the fleet's capacity.
    share: bool


_LEVELS = {
    "stored": _Level("batteries", "stored, MWh", share=False),
    "waiting": _Level("training work", "waiting, MWh", share=False),
    "on": _Level("servers", "on, % of capacity", share=True),
}


def levels_over_time(episodes: RunEpisodes) -> Section:
    """What the fleet has stored, waiting and on, a panel per level, a line per algorithm."""
    capacity, charts = sum(episodes.instance.capacity) or 1.0, []
    for reachability, histories in episodes.by_reachability():
        panels = []
        for name, level in _LEVELS.items():
            marks = []
            for number, history in enumerate(histories):
                if name in history.levels:
                    values = history.levels[name]
                    total = values if values.ndim == 1 else values.sum(-1)
                    y = 100 * total / capacity if level.share else total
                    shown = shown_slots(len(y), 10 * POINTS)
                    x, label = days_of(history)[shown], history.algorithm
                    # Those that leave a knob alone lie on each other: dashes show both.
                    colour, dash = SERIES[number % len(SERIES)], DASHES[number % 2]
                    marks.append(Line(label=label, x=x, y=y[shown], colour=colour, dash=dash))
            if marks:
                top = 1.04 * max(float(mark.y.max()) for mark in marks) or 1.0
                y_range = (0.0, top)
                panels.append(
                    Panel(title=level.title, marks=marks, x="day", y=level.y, y_range=y_range)
                )
        charts += [Chart(variant=f"{reachability} reachability", panels=panels)] if panels else []
    text = (
        "What one slot leaves to the next, of the whole fleet: energy in batteries, training work "
        "that has arrived and is not done, and capacity that is on."
    )
    return Section(key="levels", title="Levels over time", text=text, charts=charts)


def with_savings(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with ``NAME_saved``: the share by which J and highest footprints lie below eGLB's.

    Of the same run and reachability: a fleet with a knob is held against itself with it idle.
    """
    if not rows["knobs"].any():
        return rows
    key = ["run", "reachability"]
    idle = rows[(rows["algorithm"] == IDLE) & (rows["knobs"] != "")].set_index(key)
    beside = idle.reindex(pd.MultiIndex.from_frame(rows[key]))
    names = ["objective", *(name for name in rows if str(name).endswith("_max"))]
    base = {name: beside[name].where(beside[name] > 0).to_numpy() for name in names}
    shares = {f"{name}_saved": 1 - rows[name] / base[name] for name in names}
    return rows.assign(**{name: share.where(np.isfinite(share)) for name, share in shares.items()})


def savings(rows: pd.DataFrame, summary: pd.DataFrame, kinds: Sequence[str]) -> Section:
    """How far below eGLB's J and highest footprints others end, by what there was to decide."""
    text = (
        f"J and the highest regional footprints below those of {IDLE} on the same fleet, where "
        "batteries idle, every server is on and work is done as soon as it fits. Whiskers are 95 % "
        "bootstrap intervals over runs, where there are several."
    )
    charts = []
    told = rows[rows["knobs"] != ""].drop_duplicates("setting").set_index("setting")["knobs"]
    sets = sorted(told, key=_order)
    if "objective_saved" in summary and len(sets) > 1 and told.is_unique:
        every = frozenset().union(*map(_split, sets))
        for reachability, here in summary.groupby("reachability", sort=False):
            wanted = {"objective": "J"} | {f"{kind}_max": f"highest {kind}" for kind in kinds}
            panels = [
                _saved(here, told, name, title, {one: _label(one, every) for one in sets})
                for name, title in wanted.items()
            ]
            drawn = [panel for panel in panels if panel.marks]
            variant = f"{reachability} reachability"
            charts += [Chart(variant=variant, panels=drawn)] if drawn else []
    return Section(key="savings", title="What each knob saved", text=text, charts=charts)


def _saved(
    here: pd.DataFrame, told: pd.Series[Any], name: str, title: str, labels: dict[str, str]
) -> Panel:
    """Bars by set of knobs, of the algorithms that save anything."""
    column, marks = f"{name}_saved", list[Bars]()
    here = here[here.index.isin(told.index, level="setting")]
    for algorithm, group in here.groupby("algorithm", sort=False):
        if algorithm != IDLE and (group["objective_saved"] > 0).any():
            by_set = group.set_index(group.index.get_level_values("setting").map(told))
            low, y, high = (
                100 * by_set[c].reindex(list(labels)).to_numpy()
                for c in (f"{column}_low", column, f"{column}_high")
            )
            ends = {} if np.isnan(low).all() else {"low": low, "high": high}
            colour, x = SERIES[len(marks) % len(SERIES)], list(labels.values())
            marks.append(Bars(label=str(algorithm), x=x, y=y, colour=colour, **ends))
    return Panel(title=title, marks=marks, y=f"below {IDLE}, %")


def findings(summary: pd.DataFrame, kinds: Sequence[str]) -> Iterator[str]:
    """Yield what knobs saved at the first setting, a sentence per reachability."""
    if "objective_saved" not in summary:
        return
    setting = summary.index.get_level_values("setting")[0]
    at = f"At {setting}, with" if setting else "With"
    for reachability, group in summary.loc[[setting]].groupby("reachability", sort=False):
        online = group[~group["offline"].astype(bool)]
        if online.empty:
            continue
        best = online.loc[online["objective"].idxmin()]
        if best["objective_saved"] > 0:
            fall = {kind: best[f"{kind}_max_saved"] for kind in kinds}
            told = ", ".join(f"{kind} {percent(by)}" for kind, by in fall.items() if by > 0)
            lower = f", and the highest regional footprints lie lower, too ({told})"
            yield (
                f"{IDLE} leaves the knobs idle. {at} {reachability} reachability {best.name[-1]} "
                f"ends {percent(best['objective_saved'])} below it{lower if told else ''}."
            )


def knob_names(knobs: Iterable[str] | None) -> str:
    """What a run could decide beside routing, as one text; on-site footprints are no decision."""
    return " ".join(name for name in _KNOBS if name in (knobs or ()))


_KNOBS = ("generation", "storage", "training", "servers", "models")


def _split(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _order(names: str) -> tuple[int, list[bool]]:
    """Single ones first, all at the end, each in the order of ``_KNOBS``."""
    there = [name in _split(names) for name in _KNOBS]
    few = sum(there) <= len(_KNOBS) / 2
    return sum(there), [one != few for one in there]


def _label(names: str, every: frozenset[str]) -> str:
    mine = _split(names)
    if mine == every:
        return "all"
    if len(mine) > 1 and len(every - mine) == 1:
        return f"all but {next(iter(every - mine))}"
    return " + ".join(names.split())
