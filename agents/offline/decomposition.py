"""eGLB-Off by decomposition over slots (Dantzig–Wolfe), with certified bounds from both sides.

By LP duality ``min J = max over w_k in simplex(R) of L(w)``, where ``L(w)`` is ``T`` independent
dispatches at the shadow prices ``w``. Each evaluation gives a lower bound and a column: the cost
and the footprints of its loads. A master linear program over convex combinations of the columns
gives an upper bound and the next ``w``, which is smoothed towards the best so far (Wentges 1997).
"""

from __future__ import annotations

import time

import highspy
import numpy as np

from equiload.agents.offline.solution import TOLERANCE, Solution, relative_gap
from equiload.envs import Instance, Outcome, SolverError, dual_bound
from equiload.envs.typing import FloatArray

_SMOOTHING = 0.7


def solve_decomposition(
    instance: Instance,
    *,
    tolerance: float = TOLERANCE,
    most_rounds: int = 2000,
    start: FloatArray | None = None,
) -> Solution:
    """Solve eGLB-Off to a relative gap of ``tolerance``.

    Parameters
    ----------
    instance
        One problem.
    tolerance
        Stop when ``(J − lower bound) / |lower bound|`` is at most this.
    most_rounds
        Stop after so many evaluations of the dual function; the status then says so.
    start
        ``[K, R]``, regional footprints from before the first slot. Default: none.
    """
    return Decomposition(tolerance=tolerance, most_rounds=most_rounds).solve(instance, start=start)


class Decomposition:
    """The same for a sequence of similar problems: each goes on from the last one's columns.

    What is kept are the dual weights that took part in the last solution. Their dispatches are done
    anew, so bounds hold whatever changed in between.

    Parameters
    ----------
    tolerance, most_rounds
        See :func:`solve_decomposition`.
    """

    def __init__(self, *, tolerance: float = TOLERANCE, most_rounds: int = 2000) -> None:
        self.tolerance, self.most_rounds = tolerance, most_rounds
        self._kept: FloatArray | None = None

    def solve(self, instance: Instance, *, start: FloatArray | None = None) -> Solution:
        """Solve one problem; ``start`` as for :func:`solve_decomposition`."""
        begin = time.perf_counter()
        mu, R = instance.objective.mu, len(instance.fleet.regions)
        before = np.zeros((len(mu), R)) if start is None else start
        if self._kept is None or self._kept.shape[1:] != before.shape:
            self._kept = np.full((1, *before.shape), 1.0 / R)
        first = self._kept
        master, best, gross, rounds = _Master(mu, R), -np.inf, np.inf, 0
        tried: list[FloatArray] = []
        status = f"stopped after {self.most_rounds} rounds"
        while rounds < self.most_rounds:
            columns = dual_bound(instance, first, start=start)
            rounds += 1
            if columns.value.max() > best:
                best, centre = float(columns.value.max()), first[columns.value.argmax()]
            tried.extend(first)
            footprint = before + columns.outcome.footprint
            for cost, added in zip(columns.outcome.energy_cost, footprint, strict=True):
                master.add(float(cost), added)
            upper, proposed, combination = master.solve()
            gross = min(gross, float(columns.outcome.gross.min()))
            if relative_gap(upper, best, gross) <= self.tolerance:
                status = "optimal"
                break
            first = (_SMOOTHING * centre + (1 - _SMOOTHING) * proposed)[None]
        used = np.flatnonzero(combination > 0)
        taken = np.stack([tried[m] for m in used])
        self._kept = np.concatenate([centre[None], taken[(taken != centre).any((1, 2))]])
        return Solution(
            outcome=_combine(instance, taken, combination[used]),
            weights=centre,
            lower_bound=best,
            status=status,
            stats={
                "method": "decomposition",
                "rounds": rounds,
                "seconds": time.perf_counter() - begin,
            },
            start=start,
        )


class _Master:
    """``min Σ_m λ_m c_m + Σ_k h_k``, ``Σ_m λ_m μ_k S_m[k, r] <= h_k``, ``λ`` on the simplex.

    Warm-started: a column is added, the simplex method goes on from the last basis.
    """

    def __init__(self, mu: FloatArray, R: int) -> None:
        self._mu, self._R, self._scale = mu, R, 0.0
        self._lp = highspy.Highs()
        self._lp.setOptionValue("output_flag", False)
        self._lp.setOptionValue("presolve", "off")
        self._lp.setOptionValue("solver", "simplex")
        self._lp.setOptionValue("simplex_strategy", 4)  # primal: columns arrive, rows stay
        for kind in ("primal", "dual"):
            self._lp.setOptionValue(f"{kind}_feasibility_tolerance", 1e-10)
        infinity = highspy.kHighsInf
        self._lp.addRow(1.0, 1.0, 0, [], [])
        for _ in range(len(mu) * R):
            self._lp.addRow(-infinity, 0.0, 0, [], [])
        for k in range(len(mu)):
            rows = 1 + k * R + np.arange(R)
            self._lp.addCol(1.0, -infinity, infinity, R, rows, -np.ones(R))

    def add(self, cost: float, footprint: FloatArray) -> None:
        """Add the column of one dispatch: its cost in US$ and its footprints ``[K, R]``."""
        weighted = (self._mu[:, None] * footprint).ravel()
        if not self._scale:  # numbers near 1, whatever the currency
            self._scale = max(abs(cost), float(weighted.max(initial=0.0))) or 1.0
        values = np.concatenate([[1.0], weighted / self._scale])
        rows = np.arange(len(values))
        self._lp.addCol(cost / self._scale, 0.0, highspy.kHighsInf, len(rows), rows, values)

    def solve(self) -> tuple[float, FloatArray, FloatArray]:
        """Upper bound in US$, proposed weights ``[K, R]`` and the combination of the columns."""
        self._lp.run()
        status = self._lp.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS stopped: {self._lp.modelStatusToString(status)}")
        solution = self._lp.getSolution()
        duals = np.maximum(-np.array(solution.row_dual[1:]), 0.0).reshape(-1, self._R)
        combination = np.maximum(np.array(solution.col_value[len(self._mu) :]), 0.0)
        return (
            self._lp.getInfo().objective_function_value * self._scale,
            duals / duals.sum(-1, keepdims=True),
            combination / combination.sum(),
        )


def _combine(instance: Instance, taken: FloatArray, shares: FloatArray) -> Outcome:
    """Convex combination of the dispatches at the weights that take part; few, so done anew."""
    load = np.zeros(instance.trace.price.shape)
    routing = np.zeros(instance.horizon)
    for weights, share in zip(taken, shares, strict=True):
        outcome = dual_bound(instance, weights).outcome
        load += share * outcome.load
        routing += share * outcome.routing
    return Outcome(instance=instance, load=load, routing=routing)
