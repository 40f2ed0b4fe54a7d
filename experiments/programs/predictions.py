"""What wrong predictions cost: kind of error × its size × algorithm, against eGLB-Off.

``equiload predictions``: on every draw the perfect forecast is made wrong in
a controlled way, and every algorithm that takes advice runs on it. Beside them stand algorithms
that are not told the truth in any form. Writes ``predictions.json``, ``predictions.csv`` and a
figure.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from equiload.agents import EGLBOff
from equiload.agents.forecast import Forecaster, Perfect, forecast_errors
from equiload.envs import DataError, EquiloadError, Instance, Policy, SolverError, rollout
from equiload.experiments.programs.benchmark import one_instance
from equiload.experiments.results import parquet
from equiload.experiments.results.comparison import LeftOut, Row
from equiload.experiments.results.prediction_scores import PERFECT, REFERENCE, Cell, Score
from equiload.experiments.results.statistics import interval, mean
from equiload.experiments.results.tables import show
from equiload.experiments.running.config import PredictionsConfig
from equiload.experiments.running.entry import build, entry_point, run_folder
from equiload.experiments.running.files import replacing, versions, write_csv, write_json
from equiload.experiments.running.progress import bars
from equiload.experiments.running.sources import count_draws, make_source, reachabilities
from equiload.robust import RobustPolicy

#: Version of the layout of ``predictions.json``.
SCHEMA = 1


@dataclass
class _Runs:
    """What has run: rows by cell, how wrong each forecast was, and what could not act."""

    rows: dict[Cell, list[Row]] = field(default_factory=lambda: defaultdict(list))
    #: MAPE of prices and of footprints on each draw, by kind and size of error.
    wrong: dict[tuple[str, float], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    left_out: dict[str, LeftOut] = field(default_factory=dict)

    def add(self, cell: Cell, label: str, policy: Policy, instance: Instance, bound: float) -> None:
        """Run a policy; one that cannot act loses all its rows, on whichever draw it is."""
        if cell.label in self.left_out:
            return
        try:
            row = _row(label, policy, instance, bound)
        except EquiloadError as error:
            reachability = "full" if instance.fleet.full else "partial"
            self.left_out[cell.label] = LeftOut.of(cell.label, reachability, error)
            others = {c: rows for c, rows in self.rows.items() if c.label != cell.label}
            self.rows = defaultdict(list, others)
            return
        if row.certificate is not None and not row.certificate.holds.all():
            raise SolverError(f"the robust layer's certificate does not hold on {instance.name}")
        self.rows[cell].append(row)


@entry_point("predictions")
def main(cfg: PredictionsConfig) -> None:
    """Run everything, write the files and print the table."""
    if cfg.draws is not None and cfg.draws < 2:
        raise DataError(f"an interval needs at least 2 draws, got {cfg.draws}")
    if not 0 < cfg.confidence < 1:
        raise DataError(f"confidence must lie between 0 and 1, got {cfg.confidence}")
    unknown = [name for name in cfg.wrapped if cfg.algorithms.get(name) is None]
    if unknown:
        raise DataError(f"wrapped names {unknown[0]!r}, which is not among the algorithms")
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    (reachability,) = reachabilities(source, [cfg.reachability])
    count, runs = 1, _Runs()
    if cfg.draws is not None:
        remedy = "draws=null for the instance as a whole (and instance.horizon=null for all of it)"
        count = count_draws(source, cfg.split, cfg.draws, remedy=remedy)
    with bars() as shown:
        for draw in shown.track("draws")(range(count)):
            if cfg.draws is None:
                instance = one_instance(source, reachability)
            else:
                instance = source.draw(f"{cfg.split}/{draw}", reachability=reachability)
            _run_draw(cfg, draw, instance, runs)
    if not runs.rows:
        first = next(iter(runs.left_out.values()))
        raise DataError(f"no algorithm can act: {first.algorithm}: {first.reason}")
    scores = [_score(cell, rows, runs.wrong, cfg.confidence) for cell, rows in runs.rows.items()]
    left_out = list(runs.left_out.values())
    _write(cfg, runs, count, scores)
    what = instance.name if cfg.draws is None else f"{count} {cfg.split} draws of {source.name}"
    show(prediction_table(scores, f"{what}: gap to eGLB-Off, %", left_out), left_out)


def _write(cfg: PredictionsConfig, runs: _Runs, count: int, scores: Sequence[Score]) -> None:
    folder, origin = run_folder(), parquet.Origin.of(cfg)
    lines = [parquet.line(row, origin) for rows in runs.rows.values() for row in rows]
    parquet.write(folder / parquet.FILE, lines)
    write_csv(folder / "predictions.csv", [asdict(score) for score in scores])
    write_json(
        folder / "predictions.json",
        {
            "schema": SCHEMA,
            "draws": count,
            "split": None if cfg.draws is None else cfg.split,
            "confidence": cfg.confidence,
            "scores": [asdict(score) for score in scores],
            "left_out": [asdict(row) for row in runs.left_out.values()],
            "versions": versions(),
        },
    )
    if cfg.figures:
        from equiload.experiments.report.prediction_figures import (
            gap_by_error,  # matplotlib loads slowly
        )

        figure = gap_by_error(scores)
        for ending in ("png", "pdf"):
            with replacing(folder / f"predictions.{ending}") as draft:
                figure.savefig(draft)


def _run_draw(cfg: PredictionsConfig, draw: int, instance: Instance, runs: _Runs) -> None:
    bound = EGLBOff().solve(instance).lower_bound
    for name, node in _kept(cfg.references):
        runs.add(Cell(REFERENCE, 0.0, name), name, build(node), instance, bound)
    for kind, size, forecaster in forecasters(cfg.errors, Perfect(instance), draw):
        runs.wrong[kind, size].append(_mapes(forecaster, instance))
        for name, rho, policy in advised(cfg, forecaster):
            cell = Cell(kind, size, name, rho)
            runs.add(cell, f"{cell.label}, {kind} {size:g}", policy, instance, bound)


def _mapes(forecaster: Forecaster, instance: Instance) -> tuple[float, float]:
    """How wrong a forecast is: of prices, and of footprints on average."""
    # Once a day; of less than a day, half-way through.
    every = 24 if instance.horizon > 24 else max(1, instance.horizon // 2)
    errors = forecast_errors(forecaster, instance, every=every)
    if not errors:  # a single slot has no future
        return 0.0, 0.0
    footprints = [errors[name]["mape"] for name in instance.trace.footprints]
    return errors["price"]["mape"], float(np.mean(footprints))


def forecasters(
    errors: Mapping[str, Any], truth: Forecaster, draw: int
) -> Iterator[tuple[str, float, Forecaster]]:
    """Yield the perfect forecast, then each kind of error at each of its sizes.

    Errors that are random have a ``seed``, which is then the draw's.
    """
    yield PERFECT, 0.0, truth
    for kind, error in _kept(errors):
        node = dict(error["forecaster"])
        if "seed" in node:
            node["seed"] = draw
        for size in error["sizes"]:
            yield kind, float(size), build(node, base=truth, size=size)


def advised(
    cfg: PredictionsConfig, forecaster: Forecaster
) -> Iterator[tuple[str, float | None, Policy]]:
    """Yield every algorithm that takes a forecast, alone and as asked for with the guarantee."""
    for name, node in _kept(cfg.algorithms):
        yield name, None, build(node, forecaster=forecaster)
        for rho in cfg.rho if name in cfg.wrapped else ():
            advice, expert = build(node, forecaster=forecaster), build(cfg.expert)
            yield name, rho, RobustPolicy(advice, expert, rho=rho)


def _kept(nodes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Entries that are not null: so a preset leaves out what the defaults hold."""
    return ((name, node) for name, node in nodes.items() if node is not None)


