"""A mean of shadow prices: what one policy gets wrong the others hold."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Protocol, runtime_checkable

import numpy as np

from equiload.envs import DataError, Policy, Setting, Slot, State, shadow_cost
from equiload.envs.checking import checked
from equiload.envs.typing import FloatArray, Share


@runtime_checkable
class SlotPricer(Policy, Protocol):
    """An online policy that can say at which shadow prices it would dispatch."""

    def price(self, slot: Slot, state: State) -> FloatArray:
        """Weights ``[..., K, R]`` of a slot from the state that is; asked once a slot."""
        ...


class Ensemble:
    """Dispatch at a weighted mean of the shadow-price weights of several policies.

    All see the state that really is, so eGLB's multipliers, for one, answer to what was played. It
    mixes prices, not allocations: the dual function is concave in them, so at fixed weights
    the mean's lower bound is at least the mean of the bounds.

    Parameters
    ----------
    members
        Policies that dispatch at shadow prices: eGLB, eGLB-MPC, learned ones. Each is copied.
    shares
        Of the mean; they sum to 1. Default: equal ones.

    Raises
    ------
    DataError
        For a member that does not price, and for shares that do not sum to 1.

    Examples
    --------
    >>> from equiload.agents import EGLB, EGLBMPC
    >>> from equiload.agents.forecast import PastDays
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> both = Ensemble([EGLB(), EGLBMPC(PastDays(samples=2), every=6)], [0.3, 0.7])
    >>> rollout(both, synthetic(0, horizon=24)).load.shape
    (24, 10)
    """

    @checked
    def __init__(self, members: Sequence[Policy], shares: Sequence[Share] | None = None) -> None:
        for member in members:
            if not isinstance(member, SlotPricer):
                raise DataError(f"{type(member).__name__} does not dispatch at shadow prices")
        count = len(members)
        self.shares = tuple(shares or [1 / count] * count) if count else ()
        if not count or len(self.shares) != count or abs(sum(self.shares) - 1) > 1e-9:
            raise DataError(f"{count} members need as many shares that sum to 1, got {self.shares}")
        self.members = deepcopy(list(members))

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet, self._physics = setting.fleet, setting.physics
        for member in self.members:
            member.reset(setting)

    def price(self, slot: Slot, state: State) -> FloatArray:
        """See :class:`SlotPricer`."""
        prices = [member.price(slot, state) for member in self.members]  # type: ignore[attr-defined]
        weights: FloatArray = np.tensordot(self.shares, np.stack(prices), axes=1)
        return weights

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]``."""
        unit = shadow_cost(slot, self.price(slot, state), self._physics)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)
