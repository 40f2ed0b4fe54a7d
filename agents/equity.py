"""``equity_for``: the equity weight at which the optimum keeps every region below a target."""

from __future__ import annotations

from equiload.agents.offline import EGLBOff, OfflineSolver
from equiload.envs import DataError, Instance, Outcome
from equiload.envs.checking import checked, refuse_unknown
from equiload.envs.typing import Positive, Size

#: Where equity costs so many times what energy does, a higher weight changes nothing.
_ALL_THAT_COUNTS = 1e6


@checked
def equity_for(
    instance: Instance,
    kind: str = "carbon",
    *,
    at_most: Size,
    tolerance: Positive = 1e-3,
    solver: OfflineSolver | None = None,
) -> float:
    """The least equity weight of ``kind`` at which no region carries more than ``at_most`` of it.

    The highest regional footprint of eGLB-Off never grows with its weight, so the weight is found
    by bisection: some twenty optima. The other kinds keep their weights.

    Parameters
    ----------
    instance
        One problem.
    kind
        A footprint kind.
    at_most
        Of the whole horizon, in the kind's unit (t, m³).
    tolerance
        How far above the least weight the result may lie, as a share of it.
    solver
        Default: :class:`EGLBOff`.

    Returns
    -------
    US$ per unit; 0 where the cheapest allocation is below the target already.

    Raises
    ------
    DataError
        A kind that there is not, and a target that no weight reaches, with the lowest that one can.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> week = synthetic(0, horizon=168)
    >>> weight = equity_for(week, "carbon", at_most=30.0)
    >>> outcome = EGLBOff().solve(week.weighed({"carbon": weight})).outcome
    >>> bool(outcome.max_footprint[0] <= 30.0)
    True
    """
    refuse_unknown("footprint kind", [kind], instance.trace.footprints)
    solver, at = solver or EGLBOff(), instance.trace.footprints.index(kind)

    def optimum(weight: float) -> Outcome:
        return solver.solve(instance.weighed({kind: weight})).outcome

    def highest(outcome: Outcome) -> float:
        return float(outcome.max_footprint[at])

    cheapest = optimum(0.0)
    if highest(cheapest) <= at_most:
        return 0.0
    # Equity then costs about what energy does.
    low, high = 0.0, max(float(cheapest.gross), 1.0) / highest(cheapest)
    while highest(found := optimum(high)) > at_most:
        equity = high * highest(found)
        if equity > _ALL_THAT_COUNTS * (float(found.gross) - equity):
            unit = instance.trace.units[at]
            raise DataError(
                f"no weight of {kind} keeps every region below {at_most:.6g} {unit}: where nothing "
                f"else counts, the highest carries {highest(found):.6g} {unit}"
            )
        low, high = high, 4.0 * high
    while high - low > tolerance * high:
        middle = (low + high) / 2
        low, high = (low, middle) if highest(optimum(middle)) <= at_most else (middle, high)
    return high
