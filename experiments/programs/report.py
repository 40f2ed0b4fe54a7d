"""``equiload report DIR``: a report on every run in or below a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from equiload.envs import EquiloadError
from equiload.experiments.report.page import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and name its page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="equiload report", description=__doc__)
    parser.add_argument("runs", type=Path, metavar="DIR", help="folder of one run, or of many")
    parser.add_argument("--output", type=Path, help="folder of the report (default: DIR/report)")
    options = parser.parse_args(arguments)
    try:
        page = write_report(options.runs, options.output)
    except EquiloadError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(page)  # noqa: T201
    return 0
