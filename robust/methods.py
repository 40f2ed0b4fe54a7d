"""How the layer gets from the advice to what is played: two with a guarantee, two to compare with.

========  ===========================================================  =========
method    rule                                                         guarantee
========  ===========================================================  =========
blend     the largest certified step from the expert to the advice     yes
project   the nearest point of the safe set to the advice              yes
switch    the advice until its first uncertified slot, then the expert yes
fixed     a fixed mixture of the two                                   no
========  ===========================================================  =========
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from equiload.envs import DataError, Slot, SolverError
from equiload.envs.feasibility import TOLERANCE
from equiload.envs.typing import Array
from equiload.robust.blend import Blend, blend, feasible
from equiload.robust.project import Projector
from equiload.robust.safe import Ledger, Rates, SafeSet, Step


class Method(Protocol):
    """Chooses the allocation of a slot."""

    def reset(self, safe: SafeSet, batch: tuple[int, ...]) -> None:
        """Forget the last episode."""
        ...

    def __call__(
        self,
        followed: Ledger,
        rates: Rates,
        slot: Slot,
        expert: Array,
        advice: Array,
        expert_step: Step,
    ) -> Blend:
        """Arguments as for :func:`~equiload.robust.blend.blend`."""
        ...


class BlendMethod:
    """The largest certified step from the expert's allocation towards the advice."""

    def reset(self, safe: SafeSet, batch: tuple[int, ...]) -> None:
        """See :class:`Method`."""
        del batch
        self._safe = safe

    def __call__(
        self,
        followed: Ledger,
        rates: Rates,
        slot: Slot,
        expert: Array,
        advice: Array,
        expert_step: Step,
    ) -> Blend:
        """See :class:`Method`."""
        del slot
        return blend(self._safe, followed, rates, expert, advice, expert_step)


class ProjectMethod:
    """The Euclidean projection of the advice on the safe set, certified by a last blend.

    ``alpha`` is 1 where the advice was safe as it stood, 0 where the expert is played, otherwise
    1 − (distance to the advice / distance of the expert to the advice).
    """

    def reset(self, safe: SafeSet, batch: tuple[int, ...]) -> None:
        """See :class:`Method`."""
        self._safe = safe
        self._projectors = [Projector(safe) for _ in range(int(np.prod(batch, dtype=int)))]

    def __call__(
        self,
        followed: Ledger,
        rates: Rates,
        slot: Slot,
        expert: Array,
        advice: Array,
        expert_step: Step,
    ) -> Blend:
        """See :class:`Method`."""
        reached = self._safe.leave(followed, self._safe.step(rates, advice - expert))
        safe_already = self._safe.certified(reached)
        if safe_already.all():
            return Blend(np.ones(safe_already.shape), advice, reached)
        nearest = advice.copy()
        for problem, index in enumerate(np.ndindex(safe_already.shape)):
            if not safe_already[index]:
                # A solver that fails costs nearness, not safety: the advice is blended instead.
                with suppress(SolverError):
                    nearest[index] = self._projectors[problem].project(
                        _row(followed, index),
                        Rates(*(part[index] for part in rates)),
                        slot.demand[index],
                        expert[index],
                        advice[index],
                    )
        good = feasible(
            nearest, slot.demand, slot.capacity, self._safe.fleet.reachable, TOLERANCE / 4
        )
        nearest = np.where(good[..., None, None], nearest, advice)
        alpha, allocation, ledger = blend(self._safe, followed, rates, expert, nearest, expert_step)
        apart = np.linalg.norm(advice - expert, axis=(-2, -1))
        moved = np.linalg.norm(advice - allocation, axis=(-2, -1))
        share = 1.0 - moved / np.where(apart > 0, apart, 1.0)
        # 0 is kept for the expert's own allocation.
        share = np.clip(share, np.finfo(np.float64).tiny, 1.0)
        return Blend(
            np.where(safe_already, 1.0, np.where(alpha > 0, share, 0.0)), allocation, ledger
        )


class SwitchMethod:
    """The advice as long as it is safe; from its first unsafe slot on, the expert for good."""

    def reset(self, safe: SafeSet, batch: tuple[int, ...]) -> None:
        """See :class:`Method`."""
        self._safe = safe
        self._trusted: Array = np.ones(batch, dtype=bool)

    def __call__(
        self,
        followed: Ledger,
        rates: Rates,
        slot: Slot,
        expert: Array,
        advice: Array,
        expert_step: Step,
    ) -> Blend:
        """See :class:`Method`."""
        del slot, expert_step
        reached = self._safe.leave(followed, self._safe.step(rates, advice - expert))
        trusted = self._trusted = self._trusted & self._safe.certified(reached)
        allocation = np.where(trusted[..., None, None], advice, expert)
        return Blend(trusted * 1.0, allocation, self._safe.choose(trusted, reached, followed))


class FixedMethod:
    """``y = y^π + weight·(ỹ − y^π)`` whatever happens: no guarantee.

    Parameters
    ----------
    weight
        Between 0 (the expert) and 1 (the advice).
    """

    def __init__(self, weight: float = 0.5) -> None:
        if not 0 <= weight <= 1:
            raise DataError(f"the weight of a fixed blend must lie in [0, 1], got {weight}")
        self.weight = weight

    def reset(self, safe: SafeSet, batch: tuple[int, ...]) -> None:
        """See :class:`Method`."""
        del batch
        self._safe = safe

    def __call__(
        self,
        followed: Ledger,
        rates: Rates,
        slot: Slot,
        expert: Array,
        advice: Array,
        expert_step: Step,
    ) -> Blend:
        """See :class:`Method`."""
        del slot, expert_step
        xp = array_namespace(advice)
        mixed = expert + self.weight * (advice - expert)
        reached = self._safe.leave(followed, self._safe.step(rates, mixed - expert))
        return Blend(xp.full_like(reached.cost, self.weight), mixed, reached)


def _row(ledger: Ledger, index: tuple[int, ...]) -> Ledger:
    return Ledger(**{name: getattr(ledger, name)[index] for name in Ledger.__dataclass_fields__})
