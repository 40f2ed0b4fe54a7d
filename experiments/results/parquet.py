"""``results.parquet``: a tidy table per run, a row per algorithm × instance × reachability.

Columns (US$, t, m³, s): ``schema, algorithm, instance, draw, split, seed, reachability, slots,
regions, energy_cost, objective, lower_bound, gap, seconds``; ``KIND_max, KIND_mean, KIND_par,
KIND_weight`` of each footprint kind, the last μ in US$ per t or m³; ``certificate_holds,
certificate_rho, certificate_allowance`` of robust policies; ``config_hash, overrides, versions``.
What a row has no value of is null: ``draw`` and ``split`` of data that nobody drew, ``seed`` of a
configuration without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equiload.envs import DataError
from equiload.envs.data.tables.files import refuse_many
from equiload.experiments.results.records import LARGEST, job_of
from equiload.experiments.results.rows import Row
from equiload.experiments.running.config import ProgramConfig, overrides
from equiload.experiments.running.files import replacing, versions

#: Version of the layout of ``results.parquet``.
SCHEMA = 1
FILE = "results.parquet"
_MARK = b"equiload.results"  # key of the version in the file's own metadata

# Types of the columns that are no ``float64``: a column of nulls alone does not show its own.
_WORDS = ("algorithm", "instance", "draw", "split", "reachability")
_TEXT = (*_WORDS, "config_hash", "overrides", "versions")
_WHOLE = ("schema", "seed", "slots", "regions")
_OPTIONAL = ("draw", "split", "seed")
_NUMBERS = ("energy_cost", "objective", "lower_bound", "gap", "seconds")
_REQUIRED = (*_TEXT, *_WHOLE, *_NUMBERS)
_TYPES = {
    **dict.fromkeys(_TEXT, pa.string()),
    **dict.fromkeys(_WHOLE, pa.int64()),
    "certificate_holds": pa.bool_(),
}


@dataclass(frozen=True)
class Origin:
    """What a run's rows come from: its configuration, and the seed in it."""

    config_hash: str
    overrides: str
    seed: int | None

    @classmethod
    def of(cls, cfg: ProgramConfig) -> Origin:
        """Return the origin of what a Hydra program of this configuration writes."""
        return cls(cfg.job, " ".join(overrides()), getattr(cfg, "seed", None))


def line(row: Row, origin: Origin) -> dict[str, Any]:
    """Return one row of ``results.parquet``."""
    certificate = {} if row.certificate is None else row.certificate.verdict()
    instance = row.outcome.instance
    draw, weight = instance.trace.provenance.get("draw"), instance.objective.equity_weight
    return {
        "schema": SCHEMA,
        "algorithm": row.algorithm,
        "instance": instance.name,
        "draw": draw,
        "split": draw and draw.split("/")[0],
        "slots": instance.horizon,
        "regions": len(instance.fleet.regions),
        "seed": origin.seed,
        **row.flat(),
        **{f"{kind}_weight": mu for kind, mu in weight.items()},
        **{f"certificate_{name}": certificate.get(name) for name in ("holds", "rho", "allowance")},
        "config_hash": origin.config_hash,
        "overrides": origin.overrides,
        "versions": json.dumps(versions()),
    }


def write(folder: Path, rows: Sequence[Row], origin: Origin) -> None:
    """Write a run's rows into its folder, whole or not at all."""
    lines = [line(row, origin) for row in rows]
    names = dict.fromkeys(name for each in lines for name in each)  # not all fleets have knobs
    fields = [pa.field(name, _TYPES.get(name, pa.float64())) for name in names]
    schema = pa.schema(fields, metadata={_MARK: str(SCHEMA)})
    with replacing(folder / FILE) as draft:
        pq.write_table(pa.Table.from_pylist(lines, schema=schema), draft)


def read(path: Path) -> pa.Table:
    """Read the rows of a run, or of many.

    Raises
    ------
    DataError
        If the file is not whole, not of this project, of a later version, or of another
        configuration than the run in its folder.
    """
    with marked_parquet(path, _MARK, SCHEMA) as file:
        table = file.read()
        table.validate(full=True)
        _check(table, job_of(path.parent).config_hash)
        return table


@contextmanager
def marked_parquet(path: Path, mark: bytes, schema: int) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file whose metadata state the schema under ``mark``.

    Raises
    ------
    DataError
        For any other file, and for what is wrong inside the block, after the file's name.
    """
    try:
        if not path.is_file():
            raise DataError("it is no file")
        with path.open("rb") as bare, pq.ParquetFile(bare) as file:  # a name may hold anything
            found = (file.schema_arrow.metadata or {}).get(mark)
            if found is None:
                raise DataError(f"a Parquet file, but not one of {mark.decode()}")
            if found != str(schema).encode():
                version = found.decode(errors="replace")
                raise DataError(f"schema {version}, this version reads schema {schema}")
            refuse_many(path, file.metadata.num_rows, file.metadata.num_columns)
            yield file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: not a whole Parquet file ({reason})") from None
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def is_marked(path: Path) -> bool:
    """Tell whether a file is a table of results; also where its rows cannot be read."""
    with suppress(DataError), marked_parquet(path, _MARK, SCHEMA):
        return True
    return False


def _check(table: pa.Table, config_hash: str | None) -> None:
    """Refuse columns that are not those of results, and rows of another configuration."""
    for name in dict.fromkeys([*_REQUIRED, *table.column_names]):
        if table.column_names.count(name) != 1:
            raise DataError(f"it needs one column {name!r}")
    for field, values in zip(table.schema, table.columns, strict=True):
        expected = _TYPES.get(field.name, pa.float64())
        if field.type != expected:
            raise DataError(f"column {field.name!r} is {field.type}, expected {expected}")
        wrong = values.null_count and field.name in _REQUIRED and field.name not in _OPTIONAL
        if expected == pa.float64():
            numbers = values.drop_null().to_numpy()
            wrong = wrong or not (np.abs(numbers) <= LARGEST).all()
        if wrong:
            raise DataError(f"column {field.name!r} has a cell without a value or a finite number")
    if not table.num_rows:
        raise DataError("it has no rows")
    if config_hash is not None and {config_hash} != set(table["config_hash"].to_pylist()):
        raise DataError("results of another configuration than the run in its folder")
