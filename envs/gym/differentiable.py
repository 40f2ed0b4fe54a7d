"""The environment as a differentiable simulator: the same transition on torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from equiload.envs.dispatch.torch_dispatch import TorchDispatch
from equiload.envs.dynamics import State, shadow_cost, slot_cost, transition
from equiload.envs.errors import DataError
from equiload.envs.gym.actions import (
    ActionSpec,
    Decision,
    Layer,
    RoutingAction,
    ShadowPriceAction,
    make_action,
    softmax,
)
from equiload.envs.gym.features import ACTION_SCALE, PRICE_SCALE, Feature
from equiload.envs.gym.observer import Observer
from equiload.envs.gym.routing import feasible_routing
from equiload.envs.instance import Fleet, Instance
from equiload.envs.make import Spec
from equiload.envs.policy import Slot


class DifferentiableSimulator:
    """Episodes of an instance (or of a batch) whose objective has gradients in the actions.

    The inputs are exogenous, so ``J`` of a whole episode is a function of the actions alone, and
    gradients flow through every slot. With shadow prices the dispatch is softened by a
    ``temperature`` in US$/MWh (0: exact, piecewise constant); routing needs none, being smooth
    almost everywhere.

    >>> simulator = DifferentiableSimulator(instances, temperature=5.0)  # doctest: +SKIP
    >>> loss = simulator.episode(network).mean()  # network: observations to actions
    >>> loss.backward()

    Parameters
    ----------
    instance
        One problem or a batch; all of it goes to the device.
    device, dtype
        Where, and how exactly.
    temperature
        See :class:`~equiload.envs.dispatch.torch_dispatch.TorchDispatch`; may be changed later.
    action
        ``"shadow_prices"`` (actions ``[..., K, R]``), ``"routing"`` (``[..., J, N]``), or a class
        of your own, whose ``decide`` is then given tensors.
    observation, action_scale, price_scale, features
        As for the environment: networks are interchangeable.
    layer
        As for the environment. What it keeps between slots is of the episode under way, so slots
        must be stepped through in order.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
        temperature: float = 0.0,
        action: ActionSpec = "shadow_prices",
        observation: str = "flat",
        action_scale: float = ACTION_SCALE,
        price_scale: float = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        layer: Layer | None = None,
    ) -> None:
        self.instance, self.temperature = instance, temperature
        self.horizon, self.batch = instance.horizon, instance.batch

        def tensor(array: Any) -> Tensor:
            return torch.tensor(np.asarray(array), device=device, dtype=dtype)

        trace, fleet = instance.trace, instance.fleet
        self._price, self._demand = tensor(trace.price), tensor(trace.demand)
        self._intensity, self._capacity = tensor(trace.intensity), tensor(instance.capacity)
        #: ``[K]``, the equity weights.
        self.mu = tensor(instance.objective.mu)
        self._fleet = cast(
            "Fleet",
            SimpleNamespace(  # what the dynamics read of a fleet, on the device
                pue=tensor(fleet.pue),
                membership=tensor(fleet.membership),
                one_region_each=fleet.one_region_each,
                reachable=tensor(fleet.reachable),
                full=fleet.full,
            ),
        )
        self._pairs = None if fleet.routing_cost is None else tensor(fleet.routing_cost)
        self._mask = tensor(np.where(fleet.reachable, 0.0, -np.inf))
        self._dispatch = TorchDispatch(fleet.dispatch, device=device, dtype=dtype)
        self._action = make_action(action, fleet, instance.objective, action_scale)
        self._routes, self._scale = isinstance(self._action, RoutingAction), action_scale
        #: Shape of one slot's actions, batch axes first.
        self.action_shape = (*self.batch, *self._action.shape)
        self.observer = Observer(observation, price_scale=price_scale, features=features)
        self.observer.reset(fleet, instance.objective, self.horizon, self.batch)
        self.observer.rehearse(instance)
        self.layer = layer
        if layer is not None:
            if fleet.routing_cost is not None and not self._routes:
                raise DataError("a layer over a routing cost needs the action 'routing'")
            layer.rehearse(instance)

    def reset(self) -> tuple[State, Any]:
        """State before the first slot, and the observation of it."""
        self.observer.reset(self.instance.fleet, self.instance.objective, self.horizon, self.batch)
        if self.layer is not None:
            fleet, objective = self.instance.fleet, self.instance.objective
            self.layer.reset(fleet, objective, self.horizon, self.batch)
        shape = (*self.batch, len(self.mu), len(self.instance.fleet.regions))
        state = State(self._price.new_zeros(self.batch), self._price.new_zeros(shape))
        return state, self.observer.observe(self.slot(0), state.footprint)

    def step(self, t: int, state: State, action: Tensor) -> tuple[State, Any]:
        """State after slot ``t`` and the next observation, for actions of ``action_shape``."""
        if action.shape != self.action_shape:
            raise DataError(
                f"the action has shape {tuple(action.shape)}, expected {self.action_shape}"
            )
        slot = self.slot(t)
        decision = self.decide(action, slot)
        if self.layer is not None:
            decision = self.layer.decide(slot, decision)
        cost = slot_cost(slot.price, slot.intensity, decision.load, self._fleet, decision.routing)
        state = transition(state, cost)
        if t + 1 < self.horizon:
            return state, self.observer.observe(self.slot(t + 1), state.footprint)
        return state, self.observer.final(slot, state.footprint)

    def episode(self, actor: Callable[[Any], Tensor]) -> Tensor:
        """Objective ``J [...]``, US$, of an episode acted by ``actor``: observations to actions."""
        state, observation = self.reset()
        for t in range(self.horizon):
            state, observation = self.step(t, state, actor(observation))
        objective: Tensor = state.objective(self.mu)
        return objective

    def priced(self, decision: Decision, slot: Slot, weights: Tensor) -> Tensor:
        """``f + Σ_k μ_k w·e·x [...]``, US$: a decision at the shadow prices ``w [..., K, R]``."""
        unit = shadow_cost(slot.price, slot.intensity, weights, self._fleet, self.mu)
        priced: Tensor = (unit * decision.load).sum(-1) + decision.routing
        return priced

    def slots(self, index: list[int]) -> Slot:
        """Several slots at once, with a leading axis for them; the clock is the first one's."""
        at = torch.tensor(index, device=self._price.device)
        first = index[0]

        def taken(array: Tensor, axis: int) -> Tensor:
            return array.index_select(axis, at).movedim(axis, 0)

        arrays: Any = (
            taken(self._price, -2),
            taken(self._intensity, -2),
            taken(self._demand, -2),
            taken(self._capacity, -2),
        )
        return Slot(first, self.instance.trace.timestamps[..., first], *arrays)

    def slot(self, t: int) -> Slot:
        """Slot ``t`` with tensors for arrays."""
        arrays: Any = (
            self._price[..., t, :],
            self._intensity[..., t, :],
            self._demand[..., t, :],
            self._capacity[..., t, :],
        )
        return Slot(t, self.instance.trace.timestamps[..., t], *arrays)

    def decide(self, action: Tensor, slot: Any) -> Decision:
        """Loads that actions come to, before any layer; axes may lead those of the batch."""
        nothing = torch.zeros_like(slot.price[..., 0])
        if type(self._action) not in (ShadowPriceAction, RoutingAction):  # one's own
            return self._action.decide(action, slot)  # type: ignore[arg-type]
        if not self._routes:
            weights = softmax(action * self._scale)
            unit = shadow_cost(slot.price, slot.intensity, weights, self._fleet, self.mu)
            loads = self._dispatch.load(unit, slot.demand, slot.capacity, self.temperature)
            return Decision(*loads, nothing)
        wanted = softmax(action * self._scale + self._mask) * slot.demand[..., None]
        sent = feasible_routing(wanted, slot.demand, slot.capacity, self._fleet)
        return Decision.of(sent, nothing, self._pairs)
