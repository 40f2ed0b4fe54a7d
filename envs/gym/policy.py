"""A trained agent as an online policy: it acts from slots alone, anywhere a policy may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from equiload.envs.dynamics import State
from equiload.envs.gym.actions import ActionSpec, finite_actions, make_action
from equiload.envs.gym.features import ACTION_SCALE, PRICE_SCALE, Feature
from equiload.envs.gym.observer import Observer
from equiload.envs.make import Spec, Trust
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import FloatArray, Form


class AgentPolicy:
    """Wraps anything that maps observations to actions as a :class:`~equiload.envs.Policy`.

    Its episodes are those of the environment with the same options, number for number.

    Parameters
    ----------
    predict
        Called with an observation ``[..., size]`` (or a dict of blocks), returns actions
        ``[..., *shape]``. Of a tuple the first element counts, so that stable-baselines3's
        ``model.predict`` fits as it is.
    action, observation, action_scale, price_scale, features
        As the environment had them in training.
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

    def __init__(
        self,
        predict: Callable[[Any], Any],
        *,
        action: ActionSpec = "shadow_prices",
        observation: Form = "flat",
        action_scale: float = ACTION_SCALE,
        price_scale: float = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        trust: Trust = True,
    ) -> None:
        self._predict = predict
        self._kind, self._scale, self._trust = action, action_scale, trust
        self.observer = Observer(observation, price_scale=price_scale, features=features)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._batch = setting.batch
        self._action = make_action(self._kind, setting, self._scale, self._trust)
        self.observer.reset(setting)

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Of one slot's actions, since the last reset."""
        return self._action.shape

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]`` that the agent's action comes to."""
        predicted = self._predict(self.observer.observe(slot, state))
        raw = predicted[0] if isinstance(predicted, tuple) else predicted
        action = finite_actions(raw, (*self._batch, *self._action.shape))
        return self._action.allocation(action, slot)
