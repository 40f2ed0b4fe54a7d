"""What every algorithm did, slot by slot: ``history.parquet`` beside ``results.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equiload.envs import DataError
from equiload.envs.typing import FloatArray, TimeArray
from equiload.experiments.results.rows import Row
from equiload.experiments.running.files import replacing

#: Version of the file's layout, in its metadata under ``equiload.schema``.
SCHEMA = 1
_KIND = "footprint_"
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
    """

    algorithm: str
    reachability: str
    time: TimeArray
    datacenters: tuple[str, ...]
    load: FloatArray
    energy_cost: FloatArray
    footprint: dict[str, FloatArray]
    slack: FloatArray | None

    @classmethod
    def of(cls, row: Row) -> EpisodeHistory:
        """EpisodeHistory of one row of a comparison."""
        trace, fleet = row.outcome.instance.trace, row.outcome.instance.fleet
        drawn = row.outcome.load * fleet.pue
        return cls(
            algorithm=row.algorithm,
            reachability=row.reachability,
            time=trace.timestamps,
            datacenters=fleet.datacenters,
            load=row.outcome.load,
            energy_cost=trace.price * drawn,
            footprint=dict(zip(trace.footprints, trace.intensity * drawn, strict=True)),
            slack=None if row.certificate is None else row.certificate.slack,
        )


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write one line per row, slot and data center; whole or not at all.

    Columns: ``algorithm``, ``reachability``, ``slot``, ``time`` (UTC), ``datacenter``, ``load``,
    ``energy_cost``, ``footprint_KIND`` …, ``slack`` (null without a certificate). Numbers are
    rounded to 32 bits. Each algorithm and reachability is a row group of its own.
    """
    schema = _schema(rows[0].outcome.instance.trace.footprints)
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
    try:
        with pq.ParquetFile(path) as file:
            version = (file.schema_arrow.metadata or {}).get(b"equiload.schema", b"?").decode()
            if version != str(SCHEMA):
                raise DataError(f"{path}: schema {version}, expected {SCHEMA}")
            for group in range(file.num_row_groups):
                yield _episode(file.read_row_group(group))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no readable history ({str(error).splitlines()[0]})") from None


def _schema(kinds: Sequence[str]) -> pa.Schema:
    names = {"algorithm": _TEXT, "reachability": _TEXT, "slot": pa.int32()}
    names |= {"time": pa.timestamp("s", tz="UTC"), "datacenter": _TEXT}
    numbers = ["load", "energy_cost", *(_KIND + kind for kind in kinds), "slack"]
    names |= dict.fromkeys(numbers, pa.float32())
    return pa.schema(names.items(), metadata={"equiload.schema": str(SCHEMA)})


def _table(history: EpisodeHistory, schema: pa.Schema) -> pa.Table:
    T, N = history.load.shape
    slot, datacenter = (axis.ravel() for axis in np.indices((T, N), dtype=np.int32))
    first = np.zeros_like(slot)  # the one word of a column that is the same throughout
    numbers = [history.load, history.energy_cost, *history.footprint.values()]
    slack = pa.nulls(T * N)
    if history.slack is not None:
        slack = np.repeat(history.slack, N).astype(np.float32)
    columns = [
        pa.DictionaryArray.from_arrays(first, [history.algorithm]),
        pa.DictionaryArray.from_arrays(first, [history.reachability]),
        slot,
        history.time.astype("datetime64[s]")[slot],
        pa.DictionaryArray.from_arrays(datacenter, list(history.datacenters)),
        *(values.astype(np.float32).ravel() for values in numbers),
        slack,
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _episode(table: pa.Table) -> EpisodeHistory:
    slot = table["slot"].to_numpy()
    T = int(slot[-1]) + 1
    N = len(slot) // T

    def array(name: str) -> FloatArray:
        return cast("FloatArray", table[name].to_numpy().astype(np.float64).reshape(T, N))

    return EpisodeHistory(
        algorithm=table["algorithm"][0].as_py(),
        reachability=table["reachability"][0].as_py(),
        time=table["time"].to_numpy().reshape(T, N)[:, 0],
        datacenters=tuple(table["datacenter"][:N].to_pylist()),
        load=array("load"),
        energy_cost=array("energy_cost"),
        footprint={
            name.removeprefix(_KIND): array(name)
            for name in table.column_names
            if name.startswith(_KIND)
        },
        slack=array("slack")[:, 0] if table["slack"].null_count == 0 else None,
    )
