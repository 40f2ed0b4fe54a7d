"""Merge the results of any number of runs into one table.

``equiload collect DIR`` reads every ``results.parquet`` below ``DIR``, writes
``DIR/collected.parquet`` and ``DIR/collected.csv`` and prints each algorithm's interquartile mean
gap with its interval, by further columns or swept options too: ``--by stress``. Files that are not
whole, or not of this project, are named and left out; so are runs that have not ended well, and a
second run of the same configuration.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.markup import escape
from rich.table import Table

from equiload.envs import DataError, EquiloadError
from equiload.envs.errors import printable
from equiload.experiments.results import parquet
from equiload.experiments.results.records import job_of, unfinished
from equiload.experiments.results.statistics import summary
from equiload.experiments.results.tables import percent, show, text_table
from equiload.experiments.running.files import RAW, replacing, write_csv
from equiload.experiments.running.jobs import PATIENCE, held, refuse_foreign

NAME = "collected"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="equiload collect", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of a run, of a sweep, or above them")
    parser.add_argument("--output", type=Path, help=f"name without ending; DIR/{NAME} by default")
    parser.add_argument("--by", nargs="+", default=[], help="columns or options to split by")
    parser.add_argument("--raw", action="store_true", help=RAW)
    options = parser.parse_args(arguments)
    try:
        table, skipped = collect(options.folder)
        output = options.output or options.folder / NAME
        _write(output, table, raw=options.raw)
        show(gap_table(table.to_pandas(), options.by))
    except EquiloadError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for reason in skipped:
        print(f"skipped: {printable(reason)}", file=sys.stderr)  # noqa: T201
    runs = len(set(table["config_hash"].to_pylist()))
    print(printable(f"{output}.parquet and .csv: {table.num_rows} rows of {runs} runs"))  # noqa: T201
    return 0


def _write(output: Path, table: pa.Table, *, raw: bool) -> None:
    """Write the table as Parquet and as CSV, over an earlier collection only."""
    whole, text = (output.with_name(f"{output.name}.{ending}") for ending in ("parquet", "csv"))
    with held(output.parent, wait=PATIENCE):
        refuse_foreign(whole, ours=parquet.is_marked(whole))
        refuse_foreign(text, ours=whole.exists())
        with replacing(whole) as draft:
            pq.write_table(table, draft)
        write_csv(text, table.to_pylist(), raw=raw)


def collect(folder: Path) -> tuple[pa.Table, list[str]]:
    """Return the rows of all runs below a folder, and what was left out and why.

    Raises
    ------
    DataError
        If there is nothing to collect.
    """
    tables: dict[str, pa.Table] = {}
    states = unfinished(folder)  # some of their algorithms are missing
    skipped = [f"{where}: the run is not done ({state})" for where, state in states.items()]
    paths = [path for path in folder.rglob(parquet.FILE) if path.parent not in states]
    for path in sorted(paths, key=lambda path: (-_begun(path), path)):  # the newest first
        try:
            table = parquet.read(path)
        except DataError as error:
            skipped.append(str(error))
            continue
        name = "".join(sorted(set(table["config_hash"].to_pylist())))
        if name in tables:
            skipped.append(f"{path}: an earlier run of the same configuration")
        else:
            tables[name] = table
    if not tables:
        because = "".join(f"; {reason}" for reason in skipped[:3])
        raise DataError(f"{folder}: no {parquet.FILE} to read in it or below{because}")
    merged = pa.concat_tables(tables.values(), promote_options="default")
    order = [(name, "ascending") for name in ("instance", "draw", "config_hash", "reachability")]
    return merged.sort_by(order), skipped


def _begun(path: Path) -> float:
    """When the run began, by its own record; without one, when its file was written."""
    return job_of(path.parent).started or path.stat().st_mtime


def gap_table(rows: pd.DataFrame, by: Sequence[str] = ()) -> Table:
    """Table for the terminal: gap to eGLB-Off, interquartile mean and 95 % interval, in percent.

    Raises
    ------
    DataError
        If ``by`` names neither a column nor an option that the runs' overrides set.
    """
    for name in by:
        if name not in rows:
            values = rows["overrides"].str.extract(rf"(?:^| )\+?{re.escape(name)}=(\S+)")[0]
            if values.isna().all():
                raise DataError(f"there is no column and no override {name!r} to split by")
            rows = rows.assign(**{name: values})
    if by:
        rows = rows.sort_values(list(by), kind="stable")
    names = [*by, "reachability", "algorithm"]
    table = text_table("", names, ["runs", "gap to eGLB-Off, %"])
    for line in summary(rows, names).to_dict("records"):
        value, low, high = (percent(line[end]) for end in ("value", "low", "high"))
        cells = [escape(printable(str(line[name]))) for name in names]
        interval = f" \\[{low}, {high}]" if line["runs"] > 1 else ""
        table.add_row(*cells, str(line["runs"]), value + interval)
    return table
