"""Reward schemes. Each telescopes: an episode's sum is ``−J`` plus a constant of the instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from equiload.envs.checking import checked
from equiload.envs.dynamics import Decision, SlotCost, State, shadow_cost
from equiload.envs.errors import DataError
from equiload.envs.gym.source import Episodes
from equiload.envs.make import Spec, make
from equiload.envs.policy import Policy, Trajectory
from equiload.envs.setting import Slot
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One slot of ``B`` episodes: what was seen, what was done, what came of it.

    ``objective_before`` and ``objective`` are ``[B]``, US$: the objective so far, before and after.
    """

    slot: Slot
    decision: Decision
    cost: SlotCost
    state: State
    objective_before: FloatArray
    objective: FloatArray
    last: bool


@runtime_checkable
class Reward(Protocol):
    """A reward scheme for episodes in lock-step.

    Examples
    --------
    >>> class InThousands(Dense):
    ...     def __call__(self, step):
    ...         return super().__call__(step) / 1000
    >>> from equiload.envs.gym import GLBEnv
    >>> env = GLBEnv(horizon=24, reward=InThousands())
    """

    def reset(self, episodes: Episodes) -> None:
        """Start the episodes. A reward may look ahead: it is for training, not for acting."""
        ...

    def __call__(self, step: Transition) -> FloatArray:
        """Rewards ``[B]``, US$, of one slot."""
        ...


class Dense:
    """``r_t = −(F_t − F_{t−1} + Σ_k μ_k (max_r S_t − max_r S_{t−1}))``; the sum is ``−J``.

    Parameters
    ----------
    expert
        An online policy: rewards are then in per cent of its objective on the same episode, of
        order one whatever the fleet's size and currency. ``unit [B]`` is US$ per unit of reward.
    """

    # Of the class, so that what is made of it need not call these methods.
    expert: Policy | None = None
    unit: FloatArray | None = None

    def __init__(self, expert: Policy | None = None) -> None:
        self.expert = expert

    def reset(self, episodes: Episodes) -> None:
        """See :class:`Reward`."""
        if self.expert is not None:
            self.unit = _percent(_objectives(self.expert, episodes)[-1])

    def __call__(self, step: Transition) -> FloatArray:
        """See :class:`Reward`."""
        saved = step.objective_before - step.objective
        return saved if self.unit is None else saved / self.unit


class Terminal(Reward):
    """0 before the last slot, ``−J`` then; the sum is ``−J``."""

    def __call__(self, step: Transition) -> FloatArray:
        """See :class:`Reward`."""
        return -step.objective if step.last else np.zeros(len(step.objective))


class Relative:
    """What the slot cost the expert less what it cost here; the sum is ``J^expert − J``.

    The expert runs on its own trajectory: nothing done here changes what it does. What is the
    same for both, most of the variance, cancels.

    Parameters
    ----------
    expert
        Any online policy; it is reset and driven by the reward, so give each environment its own.
    percent
        Rewards in per cent of the expert's objective: the sum is ``100 (1 − J / J^expert)``, and
        ``unit [B]`` is US$ per unit of reward.

    Examples
    --------
    >>> from equiload.agents import EGLB
    >>> from equiload.envs.gym import GLBVectorEnv
    >>> envs = GLBVectorEnv(2, horizon=24, reward=Relative(EGLB()))
    """

    @checked
    def __init__(self, expert: Policy, *, percent: bool = False) -> None:
        self.expert, self.percent = expert, percent

    def reset(self, episodes: Episodes) -> None:
        """See :class:`Reward`."""
        self._run = _objectives(self.expert, episodes)
        #: ``[B]``, US$: the expert's objective so far.
        self.expert_objective: FloatArray = self._run[0]
        self.unit = _percent(self._run[-1]) if self.percent else None

    def __call__(self, step: Transition) -> FloatArray:
        """See :class:`Reward`."""
        before, now = self._run[step.slot.index : step.slot.index + 2]
        self.expert_objective = now
        saved: FloatArray = (now - before) - (step.objective - step.objective_before)
        return saved if self.unit is None else saved / self.unit


