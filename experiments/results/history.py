"""What every algorithm did, slot by slot: ``history.parquet`` beside ``results.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equiload.envs import DataError, Outcome
from equiload.envs.data.tables.messages import listing
from equiload.envs.typing import FloatArray, TimeArray
from equiload.envs.validation import clock
from equiload.experiments.results.parquet import marked_parquet
from equiload.experiments.results.records import LARGEST
from equiload.experiments.results.rows import Row
from equiload.experiments.running.files import replacing

#: Version of the file's layout, in its metadata under ``equiload.schema``.
SCHEMA = 1
_MARK = b"equiload.schema"
_KIND = "footprint_"
#: Where there is more to decide than routing: where energy comes from and what batteries take, …
SUPPLY = ("grid", "generation", "discharge", "charge")
#: … and what is left behind by each slot.
LEVELS = ("stored", "on", "waiting")
_WIDTHS = (pa.float32(), pa.float64())
_TEXT = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeHistory:
    """One algorithm's episode.

    Parameters
    ----------
    algorithm, reachability
        As in ``results.json``.
    time
        ``[T]``, UTC, when each slot begins.
    datacenters
        ``N`` names.
    load
        ``[T, N]``, MWh of server energy.
    energy_cost
        ``[T, N]``, US$; what routing costs belongs to no data center and is not in it.
    footprint
        ``[T, N]`` by kind, in the kind's unit (t, m³).
    slack
        ``[T]``, US$ that the robust layer's condition leaves; None without a certificate.
    supply
        ``[T, N]`` by ``SUPPLY``, MWh, as far as the fleet has such parts; empty without any.
    levels
        ``[T, N]`` by ``LEVELS``, after each slot: MWh stored, MWh per slot of capacity that is on,
        and ``[T]``, MWh of training work that waits.
    """

    algorithm: str
    reachability: str
    time: TimeArray
    datacenters: tuple[str, ...]
    load: FloatArray
    energy_cost: FloatArray
    footprint: dict[str, FloatArray]
    slack: FloatArray | None
    supply: dict[str, FloatArray] = field(default_factory=dict)
    levels: dict[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Row) -> EpisodeHistory:
        """EpisodeHistory of one row of a comparison."""
        trace, fleet = row.outcome.instance.trace, row.outcome.instance.fleet
        return cls(
            algorithm=row.algorithm,
            reachability=row.reachability,
            time=trace.timestamps,
            datacenters=fleet.datacenters,
            load=row.outcome.load,
            energy_cost=trace.price * row.outcome.imported,
            footprint=dict(zip(trace.footprints, row.outcome.emitted, strict=True)),
            slack=None if row.certificate is None else row.certificate.slack,
            supply=_there(row.outcome.operation, SUPPLY),
            levels=_levels(row.outcome),
        )


def _there(parts: object, names: Sequence[str]) -> dict[str, FloatArray]:
    """Those of an operation's or of levels' parts that the fleet has."""
    found = {name: getattr(parts, name, None) for name in names}
    return {name: values for name, values in found.items() if values is not None}


def _levels(outcome: Outcome) -> dict[str, FloatArray]:
    levels = _there(outcome.levels, LEVELS)
    if "waiting" in levels:  # of all classes
        levels["waiting"] = levels["waiting"].sum(-1)
    return levels


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write one line per row, slot and data center; whole or not at all.

    Columns: ``algorithm``, ``reachability``, ``slot``, ``time`` (UTC), ``datacenter``, ``load``,
    ``energy_cost``, ``footprint_KIND`` …, ``slack`` (null without a certificate); then of
    ``SUPPLY`` and ``LEVELS`` what the fleet has. Numbers are rounded to 32 bits, unless they come
    near their end. Each algorithm and reachability is a row group of its own.
    """
    first = EpisodeHistory.of(rows[0])
    parts = [*first.supply, *first.levels]
    schema = _schema(rows[0].outcome.instance.trace.footprints, parts, _width(rows))
    with replacing(path) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for history in map(EpisodeHistory.of, rows):  # one at a time in memory
            writer.write_table(_table(history, schema), row_group_size=history.load.size)


def read_history(path: Path) -> Iterator[EpisodeHistory]:
    """Yield the episodes of a file, one at a time.

    Raises
    ------
    DataError
        For a file that is not a whole history of this version.
    """
    with marked_parquet(path, _MARK, SCHEMA) as file:
        found = file.schema_arrow
        kinds = [name.removeprefix(_KIND) for name in found.names if name.startswith(_KIND)]
        parts = [name for name in (*SUPPLY, *LEVELS) if name in found.names]
        if not any(found.equals(_schema(kinds, parts, width)) for width in _WIDTHS):
            raise DataError(f"its columns are {listing(found.names)}")
        for group in range(file.num_row_groups):
            yield _episode(file.read_row_group(group), kinds, parts)


