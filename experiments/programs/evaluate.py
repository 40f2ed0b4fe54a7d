"""Judge policies on many draws: the gap to eGLB-Off, and how much of eGLB's gap is closed.

``equiload evaluate checkpoint=PATH split=test draws=64``; with ``draws=null``
on the one instance that ``instance`` names (``instance=bloom10 instance.root=…``). Writes
``results.parquet``, a row per algorithm, draw and reachability as the benchmark's, and
``evaluation.json``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table

from equiload.envs import DataError
from equiload.envs.data import Source
from equiload.envs.typing import FloatArray
from equiload.experiments.results import parquet, statistics
from equiload.experiments.results.records import LeftOut, Score
from equiload.experiments.results.rows import Row
from equiload.experiments.results.study import Agent, Study, build_agents
from equiload.experiments.results.tables import show, text_table
from equiload.experiments.running import sources
from equiload.experiments.running.config import EvaluateConfig
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import write_record
from equiload.experiments.running.progress import bars
from equiload.experiments.trainers.lineage import sentences_of


def perform(cfg: EvaluateConfig) -> None:
    """Run everything, write the files and print the table."""
    agents = build_agents(cfg.algorithms)
    if cfg.baseline not in agents:
        raise DataError(f"the baseline {cfg.baseline!r} is none of {', '.join(agents)}")
    source = sources.make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    for sentence in sentences_of(agents.values(), source, None if cfg.draws is None else cfg.split):
        sources.say(sentence)
    study = run_all(cfg, source, agents)
    folder = run_folder()
    parquet.write(folder, study.rows, parquet.Origin.of(cfg))
    scores = score(study.rows, cfg.baseline, cfg.confidence)
    content = {
        "baseline": cfg.baseline,
        "confidence": cfg.confidence,
        "scores": scores,
        "left_out": study.left_out,
    }
    write_record(folder / "evaluation.json", content)
    instance = study.rows[0].outcome.instance
    name = instance.name
    if cfg.draws is not None:
        count = scores[0].draws
        name = f"{count} {cfg.split} draw{'s' if count > 1 else ''} of {source.name}"
    title = f"{name}, {instance.horizon} slots"
    show(evaluation_table(scores, title, cfg.baseline, study.left_out), study.left_out)


def run_all(cfg: EvaluateConfig, source: Source, agents: Mapping[str, Agent]) -> Study:
    """Every reachability, draw and algorithm."""
    names, study = sources.reachabilities(source, cfg.reachability), Study()
    draws = sources.chosen_draws(source, cfg.split, cfg.draws, first=cfg.first)
    runs = list(itertools.product(names, draws))
    with bars() as progress:
        for reachability, draw in progress.track(runs, description="draws"):
            if not all(study.is_out(name, reachability) for name in agents):
                instance = sources.one_instance(source, reachability, draw)
                study.compare(agents, instance, reachability=reachability)
    study.need_rows()
    return study


def score(rows: Sequence[Row], baseline: str, confidence: float) -> list[Score]:
    """Scores of every algorithm, in the order of the rows."""
    runs: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        runs.setdefault((row.reachability, row.algorithm), []).append(row)
    gaps = {key: np.array([row.gap for row in own]) for key, own in runs.items()}
    return [
        _score(own, gaps[key], gaps.get((key[0], baseline)), confidence)
        for key, own in runs.items()
    ]


def _score(
    own: Sequence[Row], gap: FloatArray, theirs: FloatArray | None, confidence: float
) -> Score:
    reference = gap if theirs is None else theirs

    def both(samples: FloatArray) -> FloatArray:
        means = samples.mean(1)
        return np.stack([means[:, 0], 1 - means[:, 0] / means[:, 1]], axis=-1)

    with np.errstate(invalid="ignore", divide="ignore"):  # a baseline without a gap
        low, high = statistics.ends(
            np.stack([gap, reference], axis=-1), both, confidence=confidence
        )
        closed = float(1 - gap.mean() / reference.mean())
    known = theirs is not None and bool(np.isfinite([closed, low[1], high[1]]).all())
    holds = [bool(row.certificate.holds.all()) for row in own if row.certificate is not None]
    return Score(
        algorithm=own[0].algorithm,
        reachability=own[0].reachability,
        draws=len(own),
        gap=float(gap.mean()),
        gap_low=float(low[0]),
        gap_high=float(high[0]),
        closed=closed if known else None,
        closed_low=float(low[1]) if known else None,
        closed_high=float(high[1]) if known else None,
        better=None if theirs is None else float((gap < theirs).mean()),
        certified=float(np.mean(holds)) if holds else None,
    )


def evaluation_table(
    scores: Sequence[Score], title: str, baseline: str, left_out: Sequence[LeftOut] = ()
) -> Table:
    """Table for the terminal."""
    headers = ("Gap to eGLB-Off, %", f"Of {escape(baseline)}'s gap closed, %", "Better on", "Held")
    table = text_table(title, ["Reachability", "Algorithm"], headers)
    for s in scores:
        held = "" if s.certified is None else f"{s.certified:.0%}"
        closed, better = "", ""
        if s.algorithm != baseline:
            if s.closed is not None and s.closed_low is not None and s.closed_high is not None:
                closed = _with_ends(s.closed, s.closed_low, s.closed_high, 1, s.draws)
            better = "" if s.better is None else f"{s.better:.0%}"
        gap = _with_ends(s.gap, s.gap_low, s.gap_high, 2, s.draws)
        table.add_row(escape(s.reachability), escape(s.algorithm), gap, closed, better, held)
    for row in left_out:
        table.add_row(escape(row.reachability), escape(row.algorithm), "–", "–", "–", "–")
    return table


def _with_ends(value: float, low: float, high: float, digits: int, draws: int) -> str:
    ends = f" \\[{100 * low:.{digits}f}, {100 * high:.{digits}f}]" if draws > 1 else ""
    return f"{100 * value:.{digits}f}".replace("-0.00", "0.00") + ends
