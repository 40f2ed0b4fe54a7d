"""Choose eGLB's default parameters on training draws.

``equiload tune``: every combination of step size, ``z_max``, mirror map and
schedule on every draw; the score is the mean gap to eGLB-Off. All combinations of a mirror map and
a schedule run in lock-step as one batch. ``bloom10`` takes no part, test draws only when asked for
by name, to report what the choice is worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from equiload.agents import EGLB, EGLBOff
from equiload.envs import Instance, Trace, rollout
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
    draws = []
    for horizon in cfg.horizons:
        remedy = f"horizons without {horizon}"
        count = count_draws(source, cfg.split, cfg.draws, horizon=horizon, remedy=remedy)
        numbers = itertools.product(names, range(count))
        draws += [(horizon, name, f"{cfg.split}/{number}") for name, number in numbers]
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
    write_json(run_folder() / "tune.json", {"trials": trials, "versions": versions()})
    show(_table(trials[:12], f"{count} {cfg.split} draws of {source.name}"))


def gaps_of(
    instance: Instance, families: Sequence[tuple[Any, Any]], grid: FloatArray
) -> FloatArray:
    """``[families, grid, 1]``: gap of every combination to eGLB-Off on one instance."""
    bound = EGLBOff().solve(instance).lower_bound
    many = instance.replace(trace=Trace.stack([instance.trace] * len(grid)))
    policies = [
        EGLB(step_size=grid[:, 0], z_max=grid[:, 1], mirror=mirror, schedule=schedule)
        for mirror, schedule in families
    ]
    objective = np.stack([rollout(policy, many).objective for policy in policies])
    gaps: FloatArray = (objective - bound)[..., None] / abs(bound)
    return gaps


def _table(trials: list[Combination], draws: str) -> Table:
    title = f"eGLB: mean gap to eGLB-Off over {draws}, best first"
    table = text_table(title, ["Mirror", "Schedule"], ["Step size", "z_max", "Gap", "± s.e."])
    for trial in trials:
        numbers = (f"{trial.step_size:g}", f"{trial.z_max:g}")
        gap = (f"{trial.gap:.2%}", f"{trial.standard_error:.2%}")
        table.add_row(trial.mirror, trial.schedule, *numbers, *gap)
    return table
