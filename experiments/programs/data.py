"""``equiload data``: fetch, check and portray data; files appear whole or not at all."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from equiload.envs.data import TableSource, named_source
from equiload.envs.data.source import NAMES
from equiload.envs.data.table import read_table
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance
from equiload.experiments.running.files import replacing

if TYPE_CHECKING:  # pandas takes half a second to import
    from equiload.envs.data.tables.region import RegionTable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def load(name: str) -> tuple[Instance, list[RegionTable]]:
    """Read what the command line names; the tables' raw series where there are any.

    Raises
    ------
    DataError
        If it names nothing that can be read.
    """
    source = named_source(name)
    if isinstance(source, TableSource):
        return read_table(source.path)
    return source.instance(), []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="equiload data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="physics and plausibility, a verdict per series")
    check.add_argument("instance", metavar="what", help=NAMES)
    check.add_argument("--all", action="store_true", help="show what is in order, too")
    check.add_argument("--strict", action="store_true", help="exit code 1 if anything is wrong")
    check.set_defaults(run=_check)
    get = commands.add_parser("fetch", help="download a published data set, verified")
    get.add_argument("dataset", choices=["bloom10"])
    get.add_argument("folder", nargs="?", type=Path, default=Path("data/bloom10"))
    get.add_argument("--base", help="another address that holds the same files")
    get.set_defaults(run=_fetch)
    portrait = commands.add_parser("portrait", help="one page about an instance")
    portrait.add_argument("instance", metavar="what", help=NAMES)
    portrait.add_argument("--output", type=Path, default=Path("portrait.png"))
    portrait.set_defaults(run=_portrait)
    offline = commands.add_parser("offline", help="data sets for offline learning, as Minari's")
    offline.add_argument("folder", type=Path, help="what MINARI_DATASETS_PATH will name")
    offline.add_argument("kinds", nargs="*", metavar="KIND", help="expert, mixed, learned: all")
    offline.add_argument("--task", default="equiload/GLBEasy-v0", help="docs/tasks.md lists them")
    offline.add_argument("--episodes", type=int, default=128)
    offline.add_argument("--seed", type=int, default=0, help="of the first episode")
    offline.set_defaults(run=_offline)
    example = commands.add_parser("example", help="copy the worked example of a table")
    example.add_argument("folder", type=Path)
    example.set_defaults(run=_example)
    return parser


def _check(options: argparse.Namespace) -> int:
    from equiload.envs.data.checks import Verdict, check_table

    instance, regions = load(options.instance)
    findings = check_table(instance, regions)
    bad = [f for f in findings if f.verdict in (Verdict.SUSPICIOUS, Verdict.BROKEN)]
    shown = [f for f in findings if options.all or f in bad or f.verdict is Verdict.NOTED]
    for finding in shown:
        print(finding)  # noqa: T201
    unsure = sum(f.verdict is Verdict.UNSURE for f in findings)
    print(  # noqa: T201
        f"{instance.name}: {len(findings)} checks, {len(bad)} to look at, {unsure} undecided"
    )
    return 1 if bad and options.strict else 0


def _fetch(options: argparse.Namespace) -> int:
    from equiload.experiments.worlds.fetch import bloom10_dataset, fetch

    count = fetch(bloom10_dataset(), options.folder, base=options.base, report=print)
    print(f"{options.folder}: complete, {count} files downloaded")  # noqa: T201
    return 0


def _portrait(options: argparse.Namespace) -> int:
    from equiload.experiments.worlds.lettering import lettering
    from equiload.experiments.worlds.portrait import portrait

    instance, _ = load(options.instance)
    if options.output.suffix not in (".png", ".svg", ".pdf"):
        raise DataError(f"{options.output}: expected a name that ends in .png, .svg or .pdf")
    with lettering(), replacing(options.output) as draft:
        portrait(instance).savefig(draft, dpi=110)
    print(options.output)  # noqa: T201
    return 0


def _offline(options: argparse.Namespace) -> int:
    from equiload.experiments.worlds.offline import ABOUT, write

    chosen = {"episodes": options.episodes, "seed": options.seed}
    for kind in options.kinds or ABOUT:
        words = ["equiload data offline FOLDER", kind, "--task", options.task]
        words += [f"--{name} {value}" for name, value in chosen.items()]
        path, saved = write(options.folder, options.task, kind, **chosen, command=" ".join(words))
        print(f"{path}: {saved:.2f} % of eGLB's J saved, on average")  # noqa: T201
    return 0


def _example(options: argparse.Namespace) -> int:
    source = Path(str(files("equiload.envs.data") / "example"))
    for path in source.iterdir():
        there = options.folder / path.name
        if there.exists() and (not there.is_file() or there.read_bytes() != path.read_bytes()):
            raise DataError(
                f"{there}: is there already and differs from the example's; name another folder"
            )
    for path in sorted(source.iterdir()):
        with replacing(options.folder / path.name) as draft:
            shutil.copy(path, draft)
    print(options.folder / "example.yaml")  # noqa: T201
    return 0
