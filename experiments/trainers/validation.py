"""How good a policy is on validation draws, while it is trained: the gap to eGLB-Off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from equiload.agents import EGLB, EGLBOff
from equiload.agents.forecast import PastDays
from equiload.agents.offline import relative_gap
from equiload.envs import Instance, Policy, Trace, rollout
from equiload.envs.data import Draw, Source
from equiload.envs.forecast import Forecaster
from equiload.envs.typing import FloatArray
from equiload.experiments.running.config import ValidationConfig
from equiload.experiments.running.sources import count_draws, reachabilities


class Validation:
    """A fixed batch of validation draws per reachability; bounds are computed once.

    Parameters
    ----------
    options
        ``draws`` (of each reachability), ``horizon``, ``reachability``, ``index`` (which draw of
        the generator's validation split the batch belongs to).
    source
        Whose validation split. Of one's own data there are as many windows as fit; a sentence on
        standard error says so where more were asked for.

    Raises
    ------
    DataError
        For options that cannot be, and where the source has no such draw.
    """

    def __init__(self, options: ValidationConfig, source: Source) -> None:
        chosen = drawn_of(options, "validation", source)
        self._batches: list[tuple[Instance, FloatArray, FloatArray]] = []
        for reachability in reachabilities(source, options.reachability):
            batch = _batch(options, chosen, reachability, source)
            solutions = EGLBOff(tolerance=1e-4).solve_all(batch)
            bound = np.array([solution.lower_bound for solution in solutions])
            self._batches.append((batch, bound, gaps(EGLB(), batch, bound)))

    def scores(self, make: Callable[[Forecaster], Policy]) -> dict[str, float]:
        """``gap``, ``eglb_gap`` (means over the draws) and ``closed``, the share of the latter.

        ``make`` is given a forecaster that an online policy may use.
        """
        own = [gaps(make(PastDays(samples=2)), batch, bound) for batch, bound, _ in self._batches]
        gap, eglb = np.mean(own), np.mean([theirs for *_, theirs in self._batches])
        # Where eGLB leaves nothing to close (a fleet without a choice), nothing is closed.
        closed = 1 - gap / eglb if eglb > 0 else 0.0
        return {"gap": float(gap), "eglb_gap": float(eglb), "closed": float(closed)}


def gaps(policy: Policy, batch: Instance, bound: FloatArray) -> FloatArray:
    """``[B]``: relative gaps of a policy's episodes to certified bounds ``[B]``."""
    outcome = rollout(policy, batch)
    rows = zip(outcome.objective, bound, outcome.gross, strict=True)
    return np.array([relative_gap(float(j), float(b), float(g)) for j, b, g in rows])


def drawn_of(options: ValidationConfig, split: str, source: Source) -> list[int]:
    """Numbers of the draws of a split: as many as there are, spread over it, if fewer than asked.

    Raises
    ------
    DataError
        For options that cannot be, and where the source has no such draw.
    """
    count = count_draws(source, split, options.draws, horizon=options.horizon)
    there_are = source.draws(split, options.horizon)
    spread = range(count) if there_are is None else np.linspace(0, there_are - 1, count).round()
    return [int(number) for number in spread]


def _batch(
    options: ValidationConfig, chosen: Sequence[int], reachability: str, source: Source
) -> Instance:
    horizon = options.horizon
    if source.draws("validation", horizon) is None:
        first = Draw.validation(options.index)
        return source.draw(first, horizon=horizon, batch=len(chosen), reachability=reachability)
    windows = [
        source.draw(Draw.validation(number), horizon=horizon, reachability=reachability)
        for number in chosen
    ]
    return windows[0].replace(trace=Trace.stack([window.trace for window in windows]))
