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
    instance: Instance, *, tolerance: float = TOLERANCE, most_rounds: int = 2000
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
    """
    begin = time.perf_counter()
    mu, R = instance.objective.mu, len(instance.fleet.regions)
    weights = np.full((len(mu), R), 1.0 / R)
    master = _Master(mu, R)
    best, gross = -np.inf, np.inf
    tried: list[FloatArray] = []
    status = f"stopped after {most_rounds} rounds"
    for _ in range(most_rounds):
        column = dual_bound(instance, weights)
        tried.append(weights)
        if column.value > best:
            best, centre = float(column.value), weights
        master.add(float(column.outcome.energy_cost), column.outcome.footprint)
        upper, proposed, combination = master.solve()
        gross = min(gross, float(column.outcome.gross))
        if relative_gap(upper, best, gross) <= tolerance:
            status = "optimal"
            break
        weights = _SMOOTHING * centre + (1 - _SMOOTHING) * proposed
    return Solution(
        outcome=_combine(instance, tried, combination),
        weights=centre,
        lower_bound=best,
        status=status,
        stats={
            "method": "decomposition",
            "rounds": len(tried),
            "seconds": time.perf_counter() - begin,
        },
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


def _combine(instance: Instance, tried: list[FloatArray], combination: FloatArray) -> Outcome:
    """Convex combination of the dispatches at the tried weights; few take part, so do them anew."""
    load = np.zeros(instance.trace.price.shape)
    routing = np.zeros(instance.horizon)
    for weights, share in zip(tried, combination, strict=True):
        if share > 0:
            outcome = dual_bound(instance, weights).outcome
            load += share * outcome.load
            routing += share * outcome.routing
    return Outcome(instance=instance, load=load, routing=routing)
