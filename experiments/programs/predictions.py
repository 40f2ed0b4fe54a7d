"""What wrong predictions cost: kind of error × its size × algorithm, against eGLB-Off.

``equiload predictions``: on every draw the perfect forecast is made wrong in a controlled way, and
every algorithm that takes advice runs on it. Beside them stand algorithms that are not told the
truth in any form. Writes ``predictions.json``, ``predictions.csv`` and a
figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from rich.markup import escape
from rich.table import Table

from equiload.agents import EGLBOff
from equiload.agents.forecast import Forecaster, Perfect, forecast_errors
from equiload.envs import DataError, Instance, Policy, SolverError
from equiload.envs.make import instantiated
from equiload.experiments.results import parquet
from equiload.experiments.results.records import PERFECT, REFERENCE, LeftOut, PredictionScore
from equiload.experiments.results.rows import Row
from equiload.experiments.results.statistics import Interval, interval
from equiload.experiments.results.study import Study
from equiload.experiments.results.tables import show, text_table
from equiload.experiments.running import sources
from equiload.experiments.running.config import ForecastErrorConfig, PredictionsConfig
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import write_csv, write_record
from equiload.experiments.running.progress import bars
from equiload.robust import RobustPolicy

_T = TypeVar("_T")

#: MAPE of prices and of footprints on each draw, by kind and size of error.
Mapes = defaultdict[tuple[str, float], list[tuple[float, float]]]


class Case(NamedTuple):
    """What was run: an error, its size, an algorithm and, under the robust layer, its ρ."""

    error: str
    size: float
    algorithm: str
    rho: float | None = None

    @property
    def label(self) -> str:
        """The algorithm as it stands in tables."""
        return self.algorithm if self.rho is None else f"Robust({self.algorithm}), ρ = {self.rho:g}"


def perform(cfg: PredictionsConfig) -> None:
    """Run everything, write the files and print the table."""
    unknown = [name for name in cfg.wrapped if cfg.algorithms.get(name) is None]
    if unknown:
        raise DataError(f"wrapped names {unknown[0]!r}, which is not among the algorithms")
    source = sources.make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    (reachability,) = sources.reachabilities(source, [cfg.reachability])
    draws = sources.chosen_draws(source, cfg.split, cfg.draws)
    study, errors = Study(), Mapes(list)
    with bars() as progress:
        for number, draw in enumerate(progress.track(draws, description="draws")):
            instance = sources.one_instance(source, reachability, draw)
            run_draw(cfg, number, instance, reachability, study, errors)
    study.need_rows()
    rows = study.by_key()
    scores = [_score(case, own, errors, cfg.confidence) for case, own in rows.items()]
    folder = run_folder()
    parquet.write(folder, [row for own in rows.values() for row in own], parquet.Origin.of(cfg))
    write_csv(folder / "predictions.csv", [vars(score) for score in scores])
    content = {
        "draws": len(draws),
        "split": None if cfg.draws is None else cfg.split,
        "confidence": cfg.confidence,
        "scores": scores,
        "left_out": study.left_out,
    }
    write_record(folder / "predictions.json", content)
    if cfg.figures:
        from equiload.experiments.report.figures import write_figures  # matplotlib loads slowly

        write_figures(folder)
    drawn = f"{len(draws)} {cfg.split} draws of {source.name}"
    title = f"{instance.name if cfg.draws is None else drawn}: gap to eGLB-Off, %"
    show(prediction_table(scores, title, study.left_out), study.left_out)


def run_draw(
    cfg: PredictionsConfig,
    number: int,
    instance: Instance,
    reachability: str,
    study: Study,
    errors: Mapes,
) -> None:
    """Run every case on one draw."""
    bound = EGLBOff().solve(instance).lower_bound

    def run(case: Case, name: str, policy: Policy) -> None:
        options = {"name": name, "reachability": reachability, "lower_bound": bound}
        study.run(policy, instance, key=case, group=case.label, **options)

    for name, node in _enabled(cfg.references):
        run(Case(REFERENCE, 0.0, name), name, instantiated(node))
    for kind, size, forecaster in forecasters(cfg.errors, Perfect(instance), number):
        errors[kind, size].append(_mapes(forecaster, instance))
        for name, rho, policy in advised(cfg, forecaster):
            case = Case(kind, size, name, rho)
            run(case, f"{case.label}, {kind} {size:g}", policy)
    for row in study.rows:
        if row.certificate is not None and not row.certificate.holds.all():
            raise SolverError(f"the robust layer's certificate does not hold on {instance.name}")


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
    errors: Mapping[str, ForecastErrorConfig | None], truth: Forecaster, draw: int
) -> Iterator[tuple[str, float, Forecaster]]:
    """Yield the perfect forecast, then each kind of error at each of its sizes.

    Errors that are random have a ``seed``, which is then the draw's.
    """
    yield PERFECT, 0.0, truth
    for kind, error in _enabled(errors):
        node = error.forecaster | ({"seed": draw} if "seed" in error.forecaster else {})
        for size in error.sizes:
            yield kind, size, instantiated({**node, "base": truth, "size": size})


def advised(
    cfg: PredictionsConfig, forecaster: Forecaster
) -> Iterator[tuple[str, float | None, Policy]]:
    """Yield every algorithm that takes a forecast, alone and as asked for with the guarantee."""
    for name, node in _enabled(cfg.algorithms):
        advised = {**node, "forecaster": forecaster}
        yield name, None, instantiated(advised)
        for rho in cfg.rho if name in cfg.wrapped else ():
            advice, expert = instantiated(advised), instantiated(cfg.expert)
            yield name, rho, RobustPolicy(advice, expert, rho=rho)


def _enabled(nodes: Mapping[str, _T | None]) -> Iterator[tuple[str, _T]]:
    """Entries that are not null: so a preset leaves out what the defaults hold."""
    return ((name, node) for name, node in nodes.items() if node is not None)


def _score(case: Case, rows: Sequence[Row], errors: Mapes, confidence: float) -> PredictionScore:
    gaps = np.array([row.gap for row in rows])
    mean = Interval(*np.full(3, gaps.mean()).tolist())  # of one draw: no wider than itself
    if len(gaps) > 1:
        mean = interval([gaps], np.mean, rng=np.random.default_rng(0), confidence=confidence)
    price, footprint = np.mean(errors.get((case.error, case.size), [(0.0, 0.0)]), axis=0)
    return PredictionScore(
        error=case.error,
        size=case.size,
        algorithm=case.label,
        advice=case.algorithm,
        rho=case.rho,
        gap=mean.value,
        low=mean.low,
        high=mean.high,
        price_mape=float(price),
        footprint_mape=float(footprint),
    )


def prediction_table(
    scores: Sequence[PredictionScore], title: str, left_out: Sequence[LeftOut] = ()
) -> Table:
    """Table for the terminal: a line per error and size, a column per algorithm."""
    columns = list(dict.fromkeys(s.algorithm for s in scores if s.error != REFERENCE))
    headers = ["Size", "MAPE\nprices", "MAPE\nfootprints", *columns]
    table = text_table(title, ["Forecast"], headers)
    lines: dict[tuple[str, float], dict[str, PredictionScore]] = {}
    for score in scores:
        if score.error == REFERENCE:
            table.add_row(escape(score.algorithm), "", "", "", _text(score))
        else:
            lines.setdefault((score.error, score.size), {})[score.algorithm] = score
    for (error, size), line in lines.items():
        any_score = next(iter(line.values()))
        mapes = (f"{any_score.price_mape:.1%}", f"{any_score.footprint_mape:.1%}")
        table.add_row(error, f"{size:g}", *mapes, *(_text(line[name]) for name in columns))
    for row in left_out:
        table.add_row(escape(row.algorithm), "", "", "", *["–"] * max(len(columns), 1))
    return table


def _text(score: PredictionScore) -> str:
    if score.low == score.high:  # of one draw
        return f"{100 * score.gap:.2f}"
    return f"{100 * score.gap:.2f} [{100 * score.low:.2f}, {100 * score.high:.2f}]"
