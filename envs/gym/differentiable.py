"""The environment as a differentiable simulator: the same transition on torch tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiload.envs.checking import checked, shown
from equiload.envs.dispatch.torch_dispatch import TorchDispatch
from equiload.envs.dynamics import Decision, State, shadow_cost, slot_cost, transition
from equiload.envs.errors import DataError
from equiload.envs.gym.actions import (
    ActionSpec,
    ClosedLoop,
    Layer,
    Operates,
    make_action,
    scale_of,
)
from equiload.envs.gym.features import PRICE_SCALE, Feature
from equiload.envs.gym.observer import Observer
from equiload.envs.instance import Instance
from equiload.envs.knobs.operation import Levels
from equiload.envs.knobs.torch_market import TorchMarket
from equiload.envs.make import Spec
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import Form


class DifferentiableSimulator:
    """Episodes of an instance (or of a batch) whose objective has gradients in the actions.

    The inputs are exogenous, so ``J`` of a whole episode is a function of the actions alone, and
    gradients flow through every slot. With shadow prices the dispatch is softened by a
    ``temperature`` in US$/MWh (0: exact, piecewise constant); routing needs none, being smooth
    almost everywhere.

    Parameters
    ----------
    instance
        One problem or a batch; all of it goes to the device.
    device, dtype
        Where, and how exactly.
    temperature
        See :class:`~equiload.envs.dispatch.torch_dispatch.TorchDispatch`, and for a fleet with more
        to decide than routing :class:`~equiload.envs.knobs.torch_market.TorchMarket`; may be
        changed later.
    action
        As for the environment. A class of your own is given tensors.
    observation, action_scale, price_scale, features
        As for the environment: networks are interchangeable.
    layer
        As for the environment. What it keeps between slots is of the episode under way, so slots
        must be stepped through in order.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> simulator = DifferentiableSimulator(synthetic(0, horizon=4, regions=3), temperature=5.0)
    >>> action = torch.zeros(simulator.action_shape, dtype=torch.float64, requires_grad=True)
    >>> simulator.episode(lambda observation: action).backward()
    >>> action.grad.shape
    torch.Size([2, 3])
    """

    @checked
    def __init__(
        self,
        instance: Instance,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
        temperature: float = 0.0,
        action: ActionSpec = "shadow_prices",
        observation: Form = "flat",
        action_scale: float | None = None,
        price_scale: float = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        layer: Layer | None = None,
    ) -> None:
        self.instance, self.setting = instance, Setting.of(instance)
        self.horizon, self.batch = instance.horizon, instance.batch

        def tensor(array: Any) -> Tensor:
            return torch.tensor(np.asarray(array), device=device, dtype=dtype)

        self._series, self._physics = instance.series.map(tensor), self.setting.physics.to(tensor)
        #: ``[K]``, the equity weights.
        self.mu = self._physics.mu
        self._dispatch = TorchDispatch(
            instance.fleet.dispatch, device=device, dtype=dtype, temperature=temperature
        )
        self._market: TorchMarket | None = None
        if self.setting.knobs:
            self._market = TorchMarket(instance.fleet, self._physics, temperature=temperature)
        self._action = make_action(
            action,
            self.setting,
            scale_of(action, action_scale),
            physics=self._physics,
            dispatch=self._dispatch,
            market=self._market,
        )
        if not isinstance(self._action, Operates):
            self.setting.require_plain(f"{type(self._action).__name__} on tensors")
        levels = State.start(self.setting).levels
        self._levels = None if levels is None else levels.map(tensor)
        #: Shape of one slot's actions, batch axes first.
        self.action_shape = (*self.batch, *self._action.shape)
        self._loop = self._action if isinstance(self._action, ClosedLoop) else None
        self.observer = Observer(observation, price_scale=price_scale, features=features)
        self.observer.reset(self.setting, self._loop)
        self.observer.rehearse(instance)
        if not isinstance(layer, Layer | None):
            raise DataError(f"layer must be a layer, EnvironmentLayer say, got {shown(layer)}")
        self.layer = layer
        if layer is not None:
            if self._physics.routing_cost is not None and action != "routing":
                raise DataError("a layer over a routing cost needs the action 'routing'")
            layer.rehearse(instance)

    def reset(self) -> tuple[State, Any]:
        """State before the first slot, and the observation of it."""
        self.observer.reset(self.setting, self._loop)
        if self.layer is not None:
            self.layer.reset(self.setting)
        if self._loop is not None:
            self._loop.reset()
        zeros = self.mu.new_zeros
        state = State(zeros(self.batch), zeros(self.setting.footprint_shape), self._levels)
        return state, self.observer.observe(self.slot(0), state)

    def step(self, t: int, state: State, action: Tensor) -> tuple[State, Any]:
        """State after slot ``t`` and the next observation, for actions of ``action_shape``.

        The numbers of one action may lie in a row, as in an environment's action space.
        """
        row = (*self.batch, math.prod(self._action.shape))
        if action.shape not in (row, self.action_shape):
            raise DataError(
                f"the action has shape {tuple(action.shape)}, expected {self.action_shape}"
            )
        action = action.reshape(self.action_shape)
        slot = self.slot(t)
        decision = self.decide(action, slot, state.levels)
        if self.layer is not None:
            decision = self.layer.decide(slot, decision, state)
        cost = slot_cost(slot, decision, self._physics, state.levels)
        if self._loop is not None:
            self._loop.settle(slot, cost.footprint, decision)
        state = transition(state, cost)
        if t + 1 < self.horizon:
            return state, self.observer.observe(self.slot(t + 1), state)
        return state, self.observer.final(slot, state)

    def episode(self, actor: Callable[[Any], Tensor]) -> Tensor:
        """Objective ``J [...]``, US$, of an episode acted by ``actor``: observations to actions."""
        state, observation = self.reset()
        for t in range(self.horizon):
            state, observation = self.step(t, state, actor(observation))
        objective: Tensor = state.objective(self.mu)
        return objective

    def priced(self, decision: Decision, slot: Slot, weights: Tensor) -> Tensor:
        """``f + Σ_k μ_k w·e·x [...]``, US$: a decision at the shadow prices ``w [..., K, R]``."""
        unit = shadow_cost(slot, weights, self._physics)
        priced: Tensor = (unit * decision.load).sum(-1) + decision.routing
        return priced

    def slots(self, index: list[int]) -> Slot:
        """Several slots at once, with a leading axis for them; the clock is the first one's."""
        at = torch.tensor(index, device=self.mu.device)
        taken = self._series.map(lambda array: array.index_select(-2, at).movedim(-2, 0))
        return Slot.at(taken, index[0], self.instance.trace.timestamps[..., index[0]])

    def slot(self, t: int) -> Slot:
        """Slot ``t`` with tensors for arrays."""
        at = self._series.map(lambda array: array[..., t, :])
        return Slot.at(at, t, self.instance.trace.timestamps[..., t])

    def decide(self, action: Tensor, slot: Slot, levels: Levels | None = None) -> Decision:
        """Loads that actions come to, before any layer; axes may lead those of the batch.

        ``levels``: before the slot, of a fleet with more to decide than routing.
        """
        if self._market is not None and isinstance(self._action, Operates):
            return self._action.operate(action, slot, levels or Levels())
        return self._action.decide(action, slot)

    @property
    def temperature(self) -> float:
        """US$/MWh, of the dispatch."""
        return self._dispatch.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self._dispatch.temperature = temperature
        if self._market is not None:
            self._market.temperature = temperature
