"""The environment's one kernel: ``B`` episodes in lock-step, every step a few array operations.

The single environment is a batch of one over it, the vector environment a batch of ``B``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from equiload.envs.dynamics import State, slot_cost, transition
from equiload.envs.errors import DataError, EquiloadError
from equiload.envs.gym.actions import action_box, finite_actions, make_action
from equiload.envs.gym.observer import Observer
from equiload.envs.gym.rewards import Relative, Reward, Transition, make_reward
from equiload.envs.gym.source import Episodes, InstanceLike, Source
from equiload.envs.typing import FloatArray


class Options(TypedDict, total=False):
    """Keyword arguments of both environments; every one has a default (see :class:`Core`)."""

    instance: InstanceLike
    horizon: int | None
    action: str
    reward: str | Reward
    observation: str
    reachability: str | FloatArray | None
    equity_weight: Mapping[str, float] | None
    action_scale: float
    price_scale: float


class Step(NamedTuple):
    """What a step of ``B`` episodes returns; ``info`` maps names to arrays ``[B, ...]``."""

    observation: Any
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
        See :class:`~equiload.envs.gym.source.Source`.
    action
        ``"shadow_prices"`` or ``"routing"``.
    reward
        ``"dense"``, ``"terminal"``, or a reward object.
    observation
        ``"flat"`` or ``"dict"``.
    action_scale
        Logits per unit of action.
    price_scale
        US$/MWh; see :class:`~equiload.envs.gym.observer.Observer`.
    """

    def __init__(
        self,
        count: int,
        *,
        instance: InstanceLike = "synthetic",
        horizon: int | None = None,
        action: str = "shadow_prices",
        reward: str | Reward = "dense",
        observation: str = "flat",
        reachability: str | FloatArray | None = None,
        equity_weight: Mapping[str, float] | None = None,
        action_scale: float = 4.0,
        price_scale: float = 100.0,
    ) -> None:
        if count < 1:
            raise DataError(f"there must be at least one episode, got {count}")
        self.count = count
        self.source = Source(
            instance, horizon=horizon, reachability=reachability, equity_weight=equity_weight
        )
        self.fleet, self.objective = self.source.fleet, self.source.objective
        self.action = make_action(action, self.fleet, self.objective, action_scale)
        self.reward = make_reward(reward)
        self.observer = Observer(observation, price_scale=price_scale)
        self.observer.reset(self.fleet, self.objective, self.source.horizon, (count,))
        self.action_space = action_box(self.action)
        self.observation_space = self.observer.space
        #: The running episodes; none before the first reset.
        self.episodes: Episodes | None = None

    def reset(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, FloatArray]]:
        """Draw the next episodes and observe their first slot."""
        self.episodes = self.source.draw(rngs, options)
        self.reward.reset(self.episodes)
        shape = (self.count, len(self.objective.mu), len(self.fleet.regions))
        self.state = State(np.zeros(self.count), np.zeros(shape))
        self.totals = np.zeros(self.count)
        self.t = 0
        self.observer.reset(self.fleet, self.objective, self.source.horizon, (self.count,))
        self._slot = self.episodes.slot(0)
        nothing = np.zeros(self.count)
        info = self._info(nothing, nothing.copy(), self.state.footprint.max(-1))
        return self.observer.observe(self._slot, self.state.footprint), info

    def step(self, action: Any) -> Step:
        """Act in the current slot of every episode."""
        if self.episodes is None or self.t >= self.source.horizon:
            raise EquiloadError("the episode is over (or has not begun): call reset first")
        values = finite_actions(action, (self.count, *self.action.shape))
        slot, before = self._slot, self.totals
        decision = self.action.decide(values, slot)
        load = decision.load
        cost = slot_cost(slot.price, slot.intensity, load, self.fleet, decision.routing)
        self.state = state = transition(self.state, cost)
        highest = state.footprint.max(-1)
        self.totals = state.cost + highest @ self.objective.mu
        self.t += 1
        last = self.t == self.source.horizon
        reward = self.reward(Transition(slot, load, cost, state, before, self.totals, last))
        if last:
            observation = self.observer.final(slot, state.footprint)
        else:
            self._slot = self.episodes.slot(self.t)
            observation = self.observer.observe(self._slot, state.footprint)
        self.load = load
        info = self._info(cost.energy + cost.routing, decision.moved, highest)
        return Step(observation, reward, last, info)

    @property
    def expert_objective(self) -> FloatArray | None:
        """``[B]``, US$: the expert's objective so far, where the reward has an expert."""
        return self.reward.expert_objective if isinstance(self.reward, Relative) else None

    def _info(
        self, cost: FloatArray, moved: FloatArray, highest: FloatArray
    ) -> dict[str, FloatArray]:
        return {  # copies: whoever keeps or changes them leaves the episode alone
            "cost": cost,
            "energy_cost": self.state.cost.copy(),
            "footprint": self.state.footprint.copy(),
            "max_footprint": highest,
            "equity_cost": highest * self.objective.mu,
            "objective": self.totals.copy(),
            "moved": moved,
        }
