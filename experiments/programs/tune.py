"""Choose the parameters of eGLB, or of another policy, on training draws.

``equiload tune``: every combination of what there is to try on every draw; the score is the mean
gap to eGLB-Off. Of eGLB that is step size, ``z_max``, mirror map and schedule, and all combinations
of a mirror map and a schedule run in lock-step as one batch; of another row of the group
``algorithm``, what ``parameters`` says. ``bloom10`` takes no part, test draws only when asked for
by name, to report what the choice is worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from equiload.agents import EGLB, EGLBOff
from equiload.envs import DataError, Instance, Policy, Trace, rollout
from equiload.envs.make import instantiated
from equiload.envs.typing import FloatArray
from equiload.experiments.results.tables import show, text_table
from equiload.experiments.running.config import TuneConfig
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import versions, write_json
from equiload.experiments.running.progress import bars
from equiload.experiments.running.sources import count_draws, make_source, reachabilities

#: What is tried, by parameter.
Combination = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """A combination, and its mean gap to eGLB-Off over the draws with its standard error."""

    parameters: Combination
    gap: float
    standard_error: float


@dataclass(frozen=True)
class Search:
    """What is tried: combinations, and ``J [combinations]`` of each on one instance."""

    name: str
    combinations: Sequence[Combination]
    objectives: Callable[[Instance], FloatArray]


def perform(cfg: TuneConfig) -> None:
    """Try every combination, print the best ones and write all to ``tune.json``."""
    search = search_of(cfg)
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
            _gaps(search, source.draw(draw, horizon=horizon, reachability=name))
            for horizon, name, draw in progress.track(draws, description="draws")
        ]
    gaps = np.stack(of_draws, axis=-1)  # combinations × draws
    count = gaps.shape[-1]
    error = gaps.std(-1, ddof=min(1, count - 1)) / np.sqrt(count)  # 0 for a single draw
    trials = [
        Trial(combination, float(own.mean()), float(deviation))
        for combination, own, deviation in zip(search.combinations, gaps, error, strict=True)
    ]
    trials.sort(key=lambda trial: trial.gap)
    lines = [
        {**trial.parameters, "gap": trial.gap, "standard_error": trial.standard_error}
        for trial in trials
    ]
    write_json(run_folder() / "tune.json", {"trials": lines, "versions": versions()})
    title = f"{search.name}: mean gap to eGLB-Off over {count} {cfg.split} draws of {source.name}"
    show(_table(trials[:12], f"{title}, best first"))


def search_of(cfg: TuneConfig) -> Search:
    """What a configuration asks to try.

    Raises
    ------
    DataError
        For rows or parameters that cannot be tried.
    """
    return _of_a_row(cfg) if cfg.algorithms or cfg.parameters else _of_eglb(cfg)


def _gaps(search: Search, instance: Instance) -> FloatArray:
    """``[combinations]``: gap of each to eGLB-Off on one instance."""
    bound = EGLBOff().solve(instance).lower_bound
    gaps: FloatArray = (search.objectives(instance) - bound) / abs(bound)
    return gaps


def _of_eglb(cfg: TuneConfig) -> Search:
    """Each mirror map and schedule is a policy that plays all of its combinations at once."""
    families = list(itertools.product(cfg.mirror, cfg.schedule))
    grid = np.array(list(itertools.product(cfg.step_size, cfg.z_max)))

    def objectives(instance: Instance) -> FloatArray:
        many = instance.replace(trace=Trace.stack([instance.trace] * len(grid)))
        policies = [
            EGLB(step_size=grid[:, 0], z_max=grid[:, 1], mirror=mirror, schedule=schedule)
            for mirror, schedule in families
        ]
        return np.concatenate([rollout(policy, many).objective for policy in policies])

    combinations = [
        {"mirror": mirror, "schedule": schedule, "step_size": float(size), "z_max": float(z_max)}
        for mirror, schedule in families
        for size, z_max in grid
    ]
    return Search("eGLB", combinations, objectives)


def _of_a_row(cfg: TuneConfig) -> Search:
    """Every combination is a policy of its own."""
    parameters = cfg.parameters or {}
    if len(cfg.algorithms) != 1 or not parameters:
        raise DataError(
            "one row and what to try of it are needed, such as "
            "algorithm=[eglb_knobs] 'parameters={on.share: [0, 0.5]}'"
        )
    (row,) = cfg.algorithms.values()
    combinations = [
        dict(zip(parameters, values, strict=True))
        for values in itertools.product(*parameters.values())
    ]
    policies = [_built(row.agent, combination) for combination in combinations]

    def objectives(instance: Instance) -> FloatArray:
        return np.array([rollout(policy, instance).objective for policy in policies])

    return Search(row.name, combinations, objectives)


def _built(node: Mapping[str, Any], parameters: Combination) -> Policy:
    """The policy of a row with other parameters, each at its path in the row's node."""
    changed: Any = deepcopy(node)
    for path, value in parameters.items():
        part = changed
        *way, name = path.split(".")
        for step in way:
            part = part.get(step) if isinstance(part, dict) else None
        if not isinstance(part, dict):
            raise DataError(f"parameters: the row has no {'.'.join(way)!r} to set {path!r} of")
        part[name] = value
    policy = instantiated(changed)
    if not isinstance(policy, Policy):
        raise DataError(f"{type(policy).__name__} is no online policy (reset, act)")
    return policy


def _table(trials: Sequence[Trial], title: str) -> Table:
    first = trials[0].parameters
    words = [name for name, value in first.items() if isinstance(value, str)]
    numbers = [name for name in first if name not in words]
    shown = [*words, *numbers]
    table = text_table(title, map(escape, words), [*map(escape, numbers), "Gap", "± s.e."])
    for trial in trials:
        cells = (_text(trial.parameters[name]) for name in shown)
        table.add_row(*cells, f"{trial.gap:.2%}", f"{trial.standard_error:.2%}")
    return table


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else escape(str(value))
