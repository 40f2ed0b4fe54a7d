"""What lies below a folder: benchmark runs, other experiments, training runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from equiload.envs import DataError
from equiload.envs.data.tables.entries import load_yaml
from equiload.envs.errors import printable
from equiload.experiments.report.episodes import RunEpisodes
from equiload.experiments.results import parquet, records
from equiload.experiments.results.history import read_history
from equiload.experiments.running.files import existing_folder
from equiload.experiments.running.jobs import RECORD

#: Keys of a configuration that are no setting: runs that differ in these alone are repetitions,
#: over which intervals are taken.
_NO_SETTINGS = ("seed", "split", "draw", "start", "figures", "report", "resume")
#: More in one configuration are aliases of aliases.
_MOST_SETTINGS = 10_000


@dataclass(frozen=True, eq=False)
class Run:
    """A folder that a benchmark wrote; ``config`` is its composed configuration, if there is one.

    ``settings`` are what was set, flat, without the seeds.
    """

    folder: Path
    name: str
    results: records.Results
    config: str
    settings: dict[str, str]

    @property
    def left_out(self) -> list[str]:
        """A sentence for each algorithm that could not act."""
        return _could_not_act(self.results.left_out)

    def episodes(self) -> RunEpisodes:
        """What every algorithm did, slot by slot; no histories where the run wrote none.

        Raises
        ------
        DataError
            If they cannot be read, or are not those of the results.
        """
        path, rows = self.folder / "history.parquet", self.results.rows
        if not path.exists():
            return RunEpisodes([], self.results.instance)
        histories = list(read_history(path))
        played = [(history.algorithm, history.reachability) for history in histories]
        if played != [(row.algorithm, row.reachability) for row in rows]:
            raise DataError(f"{path}: it does not hold the algorithms of results.json")
        try:
            return RunEpisodes(histories, self.results.instance)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


@dataclass(frozen=True, eq=False)
class Experiment:
    """A folder that robustness, predictions or scenarios wrote, which ``kind`` says.

    ``lines`` are its trials, its scores, or its lines.
    """

    kind: str
    name: str
    lines: pd.DataFrame
    versions: dict[str, str]
    #: A sentence for each advice or algorithm that could not act.
    left_out: list[str]
    #: What was said on the command line, but for presets.
    said: tuple[str, ...] = ()
    #: What of that was not said of all runs beside it; else the folder's name.
    title: str = ""


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


def read_contents(root: Path, *, running: bool = False) -> Contents:
    """Read every run in or below ``root``; what cannot be read, or is not done, is named.

    ``running``: also what is not done, for the run that draws its own figures.

    Raises
    ------
    DataError
        Where there is no run at all.
    """
    existing_folder(root)
    states = {} if running else records.unfinished(root)
    contents = Contents(root)
    contents.left_out += [f"{_name(f / RECORD, root)}: {state}" for f, state in states.items()]
    readers: list[tuple[str, list[Any], Callable[[Path, Path], Any]]] = [
        ("results.json", contents.runs, _run),
        ("robustness.json", contents.experiments, _experiment),
        ("predictions.json", contents.experiments, _experiment),
        ("scenarios.json", contents.experiments, _experiment),
        ("progress.csv", contents.curves, _progress),
        ("*tfevents*", contents.curves, _events),
    ]
    for pattern, into, read in readers:
        for path in sorted(root.rglob(pattern)):
            curve = into is contents.curves
            above = path.parents if curve else [path.parent]
            state = next((states[folder] for folder in above if folder in states), None)
            if _has_progress(path, root) if read is _events else state and not curve:
                continue
            try:
                if not path.is_file():
                    raise DataError("it is no file")
                if not curve and (path.parent / parquet.FILE).exists():
                    parquet.read(path.parent / parquet.FILE)  # refuses another configuration's
                found = read(path, root)
            except (OSError, ValueError) as error:
                sentence = str(error).replace(f"{root}/", "") or type(error).__name__
                contents.left_out.append(printable(f"{path.relative_to(root)}: {sentence}"))
            else:
                into.append(replace(found, name=f"{found.name} ({state})") if state else found)
    if not any(into for _, into, _ in readers):
        nothing = (
            f"{root} holds no results.json, robustness.json, predictions.json, scenarios.json or "
            "progress.csv "
            "of a run that is done, at any depth"
        )
        raise DataError("; ".join([nothing, *contents.left_out]))
    contents.experiments = _told_apart(contents.experiments)
    return contents


def _run(path: Path, root: Path) -> Run:
    results, folder = records.read_record(path, records.Results), path.parent
    hydra = folder / ".hydra"
    config, settings, overrides = "", dict[str, str](), records.job_of(folder).overrides
    if (hydra / "config.yaml").exists():
        if overrides is not None and overrides != load_yaml(hydra / "overrides.yaml"):
            raise DataError("the configuration beside it, in .hydra, is another run's")
        try:
            flat = _flat(load_yaml(hydra / "config.yaml"), "")
            settings = dict(itertools.islice(flat, _MOST_SETTINGS))
        except RecursionError:
            raise DataError(f"{hydra / 'config.yaml'}: is nested too deeply") from None
        config = (hydra / "config.yaml").read_text(encoding="utf-8")
    weights = results.instance.equity_weight.items()
    settings |= {f"equity_weight.{kind}": f"{weight:g}" for kind, weight in weights}
    settings = {k: value for k, value in settings.items() if k.split(".")[-1] not in _NO_SETTINGS}
    return Run(folder, _name(path, root), results, config, settings)


def _experiment(path: Path, root: Path) -> Experiment:
    content: Any = records.read_record(path, records.RECORDS[path.name])
    part = {"robustness": "trials", "predictions": "scores", "scenarios": "lines"}[path.stem]
    kept = object if part == "lines" else None  # a region that is none stays so
    lines = pd.DataFrame(map(vars, getattr(content, part)), dtype=kept)
    if "rho" in lines:
        lines["rho"] = lines["rho"].astype(float)  # null of what is not robust, if only that
    left_out = _could_not_act(content.left_out)
    name, job = _name(path, root), path.parent / RECORD
    overrides = records.read_record(job, records.JobRecord).overrides if job.is_file() else None
    said = tuple(w for w in overrides or [] if not w.lstrip("+").startswith("experiment="))
    return Experiment(path.stem, name, lines, content.versions, left_out, said)


def _told_apart(experiments: Sequence[Experiment]) -> list[Experiment]:
    """With titles, no two alike, in which nothing is said that holds for all of them."""
    alike = set[str]()
    if len(experiments) > 1:
        alike = set.intersection(*(set(experiment.said) for experiment in experiments))
    titles = [", ".join(w for w in e.said if w not in alike) or e.name for e in experiments]
    return [
        replace(e, title=title if titles.count(title) == 1 else f"{title} ({e.name})")
        for e, title in zip(experiments, titles, strict=True)
    ]


def _could_not_act(rows: Sequence[records.LeftOut]) -> list[str]:
    return [f"{row.algorithm}, {row.reachability} reachability: {row.reason}" for row in rows]


def _progress(path: Path, root: Path) -> Curve:
    metrics = pd.read_csv(path, low_memory=False).select_dtypes("number")
    if "step" not in metrics:  # stable-baselines3 calls it time/total_timesteps
        metrics = metrics.rename(columns={"time/total_timesteps": "step"})
    if "step" not in metrics:
        raise DataError("it has no column 'step' of numbers")
    return Curve(_name(path, root), metrics)


def _events(path: Path, root: Path) -> Curve:
    """Scalars of a TensorBoard event file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # slow

    try:
        events = EventAccumulator(str(path)).Reload()
        series = {
            tag: pd.Series({event.step: event.value for event in events.Scalars(tag)})
            for tag in events.Tags()["scalars"]
        }
    except Exception as error:  # noqa: BLE001 - whatever a foreign reader may die of
        raise DataError(f"TensorBoard cannot read it ({type(error).__name__})") from None
    if not series:
        raise DataError("it has no scalars")
    return Curve(_name(path, root), pd.DataFrame(series).rename_axis("step").reset_index())


def _has_progress(path: Path, root: Path) -> bool:
    """Does a ``progress.csv`` in the event file's folder, or above it, say the same?"""
    above = [folder for folder in path.parents if folder.is_relative_to(root)]
    return any((folder / "progress.csv").is_file() for folder in above)


def _name(path: Path, root: Path) -> str:
    folder = path.parent
    return printable(root.resolve().name if folder == root else folder.relative_to(root).as_posix())


def _flat(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f"{prefix}{key}.")
    elif isinstance(node, list) and any(isinstance(value, dict | list) for value in node):
        for place, value in enumerate(node):
            yield from _flat(value, f"{prefix}{place}.")
    else:
        names = isinstance(node, list) and node and all(isinstance(n, str) for n in node)
        text = " + ".join(node) if names else str(node)
        yield _encodable(prefix[:-1]), _encodable(text)


def _encodable(text: str) -> str:
    """YAML may hold halves of characters, which no page can."""
    return text.encode("utf-8", "replace").decode()
