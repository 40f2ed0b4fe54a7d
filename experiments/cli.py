"""``equiload``: every program under one name.

A program is a module of ``equiload.experiments`` with a ``main()``, loaded when it is asked for.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from equiload.experiments.doctor import doctor


class Command(NamedTuple):
    """A command's help and examples, and the program that reads its arguments, if it is one."""

    help: str
    examples: Sequence[str]
    program: str = ""


SUMMARY = "Environmentally equitable geographical load balancing: experiments."
COMMANDS = {
    "run": Command(
        "one run of a program: benchmark (default), robustness, predictions, tune",
        [
            "equiload run",
            "equiload run experiment=paper_table instance.root=data/bloom10",
            "equiload run instance=table instance.path=my-world.yaml",
            "equiload run robustness rho=[0.05,0.2] instance.seed=test/3",
            "equiload run --json figures=false instance.horizon=24 | jq '.rows[].gap'",
        ],
    ),
    "sweep": Command(
        "every combination of values; run again, it does only what is missing or failed",
        [
            "equiload sweep experiment=smoke hydra.sweep.dir=multirun/smoke",
            "equiload sweep instance.seed=test/0,test/1 reachability=[full] launcher=joblib",
            "equiload sweep experiment=stress launcher=slurm hydra.launcher.partition=long",
        ],
    ),
    "train": Command(
        "train a policy",
        ["equiload train --help", "equiload train agent=ppo hydra.run.dir=outputs/mine"],
        "train",
    ),
    "evaluate": Command(
        "evaluate a trained policy",
        ["equiload evaluate --help", "equiload evaluate --json checkpoint=outputs/mine/best"],
        "evaluate",
    ),
    "report": Command("pages about a run or a sweep", ["equiload report multirun/smoke"], "report"),
    "data": Command(
        "check, fetch and portray data",
        ["equiload data check synthetic:train/0", "equiload data fetch bloom10 data/bloom10"],
        "data",
    ),
    "doctor": Command("versions, devices, threads, data", ["equiload doctor --json"]),
}
#: What `run` and `sweep` can start; the first unless another is named.
PROGRAMS = ("benchmark", "robustness", "predictions", "tune", "train", "evaluate")
#: What `--json` prints of a run: the first of these that the program wrote.
RESULTS = ("sweep.json", "results.json", "evaluation.json", "best.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS.get(given[0]) if given else None
    silent = bool({"--quiet", "--json"}.intersection(given)) and given[0] in PROGRAMS
    if command is not None and command.program and not silent:  # its options are its own
        return start(command.program, given[1:])
    parser = _parser()
    options, rest = parser.parse_known_args(given)
    if options.command == "doctor":
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return doctor(as_json=options.json)
    if options.command in PROGRAMS:
        rest.insert(0, options.command)
    program = rest.pop(0) if rest and rest[0] in PROGRAMS else PROGRAMS[0]
    if options.command == "sweep":
        rest.insert(0, "-m")
    if not (options.quiet or options.json):
        return start(program, rest)
    return _quietly(program, rest, as_json=options.json)


def start(program: str, arguments: Sequence[str]) -> int:
    """Start a program of ``equiload.experiments`` in this process; returns its exit status."""
    name = f"equiload.experiments.{program}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        print(f"error: this version has no program {program!r}", file=sys.stderr)  # noqa: T201
        return 2
    sys.argv = [f"equiload {program}", *arguments]
    return int(module.main() or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="equiload", description=SUMMARY)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.help,
            description=command.help,
            epilog="examples:\n  " + "\n  ".join(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument(
            "--json", action="store_true", help="print nothing but the result, as JSON"
        )
        if name != "doctor":
            sub.usage = f"equiload {name} [--quiet] [--json] [PROGRAM] [name=value ...]"
            sub.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _quietly(program: str, arguments: list[str], *, as_json: bool) -> int:
    """Run with standard output silenced, progress bars too; then print the result if asked."""
    folder = f"outputs/{program}/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    for key in ("hydra.run.dir", "hydra.sweep.dir"):
        chosen = [a.split("=", 1)[1] for a in arguments if a.startswith(f"{key}=")]
        folder = chosen[-1] if chosen else folder
    arguments += [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]
    os.environ["TTY_COMPATIBLE"] = "0"  # rich takes no stream for a terminal
    try:
        with _silence():
            return start(program, arguments)
    finally:  # Hydra ends failed runs itself
        found = [Path(folder, name) for name in (*RESULTS, f"{program}.json")]
        for path in [path for path in found if path.exists()][:1] if as_json else []:
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
