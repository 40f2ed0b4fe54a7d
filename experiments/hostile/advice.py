"""Advice for the robustness experiment, from the best to the worst."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from equiload.agents import RollingHorizon, ShadowPrices
from equiload.agents.forecast import Noisy, Perfect
from equiload.envs import Decision, Instance, Policy, Setting, Slot, State, rollout, shadow_cost
from equiload.envs.gym import DifferentiableSimulator
from equiload.envs.gym.actions import RoutingAction
from equiload.envs.gym.features import ACTION_SCALE
from equiload.envs.knobs.operation import Levels
from equiload.envs.typing import FloatArray
from equiload.robust import EnvironmentLayer, SafeSet, blend


def noisy(weights: FloatArray, seed: int, spread: float = 1.0) -> ShadowPrices:
    """Shadow prices off by log-normal factors (``spread`` is their standard deviation)."""
    rng = np.random.default_rng(seed)
    moved = weights * np.exp(spread * rng.normal(size=weights.shape)) + 1e-12
    return ShadowPrices(moved / moved.sum(-1, keepdims=True))


class Stale:
    """Dispatch by the prices and intensities of ``age`` slots ago, at given shadow prices."""

    def __init__(self, weights: FloatArray, age: int = 24) -> None:
        self.weights, self.age = weights, age

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet, self._physics = setting.fleet, setting.physics
        self._past: deque[FloatArray] = deque(maxlen=self.age + 1)

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return an allocation ``[..., J, N]`` that would have been good."""
        unit = shadow_cost(slot, self.weights, self._physics)
        self._past.append(unit)
        return self._fleet.dispatch.allocation(self._past[0], slot.demand, slot.capacity)


def misled(instance: Instance, seed: int) -> RollingHorizon:
    """A plan for the next day, made anew in every slot on forecasts that are wrong."""
    forecaster = Noisy(Perfect(instance), size=0.5, memory=6.0, seed=seed)
    return RollingHorizon(forecaster, window=24, solver="interior")


class Dearest:
    """The dearest allocation of each slot, all footprints priced in."""

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet, self._physics = setting.fleet, setting.physics
        self._ones = np.ones(setting.footprint_shape[-2:])

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return the allocation ``[..., J, N]``."""
        unit = -shadow_cost(slot, self._ones, self._physics)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Replay:
    """Allocations ``[T, J, N]`` fixed beforehand."""

    def __init__(self, allocations: FloatArray) -> None:
        self.allocations = allocations

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return the slot's allocation."""
        allocation: FloatArray = self.allocations[slot.index]
        return allocation


class Steered:
    """Routing actions ``[T, numbers]`` fixed beforehand; what they come to depends on the levels.

    See :class:`~equiload.envs.gym.actions.RoutingAction`.
    """

    def __init__(self, actions: FloatArray) -> None:
        self.actions = actions

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._action = RoutingAction(setting, ACTION_SCALE)

    def act(self, slot: Slot, state: State) -> Decision:
        """Return the slot's decision."""
        return self._action.operate(self.actions[slot.index], slot, state.levels or Levels())


def _next(actions: Iterator[torch.Tensor], _: object) -> torch.Tensor:
    return next(actions)


def steered(instance: Instance, rounds: int, layer: EnvironmentLayer, seed: int = 0) -> Steered:
    """Advice optimised by gradient, through the layer, to make ``J`` as large as it can.

    Adam climbs on routing actions in the differentiable simulator, from random ones.
    """
    simulator = DifferentiableSimulator(instance, action="routing", layer=layer)
    generator = torch.Generator().manual_seed(seed)
    shape = (instance.horizon, *simulator.action_shape)
    actions = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    adam = torch.optim.Adam([actions], lr=0.3)
    best, worst = actions.detach().clone(), -np.inf
    for _ in range(rounds + 1):
        harm = simulator.episode(partial(_next, iter(actions)))
        if float(harm.detach()) > worst:
            best, worst = actions.detach().clone(), float(harm.detach())
        adam.zero_grad()
        (-harm).backward()  # type: ignore[no-untyped-call]
        adam.step()
    return Steered(best.numpy())


def hostile(
    instance: Instance, expert: Policy, safe: SafeSet, rounds: int, seed: int = 0
) -> Replay:
    """Advice optimised by gradient, through the layer, to make ``J`` as large as it can.

    Each slot's advice is a convex combination of extreme allocations (the dearest, the cheapest,
    one that crowds each region), so it is always feasible; Adam climbs on the weights.
    """
    corners = torch.as_tensor(np.stack(_corners(instance), axis=1))  # [T, V, J, N]
    own = torch.as_tensor(rollout(expert, instance, keep=True).allocation)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(corners.shape[:2], generator=generator, dtype=corners.dtype)
    logits[:, 0] += 1.0
    logits.requires_grad_()
    adam = torch.optim.Adam([logits], lr=0.5)
    best, worst = None, -np.inf
    for _ in range(rounds):
        advice = (torch.softmax(logits, -1)[..., None, None] * corners).sum(1)
        harm = _harm(instance, safe, own, advice)
        value = float(harm.detach())
        if value > worst:
            best, worst = advice.detach().numpy().copy(), value
        adam.zero_grad()
        (-harm).backward()  # type: ignore[no-untyped-call]
        adam.step()
    assert best is not None
    return Replay(best)


def _harm(
    instance: Instance, safe: SafeSet, own: torch.Tensor, advice: torch.Tensor
) -> torch.Tensor:
    """``J − J^π`` of an episode in which the layer gets this advice, differentiable."""
    ledger = None
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        tensors = Slot.at(slot.map(torch.as_tensor), t, slot.timestamp)
        ledger = blend(safe.turn(ledger, tensors, own[t]), advice[t]).ledger
    assert ledger is not None
    mu = torch.as_tensor(instance.objective.mu.copy())
    played, expert = ledger.footprint + ledger.high, ledger.high
    harm: torch.Tensor = ledger.cost + (mu * (played.amax(-1) - expert.amax(-1))).sum(-1)
    return harm


def _corners(instance: Instance) -> list[FloatArray]:
    """Extreme allocations ``[T, J, N]``: dearest, cheapest, and one crowding each region."""
    trace, fleet = instance.trace, instance.fleet
    setting, N = Setting.of(instance), len(fleet.datacenters)
    ones = np.ones(setting.footprint_shape)
    all_in = shadow_cost(instance.series.slot_first(), ones, setting.physics)
    shift = 2 * np.abs(all_in).max() + 1
    crowded = [-all_in - shift * (fleet.region_of == r) for r in range(min(len(fleet.regions), N))]
    return [
        fleet.dispatch.allocation(unit, trace.demand, instance.capacity)
        for unit in (-all_in, all_in, *crowded)
    ]
