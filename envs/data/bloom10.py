"""``bloom10``: the paper's published trace, read in its authors' layout.

Ten data centers and ten gateways, 457 hourly slots from 2022-09-22 00:00 UTC, from the repository
Ren-Research/Environmentally-Equitable-AI (MIT licence). None of its files are part of equiload.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from equiload.envs.data.fleets import world_fleet
from equiload.envs.data.regions import PAPER_EQUITY_WEIGHT, PAPER_REGIONS
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance, Objective, Trace
from equiload.envs.reading import note_read
from equiload.envs.typing import FloatArray

SLOTS = 457
START = np.datetime64("2022-09-22T00", "s")
#: Watts that the workload of one gateway would draw at the capacity of one data center.
WATTS_PER_CAPACITY = 2708.0

_WORKLOAD = ("AI_workload.csv", "Power (Watt)")
_SERIES = {  # folder, ending and column as published
    "price": ("price", "Price", "Price (USD/MWh)"),
    "carbon": ("carbon", "carbon", "Carbon (kg/kWh)"),
    "water": ("water", "water", " WUE (L/kWh)"),
}
_SPELLING = {"Belgium": "Belguim"}  # in the published file names


def bloom10(
    root: str | Path,
    *,
    reachability: str = "full",
    equity_weight: Mapping[str, float] | None = None,
) -> Instance:
    """Read the paper's trace.

    Parameters
    ----------
    root
        Folder that holds ``AI_workload.csv`` and the folders ``price``, ``carbon``, ``water``.
    reachability
        ``"full"`` or the paper's ``"partial"``.
    equity_weight
        US$ per t of carbon and per m³ of water. Default: the paper's, 1500 and 60.

    Raises
    ------
    DataError
        A file that is missing or broken: the message names file, row, column, value and what was
        expected.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder, expected the published trace "
            "(AI_workload.csv and the folders price, carbon and water)"
        )
    digest = hashlib.sha256()

    def hours(file: str, column: str, minimum: float = 0.0) -> FloatArray:
        return read_hourly(root / file, column, START, SLOTS, minimum=minimum, digest=digest)

    watts = hours(*_WORKLOAD)
    series = {}
    for kind, (folder, ending, column) in _SERIES.items():
        least = -math.inf if kind == "price" else 0.0
        names = [_SPELLING.get(region, region) for region in PAPER_REGIONS]
        columns = [hours(f"{folder}/{name}_{ending}.csv", column, least) for name in names]
        series[kind] = np.stack(columns, axis=-1)
    fleet = world_fleet(PAPER_REGIONS, 1, reachability)
    return Instance(
        name="bloom10",
        fleet=fleet,
        trace=Trace(
            price=series["price"],
            intensity=np.stack([series["carbon"], series["water"]]),
            demand=np.repeat(watts[:, None] / WATTS_PER_CAPACITY, len(fleet.gateways), axis=1),
            timestamps=START + np.arange(SLOTS) * np.timedelta64(1, "h"),
            footprints=("carbon", "water"),
            provenance={"source": "bloom10", "sha256": digest.hexdigest()},
        ),
        objective=Objective(equity_weight=equity_weight or PAPER_EQUITY_WEIGHT),
    )


def read_hourly(
    path: Path,
    column: str,
    start: np.datetime64,
    slots: int,
    *,
    minimum: float = -math.inf,
    digest: hashlib._Hash | None = None,
) -> FloatArray:
    """Read the first ``slots`` hours of one column of a CSV file whose first column is the time.

    Times are UTC, written ``2022-09-22 00``. Returns ``[slots]``.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    note_read(path)
    if digest is not None:
        digest.update(content)
    rows = csv.reader(text.splitlines())
    try:
        header = next(rows, [])
        if not header:
            raise DataError(f"{path}: the file is empty, expected a column {column!r}")
        count = header.count(column)
        if count > 1:
            raise DataError(f"{path}: there are {count} columns {column!r}, expected 1")
        if not count:
            listing = ", ".join(repr(name) for name in header)
            raise DataError(f"{path}: there is no column {column!r}, found {listing}")
        values = np.empty(slots)
        for t in range(slots):
            row = next(rows, None)
            if row is None:
                raise DataError(
                    f"{path}: ends after row {t + 1}, expected {slots} hours from {start}"
                )
            place = f"{path}, row {t + 2}"  # row 1 is the header
            if len(row) != len(header):
                raise DataError(
                    f"{place}: has {len(row)} fields, expected {len(header)} as in the header"
                )
            hour = str(start + t * np.timedelta64(1, "h"))[:13].replace("T", " ")
            if row[0] != hour:
                raise DataError(f"{place}: the time is {row[0]!r}, expected {hour!r}")
            values[t] = _number(row[header.index(column)], minimum, f"{place}, column {column!r}")
    except csv.Error as error:
        raise DataError(
            f"{path}, row {max(rows.line_num, 1)}: is not a CSV file ({error})"
        ) from None
    return values


def _number(text: str, minimum: float, place: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)  # Python reads 1_000 as a number
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= minimum):
        bound = "" if math.isinf(minimum) else f" of at least {minimum:g}"
        raise DataError(f"{place}: the value is {text!r}, expected a finite number{bound}")
    return value
