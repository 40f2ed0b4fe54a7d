"""eGLB-Off by decomposition over slots (Dantzig–Wolfe), with certified bounds from both sides.

By LP duality ``min J = max over w_k in simplex(R) of L(w)``, where ``L(w)`` is ``T`` independent
dispatches at the shadow prices ``w``. Each evaluation gives a lower bound and, for each block of
consecutive slots, a column: the cost and the footprints of its loads. A master linear program over
convex combinations of each block's columns gives an upper bound and the next ``w``, which is
smoothed towards the best so far (Wentges 1997). Long problems begin with the weights that solve
every fifth slot of theirs.
"""

from __future__ import annotations

import functools
import itertools
import time

import highspy
import numpy as np

from equiload.agents.offline.checks import check_problem
from equiload.agents.offline.solution import TOLERANCE, Solution, relative_gap
from equiload.envs import Instance, Outcome, Setting, SolverError, State, dual_bound
from equiload.envs.threads import side_by_side
from equiload.envs.typing import FloatArray

_SMOOTHING = 0.7

# More blocks take fewer rounds, but a dearer master: measured best at about K·R / 5 of them.
_FOOTPRINTS_PER_BLOCK = 5
_LEAST_BLOCK = 20_000  # slots × K·R

# Every fifth: of hours or of minutes, each time of day is met in turn.
_THINNED = 5
_LEAST_THINNED = 128  # slots that are left
_COARSE = 1e-4  # a tighter tolerance is lost on a sample


class Decomposition:
    """Solves a problem, or a sequence of similar ones: each goes on from the last one's columns.

    What is remembered are the dual weights that took part in the last solution. Their dispatches
    are done anew, so bounds hold whatever changed in between.

    Parameters
    ----------
    tolerance
        Stop when ``(J − lower bound) / |lower bound|`` is at most this.
    most_rounds
        Stop after so many evaluations of the dual function; the status then says so.
    """

    def __init__(self, *, tolerance: float = TOLERANCE, most_rounds: int = 2000) -> None:
        self.tolerance, self.most_rounds = tolerance, most_rounds
        self._remembered: FloatArray | None = None

    def solve(self, instance: Instance, *, start: State | None = None) -> Solution:
        """Solve one problem.

        ``start`` is the state before its first slot, whose footprints the maximum counts too.
        Default: nothing yet.

        Raises
        ------
        DataError
            For a fleet with more to decide than routing, or a batch of instances.
        """
        check_problem(instance, start)
        Setting.of(instance).require_plain("the decomposition")
        begin = time.perf_counter()
        mu, R = instance.objective.mu, len(instance.fleet.regions)
        before = np.zeros((len(mu), R)) if start is None else start.footprint
        if self._remembered is None or self._remembered.shape[1:] != before.shape:
            self._remembered = self._beginning(instance, before)
        blocks = _blocks(instance)
        first, master = self._remembered, _Master(mu, R, len(blocks))
        best, gross, rounds = -np.inf, np.inf, 0
        tried: list[FloatArray] = []
        status = f"stopped after {self.most_rounds} rounds"
        while rounds < self.most_rounds:
            columns = side_by_side(functools.partial(_columns, weights=first), blocks)
            value, cost, footprint, total = (
                np.stack(part, 1) for part in zip(*columns, strict=True)
            )
            rounds += 1
            bound = value.sum(1) + np.einsum("k,mkr,kr->m", mu, first, before)
            if bound.max() > best:
                best, centre = float(bound.max()), first[bound.argmax()]
            tried.extend(first)
            footprint[:, 0] += before  # of the first block's columns one is taken in all
            for costs, footprints in zip(cost, footprint, strict=True):
                master.add(costs, footprints)
            upper, proposed, combination = master.solve()
            gross = min(gross, float(total.sum(1).min()))
            if relative_gap(upper, best, gross) <= self.tolerance:
                status = "optimal"
                break
            first = (_SMOOTHING * centre + (1 - _SMOOTHING) * proposed)[None]
        used = np.flatnonzero(combination.any(1))
        taken = np.stack([tried[m] for m in used])
        self._remembered = np.concatenate([centre[None], taken[(taken != centre).any((1, 2))]])
        return Solution(
            outcome=_combine(instance, blocks, taken, combination[used]),
            weights=centre,
            lower_bound=best,
            status=status,
            stats={
                "method": "decomposition",
                "blocks": len(blocks),
                "rounds": rounds,
                "seconds": time.perf_counter() - begin,
            },
            start=start,
        )

    def _beginning(self, instance: Instance, before: FloatArray) -> FloatArray:
        """Weights ``[M, K, R]`` to begin with: of a sample of the slots, or equal ones."""
        if instance.horizon < _THINNED * _LEAST_THINNED:
            return np.full((1, *before.shape), 1.0 / before.shape[-1])
        coarse = Decomposition(tolerance=max(self.tolerance, _COARSE), most_rounds=self.most_rounds)
        coarse.solve(_thinned(instance), start=State(0.0, before / _THINNED))
        assert coarse._remembered is not None
        return coarse._remembered


