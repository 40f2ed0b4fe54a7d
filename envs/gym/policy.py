"""A trained agent as an online policy: it acts from slots alone, anywhere a policy may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from equiload.envs.checking import checked
from equiload.envs.dynamics import Decision, State, slot_cost
from equiload.envs.errors import DataError
from equiload.envs.gym.actions import (
    ActionSpec,
    ClosedLoop,
    Operates,
    ShadowPriceAction,
    finite_actions,
    make_action,
    reach_of,
    scale_of,
)
from equiload.envs.gym.features import PRICE_SCALE, Feature
from equiload.envs.gym.observer import Observer
from equiload.envs.knobs.operation import Levels
from equiload.envs.make import Spec, Trust
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import Count, FloatArray, Form


class AgentPolicy:
    """Wraps anything that maps observations to actions as a :class:`~equiload.envs.Policy`.

    Its episodes are those of the environment with the same options, number for number.

    Parameters
    ----------
    predict
        Called with an observation ``[..., size]`` (or a dict of blocks), returns actions
        ``[..., *shape]``. Of a tuple the first element counts, so that stable-baselines3's
        ``model.predict`` fits as it is.
    action, observation, action_scale, hold, price_scale, features
        As the environment had them in training.
    levels
        Did it observe what there is beside routing?
    trust
        Of an ``action`` that a stranger wrote (:func:`~equiload.envs.make.make`).

    Examples
    --------
    >>> import numpy as np
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> policy = AgentPolicy(lambda observation: np.zeros((2, 10)))  # equal shadow prices
    >>> rollout(policy, synthetic(0, horizon=24)).load.shape
    (24, 10)
    """

    @checked
    def __init__(
        self,
        predict: Callable[[Any], Any],
        *,
        action: ActionSpec = "shadow_prices",
        observation: Form = "flat",
        action_scale: float | None = None,
        hold: Count = 1,
        price_scale: float = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        levels: bool = True,
        trust: Trust = True,
    ) -> None:
        self._predict = predict
        self._kind, self._trust, self._hold = action, trust, hold
        self._scale = scale_of(action, action_scale)
        self.observer = Observer(
            observation, price_scale=price_scale, features=features, levels=levels
        )

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._setting = setting
        self._action = make_action(self._kind, setting, self._scale, self._trust)
        self._loop = self._action if isinstance(self._action, ClosedLoop) else None
        self.observer.reset(setting, self._loop)
        self._last: tuple[Slot, State, Decision | None] | None = None
        if self._loop is not None:
            self._loop.reset()

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Of one slot's actions, since the last reset."""
        return self._action.shape

    @property
    def reach(self) -> float:
        """Of the actions, since the last reset (:func:`~.actions.reach_of`)."""
        return reach_of(self._action)

    def act(self, slot: Slot, state: State) -> FloatArray | Decision:
        """Return the allocation ``[..., J, N]`` that the agent's action comes to.

        Where there is more to decide than routing, the decision.
        """
        if not self._setting.physics.plain(slot):
            action = self._chosen(slot, state)
            self._last = (slot, state, None)
            if isinstance(self._action, Operates):
                return self._action.operate(action, slot, state.levels or Levels())
            return self._action.allocation(action, slot)
        allocation = self._action.allocation(self._chosen(slot, state), slot)
        if self._loop is not None:
            decision = Decision.of(allocation, self._setting.physics.routing_cost)
            self._last = (slot, state, decision)
        return allocation

    def price(self, slot: Slot, state: State) -> FloatArray:
        """Weights ``[..., K, R]`` of the slot: see :class:`~equiload.agents.ensemble.SlotPricer`.

        Raises
        ------
        DataError
            For an action that is not of shadow prices.
        """
        if not isinstance(self._action, ShadowPriceAction):
            raise DataError(f"the action {self._kind} is not one of shadow prices")
        weights: FloatArray = self._action.weights(self._chosen(slot, state))
        self._last = (slot, state, None)
        return weights

    def _chosen(self, slot: Slot, state: State) -> FloatArray:
        """The action of the slot, which may be an earlier one that is held."""
        self._settle(state)
        observation = self.observer.observe(slot, state)
        if slot.index % self._hold == 0:
            predicted = self._predict(observation)
            raw = predicted[0] if isinstance(predicted, tuple) else predicted
            self._held = finite_actions(raw, self._setting.batch, self._action.shape)
        return self._held

    def _settle(self, state: State) -> None:
        """Tell an expert in the loop what was played in the last slot.

        Where a layer stands between, that is not what was proposed: the state tells.
        """
        if self._loop is None or self._last is None:
            return
        slot, before, decision = self._last
        added = state.footprint - before.footprint
        if decision is None:
            self._loop.settle(slot, added)
            return
        proposed = slot_cost(slot, decision, self._setting.physics).footprint
        near = np.isclose(added, proposed, rtol=1e-9, atol=1e-12 * state.footprint.max())
        self._loop.settle(slot, added, decision if near.all() else None)
