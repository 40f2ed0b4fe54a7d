"""A linear program by named blocks of variables and of rows, for HiGHS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import highspy
import numpy as np
from scipy import sparse

from equiload.envs import SolverError
from equiload.envs.typing import FloatArray, IntArray

_Values = FloatArray | float


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A sum of variables in each of many places: ``Σ value·variable`` over the terms of a place.

    Parameters
    ----------
    place, column, value
        ``[M]``: where each term belongs, its variable, and the coefficient.
    """

    place: IntArray
    column: IntArray
    value: FloatArray

    def __add__(self, other: Terms) -> Terms:
        return Terms(
            np.concatenate([self.place, other.place]),
            np.concatenate([self.column, other.column]),
            np.concatenate([self.value, other.value]),
        )

    def __neg__(self) -> Terms:
        return Terms(self.place, self.column, -self.value)

    def __sub__(self, other: Terms) -> Terms:
        return self + -other

    def times(self, factor: FloatArray) -> Terms:
        """Each place's sum times its factor."""
        return Terms(self.place, self.column, self.value * factor.ravel()[self.place])

    def at(self, places: IntArray) -> Terms:
        """The same terms elsewhere: those of place ``m`` in ``places[m]``, or dropped where < 0."""
        place = places.ravel()[self.place]
        kept = place >= 0
        if kept.all():
            return Terms(place, self.column, self.value)
        return Terms(place[kept], self.column[kept], self.value[kept])

    def a_slot_later(self, slots: int, width: int) -> Terms:
        """Of places ``[slots, width]``: what the slot before holds."""
        places = np.arange(slots * width) + width
        places[-width:] = -1
        return self.at(places)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Values of variables and multipliers of rows by block, in the blocks' shapes.

    A multiplier is what the optimum grows by with a unit more on the row's right-hand side.
    """

    values: Mapping[str, FloatArray]
    duals: Mapping[str, FloatArray]
    iterations: int


class Program:
    """Minimise a linear cost over named blocks of variables, within named blocks of rows."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._rows: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._bounds: list[tuple[FloatArray, FloatArray]] = []
        self._sides: list[tuple[FloatArray, FloatArray]] = []
        self._costs: list[FloatArray] = []
        self._terms: list[Terms] = []
        self._priced: list[Terms] = []
        self.width = self.height = 0

    def variables(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        lower: _Values = 0.0,
        upper: _Values = np.inf,
        cost: _Values = 0.0,
    ) -> Terms:
        """Add a block of variables; each is the sum of its own place."""
        count = int(np.prod(shape))
        self._columns[name] = self.width, shape
        self._bounds.append((_flat(lower, shape), _flat(upper, shape)))
        self._costs.append(_flat(cost, shape))
        own = np.arange(count)
        terms = Terms(own, self.width + own, np.ones(count))
        self.width += count
        return terms

    def pay(self, terms: Terms, price: FloatArray) -> None:
        """Add ``price`` times a sum to the cost."""
        self._priced.append(terms.times(price))

    def rows(
        self,
        name: str,
        shape: tuple[int, ...],
        terms: Terms,
        *,
        lower: _Values = -np.inf,
        upper: _Values = np.inf,
    ) -> None:
        """Add a block of rows: a sum between two sides in each place."""
        self._rows[name] = self.height, shape
        self._sides.append((_flat(lower, shape), _flat(upper, shape)))
        self._terms.append(Terms(self.height + terms.place, terms.column, terms.value))
        self.height += int(np.prod(shape))

    def solve(self, method: str = "choose", **options: str) -> Answer:
        """Solve by HiGHS; ``method`` is its option ``solver``, others come by name.

        Raises
        ------
        SolverError
            If HiGHS does not return an optimum.
        """
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        for name, value in {"solver": method, **options}.items():
            solver.setOptionValue(name, value)
        solver.passModel(self.model())
        solver.run()
        status = solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS stopped: {solver.modelStatusToString(status)}")
        solution = solver.getSolution()
        values, duals = np.array(solution.col_value), np.array(solution.row_dual)
        return self.named(values, duals, int(solver.getInfo().simplex_iteration_count))

    def named(self, values: FloatArray, duals: FloatArray, iterations: int = 0) -> Answer:
        """A solver's vectors by block."""
        return Answer(_blocks(values, self._columns), _blocks(duals, self._rows), iterations)

    def model(self) -> highspy.HighsLp:
        """For HiGHS, or whoever reads such a model."""
        places = np.concatenate([t.place for t in self._terms])
        columns = np.concatenate([t.column for t in self._terms])
        values = np.concatenate([t.value for t in self._terms])
        matrix = sparse.csc_matrix((values, (places, columns)), shape=(self.height, self.width))
        cost = np.concatenate(self._costs)
        for terms in self._priced:
            np.add.at(cost, terms.column, terms.value)
        model = highspy.HighsLp()
        model.num_row_, model.num_col_ = matrix.shape
        model.col_cost_ = cost
        model.col_lower_, model.col_upper_ = map(np.concatenate, zip(*self._bounds, strict=True))
        model.row_lower_, model.row_upper_ = map(np.concatenate, zip(*self._sides, strict=True))
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = matrix.indptr
        model.a_matrix_.index_ = matrix.indices
        model.a_matrix_.value_ = matrix.data
        return model


def _flat(values: _Values, shape: tuple[int, ...]) -> FloatArray:
    return np.broadcast_to(np.asarray(values, dtype=np.float64), shape).ravel()


def _blocks(
    values: FloatArray, where: Mapping[str, tuple[int, tuple[int, ...]]]
) -> dict[str, FloatArray]:
    return {
        name: values[first : first + int(np.prod(shape))].reshape(shape)
        for name, (first, shape) in where.items()
    }
