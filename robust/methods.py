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

import math
from contextlib import suppress
from typing import Protocol, runtime_checkable

import numpy as np
from array_api_compat import array_namespace

from equiload.envs import Decision, SolverError
from equiload.envs.checking import checked
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.typing import Array, Share
from equiload.robust.blend import Blend, blend
from equiload.robust.departure import LevelTurn, Played
from equiload.robust.kernels import Ledger
from equiload.robust.project import Projector
from equiload.robust.project_levels import project
from equiload.robust.safe import Rates, SafeSet, Turn


@runtime_checkable
class Method(Protocol):
    """Chooses the allocation of a slot."""

    def reset(self, safe: SafeSet) -> None:
        """Forget the last episode: in the next one the condition is ``safe``."""

    def __call__(self, turn: Turn, advice: Array) -> Blend:
        """What is played when ``advice [..., J, N]``, which is feasible, is proposed."""
        ...


@runtime_checkable
class LevelMethod(Method, Protocol):
    """A method for fleets whose past counts, too."""

    def operate(self, turn: LevelTurn, advice: Decision) -> Played:
        """What is played when ``advice``, which is possible, is proposed."""
        ...


class BlendMethod(Method):
    """The largest certified step from the expert's allocation towards the advice."""

    def __call__(self, turn: Turn, advice: Array) -> Blend:
        """See :class:`Method`."""
        return blend(turn, advice)

    def operate(self, turn: LevelTurn, advice: Decision) -> Played:
        """See :class:`LevelMethod`."""
        return turn.blend(advice)


class ProjectMethod(Method):
    """The Euclidean projection of the advice on the safe set, certified by a last blend.

    ``alpha`` is 1 where the advice was safe as it stood, 0 where the expert is played, otherwise
    1 − (distance to the advice / distance of the expert to the advice).
    """

    def reset(self, safe: SafeSet) -> None:
        """See :class:`Method`."""
        problems = math.prod(safe.setting.batch)
        self._projectors = [Projector(safe) for _ in range(problems)]

    def __call__(self, turn: Turn, advice: Array) -> Blend:
        """See :class:`Method`."""
        slot, reachable = turn.slot, turn.safe.setting.fleet.reachable
        _, reached = turn.departure(advice)
        safe_already = turn.safe.certified(reached)
        if safe_already.all():
            return Blend(np.ones(safe_already.shape), advice, reached)
        nearest = advice.copy()
        for problem, index in enumerate(np.ndindex(safe_already.shape)):
            if not safe_already[index]:
                # A solver that fails costs nearness, not safety: the advice is blended instead.
                with suppress(SolverError):
                    nearest[index] = self._projectors[problem].project(
                        Ledger(*(part[index] for part in turn.followed)),
                        Rates(*(part[index] for part in turn.rates)),
                        slot.demand[index],
                        turn.expert[index],
                        advice[index],
                    )
        sound = feasible(nearest, slot.demand, slot.capacity, reachable, TOLERANCE / 4)
        nearest = np.where(sound[..., None, None], nearest, advice)
        alpha, allocation, ledger = blend(turn, nearest)
        apart = np.linalg.norm(advice - turn.expert, axis=(-2, -1))
        moved = np.linalg.norm(advice - allocation, axis=(-2, -1))
        share = 1.0 - moved / np.where(apart > 0, apart, 1.0)
        # 0 is kept for the expert's own allocation.
        share = np.clip(share, np.finfo(np.float64).tiny, 1.0)
        return Blend(
            np.where(safe_already, 1.0, np.where(alpha > 0, share, 0.0)), allocation, ledger
        )

    def operate(self, turn: LevelTurn, advice: Decision) -> Played:
        """See :class:`LevelMethod`."""
        return project(turn, advice)


class SwitchMethod(Method):
    """The advice as long as it is safe; from its first unsafe slot on, the expert for good."""

    def reset(self, safe: SafeSet) -> None:
        """See :class:`Method`."""
        self._trusted: Array = np.ones(safe.setting.batch, dtype=bool)

    def __call__(self, turn: Turn, advice: Array) -> Blend:
        """See :class:`Method`."""
        _, reached = turn.departure(advice)
        trusted = self._trusted = self._trusted & turn.safe.certified(reached)
        allocation = np.where(trusted[..., None, None], advice, turn.expert)
        return Blend(trusted * 1.0, allocation, turn.safe.choose(trusted, reached, turn.followed))

    def operate(self, turn: LevelTurn, advice: Decision) -> Played:
        """See :class:`LevelMethod`."""
        played = turn.switch(advice, self._trusted)
        self._trusted = played.alpha > 0
        return played


class FixedMethod(Method):
    """``y = y^π + weight·(ỹ − y^π)`` whatever happens: no guarantee.

    Parameters
    ----------
    weight
        Between 0 (the expert) and 1 (the advice).
    """

    @checked
    def __init__(self, weight: Share = 0.5) -> None:
        self.weight = weight

    def __call__(self, turn: Turn, advice: Array) -> Blend:
        """See :class:`Method`."""
        mixed = turn.expert + self.weight * (advice - turn.expert)
        _, reached = turn.departure(mixed)
        alpha = array_namespace(mixed).full_like(reached.cost, self.weight)
        return Blend(alpha, mixed, reached)

    def operate(self, turn: LevelTurn, advice: Decision) -> Played:
        """See :class:`LevelMethod`."""
        return turn.mix(advice, self.weight)