def _row(label: str, policy: Policy, instance: Instance, bound: float) -> Row:
    begin = time.perf_counter()
    outcome = rollout(policy, instance)
    seconds = time.perf_counter() - begin
    certificate = policy.certificate() if isinstance(policy, RobustPolicy) else None
    return Row(
        algorithm=label,
        reachability="full" if instance.fleet.full else "partial",
        outcome=outcome,
        lower_bound=bound,
        seconds=seconds,
        certificate=certificate,
    )


def _score(
    cell: Cell,
    rows: Sequence[Row],
    wrong: Mapping[tuple[str, float], Sequence[tuple[float, float]]],
    confidence: float,
) -> Score:
    gaps = np.array([row.gap for row in rows])
    value = low = high = float(gaps.mean())
    if len(gaps) > 1:
        found = interval([gaps], mean, rng=np.random.default_rng(0), confidence=confidence)
        value, low, high = found.value, found.low, found.high
    price, footprint = np.mean(wrong.get((cell.error, cell.size), [(0.0, 0.0)]), axis=0)
    return Score(
        error=cell.error,
        size=cell.size,
        algorithm=cell.label,
        advice=cell.algorithm,
        rho=cell.rho,
        gap=value,
        low=low,
        high=high,
        price_mape=float(price),
        footprint_mape=float(footprint),
    )


def prediction_table(
    scores: Sequence[Score], title: str, left_out: Sequence[LeftOut] = ()
) -> Table:
    """Table for the terminal: a line per error and size, a column per algorithm."""
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    columns = list(dict.fromkeys(s.algorithm for s in scores if s.error != REFERENCE))
    for header in ("Forecast", "Size", "MAPE\nprices", "MAPE\nfootprints", *columns):
        table.add_column(header, justify="left" if header == "Forecast" else "right", no_wrap=True)
    for score in scores:
        if score.error == REFERENCE:
            table.add_row(escape(score.algorithm), "", "", "", _text(score))
    lines: dict[tuple[str, float], dict[str, Score]] = {}
    for score in scores:
        if score.error != REFERENCE:
            lines.setdefault((score.error, score.size), {})[score.algorithm] = score
    for (error, size), line in lines.items():
        any_score = next(iter(line.values()))
        mapes = (f"{any_score.price_mape:.1%}", f"{any_score.footprint_mape:.1%}")
        table.add_row(error, f"{size:g}", *mapes, *(_text(line[name]) for name in columns))
    for row in left_out:
        table.add_row(escape(row.algorithm), "", "", "", *["–"] * max(len(columns), 1))
    return table


def _text(score: Score) -> str:
    if score.low == score.high:  # of one draw
        return f"{100 * score.gap:.2f}"
    return f"{100 * score.gap:.2f} [{100 * score.low:.2f}, {100 * score.high:.2f}]"
