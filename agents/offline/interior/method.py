"""The iterations: a predictor, a corrector, and up to two corrections towards the centre.

Mehrotra (SIAM J. Optim. 2, 1992), Gondzio (Comput. Optim. Appl. 6, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.agents.offline.interior import steps
from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import Rows
from equiload.agents.offline.interior.newton import Factor, factorise, solve
from equiload.agents.offline.interior.rows import applied, transposed
from equiload.agents.offline.interior.steps import Barrier, Point, Scaled, Step, Target
from equiload.envs.typing import FloatArray

_CORRECTIONS = 2
_DAMPING = 0.99
_REFINEMENTS = 3  # of the steps, once rounding is seen
_ROUNDING = 1e-10  # residual of a row, in units of a site's capacity, that is rounding anyway
_GAIN = 0.05  # by which a correction must lengthen both steps together to be worth its solve


@dataclass
class Progress:
    """How far an iterate is.

    Parameters
    ----------
    objective, bound
        The program's objective at the iterate, and a lower bound on its optimum.
    infeasibility
        Largest residual of a row.
    products, mean
        Sum and mean of all products of values and prices of bounds.
    """

    objective: float = np.inf
    bound: float = -np.inf
    infeasibility: float = np.inf
    products: float = np.inf
    mean: float = np.inf


class Iteration:
    """An interior point of a form, that moves towards the optimum.

    Parameters
    ----------
    form
        The problem.
    point, prices
        Where to begin: strictly inside of all bounds; ``prices [rows]``.
    """

    def __init__(self, form: Form, point: Point, prices: FloatArray) -> None:
        self.form, self.point, self.prices = form, point, prices
        lives = form.upper > 0
        bounded = lives & np.isfinite(form.upper)
        self._barrier = Barrier(lives.astype(float), bounded.astype(float))
        self._barriers = float(lives.sum() + bounded.sum()) or 1.0
        sizes, n = form.sizes, form.sizes.variables
        self._value, self._y = sizes.vector(point.value), sizes.by_row(prices)
        self._by = Scaled(*np.zeros((4, n)))
        self._diagonal = sizes.vector(self._by.diagonal)
        self._aims = [Target(*np.zeros((2, n))) for _ in range(2)]
        self._steps = [Step(*np.zeros((3, n))) for _ in range(2)]
        self._ways = [sizes.by_row(way) for way in np.zeros((2, sizes.rows))]
        self._push = np.zeros(n)
        self._priced, self._scaled = map(sizes.vector, np.zeros((2, n)))
        self._rows, self._residual = sizes.by_row(np.zeros(sizes.rows)), np.zeros(sizes.rows)
        self._factor = Factor.room(sizes, form.network.servers, form.network.storage)
        self.progress = Progress()
        self._refine = False
        transposed(self._y, form.network, self._priced)

    def measure(self) -> Progress:
        """Prepare the next iteration, and say where this one has come."""
        form, aim, priced = self.form, self._aims[0], self._priced.flat
        applied(self._value, form.network, self._rows)
        np.subtract(form.right, self._rows.flat, out=self._residual)
        total, _ = steps.scale(self.point, self._barrier, form.cost, priced, self._by, aim)
        infeasibility = float(np.abs(self._residual).max())
        # Rounding: a step that meets all rows leaves less of what is missing, never more.
        self._refine |= infeasibility > max(0.9 * self.progress.infeasibility, _ROUNDING)
        self.progress = Progress(
            float(form.cost @ self.point.value),
            self.progress.bound,
            infeasibility,
            total,
            total / self._barriers,
        )
        return self.progress

    def weights(self) -> FloatArray:
        """``[K, R]``, on the simplex."""
        weights = np.maximum(-self._y.footprint, 0.0)
        total = weights.sum(1, keepdims=True)
        equal = np.full(weights.shape, 1.0 / max(weights.shape[1], 1))
        return np.where(total > 0, weights / np.where(total > 0, total, 1.0), equal)

    def bound(self) -> float:
        """A lower bound, by weak duality at the prices and within the widest bounds."""
        form, sizes = self.form, self.form.sizes
        prices, priced = self.prices.copy(), np.empty(sizes.variables)
        sizes.by_row(prices).footprint[:] = -self.weights()
        transposed(sizes.by_row(prices), form.network, sizes.vector(priced))
        found = float(form.right @ prices) + steps.least(form.cost, priced, form.widest)
        self.progress.bound = max(self.progress.bound, found)
        return self.progress.bound

    def advance(self) -> None:
        """One iteration, after :meth:`measure`."""
        point, barrier, net = self.point, self._barrier, self.form.network
        (aim, other), (best, trial) = self._aims, self._steps
        way, way_of_trial = self._ways
        factorise(self._diagonal, net, self._factor)
        total, mean = self.progress.products, self.progress.mean
        lengths = self._towards(aim, way, best)
        after = steps.products(point, best, min(lengths[0], 1.0), min(lengths[1], 1.0))
        share = min((after / total) ** 3, 1.0)
        steps.correct(point, barrier, best, share * mean, aim)
        lengths = self._towards(aim, way, best)
        for _ in range(_CORRECTIONS):
            if min(lengths) >= 1.0:
                break
            longer = (min(1.5 * lengths[0] + 0.1, 1.0), min(1.5 * lengths[1] + 0.1, 1.0))
            steps.centre(point, barrier, best, longer, max(share, 1e-3) * mean, aim, other)
            reached = self._towards(other, way_of_trial, trial)
            if _both(reached) < _both(lengths) + _GAIN:
                break
            lengths, aim, other = reached, other, aim
            best, trial, way, way_of_trial = trial, best, way_of_trial, way
        values, prices = (min(_DAMPING * length, 1.0) for length in lengths)
        steps.move(point, barrier, best, values, prices)
        self.prices += prices * way.flat
        transposed(self._y, net, self._priced)

    def _towards(self, aim: Target, way: Rows, out: Step) -> tuple[float, float]:
        """Newton's step that meets all rows and an aim; how far values and prices may go."""
        steps.pushed(self._by, aim, self._push, self._scaled.flat)
        applied(self._scaled, self.form.network, way)
        np.add(way.flat, self._residual, out=way.flat)
        self._solve(way)
        lengths: tuple[float, float] = steps.step(
            self.point, self._barrier, self._by, aim, self._priced.flat, self._push, out
        )
        return lengths

    def _solve(self, way: Rows) -> None:
        """Newton's system, in place; and ``Aᵀ·y``."""
        net, diagonal = self.form.network, self._diagonal
        right = way.flat.copy() if self._refine else way.flat
        solve(diagonal, net, self._factor, way)
        transposed(way, net, self._priced)
        for _ in range(_REFINEMENTS if self._refine else 0):
            more = self.form.sizes.by_row(np.empty_like(right))
            np.multiply(diagonal.flat, self._priced.flat, out=self._scaled.flat)
            applied(self._scaled, net, more)
            np.subtract(right, more.flat, out=more.flat)
            solve(diagonal, net, self._factor, more)
            np.add(way.flat, more.flat, out=way.flat)
            transposed(way, net, self._priced)


def _both(lengths: tuple[float, float]) -> float:
    return min(lengths[0], 1.0) + min(lengths[1], 1.0)