def _objectives(expert: Policy, episodes: Episodes) -> FloatArray:
    """``[T + 1, B]``, US$: a policy's objective before each slot of the episodes, and after all."""
    driven, mu = Trajectory(expert), episodes.setting.objective.mu
    driven.reset(episodes.setting)
    go = driven.loads if driven.tells_loads else driven.act
    objectives = [np.zeros(len(episodes.first))]
    for t in range(episodes.setting.horizon):
        go(episodes.slot(t))
        objectives.append(driven.state.cost + driven.state.footprint.max(-1) @ mu)
    return np.stack(objectives)


def _percent(objective: FloatArray) -> FloatArray:
    """``[B]``, US$: a hundredth of the objective; 1 where there is none to compare with."""
    size = np.abs(objective) / 100
    return np.where(size > 0, size, 1.0)


#: Solves one episode with all of it known: its shadow-price weights ``[K, R]`` on the simplex.
Duals: TypeAlias = Callable[..., FloatArray]


class HindsightDual:
    """Each slot priced at weights ``w`` known in hindsight, against the slot's own best.

    ``r_t = −(f_t + Σ_k μ_k w·e_t·x_t) + min_y (the same)``, and at the last slot also
    ``−Σ_k μ_k (max_r S_T − w·S_T)``. The sum is ``L(w) − J`` with the dual bound ``L(w)``
    (:func:`~equiload.envs.dual_bound`): never above 0, and 0 only at the optimum. Without the
    baseline the minimum is left out and the sum is ``−J``.

    Parameters
    ----------
    duals
        Called with each episode as one :class:`~equiload.envs.Instance` at reset; returns ``w``,
        eGLB-Off's dual weights say.
    baseline
        Subtract the slot's best?

    Examples
    --------
    >>> from equiload.envs.gym import GLBEnv
    >>> env = GLBEnv(horizon=24, reward=HindsightDual(lambda instance: np.full((2, 10), 0.1)))
    >>> env.reset(seed=0)[0].shape == env.observation_space.shape
    True
    """

    def __init__(self, duals: Duals, *, baseline: bool = True) -> None:
        self.duals, self.baseline = duals, baseline

    def reset(self, episodes: Episodes) -> None:
        """See :class:`Reward`; raises :class:`DataError` for weights off the simplex."""
        self._setting = episodes.setting
        self._setting.require_plain("the reward hindsight_dual")
        known: dict[int, FloatArray] = {}  # equal windows of one trace are solved once
        for b, first in enumerate(episodes.first.tolist()):
            if first not in known:
                known[first] = self._weights(np.asarray(self.duals(episodes.instance(b))))
        self.weights = np.stack([known[first] for first in episodes.first.tolist()])

    def _weights(self, weights: FloatArray) -> FloatArray:
        expected = self._setting.footprint_shape[-2:]
        if weights.shape != expected:
            raise DataError(f"the dual weights have shape {weights.shape}, expected {expected}")
        if not ((weights >= 0).all() and np.allclose(weights.sum(-1), 1.0, rtol=0, atol=1e-6)):
            raise DataError("the dual weights must be at least 0 and sum to 1 over the regions")
        simplex: FloatArray = weights / weights.sum(-1, keepdims=True)
        return simplex

    def __call__(self, step: Transition) -> FloatArray:
        """See :class:`Reward`."""
        slot = step.slot
        unit = shadow_cost(slot, self.weights, self._setting.physics)
        reward: FloatArray = -((unit * step.decision.load).sum(-1) + step.cost.routing)
        if self.baseline:
            dispatch = self._setting.fleet.dispatch
            best, routing = dispatch.loads(unit, slot.demand, slot.capacity)
            reward += (unit * best).sum(-1) + routing
        if step.last:
            S = step.state.footprint
            reward -= (S.max(-1) - (self.weights * S).sum(-1)) @ self._setting.objective.mu
        return reward


def make_reward(reward: Spec | Reward | None) -> Reward:
    """Build a reward scheme (:func:`~equiload.envs.make.make`), or pass one through."""
    scheme: Reward = make("reward", reward, like=Reward)
    return scheme
