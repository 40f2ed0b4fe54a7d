"""What wrong predictions cost: kind of error × its size × algorithm, against eGLB-Off.

``python -m equiload.experiments.predictions``: on every draw the perfect forecast is made wrong in
a controlled way, and every algorithm that takes advice runs on it. Beside them stand algorithms
that are not told the truth in any form. Writes ``predictions.json``, ``predictions.csv`` and a
figure.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from equiload.agents import EGLBOff
from equiload.agents.forecast import Forecaster, Perfect, forecast_errors
from equiload.envs import DataError, Instance, Policy, SolverError, rollout
from equiload.experiments import results
from equiload.experiments.comparison import Row
from equiload.experiments.config import PredictionsConfig
from equiload.experiments.entry import build, entry_point, run_folder
from equiload.experiments.files import replacing, versions, write_csv, write_json
from equiload.experiments.prediction_scores import PERFECT, REFERENCE, Cell, Score
from equiload.experiments.progress import bars
from equiload.experiments.statistics import interval, mean
from equiload.experiments.tables import show
from equiload.robust import RobustPolicy

#: Version of the layout of ``predictions.json``.
SCHEMA = 1


@entry_point("predictions")
def main(cfg: PredictionsConfig) -> None:
    """Run everything, write the files and print the table."""
    if cfg.draws < 2:
        raise DataError(f"an interval needs at least 2 draws, got {cfg.draws}")
    unknown = [name for name in cfg.wrapped if cfg.algorithms.get(name) is None]
    if unknown:
        raise DataError(f"wrapped names {unknown[0]!r}, which is not among the algorithms")
    rows: dict[Cell, list[Row]] = defaultdict(list)
    wrong: dict[tuple[str, float], list[tuple[float, float]]] = defaultdict(list)
    with bars() as shown:
        for draw in shown.track("draws")(range(cfg.draws)):
            _run_draw(cfg, draw, rows, wrong)
    scores = [_score(cell, runs, wrong, cfg.confidence) for cell, runs in rows.items()]
    folder, origin = run_folder(), results.Origin.of(cfg)
    lines = [results.line(row, origin) for runs in rows.values() for row in runs]
    results.write(folder / results.FILE, lines)
    write_csv(folder / "predictions.csv", [asdict(score) for score in scores])
    write_json(
        folder / "predictions.json",
        {
            "schema": SCHEMA,
            "draws": cfg.draws,
            "split": cfg.split,
            "confidence": cfg.confidence,
            "scores": [asdict(score) for score in scores],
            "versions": versions(),
        },
    )
    if cfg.figures:
        from equiload.experiments.prediction_figures import gap_by_error  # matplotlib loads slowly

        figure = gap_by_error(scores)
        for ending in ("png", "pdf"):
            with replacing(folder / f"predictions.{ending}") as draft:
                figure.savefig(draft)
    show(prediction_table(scores, f"{cfg.draws} {cfg.split} draws: gap to eGLB-Off, %"))


def _run_draw(
    cfg: PredictionsConfig,
    draw: int,
    rows: dict[Cell, list[Row]],
    wrong: dict[tuple[str, float], list[tuple[float, float]]],
) -> None:
    instance = build(cfg.instance, seed=f"{cfg.split}/{draw}")
    bound = EGLBOff().solve(instance).lower_bound
    for name, node in _kept(cfg.references):
        cell = Cell(REFERENCE, 0.0, name)
        rows[cell].append(_row(name, build(node), instance, bound))
    for kind, size, forecaster in forecasters(cfg.errors, Perfect(instance), draw):
        found = forecast_errors(forecaster, instance)
        footprints = [found[name]["mape"] for name in instance.trace.footprints]
        wrong[kind, size].append((found["price"]["mape"], float(np.mean(footprints))))
        for name, rho, policy in advised(cfg, forecaster):
            cell = Cell(kind, size, name, rho)
            label = f"{cell.label}, {kind} {size:g}"
            rows[cell].append(_row(label, policy, instance, bound))


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
    if certificate is not None and not certificate.holds.all():
        raise SolverError(f"the robust layer's certificate does not hold on {instance.name}")
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
    found = interval([gaps], mean, rng=np.random.default_rng(0), confidence=confidence)
    price, footprint = np.mean(wrong.get((cell.error, cell.size), [(0.0, 0.0)]), axis=0)
    return Score(
        error=cell.error,
        size=cell.size,
        algorithm=cell.label,
        advice=cell.algorithm,
        rho=cell.rho,
        gap=found.value,
        low=found.low,
        high=found.high,
        price_mape=float(price),
        footprint_mape=float(footprint),
    )


def prediction_table(scores: Sequence[Score], title: str) -> Table:
    """Table for the terminal: a line per error and size, a column per algorithm."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    columns = list(dict.fromkeys(s.algorithm for s in scores if s.error != REFERENCE))
    for header in ("Forecast", "Size", "MAPE\nprices", "MAPE\nfootprints", *columns):
        table.add_column(header, justify="left" if header == "Forecast" else "right", no_wrap=True)
    for score in scores:
        if score.error == REFERENCE:
            table.add_row(score.algorithm, "", "", "", _text(score))
    lines: dict[tuple[str, float], dict[str, Score]] = {}
    for score in scores:
        if score.error != REFERENCE:
            lines.setdefault((score.error, score.size), {})[score.algorithm] = score
    for (error, size), line in lines.items():
        any_score = next(iter(line.values()))
        mapes = (f"{any_score.price_mape:.1%}", f"{any_score.footprint_mape:.1%}")
        table.add_row(error, f"{size:g}", *mapes, *(_text(line[name]) for name in columns))
    return table


def _text(score: Score) -> str:
    return f"{100 * score.gap:.2f} [{100 * score.low:.2f}, {100 * score.high:.2f}]"


if __name__ == "__main__":
    main()
