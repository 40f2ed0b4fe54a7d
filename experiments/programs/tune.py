"""Choose eGLB's default parameters on training draws.

``equiload tune``: every combination of step size, ``z_max``, mirror map and
schedule on every draw; the score is the mean gap to eGLB-Off. All combinations of a mirror map and
a schedule run in lock-step as one batch. ``bloom10`` takes no part, test draws only when asked for
by name, to report what the choice is worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from equiload.agents import EGLB, EGLBOff
from equiload.envs import Instance, Trace, rollout
from equiload.envs.data import Source
from equiload.envs.typing import FloatArray
from equiload.experiments.results.tables import show, text_table
from equiload.experiments.running.config import TuneConfig
from equiload.experiments.running.entry import entry_point, run_folder
from equiload.experiments.running.files import versions, write_json
from equiload.experiments.running.progress import bars
from equiload.experiments.running.sources import count_draws, make_source, reachabilities


@dataclass(frozen=True)
class Combination:
    """One combination, and its mean gap to eGLB-Off over the draws with its standard error."""

    mirror: str
    schedule: str
    step_size: float
    z_max: float
    gap: float
    standard_error: float


@entry_point("tune")
def main(cfg: TuneConfig) -> None:
    """Try every combination, print the best ones and write all to ``tune.json``."""
    grid = np.array(list(itertools.product(cfg.step_size, cfg.z_max)))
    families = list(itertools.product(cfg.mirror, cfg.schedule))
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    names = reachabilities(source, cfg.reachability)
    draws = [
        (horizon, name, f"{cfg.split}/{number}")
        for horizon in cfg.horizons
        for count in [_count(cfg, source, horizon)]
        for name in names
        for number in range(count)
    ]
    with bars() as progress:
        of_draws = [
            gaps_of(source.draw(draw, horizon=horizon, reachability=name), families, grid)
            for horizon, name, draw in progress.track(draws, description="draws")
        ]
    gaps = np.concatenate(of_draws, axis=-1)  # families × grid × draws
    count = gaps.shape[-1]
    error = gaps.std(-1, ddof=min(1, count - 1)) / np.sqrt(count)  # 0 for a single draw
    trials = [
        Combination(
            mirror, schedule, float(size), float(z_max), float(gaps[f, g].mean()), error[f, g]
        )
        for f, (mirror, schedule) in enumerate(families)
        for g, (size, z_max) in enumerate(grid)
    ]
    trials.sort(key=lambda trial: trial.gap)
    content = {"trials": [asdict(trial) for trial in trials], "versions": versions()}
    write_json(run_folder() / "tune.json", content)
    show(_table(trials[:12], f"{count} {cfg.split} draws of {source.name}"))


def _count(cfg: TuneConfig, source: Source, horizon: int) -> int:
    remedy = f"horizons without {horizon}"
    return count_draws(source, cfg.split, cfg.draws, horizon=horizon, remedy=remedy)


def gaps_of(
    instance: Instance, families: Sequence[tuple[str, str]], grid: FloatArray
) -> FloatArray:
    """``[families, grid, 1]``: gap of every combination to eGLB-Off on one instance."""
    bound = EGLBOff().solve(instance).lower_bound
    many = instance.replace(trace=Trace.stack([instance.trace] * len(grid)))
    objective = np.stack([rollout(_eglb(family, grid), many).objective for family in families])
    gaps: FloatArray = (objective - bound)[..., None] / abs(bound)
    return gaps


def _eglb(family: tuple[Any, Any], grid: FloatArray) -> EGLB:
    mirror, schedule = family
    return EGLB(step_size=grid[:, 0], z_max=grid[:, 1], mirror=mirror, schedule=schedule)


def _table(trials: list[Combination], draws: str) -> Table:
    title = f"eGLB: mean gap to eGLB-Off over {draws}, best first"
    table = text_table(title, ["Mirror", "Schedule"], ["Step size", "z_max", "Gap", "± s.e."])
    for trial in trials:
        numbers = (f"{trial.step_size:g}", f"{trial.z_max:g}")
        gap = (f"{trial.gap:.2%}", f"{trial.standard_error:.2%}")
        table.add_row(trial.mirror, trial.schedule, *numbers, *gap)
    return table
