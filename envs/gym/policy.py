"""A trained agent as an online policy: it acts from slots alone, anywhere a policy may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from equiload.envs.dynamics import State
from equiload.envs.gym.actions import finite_actions, make_action
from equiload.envs.gym.features import Feature
from equiload.envs.gym.observer import Observer
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import FloatArray


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
    """

    def __init__(
        self,
        predict: Callable[[Any], Any],
        *,
        action: str = "shadow_prices",
        observation: str = "flat",
        action_scale: float = 4.0,
        price_scale: float = 100.0,
        features: Sequence[Feature] = (),
    ) -> None:
        self._predict = predict
        self._kind, self._scale = action, action_scale
        self.observer = Observer(observation, price_scale=price_scale, features=features)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._batch = setting.batch
        self._action = make_action(self._kind, setting, self._scale)
        self.observer.reset(setting)

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]`` that the agent's action comes to."""
        predicted = self._predict(self.observer.observe(slot, state))
        raw = predicted[0] if isinstance(predicted, tuple) else predicted
        action = finite_actions(raw, (*self._batch, *self._action.shape))
        return self._action.allocation(action, slot)
