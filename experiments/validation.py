"""How good a policy is on validation draws, while it is trained: the gap to eGLB-Off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from equiload.agents import EGLB, EGLBOff
from equiload.agents.forecast import PastDays
from equiload.agents.offline import relative_gap
from equiload.envs import DataError, Instance, Policy, rollout
from equiload.envs.data import Draw, synthetic
from equiload.envs.forecast import Forecaster
from equiload.envs.typing import FloatArray


class Validation:
    """A fixed batch of validation draws per reachability; bounds are computed once.

    Parameters
    ----------
    options
        ``draws`` (of each reachability), ``horizon``, ``reachability``, ``index`` (which draw of
        the validation split the batch belongs to).
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        draws = int(options["draws"])
        if draws < 1 or not options["reachability"]:
            raise DataError("validation needs draws of at least 1 and a reachability")
        self._batches: list[tuple[Instance, FloatArray, FloatArray]] = []
        for reachability in options["reachability"]:
            batch = synthetic(
                Draw.validation(int(options["index"])),
                horizon=int(options["horizon"]),
                batch=draws,
                reachability=reachability,
            )
            solver = EGLBOff(tolerance=1e-4)
            bound = np.array(
                [
                    solver.solve(batch.replace(trace=batch.trace[b])).lower_bound
                    for b in range(draws)
                ]
            )
            self._batches.append((batch, bound, gaps(EGLB(), batch, bound)))

    def scores(self, make: Callable[[Forecaster], Policy]) -> dict[str, float]:
        """``gap``, ``eglb_gap`` (means over the draws) and ``closed``, the share of the latter.

        ``make`` is given a forecaster that an online policy may use.
        """
        mine = [gaps(make(PastDays(samples=2)), batch, bound) for batch, bound, _ in self._batches]
        gap, eglb = np.mean(mine), np.mean([theirs for *_, theirs in self._batches])
        return {"gap": float(gap), "eglb_gap": float(eglb), "closed": float(1 - gap / eglb)}


def gaps(policy: Policy, batch: Instance, bound: FloatArray) -> FloatArray:
    """``[B]``: relative gaps of a policy's episodes to certified bounds ``[B]``."""
    outcome = rollout(policy, batch)
    rows = zip(outcome.objective, bound, outcome.gross, strict=True)
    return np.array([relative_gap(float(j), float(b), float(g)) for j, b, g in rows])
