"""How good is a policy on a task of the ladder, and how sure is that?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cache, lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.stats import bootstrap

from equiload.envs import DataError, Instance, Policy, rollout
from equiload.envs.checking import checked, refuse_unknown
from equiload.envs.instance import PARTS
from equiload.envs.policy import check_policy
from equiload.envs.tasks import TASKS
from equiload.envs.typing import FloatArray

# Where eGLB is the optimum but for so little of its J, its gap counts for so much: bounds are
# certified to a tenth of it, and a score would be their rounding.
_LEAST_GAP = 1e-6


@dataclass(frozen=True)
class Score:
    """What a policy scores on a task.

    Parameters
    ----------
    task
        Its id.
    score
        ``Σ(J_eGLB − J) / Σ(J_eGLB − bound)`` over the draws: 0 is eGLB (with its knobs, where there
        are any), 1 the lower bound on the optimum, which nothing exceeds.
    interval
        95 %, by a bootstrap of the draws; none of a task with one draw.
    objectives, eglb, bounds
        US$ by draw: ``J``, eGLB's, and the lower bound on the optimum's.
    """

    task: str
    score: float
    interval: tuple[float, float] | None
    objectives: tuple[float, ...]
    eglb: tuple[float, ...]
    bounds: tuple[float, ...]

    @property
    def gap(self) -> float:
        """How far the objectives are above the bounds, relative: ``Σ J / Σ bound − 1``."""
        return sum(self.objectives) / sum(self.bounds) - 1

    def __str__(self) -> str:
        ends = "" if self.interval is None else " [{:.3f}, {:.3f}]".format(*self.interval)
        return f"{self.task}: {self.score:.3f}{ends}"


@checked
def score(policy: Policy, task: str, *, folder: str | Path | None = None) -> Score:
    """Score a policy on a task of the ladder, showing progress on a terminal.

    Parameters
    ----------
    policy
        Any online policy, an agent's as :class:`~equiload.envs.gym.AgentPolicy`. It acts on all
        draws of the task in lock-step.
    task
        Its id (docs/tasks.md).
    folder
        Of the published trace, for tasks that are scored on it.

    Raises
    ------
    DataError
        For an unknown id, what is no policy, a policy that cannot act on the task, and problems
        that are not what the id stands for.

    Examples
    --------
    >>> from equiload.agents import EGLB, GLBCost
    >>> score(EGLB(), "equiload/Toy-v0").score
    0.0
    >>> score(GLBCost(), "equiload/Toy-v0").score < 0
    True
    """
    refuse_unknown("task", [task], TASKS)
    check_policy(policy)
    told = results(task)
    console = Console(stderr=True)
    columns, hidden = Progress.get_default_columns(), not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task(task, total=None)  # the draws are made before the first slot
        instance = problems(task, folder)
        if digest(instance) != told["digest"]:
            raise DataError(
                f"{task}: {folder or 'the draws'} are not what this id stands for (docs/tasks.md)"
            )
        track = partial(progress.track, task_id=bar)
        outcome = rollout(policy, instance, track)
    eglb, bounds = told["rows"][expert(task)]["objectives"], told["bounds"]
    return scored(task, np.atleast_1d(outcome.objective), np.array(eglb), np.array(bounds))


def expert(task: str) -> str:
    """The row of a task that scores 0."""
    return "eGLB with knobs" if TASKS[task].knobs else "eGLB"


def scored(task: str, objectives: FloatArray, eglb: FloatArray, bounds: FloatArray) -> Score:
    """The score of objectives ``[draws]``, US$, and how sure it is."""

    def closed(*sums: FloatArray, axis: int = -1) -> Any:
        ours, theirs, least = (part.sum(axis) for part in sums)
        return (theirs - ours) / np.maximum(theirs - least, _LEAST_GAP * np.abs(theirs))

    draws, ends = (objectives, eglb, bounds), None
    if len(objectives) > 1:
        rng = np.random.default_rng(0)
        resampled = bootstrap(draws, closed, paired=True, method="percentile", rng=rng)
        low, high = resampled.confidence_interval
        ends = float(low), float(high)
    numbers = (tuple(map(float, part)) for part in draws)
    return Score(task, float(closed(*draws)), ends, *numbers)


@lru_cache(maxsize=1)
def problems(task: str, folder: str | Path | None = None) -> Instance:
    """What a task is scored on; kept for the next policy."""
    return TASKS[task].problems(folder)


@cache
def results(task: str) -> dict[str, Any]:
    """What ``tools/leaderboard.py`` has written about a task: digest, bounds, and rows."""
    name = f"{task.rpartition('/')[2]}.json"
    text = (files(__package__) / "leaderboard" / name).read_text(encoding="utf-8")
    return dict(json.loads(text))


def digest(instance: Instance) -> str:
    """SHA-256 of all that a problem is made of, to three digits.

    A last digit may be another processor's; whatever is changed on purpose moves some of the many
    values across a rounding.
    """
    trace, fleet = instance.trace, instance.fleet
    parts = [*instance.series.arrays(), instance.objective.mu]
    stated = [getattr(fleet, f.name) for f in fields(fleet) if f.name not in PARTS]
    for name in fleet.knobs:  # what a fleet has not leaves its digest as it was without such parts
        part = getattr(fleet, name)
        stated += (getattr(part, f.name) for f in fields(part))
    parts += stated
    total = hashlib.sha256(f"{trace.footprints}{trace.timestamps.tolist()}".encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.shape}".encode() + part.astype(np.float16).tobytes())
        else:
            total.update(f"{part}".encode())
    return total.hexdigest()
