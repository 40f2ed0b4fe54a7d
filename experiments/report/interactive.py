"""Panels for the screen: plotly's data and layout. Colours of text and axes are the page's."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go

from equiload.experiments.report.charts import NEUTRAL, Bars, Bubbles, Heat, Line, Panel, Scale
from equiload.experiments.worlds.land import coastlines

#: Diameter in pixels of the map's largest bubble.
_BUBBLE = 26
#: Letters of a label that needs no turning.
_SHORT = 5
_AXIS: dict[str, Any] = {"zeroline": False, "automargin": True, "title": {"standoff": 6}}


def coastline() -> dict[str, Any]:
    """Return the trace that lies under every map; the page holds it once."""
    points = coastlines()
    outline = go.Scatter(
        x=points[:, 0].round(1),
        y=points[:, 1].round(1),
        mode="lines",
        fill="toself",
        fillcolor="rgba(138,143,152,0.16)",
        line={"color": "rgba(138,143,152,0.55)", "width": 0.7},
        hoverinfo="skip",
        showlegend=False,
    )
    return cast("dict[str, Any]", outline.to_plotly_json())


def figure(panel: Panel) -> dict[str, Any]:
    """Return a panel's ``data`` and ``layout``; on maps the page puts the coastline first."""
    maps = any(isinstance(mark, Bubbles) for mark in panel.marks)
    drawn = go.Figure([*_bands(panel), *map(_trace, panel.marks)], _layout(panel))
    return {**drawn.to_plotly_json(), "map": maps}


def _bands(panel: Panel) -> list[go.Scatter]:
    """The bands of lines, to lie below them."""
    return [
        go.Scatter(
            x=np.concatenate([_short(mark.x), _short(mark.x)[::-1]]),
            y=np.concatenate([_short(mark.high), _short(mark.low)[::-1]]),
            fill="toself",
            fillcolor=mark.colour,
            opacity=0.15,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
        )
        for mark in panel.marks
        if isinstance(mark, Line) and mark.low is not None
    ]


def _layout(panel: Panel) -> go.Layout:
    layout = go.Layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12},
        margin={"l": 8, "r": 10, "t": 8, "b": 8},
        showlegend=False,
        hovermode="closest",
        barmode="group",
        bargroupgap=0.08,
        xaxis={**_AXIS, "title.text": _text(panel.x)},
        yaxis={**_AXIS, "title.text": _text(panel.y)},
    )
    if panel.y_log:
        layout.yaxis.type = "log"
    if panel.y_range is not None:
        layout.yaxis.range = list(panel.y_range)
    first = panel.marks[0]
    if isinstance(first, Bubbles):
        hidden = {"visible": False, "title.text": "", "fixedrange": False}
        layout.xaxis = {**hidden, "range": [-172, 190], "constrain": "domain"}
        layout.yaxis = {**hidden, "range": [-56, 80], "scaleanchor": "x", "scaleratio": 1.25}
        layout.margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    elif isinstance(first, Heat):
        layout.yaxis.update(autorange="reversed", showgrid=False, ticks="", dtick=1)
        layout.xaxis.update(type="category", showgrid=False, tickangle=0, nticks=8)
    elif isinstance(first.x, list):
        turned = max(map(len, first.x)) > _SHORT
        layout.xaxis.update(type="category", showgrid=False, tickangle=-35 if turned else 0)
    return layout


def _trace(mark: Any) -> Any:
    makers: dict[type, Callable[[Any], Any]]
    makers = {Line: _line, Bars: _bars, Heat: _heat, Bubbles: _bubbles}
    return makers[type(mark)](mark)


def _line(mark: Line) -> go.Scatter:
    words = isinstance(mark.x, list)
    point = "%{x}: %{y:.5~g}" if words else "%{x:.5~g}, %{y:.5~g}"
    shape = "hv" if mark.step else "linear"
    named = "" if words or mark.names is None else "%{text}<br>"
    return go.Scatter(
        name=_text(mark.label),
        x=_texts(mark.x) if words else _short(mark.x),
        y=_short(mark.y),
        text=_text(mark.names) if isinstance(mark.names, str) else _texts(mark.names),
        mode="lines+markers" if mark.marks else "lines",
        line={"color": mark.colour, "width": mark.width, "dash": mark.dash, "shape": shape},
        marker={"size": 7},
        hovertemplate=f"{named}{point}<extra>%{{fullData.name}}</extra>",
    )


def _bars(mark: Bars) -> go.Bar:
    whiskers = None
    if mark.low is not None and mark.high is not None:
        whiskers = {"array": mark.high - mark.y, "arrayminus": mark.y - mark.low, "thickness": 1.2}
    return go.Bar(
        name=_text(mark.label),
        x=_texts(mark.x),
        y=mark.y,
        base=mark.base,
        offsetgroup="stack" if mark.base is not None else None,
        marker={"color": mark.colour},
        error_y={**whiskers, "color": NEUTRAL} if whiskers else None,
        customdata=mark.y,
        hovertemplate="%{x}: %{customdata:.4~g}<extra>%{fullData.name}</extra>",
    )


def _heat(mark: Heat) -> go.Heatmap:
    return go.Heatmap(
        x=list(mark.x),
        y=_texts(mark.y),
        z=mark.z,
        zmin=mark.scale.low,
        zmax=mark.scale.high,
        colorscale=_steps(mark.scale),
        showscale=False,
        hovertemplate="%{y}, %{x}:00 UTC: %{z:.0%}<extra></extra>",
    )


def _bubbles(mark: Bubbles) -> go.Scatter:
    order = np.argsort(-mark.size)
    return go.Scatter(
        name=_text(mark.label),
        x=mark.location[order, 1],
        y=mark.location[order, 0],
        text=_texts(np.asarray(mark.names)[order].tolist()),
        customdata=np.stack([mark.size[order], mark.value[order]], axis=-1),
        mode="markers",
        marker={
            "size": mark.size[order],
            "sizemode": "area",
            "sizeref": mark.largest / _BUBBLE**2,
            "color": mark.value[order],
            "cmin": mark.scale.low,
            "cmax": mark.scale.high,
            "colorscale": _steps(mark.scale),
            "opacity": 0.88,
            "line": {"color": "white", "width": 1},
        },
        hovertemplate=(
            "%{text}: %{customdata[0]:.4~g}<br>%{customdata[1]:.2f} × the mean"
            "<extra>%{fullData.name}</extra>"
        ),
    )


def _steps(scale: Scale) -> list[list[Any]]:
    places = np.linspace(0, 1, len(scale.colours)).tolist()
    return [list(pair) for pair in zip(places, scale.colours, strict=True)]


def _short(values: Any) -> Any:
    """Six digits are enough to draw, and half the page, of what 32 bits can hold."""
    numbers = np.asarray(values, dtype=np.float64)
    return numbers.astype(np.float32) if (np.abs(numbers) < 1e38).all() else numbers


def _texts(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else [_text(name) for name in names]


def _text(text: str) -> str:
    """Names are names: plotly reads a little HTML, and TeX between dollars."""
    return html.escape(str(text), quote=False).replace("$", "&#36;")
