"""Further files in the structure of real exports: the right value, or a sentence to act on.

Each case is a file made here; what is right was worked out by hand or with ``zoneinfo``, never with
the reader's own code.
"""

import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from equiload.envs import DataError
from equiload.envs.data.table import RegionTable, read_table

DOLLARS = {"column": "v", "unit": "US$/MWh", "time": "t"}
UTC_DOLLARS = DOLLARS | {"time_zone": "UTC"}


def read(folder: Path, kind: str, options: dict, content: str | bytes, **top) -> RegionTable:
    """Region Here, whose ``kind`` is read with ``options`` from a file of this content."""
    name = options.get("file", "x.csv")
    if isinstance(name, str) and "*" not in name:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    others = {"price": 50, "carbon": 0.3, "demand": {"constant": 0.5, "unit": "share"}}
    if kind in ("mix", "carbon"):
        del others["carbon"]
    entry = {"file": name} | options
    world = {"equity_weight": {"carbon": 1000}, "regions": {"Here": others | {kind: entry}}} | top
    YAML().dump(world, folder / "world.yaml")
    return read_table(folder / "world.yaml")[1][0]


def values(region: RegionTable, kind: str = "price") -> list[tuple[str, float]]:
    """UTC starts and values of a column as read."""
    (column,) = region.columns[kind]
    pairs = zip(column.starts.tolist(), column.values.tolist(), strict=True)
    return [(f"{start:%Y-%m-%d %H:%M}", round(value, 6)) for start, value in pairs]


def utc(zone: str, text: str, fold: int = 0) -> str:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return f"{local.astimezone(UTC):%Y-%m-%d %H:%M}"


def clock(zone: str, day: str, hours: int, step: int = 60) -> list[datetime]:
    """Local times, aware, from midnight of a day on, ``step`` minutes of real time apart."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    count = hours * 60 // step
    return [(start + timedelta(minutes=step * k)).astimezone(ZoneInfo(zone)) for k in range(count)]


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def hourly(*cells: object, start: str = "2024-05-01", head: str = "t,v", sep: str = ",") -> str:
    first = datetime.fromisoformat(start)
    lines = [head]
    lines += [f"{first + timedelta(hours=k):%Y-%m-%d %H:%M}{sep}{c}" for k, c in enumerate(cells)]
    return "\n".join(lines) + "\n"


def refusal(folder: Path, kind: str, options: dict, content: str | bytes, **top) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, kind, options, content, **top)
    text = str(caught.value)
    assert text.isprintable(), text
    assert len(text) < 700, text
    return text
