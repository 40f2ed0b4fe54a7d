"""``equiload report DIR``: a report on every run in or below a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from equiload.envs import EquiloadError
from equiload.envs.data.tables.messages import one_line
from equiload.experiments.report.page import write_report
from equiload.experiments.running.files import RAW


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and name its page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="equiload report", description=__doc__)
    parser.add_argument("runs", type=Path, metavar="DIR", help="folder of one run, or of many")
    parser.add_argument("--output", type=Path, help="folder of the report (default: DIR/report)")
    parser.add_argument("--raw", action="store_true", help=RAW)
    options = parser.parse_args(arguments)
    try:
        page = write_report(options.runs, options.output, raw=options.raw)
    except EquiloadError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
        return 2
    print(one_line(str(page)))  # noqa: T201
    return 0