def _columns(block: Instance, weights: FloatArray) -> tuple[FloatArray, ...]:
    """Value, cost, regional footprints and gross cost of a block's dispatches, ``[M, ...]``."""
    bound = dual_bound(block, weights)
    outcome = bound.outcome
    return bound.value, outcome.energy_cost, outcome.footprint, outcome.gross


def _blocks(instance: Instance) -> list[Instance]:
    """The problem cut into stretches of slots, problems of their own but for the maximum."""
    T = instance.horizon
    footprints = len(instance.objective.mu) * len(instance.fleet.regions)
    work, dispatch = T * footprints, instance.fleet.dispatch
    if dispatch.routing_cost is not None or dispatch.cuts is None:
        work *= dispatch.groups  # a dispatch is dear, however short the problem
    count = min(footprints // _FOOTPRINTS_PER_BLOCK, work // _LEAST_BLOCK, T)
    if count <= 1:
        return [instance]
    edges = (np.arange(count + 1) * T // count).tolist()
    return [instance.window(first, end - first) for first, end in itertools.pairwise(edges)]


def _thinned(instance: Instance) -> Instance:
    """Every fifth slot; what the clock says does not matter here."""
    trace = instance.trace
    clock = trace.timestamps[: -(-trace.horizon // _THINNED)]
    thin = trace.map(lambda array: array[..., ::_THINNED, :], timestamps=clock)
    return instance.replace(trace=thin)


class _Master:
    """``min Σ_mb λ_mb c_mb + Σ_k h_k``, ``Σ_mb λ_mb μ_k S_mb[k, r] <= h_k``, ``Σ_m λ_mb = 1``.

    Warm-started: columns are added, the simplex method goes on from the last basis.
    """

    def __init__(self, mu: FloatArray, R: int, blocks: int) -> None:
        self._mu, self._R, self._blocks, self._scale = mu, R, blocks, 0.0
        self._lp = highspy.Highs()
        self._lp.setOptionValue("output_flag", False)
        self._lp.setOptionValue("presolve", "off")
        self._lp.setOptionValue("solver", "simplex")
        self._lp.setOptionValue("simplex_strategy", 4)  # primal: columns arrive, rows stay
        for kind in ("primal", "dual"):
            self._lp.setOptionValue(f"{kind}_feasibility_tolerance", 1e-10)
        infinity = highspy.kHighsInf
        for _ in range(blocks):
            self._lp.addRow(1.0, 1.0, 0, [], [])
        for _ in range(len(mu) * R):
            self._lp.addRow(-infinity, 0.0, 0, [], [])
        for k in range(len(mu)):
            rows = blocks + k * R + np.arange(R)
            self._lp.addCol(1.0, -infinity, infinity, R, rows, -np.ones(R))

    def add(self, cost: FloatArray, footprint: FloatArray) -> None:
        """Add a column per block: costs ``[B]`` in US$ and footprints ``[B, K, R]``."""
        weighted = (self._mu[:, None] * footprint).reshape(self._blocks, -1)
        if not self._scale:  # numbers near 1, whatever the currency
            self._scale = max(abs(cost.sum()), float(weighted.sum(0).max(initial=0.0))) or 1.0
        places = self._blocks + np.arange(weighted.shape[1])
        for b, values in enumerate(weighted / self._scale):
            rows, entries = np.append(b, places), np.append(1.0, values)
            price = cost[b] / self._scale
            self._lp.addCol(price, 0.0, highspy.kHighsInf, len(rows), rows, entries)

    def solve(self) -> tuple[float, FloatArray, FloatArray]:
        """Upper bound in US$, proposed weights ``[K, R]``, shares of the columns ``[M, B]``."""
        self._lp.run()
        status = self._lp.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS stopped: {self._lp.modelStatusToString(status)}")
        solution = self._lp.getSolution()
        duals = np.maximum(-np.array(solution.row_dual[self._blocks :]), 0.0).reshape(-1, self._R)
        shares = np.maximum(np.array(solution.col_value[len(self._mu) :]), 0.0)
        shares = shares.reshape(-1, self._blocks)
        return (
            self._lp.getInfo().objective_function_value * self._scale,
            duals / duals.sum(-1, keepdims=True),
            shares / shares.sum(0),
        )


def _combine(
    instance: Instance, blocks: list[Instance], taken: FloatArray, shares: FloatArray
) -> Outcome:
    """Convex combination of the dispatches that take part; few, so done anew."""

    def combined(b: int) -> tuple[FloatArray, FloatArray]:
        block = blocks[b]
        load, routing = np.zeros(block.trace.price.shape), np.zeros(block.horizon)
        for m in np.flatnonzero(shares[:, b]):
            outcome = dual_bound(block, taken[m]).outcome
            load += shares[m, b] * outcome.load
            routing += shares[m, b] * outcome.routing
        return load, routing

    load, routing = map(
        np.concatenate, zip(*side_by_side(combined, range(len(blocks))), strict=True)
    )
    return Outcome(instance=instance, load=load, routing=routing)
