"""``bloom10``: the paper's published trace, read in its authors' layout.

Ten data centers and ten gateways, 457 hourly slots from 2022-09-22 00:00 UTC, from the repository
Ren-Research/Environmentally-Equitable-AI (MIT licence). None of its files are part of equiload.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from equiload.envs.data.regions import (
    PAPER_EQUITY_WEIGHT,
    PAPER_REGIONS,
    paper_distance,
    paper_location,
    paper_reachability,
)
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance, Objective, Trace
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
    name, column = _WORKLOAD
    watts = read_hourly(root / name, column, START, SLOTS, minimum=0.0, digest=digest)
    series = {
        kind: np.stack(
            [
                read_hourly(
                    root / folder / f"{_SPELLING.get(region, region)}_{ending}.csv",
                    column,
                    START,
                    SLOTS,
                    minimum=-math.inf if kind == "price" else 0.0,
                    digest=digest,
                )
                for region in PAPER_REGIONS
            ],
            axis=-1,
        )
        for kind, (folder, ending, column) in _SERIES.items()
    }
    N = len(PAPER_REGIONS)
    return Instance(
        name="bloom10",
        fleet=Fleet(
            datacenters=PAPER_REGIONS,
            gateways=PAPER_REGIONS,
            capacity=np.ones(N),
            reachable=paper_reachability(reachability),
            distance=paper_distance(),
            location=paper_location(),
        ),
        trace=Trace(
            price=series["price"],
            intensity=np.stack([series["carbon"], series["water"]]),
            demand=np.repeat(watts[:, None] / WATTS_PER_CAPACITY, N, axis=1),
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
    if digest is not None:
        digest.update(content)
    rows = csv.reader(text.splitlines())
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise DataError(f"{path}, row 1: is not a CSV file ({error})") from None
    if not header:
        raise DataError(f"{path}: the file is empty, expected a column {column!r}")
    if header.count(column) > 1:
        raise DataError(f"{path}: there are {header.count(column)} columns {column!r}, expected 1")
    if column not in header:
        found = ", ".join(repr(name) for name in header)
        raise DataError(f"{path}: there is no column {column!r}, found {found}")
    try:
        values = list(_values(path, rows, column, header, start, slots, minimum))
    except csv.Error as error:
        raise DataError(f"{path}, row {rows.line_num}: is not a CSV file ({error})") from None
    return np.array(values)


def _values(
    path: Path,
    rows: Iterator[list[str]],
    column: str,
    header: list[str],
    start: np.datetime64,
    slots: int,
    minimum: float,
) -> Iterator[float]:
    index, width = header.index(column), len(header)
    for t in range(slots):
        expected = str(start + t * np.timedelta64(1, "h"))[:13].replace("T", " ")
        row = next(rows, None)
        place = f"{path}, row {t + 2}"  # row 1 is the header
        if row is None:
            raise DataError(f"{path}: ends after row {t + 1}, expected {slots} hours from {start}")
        if len(row) != width:
            raise DataError(f"{place}: has {len(row)} fields, expected {width} as in the header")
        if row[0] != expected:
            raise DataError(f"{place}: the time is {row[0]!r}, expected {expected!r}")
        raw = row[index]
        try:
            value = math.nan if "_" in raw else float(raw)  # Python reads 1_000 as a number
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= minimum):
            bound = "" if math.isinf(minimum) else f" of at least {minimum:g}"
            raise DataError(
                f"{place}, column {column!r}: the value is {raw!r}, expected a finite number{bound}"
            )
        yield value
