"""An expert in the loop: what a learner decides is how far to depart from its shadow prices."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Protocol

import numpy as np

from equiload.envs.arrays import like, namespace
from equiload.envs.dynamics import Decision
from equiload.envs.errors import DataError
from equiload.envs.gym.actions import ShadowPriceAction
from equiload.envs.gym.features import PricingPolicy
from equiload.envs.knobs.market import Market
from equiload.envs.setting import Physics, Setting, Slot
from equiload.envs.typing import Array, FloatArray

if TYPE_CHECKING:  # needs torch
    from equiload.envs.dispatch.torch_dispatch import TorchDispatch


# What makes a DualPolicy; its multipliers are there from the first reset on.
_METHODS = ("reset", "unit_cost", "update", "follow")
# Beyond this in a logit, a multiplier counts for nothing, or alone.
_LARGEST = 30.0


class DualPolicy(PricingPolicy, Protocol):
    """A policy that dispatches at multipliers, and moves them by what was played: eGLB, for one."""

    def unit_cost(self, slot: Slot, multipliers: FloatArray) -> FloatArray:
        """Cost ``[..., N]`` of a unit of load at multipliers ``[..., K, R]``, US$/MWh."""
        ...

    def update(self, slot: Slot, allocation: FloatArray) -> None:
        """Move the multipliers by the allocation ``[..., J, N]`` that was played."""
        ...

    def follow(self, slot: Slot, footprint: Array) -> None:
        """The same, by the footprint ``[..., K, R]`` that the slot added: arrays or tensors."""
        ...


class ResidualAction(ShadowPriceAction):
    """Actions ``[K, R]``: an expert's multipliers times ``exp(scale · action)``, then dispatch.

    The expert runs *in the loop*: what moves its multipliers is what was really played, whatever
    played it, so its own feedback makes good what an action did wrong. Action 0 is the expert.

    Parameters
    ----------
    setting, scale, physics, dispatch, market
        See :class:`~equiload.envs.gym.actions.ShadowPriceAction`.
    expert
        An online policy with multipliers; the action runs a copy of its own.

    Raises
    ------
    DataError
        For an expert without multipliers.

    Examples
    --------
    >>> from equiload.agents import EGLB
    >>> from equiload.envs import rollout
    >>> from equiload.envs.gym import GLBEnv
    >>> env = GLBEnv(horizon=24, action="residual")
    >>> _, info = env.reset(seed=0)
    >>> done = False
    >>> while not done:
    ...     *_, done, _, info = env.step(np.zeros(env.action_space.shape))
    >>> bool(abs(info["objective"] / rollout(EGLB(), env.instance).objective - 1) < 1e-12)
    True
    """

    #: Learners draw from ``[-reach, reach]``: a standard normal action is hardly ever cut off.
    reach = 3.0
    #: The noise of a learner's first steps costs less than half of what it does at 1.
    usual_scale = 0.5

    def __init__(
        self,
        setting: Setting,
        scale: float,
        physics: Physics | None = None,
        dispatch: TorchDispatch | None = None,
        market: Market | None = None,
        *,
        expert: DualPolicy,
    ) -> None:
        if not all(callable(getattr(expert, name, None)) for name in _METHODS):
            name = type(expert).__name__
            raise DataError(f"{name} has no multipliers that can be told what was played")
        super().__init__(setting, scale, physics, dispatch, market)
        self._setting, self.expert = setting, deepcopy(expert)
        self.reset()

    def reset(self) -> None:
        """Begin the episodes: the expert forgets."""
        self.expert.reset(self._setting)

    def settle(self, slot: Slot, footprint: Array, decision: Decision | None = None) -> None:
        """See :class:`ClosedLoop`."""
        if (
            decision is None
            or decision.operation is not None
            or not isinstance(decision.load, np.ndarray)
        ):
            self.expert.follow(slot, footprint)
        elif decision.allocation is None:
            self.expert.update(slot, decision.load[..., None, :])
        else:
            self.expert.update(slot, decision.allocation)

    @property
    def multipliers(self) -> Array:
        """See :class:`ClosedLoop`."""
        return self.expert.multipliers

    def weights(self, action: Array) -> Array:
        """The multipliers ``[..., K, R]`` that an action comes to; they need not sum to 1."""
        xp = namespace(action)
        departure = self._split(action)[0] * self._scale
        factor = xp.exp(xp.clip(departure, -_LARGEST, _LARGEST))
        return like(self.multipliers, action) * factor

    def _unit(self, action: Array, slot: Slot) -> Array:
        if isinstance(action, np.ndarray):  # as the expert rounds: action 0 is it, to the bit
            return self.expert.unit_cost(slot, self.weights(action))
        return super()._unit(action, slot)
