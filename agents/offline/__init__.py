"""eGLB-Off: the offline optimum of the equity-aware objective, in four independent ways.

``lp``, ``interior`` and ``decomposition`` are for use; ``reference`` is the readable CVXPY model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from equiload.agents.offline.choice import choose
from equiload.agents.offline.decomposition import Decomposition
from equiload.agents.offline.interior import solve_interior
from equiload.agents.offline.lp import solve_lp
from equiload.agents.offline.solution import (
    TOLERANCE,
    OfflineSolver,
    Solution,
    relative_gap,
)
from equiload.envs import Instance
from equiload.envs.checking import checked
from equiload.envs.threads import side_by_side
from equiload.envs.typing import FloatArray, Positive

__all__ = [
    "Decomposition",
    "EGLBOff",
    "OfflineSolver",
    "Solution",
    "dual_weights",
    "relative_gap",
    "solve_interior",
    "solve_lp",
]

Solver = Literal["auto", "lp", "interior", "decomposition", "reference"]


class EGLBOff:
    """Minimise ``J`` with the whole instance known.

    Parameters
    ----------
    solver
        ``"lp"`` (HiGHS on the aggregated linear program), ``"decomposition"`` (certified bounds,
        for scale; routing alone), ``"interior"`` (certified bounds, for scale, with whatever there
        is beside routing), ``"reference"`` (CVXPY, slow), or ``"auto"``: the quickest of the first
        three, see :func:`~equiload.agents.offline.choice.choose`.
        The solution's ``stats["method"]`` says which ran.
    tolerance
        Relative gap at which the decomposition (default: 1e-7) and the interior point (1e-6) stop.
        (The others solve to HiGHS's own tolerance.) A solution's ``status`` says ``"optimal"`` only
        if its certified gap confirms it.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> solution = EGLBOff().solve(synthetic(0, horizon=24))
    >>> solution.status, solution.stats["method"], solution.gap < 1e-6
    ('optimal', 'lp', True)
    >>> solution.weights.sum(-1).round(6)
    array([1., 1.])

    With more than routing to decide, prices of what links the slots come with it:

    >>> solution = EGLBOff().solve(synthetic(0, horizon=24, knobs=["storage", "training"]))
    >>> solution.prices.stored.shape, solution.prices.waiting.shape, solution.gap < 1e-6
    ((24, 10), (24, 3), True)
    """

    @checked
    def __init__(self, *, solver: Solver = "auto", tolerance: Positive | None = None) -> None:
        self.solver, self.tolerance = solver, tolerance

    def solve(self, instance: Instance) -> Solution:
        """Solve one instance.

        Raises
        ------
        DataError
            For a batch of instances, and where the decomposition is asked for more than routing.
        SolverError
            If the solver stops without an optimum.
        """
        solver = self.solver
        if solver == "auto":
            solver = choose(instance, self.tolerance or TOLERANCE)
        if solver == "lp":
            return solve_lp(instance)
        if solver == "reference":
            from equiload.agents.offline.reference import solve_reference  # CVXPY loads slowly

            return solve_reference(instance)
        if solver == "interior":
            return solve_interior(instance, tolerance=self.tolerance or TOLERANCE)
        return Decomposition(tolerance=self.tolerance or 1e-7).solve(instance)

    def solve_all(
        self,
        problems: Instance | Iterable[Instance],
        track: Callable[[Iterable[int]], Iterable[int]] = iter,
    ) -> list[Solution]:
        """Solve many, shared among threads (:mod:`equiload.envs.threads`): targets to learn from.

        Each solution is what :meth:`solve` returns; of problems alike, their arrays stack.

        Parameters
        ----------
        problems
            A batch, in the order of its axes, or instances of any shapes.
        track
            Wraps the numbers of the solutions to show progress, as ``tqdm`` does.

        Raises
        ------
        EquiloadError
            What :meth:`solve` says of the first problem that it does not solve.

        Examples
        --------
        >>> import numpy as np
        >>> from equiload.envs.data import synthetic
        >>> week = synthetic(0, horizon=24, batch=3, knobs="all")
        >>> solutions = EGLBOff(solver="interior", tolerance=1e-4).solve_all(week)
        >>> np.stack([solution.prices.stored for solution in solutions]).shape
        (3, 24, 10)
        """
        if isinstance(problems, Instance):
            batch = problems.batch
            problems = [problems[i] for i in np.ndindex(batch)] if batch else [problems]
        with threadpool_limits(1, user_api="blas"):  # its threads would wait for each other
            return side_by_side(self.solve, problems, track)


def dual_weights(instance: Instance, *, tolerance: float = 1e-3) -> FloatArray:
    """``[K, R]``: eGLB-Off's dual weights of one instance, to a relative gap of ``tolerance``.

    Where the linear program is the quickest, with more than routing, to that of its own.
    """
    if instance.knobs:
        return EGLBOff(tolerance=tolerance).solve(instance).weights
    return Decomposition(tolerance=tolerance).solve(instance).weights
