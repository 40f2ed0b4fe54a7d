"""The environment's one kernel: ``B`` episodes in lock-step, every step a few array operations.

The single environment is a batch of one over it, the vector environment a batch of ``B``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

import numpy as np
from gymnasium import spaces

from equiload.envs.checking import checked, shown
from equiload.envs.dynamics import State, slot_cost, transition
from equiload.envs.errors import DataError, UsageError
from equiload.envs.gym.actions import ActionSpec, Layer, make_action
from equiload.envs.gym.features import ACTION_SCALE, PRICE_SCALE, Feature
from equiload.envs.gym.observer import Float32Array, Observer
from equiload.envs.gym.rewards import Relative, Reward, Transition, make_reward
from equiload.envs.gym.source import Episodes, EpisodeSampler, InstanceLike
from equiload.envs.make import Spec
from equiload.envs.typing import Count, FloatArray, Form, Positive


class Options(TypedDict, total=False):
    """Keyword arguments of both environments; every one has a default (see :class:`Core`)."""

    instance: InstanceLike
    horizon: int | None
    action: ActionSpec
    reward: Spec | Reward
    observation: Form
    reachability: str | FloatArray | None
    equity_weight: Mapping[str, float] | None
    action_scale: float
    price_scale: float
    features: Sequence[Spec | Feature]
    layer: Layer | None


class StepResult(NamedTuple):
    """What a step of ``B`` episodes returns.

    ``observation [B, size]`` flat, ``reward [B]``, and in ``info`` arrays ``[B, ...]`` by name.
    """

    observation: Float32Array
    reward: FloatArray
    done: bool
    info: dict[str, FloatArray]


class Core:
    """``B`` episodes, each on its own instance.

    Parameters
    ----------
    count
        ``B``.
    instance, horizon, reachability, equity_weight
        See :class:`~equiload.envs.gym.source.EpisodeSampler`.
    action
        ``"shadow_prices"``, ``"routing"``, or a class of your own (:class:`~.actions.Action`).
    reward
        ``"dense"``, ``"terminal"``, ``"relative"``, ``"hindsight_dual"``, or a reward object.
    observation
        ``"flat"`` or ``"dict"``.
    action_scale
        Logits per unit of action.
    price_scale
        US$/MWh; see :class:`~equiload.envs.gym.observer.Observer`.
    features
        More blocks of the observation, by name or objects (:mod:`equiload.envs.gym.features`).
    layer
        What stands between decisions and what is played (``equiload.robust.EnvironmentLayer``), or
        nothing. Give each environment its own.
    """

    @checked
    def __init__(
        self,
        count: Count,
        *,
        instance: InstanceLike = "synthetic",
        horizon: Count | None = None,
        action: ActionSpec = "shadow_prices",
        reward: Spec | Reward = "dense",
        observation: Form = "flat",
        reachability: str | FloatArray | None = None,
        equity_weight: Mapping[str, float] | None = None,
        action_scale: Positive = ACTION_SCALE,
        price_scale: Positive = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        layer: Layer | None = None,
    ) -> None:
        self.count = count
        self.source = EpisodeSampler(
            instance, horizon=horizon, reachability=reachability, equity_weight=equity_weight
        )
        #: Of the ``B`` episodes.
        self.setting = replace(self.source.setting, batch=(count,))
        self.action = make_action(action, self.setting, action_scale)
        self.action_scale = float(action_scale)
        if not isinstance(layer, Layer | None):
            raise DataError(f"layer must be a layer, EnvironmentLayer say, got {shown(layer)}")
        self.layer, self.reward = layer, make_reward(reward)
        self.observer = Observer(price_scale=price_scale, features=features)
        self.observer.reset(self.setting)
        display = Observer(observation, features=features)
        display.reset(self.source.setting)
        #: Turns flat observations into what the environment shows.
        self.present = display.present
        # Learners draw from [-1, 1]; any finite number is understood.
        self.action_space = spaces.Box(-1.0, 1.0, self.action.shape, dtype=np.float32)
        self.observation_space = display.space
        #: The running episodes; none before the first reset.
        self.episodes: Episodes | None = None

    def sibling(self, count: int) -> Core:
        """Another core for ``count`` episodes of the same source, with a state of its own."""
        other = copy(self)
        other.count, other.reward, other.layer = count, deepcopy(self.reward), deepcopy(self.layer)
        other.setting = replace(self.setting, batch=(count,))
        other.observer = Observer(
            price_scale=self.observer.price_scale, features=self.observer.features
        )
        other.observer.reset(other.setting)
        return other

    def reset(
        self,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any] | None = None,
        out: Float32Array | None = None,
    ) -> tuple[Float32Array, dict[str, FloatArray]]:
        """Draw the next episodes and observe their first slot (in ``out``, if given)."""
        self.episodes = self.source.draw(rngs, options)
        self.reward.reset(self.episodes)
        if self.layer is not None:
            self.layer.reset(self.setting)
        self.state = State.start(self.setting)
        self.totals = np.zeros(self.count)
        self.t = 0
        self.observer.reset(self.setting)
        self._slot = self.episodes.slot(0)
        zero = np.zeros(self.count)
        info = self._info(zero, zero.copy(), self.state.footprint.max(-1))
        return self.observer.observe(self._slot, self.state, out), info

    def step(self, action: FloatArray, out: Float32Array | None = None) -> StepResult:
        """Act in the current slot of every episode: finite numbers ``[B, *action.shape]``."""
        if self.episodes is None or self.t >= self.setting.horizon:
            raise UsageError("the episode is over (or has not begun): call reset first")
        slot, before = self._slot, self.totals
        decision = self.action.decide(action, slot)
        if self.layer is not None:
            decision = self.layer.decide(slot, decision)
        cost = slot_cost(slot, decision, self.setting.physics)
        self.state = state = transition(self.state, cost)
        highest = state.footprint.max(-1)
        self.totals = state.cost + highest @ self.setting.objective.mu
        self.t += 1
        last = self.t == self.setting.horizon
        reward = self.reward(Transition(slot, decision, cost, state, before, self.totals, last))
        if last:
            observation = self.observer.final(slot, state, out)
        else:
            self._slot = self.episodes.slot(self.t)
            observation = self.observer.observe(self._slot, state, out)
        self.load = decision.load
        moved = np.zeros(self.count) if decision.moved is None else decision.moved
        info = self._info(cost.energy + cost.routing, moved, highest)
        return StepResult(observation, reward, last, info)

    @property
    def expert_objective(self) -> FloatArray | None:
        """``[B]``, US$: the expert's objective so far, where the reward has an expert."""
        return self.reward.expert_objective if isinstance(self.reward, Relative) else None

    def _info(
        self, cost: FloatArray, moved: FloatArray, highest: FloatArray
    ) -> dict[str, FloatArray]:
        of_layer = {} if self.layer is None else self.layer.info()
        return of_layer | {  # copies: whoever keeps or changes them leaves the episode alone
            "cost": cost,
            "energy_cost": self.state.cost.copy(),
            "footprint": self.state.footprint.copy(),
            "max_footprint": highest,
            "equity_cost": highest * self.setting.objective.mu,
            "objective": self.totals.copy(),
            "moved": moved,
        }
