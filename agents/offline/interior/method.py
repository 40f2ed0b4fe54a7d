"""The iterations: a predictor, a corrector, and a correction towards the centre.

Mehrotra (SIAM J. Optim. 2, 1992), Gondzio (Comput. Optim. Appl. 6, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from equiload.agents.offline.interior import steps
from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import Network, Rows, Sizes, Vector
from equiload.agents.offline.interior.newton import Factor, factorise, solve
from equiload.agents.offline.interior.rows import applied, transposed
from equiload.agents.offline.interior.steps import Barrier, Point, Scaled, Step, Target
from equiload.envs.typing import FloatArray

_DAMPING = 0.99
_ROUNDING = 1e-10  # that a row lacks, in units of a site's capacity: no less is ever asked for
_REFINEMENTS = 3  # of a step, at most, once rounding is seen
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


class Room(NamedTuple):
    """What an iteration is worked out in; two of what the best step and the next one tried need.

    ``residual [rows]`` is what the rows lack, ``right [rows]`` the right-hand side of a step;
    ``diagonal`` views ``by.diagonal``.
    """

    by: Scaled
    aims: tuple[Target, Target]
    steps: tuple[Step, Step]
    ways: tuple[Rows, Rows]
    push: FloatArray
    residual: FloatArray
    right: FloatArray
    diagonal: Vector
    scaled: Vector
    priced: Vector
    rows: Rows

    @staticmethod
    def of(sizes: Sizes) -> Room:
        """Room for a program of this size."""
        n, by = sizes.variables, Scaled(*np.zeros((4, sizes.variables)))
        aims = Target(*np.zeros((2, n))), Target(*np.zeros((2, n)))
        both = Step(*np.zeros((3, n))), Step(*np.zeros((3, n)))
        way, trial, rows = (sizes.by_row(flat) for flat in np.zeros((3, sizes.rows)))
        diagonal, scaled, priced = map(sizes.vector, (by.diagonal, *np.zeros((2, n))))
        residual, right = np.zeros((2, sizes.rows))
        flat = np.zeros(n), residual, right
        return Room(by, aims, both, (way, trial), *flat, diagonal, scaled, priced, rows)


class Iteration:
    """An interior point of a form, that moves towards the optimum.

    Parameters
    ----------
    form
        The problem.
    point, prices
        Where to begin: strictly inside of all bounds; ``prices [rows]``.
    negligible
        What rows may lack, in units of a site's capacity, before steps are refined.
    """

    def __init__(
        self, form: Form, point: Point, prices: FloatArray, negligible: float = 0.0
    ) -> None:
        self.form, self.point, self.prices = form, point, prices
        lives = form.upper > 0
        bounded = lives & np.isfinite(form.upper)
        self._barrier = Barrier(lives.astype(float), bounded.astype(float))
        self._barriers = float(lives.sum() + bounded.sum()) or 1.0
        sizes = form.sizes
        self._value, self._y = sizes.vector(point.value), sizes.by_row(prices)
        self._room = Room.of(sizes)
        self._factor = Factor.room(sizes, form.network.servers, form.network.storage)
        self.progress = Progress()
        self._negligible, self._enough = max(negligible, _ROUNDING), np.inf
        transposed(self._y, form.network, self._room.priced)

    def measure(self) -> Progress:
        """Prepare the next iteration, and say where this one has come."""
        form, room = self.form, self._room
        applied(self._value, form.network, room.rows)
        np.subtract(form.right, room.rows.flat, out=room.residual)
        total, _ = steps.scale(
            self.point, self._barrier, form.cost, room.priced.flat, room.by, room.aims[0]
        )
        infeasibility = float(np.abs(room.residual).max())
        # Rounding: a step that meets all rows leaves less of what is missing, never more.
        if infeasibility > max(0.9 * self.progress.infeasibility, self._negligible):
            self._enough = self._negligible
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
        net, total, mean = self.form.network, self.progress.products, self.progress.mean
        _advance(
            self.point,
            self._y,
            self._barrier,
            net,
            self._factor,
            self._room,
            total,
            mean,
            self._enough,
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _advance(
    at: Point,
    y: Rows,
    barrier: Barrier,
    net: Network,
    factor: Factor,
    room: Room,
    total: float,
    mean: float,
    enough: float,
) -> None:
    """An iteration, whose steps are refined until rows lack no more than ``enough``.

    In one call: handing so many arrays over takes as long as all work on a day of ten sites.
    """
    (aim, other), (best, trial) = room.aims, room.steps
    way, way_of_trial = room.ways
    factorise(room.diagonal, net, factor)
    lengths = _towards(at, barrier, net, factor, room, enough, aim, way, best)
    after = steps.products(at, best, min(lengths[0], 1.0), min(lengths[1], 1.0))
    share = min((after / total) ** 3, 1.0)
    steps.correct(at, barrier, best, share * mean, aim)
    lengths = _towards(at, barrier, net, factor, room, enough, aim, way, best)
    if min(lengths) < 1.0:
        longer = (min(1.5 * lengths[0] + 0.1, 1.0), min(1.5 * lengths[1] + 0.1, 1.0))
        steps.centre(at, barrier, best, longer, max(share, 1e-3) * mean, aim, other)
        reached = _towards(at, barrier, net, factor, room, enough, other, way_of_trial, trial)
        if _both(reached) >= _both(lengths) + _GAIN:
            lengths, best, way = reached, trial, way_of_trial
    values, prices = min(_DAMPING * lengths[0], 1.0), min(_DAMPING * lengths[1], 1.0)
    steps.move(at, barrier, best, values, prices)
    for j in range(len(y.flat)):
        y.flat[j] += prices * way.flat[j]
    transposed(y, net, room.priced)


@njit(cache=True, nogil=True, error_model="numpy")
def _towards(
    at: Point,
    barrier: Barrier,
    net: Network,
    factor: Factor,
    room: Room,
    enough: float,
    aim: Target,
    way: Rows,
    out: Step,
) -> tuple[float, float]:
    """Newton's step that meets all rows and an aim; how far values and prices may go."""
    steps.pushed(room.by, aim, room.push, room.scaled.flat)
    applied(room.scaled, net, way)
    for j in range(len(way.flat)):
        way.flat[j] += room.residual[j]
        room.right[j] = way.flat[j]
    solve(room.diagonal, net, factor, way)
    transposed(way, net, room.priced)
    lack = np.inf
    for _ in range(_REFINEMENTS if enough < np.inf else 0):  # what is measured costs, too
        before, lack = lack, _lack(net, room)
        if lack <= enough or lack > 0.5 * before:
            break
        solve(room.diagonal, net, factor, room.rows)
        for j in range(len(way.flat)):
            way.flat[j] += room.rows.flat[j]
        transposed(way, net, room.priced)
    return steps.step(at, barrier, room.by, aim, room.priced.flat, room.push, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _lack(net: Network, room: Room) -> float:
    """What ``A·D·Aᵀ·y`` lacks of the right-hand side, into ``room.rows``; its largest entry."""
    for j in range(len(room.push)):
        room.scaled.flat[j] = room.by.diagonal[j] * room.priced.flat[j]
    applied(room.scaled, net, room.rows)
    most = 0.0
    for j in range(len(room.right)):
        room.rows.flat[j] = room.right[j] - room.rows.flat[j]
        most = max(most, abs(room.rows.flat[j]))
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def _both(lengths: tuple[float, float]) -> float:
    return min(lengths[0], 1.0) + min(lengths[1], 1.0)
