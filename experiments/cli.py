"""``equiload``: the one front door, every program by its name.

A program is a module of ``equiload.experiments.programs``, loaded when asked for: with ``perform``
of its configuration where Hydra configures it, otherwise with a ``main`` of its own.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command's help and examples, and whether Hydra configures it (and ``sweep`` repeats it)."""

    help: str
    examples: Sequence[str]
    hydra: bool = False


SUMMARY = "Environmentally equitable geographical load balancing: experiments."
COMMANDS = {
    "benchmark": Command(
        "every algorithm on one instance: table, results, figures, report",
        [
            "equiload benchmark",
            "equiload benchmark experiment=paper_table instance.root=data/bloom10",
            "equiload benchmark instance=table instance.path=my-world.yaml",
            "equiload benchmark --json figures=false instance.horizon=24 | jq '.rows[].gap'",
        ],
        hydra=True,
    ),
    "scenarios": Command(
        "what if: named changes of a file, against a base, region by region",
        [
            "equiload scenarios file=scenarios.yaml",
            "equiload scenarios file=scenarios.yaml instance=table instance.path=my-world.yaml",
        ],
        hydra=True,
    ),
    "evaluate": Command(
        "policies on many draws, against eGLB and eGLB-Off",
        ["equiload evaluate checkpoint=outputs/mine/best draws=64"],
        hydra=True,
    ),
    "train": Command(
        "train a policy", ["equiload train agent=ppo hydra.run.dir=outputs/mine"], hydra=True
    ),
    "predictions": Command(
        "what wrong predictions cost", ["equiload predictions experiment=forecasts"], hydra=True
    ),
    "robustness": Command(
        "good and bad advice under the robust layer",
        ["equiload robustness rho=[0.05,0.2] instance.seed=test/3"],
        hydra=True,
    ),
    "tune": Command("eGLB's parameters, from training draws", ["equiload tune"], hydra=True),
    "sweep": Command(
        "every combination of values; run again, it does only what is missing or failed",
        [
            "equiload sweep experiment=smoke hydra.sweep.dir=multirun/smoke",
            "equiload sweep instance.seed=test/0,test/1 reachability=[full] launcher=joblib",
            "equiload sweep experiment=stress launcher=slurm hydra.launcher.partition=long",
            "equiload sweep evaluate checkpoint=default,forecasts",
        ],
    ),
    "report": Command("pages about a run or a sweep", ["equiload report multirun/smoke"]),
    "collect": Command(
        "the rows of many runs in one table", ["equiload collect multirun/stress --by stress"]
    ),
    "data": Command(
        "check, fetch and portray data, record data sets for offline learning",
        [
            "equiload data check synthetic:train/0",
            "equiload data fetch bloom10 data/bloom10",
            "equiload data offline data/minari",
        ],
    ),
    "doctor": Command("versions, devices, threads, data", ["equiload doctor --json"]),
}
#: What ``sweep`` can repeat; the first unless another is named.
PROGRAMS = tuple(name for name, command in COMMANDS.items() if command.hydra)
#: What `--json` prints of a run that is done: the first of these in its folder, or `PROGRAM.json`.
RESULTS = ("scenarios.json", "results.json", "evaluation.json", "best.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (words[0], words[1:]) if words else ("", [])
    if name not in COMMANDS or (name == "sweep" and {"-h", "--help"}.intersection(rest)):
        _parser().parse_args(words)  # help, the version, or what is wrong
        return 2
    if name not in (*PROGRAMS, "sweep"):  # its options are its own
        return start(name, rest)
    silent = [flag for flag in ("--json", "--quiet") if flag in rest]
    rest = [word for word in rest if word not in silent]
    if name == "sweep":
        name = rest.pop(0) if rest and rest[0] in PROGRAMS else PROGRAMS[0]
        rest.insert(0, "-m")
    return _quietly(name, rest, as_json="--json" in silent) if silent else start(name, rest)


def start(program: str, arguments: Sequence[str]) -> int:
    """Start a program in this process; returns its exit status.

    What its user, or the system's keeper, can mend ends in one sentence and status 2.
    """
    from equiload.envs.errors import EquiloadError, printable  # takes a second
    from equiload.envs.validation import stated

    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out is sys.__stdout__ and not out.isatty():
        unread = io.BufferedWriter(_Unread(1, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(unread, out.encoding, out.errors)
    sys.path.insert(0, str(Path.cwd()))  # as ``python -m`` has it: a policy of one's own lies there
    sys.argv = [f"equiload {program}", *arguments]
    try:
        stated("OMP_NUM_THREADS")
        if program in PROGRAMS:
            from equiload.experiments.running import entry

            entry.program(program)()
            return 0
        return int(importlib.import_module(f"equiload.experiments.programs.{program}").main())
    except (EquiloadError, OSError) as error:
        print(f"error: {printable(error)}", file=sys.stderr)  # noqa: T201
        return 2


class _Unread(io.FileIO):
    """Standard output that goes on where its reader has left (``| head``): a run ends as ever."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="equiload", description=SUMMARY)
    parser.add_argument("--version", action="version", version=f"equiload {version('equiload')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(
            name,
            help=command.help,
            description=command.help,
            usage=f"equiload {name} [--quiet] [--json] [PROGRAM] [name=value ...]",
            epilog="examples:\n  " + "\n  ".join(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    return parser


def _quietly(program: str, arguments: list[str], *, as_json: bool) -> int:
    """Run with standard output silenced, progress bars too; then print the result if asked."""
    from equiload.experiments.running.files import written

    written.clear()
    os.environ["TTY_COMPATIBLE"] = "0"  # rich takes no stream for a terminal
    try:
        with _silence():
            return start(program, arguments)
    finally:  # Hydra ends failed runs itself
        kept = "sweep.json" if "-m" in arguments else "job.json"
        for record in [path for path in written if path.name == kept][-1:] if as_json else []:
            done = json.loads(record.read_text(encoding="utf-8")).get("state") == "done"
            found = [record.with_name(name) for name in (*RESULTS, f"{program}.json") if done]
            path = next((path for path in found if path.exists()), record)
            print(path.read_text(encoding="utf-8"), end="")  # noqa: T201


@contextmanager
def _silence() -> Iterator[None]:
    """Send standard output nowhere, that of child processes too."""
    sys.stdout.flush()
    before = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.close(before)


if __name__ == "__main__":
    sys.exit(main())
