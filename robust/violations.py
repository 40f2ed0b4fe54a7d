"""What a check found, and the exact numbers that it is made with."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from equiload.envs.typing import Array

#: How far an allocation may miss its demand or capacity, relative to the slot's demand: floats
#: cannot add up exactly. The inequalities are checked without any tolerance.
FEASIBLE = 1e-9


#: Room in the declared bound, relative and absolute, before a breach of it must be reported.
BOUND_ROOM, BOUND_FLOOR = Fraction(1, 10**9), Fraction(1e-279)


@dataclass(frozen=True, slots=True)
class Violation:
    """What does not hold, and where: ``problem`` in the batch, ``slot`` (−1: all of them).

    ``left`` exceeds ``right``, which it should not; NaN where there is nothing to compare.
    """

    problem: tuple[int, ...]
    slot: int
    what: str
    left: float = np.nan
    right: float = np.nan

    def __str__(self) -> str:
        place = f"problem {self.problem}, " if self.problem else ""
        when = f"slot {self.slot}" if self.slot >= 0 else "the episode as a whole"
        sides = "" if np.isnan(self.right) else f": {self.left!r} > {self.right!r}"
        return f"{place}{when}: {self.what}{sides}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """What the check found.

    Parameters
    ----------
    episodes, slots
        How much was checked: nothing where shapes, types or numbers are no certificate's.
    violations
        What does not hold; empty where all does.
    breaches
        Slots that exceeded the declared footprint bound, as recomputed here.
    exact
        Episodes that were settled in rational arithmetic.
    smallest_slack
        The smallest ``(right − left) / scale`` of the condition over all slots, with ``scale`` what
        the expert has spent and emitted so far, plus ``B``.
    """

    episodes: int = 0
    slots: int = 0
    violations: tuple[Violation, ...] = ()
    breaches: int = 0
    exact: int = 0
    smallest_slack: float = np.nan

    @property
    def ok(self) -> bool:
        """Does everything hold?"""
        return not self.violations


def beyond(amounts: dict[str, Array], allowed: Array) -> list[Violation]:
    """Slots ``[..., T]`` whose amount is more than is allowed."""
    return [
        Violation(place[:-1], place[-1], what, float(amount[place]), float(allowed[place]))
        for what, amount in amounts.items()
        for place in map(tuple, np.argwhere(~(amount <= allowed)).tolist())
    ]


def fractions(values: object) -> Array:
    """Array of exact fractions; numpy adds and multiplies them as they are."""
    return np.frompyfunc(Fraction, 1, 1)(np.asarray(values, dtype=np.float64))
