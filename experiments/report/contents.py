"""What lies below a folder: benchmark runs, other experiments, training runs."""

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
from equiload.experiments.running.files import SCHEMAS

#: Keys of a configuration that are no setting: runs that differ in these alone are repetitions,
#: over which intervals are taken.
_NO_SETTINGS = ("seed", "split", "draw", "start", "figures", "report")
#: What is drawn of an experiment's lines.
_DRAWN = {
    "robustness": ["advice", "method", "rho", "allowance", "ratio", "bound"],
    "predictions": ["error", "algorithm", "advice", "rho", "gap", "low", "high", "footprint_mape"],
}


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
        flat = dict(_flat(yaml.safe_load(self.config) or {}, ""))
        flat |= {
            f"equity_weight.{kind}": f"{weight:g}"
            for kind, weight in self.results["instance"]["equity_weight"].items()
        }
        return {k: value for k, value in flat.items() if k.split(".")[-1] not in _NO_SETTINGS}


@dataclass(frozen=True, eq=False)
class Experiment:
    """A folder that ``equiload robustness`` or ``equiload predictions`` wrote, which ``kind`` says.

    ``lines`` are its trials or its scores.
    """

    kind: str
    name: str
    lines: pd.DataFrame
    versions: dict[str, str]
    #: A sentence for each advice or algorithm that could not act.
    left_out: list[str]


@dataclass(frozen=True, eq=False)
class Curve:
    """A training run's metrics by environment step, one column each beside ``step``."""

    name: str
    metrics: pd.DataFrame


@dataclass(eq=False)
class Contents:
    """Everything below a folder, in the order of the folders' names."""

    root: Path
    runs: list[Run] = field(default_factory=list)
    experiments: list[Experiment] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Experiment]:
        """The experiments of one kind."""
        return [experiment for experiment in self.experiments if experiment.kind == kind]


def read_contents(root: Path) -> Contents:
    """Read every run in or below ``root``; files that cannot be read are named, and left out.

    Raises
    ------
    DataError
        Where there is no run at all.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    contents = Contents(root)
    readers: list[tuple[str, list[Any], Callable[[Path, Path], Any]]] = [
        ("results.json", contents.runs, _run),
        ("robustness.json", contents.experiments, _experiment),
        ("predictions.json", contents.experiments, _experiment),
        ("progress.csv", contents.curves, _progress),
        ("*tfevents*", contents.curves, _events),
    ]
    for pattern, into, read in readers:
        for path in sorted(root.rglob(pattern)):
            if read is _events and _has_progress(path, root):
                continue
            try:
                into.append(read(path, root))
            except (DataError, OSError, KeyError, TypeError, ValueError) as error:
                contents.left_out.append(f"{path.relative_to(root)}: {_sentence(error)}")
    if not any(into for _, into, _ in readers):
        nothing = (
            f"{root} holds no results.json, robustness.json, predictions.json or progress.csv "
            "at any depth"
        )
        raise DataError("; ".join([nothing, *contents.left_out]))
    return contents


def _run(path: Path, root: Path) -> Run:
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["schema"] != SCHEMAS["results.json"]:
        raise DataError(f"schema {results['schema']}, expected {SCHEMAS['results.json']}")
    if not results["rows"]:
        raise DataError("it has no rows")
    run = Run(path.parent, _name(path, root), results)
    # Reads the configuration now, while errors are named.
    assert run.settings is not None
    assert run.left_out is not None
    return run


def _experiment(path: Path, root: Path) -> Experiment:
    content = json.loads(path.read_text(encoding="utf-8"))
    lines = pd.DataFrame(content["trials" if path.stem == "robustness" else "scores"])
    lines[_DRAWN[path.stem]]  # it has what is drawn
    return Experiment(path.stem, _name(path, root), lines, content["versions"], _left_out(content))


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


def _has_progress(path: Path, root: Path) -> bool:
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
