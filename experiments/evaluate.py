"""Judge policies on many draws: the gap to eGLB-Off, and how much of eGLB's gap is closed.

``python -m equiload.experiments.evaluate checkpoint=PATH split=test draws=64``; with ``draws=null``
on the one instance that ``instance`` names (``instance=bloom10 instance.root=…``). Writes
``results.parquet``, a row per algorithm, draw and reachability as the benchmark's, and
``evaluation.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from equiload.envs import DataError, Instance
from equiload.envs.typing import FloatArray
from equiload.experiments import results, statistics
from equiload.experiments.benchmark import build_agents
from equiload.experiments.comparison import Row, compare
from equiload.experiments.config import EvaluateConfig
from equiload.experiments.entry import build, entry_point, run_folder
from equiload.experiments.files import versions, write_json
from equiload.experiments.progress import bars
from equiload.experiments.tables import show

#: Version of the layout of ``evaluation.json``.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Score:
    """An algorithm over the draws of one reachability.

    ``gap``: mean of ``(J − bound) / |bound|``. ``closed``: ``1 − gap / the baseline's gap``, of the
    means. Each with the ends of its paired bootstrap interval (equal to it for a single draw).
    ``kept``: share of the draws whose certificate holds; none without one.
    """

    algorithm: str
    reachability: str
    draws: int
    gap: float
    gap_low: float
    gap_high: float
    closed: float
    closed_low: float
    closed_high: float
    better: float
    certified: float | None


@entry_point("evaluate")
def main(cfg: EvaluateConfig) -> None:
    """Run everything, write the files and print the table."""
    if cfg.draws is not None and cfg.draws < 1:
        raise DataError(f"draws must be at least 1 or null, got {cfg.draws}")
    agents = build_agents(cfg.algorithms)
    if cfg.baseline not in agents:
        raise DataError(f"the baseline {cfg.baseline!r} is none of {', '.join(agents)}")
    rows: list[Row] = []
    with bars() as shown:
        total = (cfg.draws or 1) * len(cfg.reachability)
        step = shown.step("draws", total)
        next(step)
        for reachability, instance in instances(cfg):
            rows += compare(agents, instance, reachability=reachability)
            next(step)
    origin, folder = results.Origin.of(cfg), run_folder()
    results.write(folder / results.FILE, [results.line(row, origin) for row in rows])
    scores = score(rows, cfg.baseline, cfg.confidence)
    content = {"schema": SCHEMA, "baseline": cfg.baseline, "confidence": cfg.confidence}
    content |= {"scores": [asdict(s) for s in scores], "versions": versions()}
    write_json(folder / "evaluation.json", content)
    where = rows[0].outcome.instance.name if cfg.draws is None else f"{cfg.draws} {cfg.split} draws"
    show(
        evaluation_table(scores, f"{where}, {rows[0].outcome.instance.horizon} slots", cfg.baseline)
    )


def instances(cfg: EvaluateConfig) -> Iterator[tuple[str, Instance]]:
    """Yield every reachability with every draw of the split (or the one instance)."""
    for reachability in cfg.reachability:
        if cfg.draws is None:
            yield reachability, build(cfg.instance, reachability=reachability)
            continue
        for draw in range(cfg.first, cfg.first + cfg.draws):
            seed = f"{cfg.split}/{draw}"
            yield reachability, build(cfg.instance, seed=seed, reachability=reachability)


def score(rows: Sequence[Row], baseline: str, confidence: float) -> list[Score]:
    """Scores of every algorithm, in the order of the rows."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.reachability, row.algorithm), []).append(row)
    gaps = {key: np.array([row.gap for row in mine]) for key, mine in found.items()}
    return [
        _score(mine, gaps[key], gaps[key[0], baseline], confidence) for key, mine in found.items()
    ]


def _score(mine: Sequence[Row], gap: FloatArray, theirs: FloatArray, confidence: float) -> Score:
    def both(samples: FloatArray) -> FloatArray:
        means = samples.mean(1)
        return np.stack([means[:, 0], 1 - means[:, 0] / means[:, 1]], axis=-1)

    low, high = statistics.ends(np.stack([gap, theirs], axis=-1), both, confidence=confidence)
    held = [bool(row.certificate.holds.all()) for row in mine if row.certificate is not None]
    return Score(
        algorithm=mine[0].algorithm,
        reachability=mine[0].reachability,
        draws=len(mine),
        gap=float(gap.mean()),
        gap_low=float(low[0]),
        gap_high=float(high[0]),
        closed=float(1 - gap.mean() / theirs.mean()),
        closed_low=float(low[1]),
        closed_high=float(high[1]),
        better=float((gap < theirs).mean()),
        certified=float(np.mean(held)) if held else None,
    )


def evaluation_table(scores: Sequence[Score], title: str, baseline: str) -> Table:
    """Table for the terminal."""
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    headers = ("Gap to eGLB-Off, %", f"Of {escape(baseline)}'s gap closed, %", "Better on", "Held")
    for header in ("Reachability", "Algorithm"):
        table.add_column(header, no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for s in scores:
        held = "" if s.certified is None else f"{s.certified:.0%}"
        table.add_row(
            escape(s.reachability),
            escape(s.algorithm),
            _with_ends(s.gap, s.gap_low, s.gap_high, 2, s.draws),
            ""
            if s.algorithm == baseline
            else _with_ends(s.closed, s.closed_low, s.closed_high, 1, s.draws),
            "" if s.algorithm == baseline else f"{s.better:.0%}",
            held,
        )
    return table


def _with_ends(value: float, low: float, high: float, digits: int, draws: int) -> str:
    ends = f" \\[{100 * low:.{digits}f}, {100 * high:.{digits}f}]" if draws > 1 else ""
    return f"{100 * value:.{digits}f}".replace("-0.00", "0.00") + ends


if __name__ == "__main__":
    main()
