"""``equiload report DIR``: a report on every run in or below a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from equiload.envs.errors import printable
from equiload.experiments.running.files import RAW, existing_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and name its page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="equiload report", description=__doc__)
    parser.add_argument("runs", type=Path, metavar="DIR", help="folder of one run, or of many")
    parser.add_argument("--output", type=Path, help="folder of the report (default: DIR/report)")
    parser.add_argument("--raw", action="store_true", help=RAW)
    options = parser.parse_args(arguments)
    runs = existing_folder(options.runs)
    from equiload.experiments.report import write_report  # what draws figures loads slowly

    print(printable(write_report(runs, options.output, raw=options.raw)))  # noqa: T201
    return 0