def _width(rows: Sequence[Row]) -> pa.DataType:
    """64 bits where a number, slack included, may come near the end of 32."""
    trace, fleet = rows[0].outcome.instance.trace, rows[0].outcome.instance.fleet
    factor = max(1.0, float(np.abs(trace.price).max()), float(trace.intensity.max()))
    largest = factor * float((fleet.capacity * fleet.pue).max())
    if fleet.storage is not None:
        largest = max(largest, float(fleet.storage.energy.max()), float(fleet.storage.charge.max()))
    if trace.work is not None:
        largest = max(largest, float(trace.work.sum()))
    largest = max(largest, *(float(row.outcome.gross) for row in rows))
    return _WIDTHS[int(largest > 1e-8 * float(np.finfo(np.float32).max))]


def _schema(kinds: Sequence[str], parts: Sequence[str], width: pa.DataType) -> pa.Schema:
    names = {"algorithm": _TEXT, "reachability": _TEXT, "slot": pa.int32()}
    names |= {"time": pa.timestamp("ms", tz="UTC"), "datacenter": _TEXT}
    numbers = ["load", "energy_cost", *(_KIND + kind for kind in kinds), "slack", *parts]
    names |= dict.fromkeys(numbers, width)
    return pa.schema(names.items(), metadata={_MARK: str(SCHEMA)})


def _table(history: EpisodeHistory, schema: pa.Schema) -> pa.Table:
    T, N = history.load.shape
    slot, datacenter = (axis.ravel() for axis in np.indices((T, N), dtype=np.int32))
    first = np.zeros_like(slot)  # the one word of a column that is the same throughout
    numbers = [history.load, history.energy_cost, *history.footprint.values()]
    slack = pa.nulls(T * N) if history.slack is None else np.repeat(history.slack, N)
    columns = [
        pa.DictionaryArray.from_arrays(first, [history.algorithm]),
        pa.DictionaryArray.from_arrays(first, [history.reachability]),
        slot,
        history.time.astype("datetime64[ms]")[slot],
        pa.DictionaryArray.from_arrays(datacenter, list(history.datacenters)),
        *(values.ravel() for values in numbers),
        slack,
        *(values.ravel() for values in history.supply.values()),
        *(np.broadcast_to(_column(values), (T, N)).ravel() for values in history.levels.values()),
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: FloatArray) -> FloatArray:
    """``[T, N]`` as they are, ``[T]`` as ``[T, 1]``."""
    return values if values.ndim == 2 else values[:, None]


def _episode(table: pa.Table, kinds: Sequence[str], parts: Sequence[str]) -> EpisodeHistory:
    table.validate(full=True)
    slot = table["slot"].to_numpy()
    N = int((slot == 0).sum())
    T = len(slot) // max(N, 1)
    complete = all(values.null_count == 0 for values in table.drop_columns("slack").columns)
    if not complete or not N or not np.array_equal(slot, np.repeat(np.arange(T), N)):
        raise DataError("slots or values are missing")

    def array(name: str) -> FloatArray:
        values: FloatArray = table[name].to_numpy().astype(np.float64)
        if not (np.abs(values) <= LARGEST).all():
            raise DataError(f"{name} has a value that is no finite number")
        return values.reshape(T, N)

    def repeated(name: str, width: int) -> tuple[str, ...]:
        words = table[name].combine_chunks()
        rows = words.indices.to_numpy().reshape(-1, width)
        if (rows != rows[0]).any():
            raise DataError(f"{name} is not the same in every slot")
        return tuple(words[:width].to_pylist())

    return EpisodeHistory(
        algorithm=repeated("algorithm", 1)[0],
        reachability=repeated("reachability", 1)[0],
        time=clock(table["time"].to_numpy().reshape(T, N)[:, 0], (T,)),
        datacenters=repeated("datacenter", N),
        load=array("load"),
        energy_cost=array("energy_cost"),
        footprint={kind: array(_KIND + kind) for kind in kinds},
        slack=array("slack")[:, 0] if table["slack"].null_count == 0 else None,
        supply={name: array(name) for name in SUPPLY if name in parts},
        levels={
            name: array(name)[:, 0] if name == "waiting" else array(name)
            for name in LEVELS
            if name in parts
        },
    )
