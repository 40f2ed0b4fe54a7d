"""What lies below a folder: benchmark runs, robustness runs, training runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from equiload.envs import DataError

#: Keys of a configuration that tell seeds from settings: runs that differ in these alone are
#: repetitions, over which intervals are taken.
SEEDS = ("seed", "split", "draw", "start")


@dataclass(frozen=True, eq=False)
class Run:
    """A folder that a benchmark wrote."""

    folder: Path
    name: str
    results: dict[str, Any]

    @cached_property
    def config(self) -> str:
        """The composed configuration as YAML; empty where the folder has none."""
        path = self.folder / ".hydra" / "config.yaml"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def left_out(self) -> list[str]:
        """A sentence for each algorithm that could not act; older runs have none."""
        return _left_out(self.results)

    @cached_property
    def settings(self) -> dict[str, str]:
        """What was set, flat, without the seeds."""
        composed = yaml.safe_load(self.config) or {}
        flat = dict(_flat(composed, ""))
        flat |= {
            f"equity_weight.{kind}": f"{weight:g}"
            for kind, weight in self.results["instance"]["equity_weight"].items()
        }
        dull = (*SEEDS, "figures", "report")
        return {key: value for key, value in flat.items() if key.split(".")[-1] not in dull}


@dataclass(frozen=True, eq=False)
class Study:
    """A folder that the robustness experiment wrote."""

    name: str
    trials: pd.DataFrame
    versions: dict[str, str]
    #: A sentence for each advice that could not act.
    left_out: list[str]


@dataclass(frozen=True, eq=False)
class Curve:
    """A training run's metrics by environment step, one column each beside ``step``."""

    name: str
    metrics: pd.DataFrame


@dataclass(eq=False)
class Found:
    """Everything below a folder, in the order of the folders' names."""

    root: Path
    runs: list[Run] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find(root: Path) -> Found:
    """Read every run in or below ``root``; files that cannot be read are named, and left out.

    Raises
    ------
    DataError
        Where there is no run at all.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    found = Found(root)
    readers: list[tuple[str, list[Any], Callable[[Path, Path], Any]]] = [
        ("results.json", found.runs, _run),
        ("robustness.json", found.studies, _study),
        ("progress.csv", found.curves, _progress),
        ("*tfevents*", found.curves, _events),
    ]
    for pattern, into, read in readers:
        for path in sorted(root.rglob(pattern)):
            if read is _events and _told(path, root):
                continue
            try:
                into.append(read(path, root))
            except (DataError, OSError, KeyError, TypeError, ValueError) as error:
                found.left_out.append(f"{path.relative_to(root)}: {_sentence(error)}")
    if not (found.runs or found.studies or found.curves):
        nothing = f"{root} holds no results.json, robustness.json or progress.csv at any depth"
        raise DataError("; ".join([nothing, *found.left_out]))
    return found


def _run(path: Path, root: Path) -> Run:
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["schema"] != 1:
        raise DataError(f"schema {results['schema']}, expected 1")
    if not results["rows"]:
        raise DataError("it has no rows")
    run = Run(path.parent, _name(path, root), results)
    # Reads the configuration now, while errors are named.
    assert run.settings is not None
    assert run.left_out is not None
    return run


def _study(path: Path, root: Path) -> Study:
    content = json.loads(path.read_text(encoding="utf-8"))
    trials = pd.DataFrame(content["trials"])
    trials[["advice", "method", "rho", "allowance", "ratio", "bound"]]
    return Study(_name(path, root), trials, content["versions"], _left_out(content))


def _left_out(content: dict[str, Any]) -> list[str]:
    return [
        f"{row['algorithm']}, {row['reachability']} reachability: {row['reason']}"
        for row in content.get("left_out", [])
    ]


def _progress(path: Path, root: Path) -> Curve:
    metrics = pd.read_csv(path)
    # stable-baselines3 calls it time/total_timesteps
    metrics = metrics.rename(columns={"time/total_timesteps": "step"})
    if "step" not in metrics:
        raise DataError("it has no column 'step'")
    return Curve(_name(path, root), metrics.select_dtypes("number"))


def _events(path: Path, root: Path) -> Curve:
    """Scalars of a TensorBoard event file."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise DataError("TensorBoard, which reads event files, is not installed") from None
    events = EventAccumulator(str(path)).Reload()
    series = {
        tag: pd.Series({event.step: event.value for event in events.Scalars(tag)})
        for tag in events.Tags()["scalars"]
    }
    if not series:
        raise DataError("it has no scalars")
    return Curve(_name(path, root), pd.DataFrame(series).rename_axis("step").reset_index())


def _told(path: Path, root: Path) -> bool:
    """Does a ``progress.csv`` in the event file's folder, or above it, say the same?"""
    above = [folder for folder in path.parents if folder.is_relative_to(root)]
    return any((folder / "progress.csv").is_file() for folder in above)


def _name(path: Path, root: Path) -> str:
    folder = path.parent
    return root.resolve().name if folder == root else folder.relative_to(root).as_posix()


def _flat(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}{key}.")
    elif isinstance(node, list) and any(isinstance(value, dict | list) for value in node):
        for place, value in enumerate(node):
            yield from _flat(value, f"{prefix}{place}.")
    else:
        yield prefix[:-1], str(node)


def _sentence(error: Exception) -> str:
    text = f"no key {error}" if isinstance(error, KeyError) else str(error)
    return text.splitlines()[0] if text else type(error).__name__
