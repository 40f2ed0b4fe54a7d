"""The environment's one kernel: ``B`` episodes in lock-step, every step a few array operations.

The single environment is a batch of one over it, the vector environment a batch of ``B``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

import numpy as np
from gymnasium import spaces

from equiload.envs.checking import checked, shown
from equiload.envs.dynamics import Decision, State, operated, slot_cost, transition
from equiload.envs.errors import DataError, UsageError
from equiload.envs.gym import kernels
from equiload.envs.gym.actions import (
    ActionSpec,
    ClosedLoop,
    Layer,
    Operates,
    make_action,
    reach_of,
    scale_of,
)
from equiload.envs.gym.features import PRICE_SCALE, Feature
from equiload.envs.gym.observer import Float32Array, Observer
from equiload.envs.gym.rewards import Relative, Reward, Transition, make_reward
from equiload.envs.gym.source import Drawn, Episodes, EpisodeSampler, InstanceLike
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.make import Spec
from equiload.envs.setting import Setting, Slot
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
    action_scale: float | None
    hold: int
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


class Played(NamedTuple):
    """One slot as it was played: ``load [B, N]``; ``objective [B]`` so far, of an expert, too.

    Where there is more to decide than routing, what was done and the ``levels`` that it left.
    """

    load: FloatArray
    objective: FloatArray
    expert: FloatArray | None
    operation: Operation | None
    levels: Levels | None


class Core:
    """``B`` episodes, each on its own instance.

    Parameters
    ----------
    count
        ``B``.
    instance, horizon, reachability, equity_weight
        See :class:`~equiload.envs.gym.source.EpisodeSampler`.
    action
        ``"shadow_prices"``, ``"routing"``, ``"residual"``, or a class of your own
        (:class:`~.actions.Action`).
    reward
        ``"dense"``, ``"terminal"``, ``"relative"``, ``"percent"``, ``"relative_percent"``,
        ``"hindsight_dual"``, or a reward object.
    observation
        ``"flat"`` or ``"dict"``.
    action_scale
        Logits per unit of action. Default: the action's own.
    hold
        Slots per step: an action is held for so many, and the rewards are summed.
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
        action_scale: Positive | None = None,
        hold: Count = 1,
        price_scale: Positive = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        layer: Layer | None = None,
    ) -> None:
        self.source = EpisodeSampler(
            instance, horizon=horizon, reachability=reachability, equity_weight=equity_weight
        )
        if not isinstance(layer, Layer | None):
            raise DataError(f"layer must be a layer, EnvironmentLayer say, got {shown(layer)}")
        self.layer, self.reward, self.hold = layer, make_reward(reward), hold
        self._action = action
        self.action_scale = scale_of(action, action_scale)
        self.observer = Observer(price_scale=price_scale, features=features)
        self._place(count)
        display = Observer(observation, features=features)
        display.reset(self.source.setting, self._loop)
        #: Turns flat observations into what the environment shows.
        self.present = display.present
        # Flat, as learners emit them, who draw from it; any finite number is understood.
        reach = reach_of(self.action)
        row = (math.prod(self.action.shape),)
        self.action_space = spaces.Box(-reach, reach, row, dtype=np.float32)
        self.observation_space = display.space

    def sibling(self, count: int) -> Core:
        """Another core for ``count`` episodes of the same source, with a state of its own."""
        other = copy(self)
        other.reward, other.layer = deepcopy(self.reward), deepcopy(self.layer)
        other.observer = Observer(
            price_scale=self.observer.price_scale, features=self.observer.features
        )
        other._place(count)  # noqa: SLF001
        return other

    def _place(self, count: int) -> None:
        """Make room for ``count`` episodes."""
        self.count = count
        #: The running episodes; none before the first reset.
        self.episodes: Episodes | None = None
        self._drawn: Drawn | None = None
        self._play(replace(self.source.setting, batch=(count,)))
        self.observer.reset(self.setting, self._loop)

    def _play(self, setting: Setting) -> None:
        """Act on the fleet of a setting."""
        #: Of the ``B`` episodes.
        self.setting = setting
        self.action = make_action(self._action, setting, self.action_scale)
        self._loop = self.action if isinstance(self.action, ClosedLoop) else None

    def reset(
        self,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any] | None = None,
        out: Float32Array | None = None,
    ) -> tuple[Float32Array, dict[str, FloatArray]]:
        """Draw the next episodes and observe their first slot (in ``out``, if given)."""
        self.episodes, self._drawn = self.source.draw(rngs, options, self._drawn)
        if self.episodes.setting.fleet is not self.setting.fleet:  # of other sizes
            self._play(self.episodes.setting)
        self.reward.reset(self.episodes)
        if self.layer is not None:
            self.layer.reset(self.setting)
        if self._loop is not None:
            self._loop.reset()
        self.state = State.start(self.setting)
        self.totals = np.zeros(self.count)
        self.t = 0
        self.observer.reset(self.setting, self._loop)
        self._slot = self.episodes.slot(0)
        zero = np.zeros(self.count)
        nothing = np.zeros(self._slot.capacity.shape)
        info = self._info(zero, zero.copy(), self.state.footprint.max(-1), nothing)
        return self.observer.observe(self._slot, self.state, out), info

    def step(self, action: FloatArray, out: Float32Array | None = None) -> StepResult:
        """Act in the next ``hold`` slots of every episode: finite ``[B, *action.shape]``."""
        if self.episodes is None or self.t >= self.setting.horizon:
            raise UsageError("the episode is over (or has not begun): call reset first")
        #: What was played in this step, slot by slot.
        self.played: list[Played] = []
        result = self._slot_step(action, out)
        for _ in range(min(self.hold - 1, self.setting.horizon - self.t)):
            later = self._slot_step(action, out)
            for name in ("cost", "moved"):
                later.info[name] += result.info[name]
            result = later._replace(reward=result.reward + later.reward)
        return result

    def _slot_step(self, action: FloatArray, out: Float32Array | None) -> StepResult:
        assert self.episodes is not None
        slot, before = self._slot, self.totals
        decision = self._decide(action, slot)
        if self.layer is not None:
            decision = self.layer.decide(slot, decision, self.state)
        cost = slot_cost(slot, decision, self.setting.physics, self.state.levels)
        if self._loop is not None:
            self._loop.settle(slot, cost.footprint, decision)
        self.state = state = transition(self.state, cost)
        highest = np.empty(state.footprint.shape[:-1])
        kernels.highest(state.footprint.reshape(-1, state.footprint.shape[-1]), highest.reshape(-1))
        self.totals = state.cost + highest @ self.setting.objective.mu
        self.t += 1
        last = self.t == self.setting.horizon
        reward = self.reward(Transition(slot, decision, cost, state, before, self.totals, last))
        if last:
            observation = self.observer.final(slot, state, out)
        else:
            self._slot = self.episodes.slot(self.t)
            observation = self.observer.observe(self._slot, state, out)
        done = decision.operation
        self.played.append(
            Played(decision.load, self.totals, self.expert_objective, done, state.levels)
        )
        moved = np.zeros(self.count) if decision.moved is None else decision.moved
        spent = cost.energy + cost.routing
        spent = spent if cost.levels is None else spent + cost.other
        info = self._info(spent, moved, highest, decision.load.copy())
        return StepResult(observation, reward, last, info)

    def _decide(self, action: FloatArray, slot: Slot) -> Decision:
        physics, space = self.setting.physics, self.action
        if physics.plain(slot):
            return space.decide(action, slot)
        if isinstance(space, Operates):
            # Who sends what, nobody asks for but a layer.
            sends = self.layer is not None
            return space.operate(action, slot, self.state.levels or Levels(), sends=sends)
        # What it does not say gets its default.
        return operated(space.allocation(action, slot), None, slot, self.state.levels, physics)

    @property
    def steps(self) -> int:
        """Of an episode."""
        return -(-self.setting.horizon // self.hold)

    @property
    def expert_objective(self) -> FloatArray | None:
        """``[B]``, US$: the expert's objective so far, where the reward compares with one."""
        return self.reward.expert_objective if isinstance(self.reward, Relative) else None

    def _info(
        self, cost: FloatArray, moved: FloatArray, highest: FloatArray, load: FloatArray
    ) -> dict[str, FloatArray]:
        told = {} if self.layer is None else self.layer.info()
        unit = getattr(self.reward, "unit", None)
        told = told if unit is None else told | {"reward_unit": unit.copy()}
        return told | {  # copies: whoever keeps or changes them leaves the episode alone
            "cost": cost,
            "energy_cost": self.state.cost.copy(),
            "footprint": self.state.footprint.copy(),
            "max_footprint": highest,
            "equity_cost": highest * self.setting.objective.mu,
            "objective": self.totals.copy(),
            "moved": moved,
            "load": load,
        }
