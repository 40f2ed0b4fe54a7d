"""What a learner decides: shadow prices or routing splits, turned into feasible loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from gymnasium import spaces

from equiload.envs.dynamics import namespace, shadow_cost
from equiload.envs.errors import DataError
from equiload.envs.gym.routing import feasible_routing
from equiload.envs.instance import Fleet, Instance, Objective
from equiload.envs.make import Spec, Trust, make
from equiload.envs.policy import Slot
from equiload.envs.typing import Array, FloatArray

# Beyond it differences of logits could overflow; softmax cannot tell anyway.
_HUGE = 1e100


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What an action came to in one slot.

    ``load [B, N]`` MWh, ``routing [B]`` US$ for sending it, ``moved [B]`` MWh that the action had
    placed where there was no room. ``allocation [B, J, N]`` is known where routing has a cost;
    otherwise only the loads matter.
    """

    load: Array
    routing: Array
    moved: Array
    allocation: Array | None = None

    @classmethod
    def of(cls, allocation: Array, moved: Array, routing_cost: Array | None) -> Decision:
        """Decision for an allocation ``[B, J, N]``."""
        load = allocation.sum(-2)
        if routing_cost is None:
            return cls(load, load[..., 0] * 0.0, moved)
        return cls(load, (allocation * routing_cost).sum((-1, -2)), moved, allocation)


class Action(Protocol):
    """An action space: how numbers without constraints become a feasible decision."""

    #: Shape of one action.
    shape: tuple[int, ...]

    def decide(self, action: FloatArray, slot: Slot) -> Decision:
        """Loads for finite ``action [B, *shape]``."""
        ...

    def allocation(self, action: FloatArray, slot: Slot) -> FloatArray:
        """Allocation ``[..., J, N]`` for finite ``action [..., *shape]``; the same loads."""
        ...


class Layer(Protocol):
    """Stands between decisions and what is played, for episodes in lock-step.

    ``equiload.robust.EnvironmentLayer`` is one: it keeps a guarantee.
    """

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...] = ()
    ) -> None:
        """Forget the last episodes."""
        ...

    def rehearse(self, instance: Instance) -> None:
        """From now on only this instance is played: what it alone determines may be kept."""
        ...

    def decide(self, slot: Slot, decision: Decision) -> Decision:
        """What is played in place of ``decision``; arrays, or tensors with their gradients."""
        ...

    def info(self) -> dict[str, Array]:
        """Numbers ``[B]`` of the last slot, for the environment's ``info``."""
        ...


class ShadowPriceAction:
    """Actions ``[K, R]``: weights ``w = softmax(scale · action)`` over regions, then dispatch.

    The load is ``argmin_x Σ_i (p + Σ_k μ_k w[k, r] e_k)·x`` over the slot's feasible set. With
    the right constant weights (eGLB-Off's duals) that is optimal up to ties.
    """

    def __init__(self, fleet: Fleet, objective: Objective, scale: float) -> None:
        self.shape = (len(objective.footprints), len(fleet.regions))
        self._fleet, self._mu, self._scale = fleet, objective.mu, scale

    def weights(self, action: Array) -> Array:
        """Weights ``[..., K, R]`` on the simplex over regions."""
        return softmax(action * self._scale)

    def decide(self, action: FloatArray, slot: Slot) -> Decision:
        """See :class:`Action`; nothing is ever moved."""
        nothing = np.zeros(len(action))
        if self._fleet.routing_cost is not None:
            return Decision.of(self.allocation(action, slot), nothing, self._fleet.routing_cost)
        load, routing = self._fleet.dispatch.load(self._unit(action, slot), *_limits(slot))
        return Decision(load, routing, nothing)

    def allocation(self, action: FloatArray, slot: Slot) -> FloatArray:
        """See :class:`Action`."""
        return self._fleet.dispatch.allocation(self._unit(action, slot), *_limits(slot))

    def _unit(self, action: FloatArray, slot: Slot) -> Array:
        weights = self.weights(action)
        return shadow_cost(slot.price, slot.intensity, weights, self._fleet, self._mu)


class RoutingAction:
    """Actions ``[J, N]``: each gateway splits its demand by ``softmax(scale · action)``.

    Data centers out of reach get nothing, and what is placed where there is no room is moved to
    where there is (:func:`~equiload.envs.gym.routing.feasible_routing`).
    """

    one_fleet = True

    def __init__(self, fleet: Fleet, objective: Objective, scale: float) -> None:
        del objective
        self.shape = fleet.reachable.shape
        self._fleet, self._scale = fleet, scale
        self._mask = np.where(fleet.reachable, 0.0, -np.inf)

    def decide(self, action: FloatArray, slot: Slot) -> Decision:
        """See :class:`Action`."""
        wanted = self._wanted(action, slot)
        sent = feasible_routing(wanted, slot.demand, slot.capacity, self._fleet)
        moved = 0.5 * np.abs(sent - wanted).sum((-1, -2))
        return Decision.of(sent, moved, self._fleet.routing_cost)

    def allocation(self, action: FloatArray, slot: Slot) -> FloatArray:
        """See :class:`Action`."""
        wanted = self._wanted(action, slot)
        allocation: FloatArray = feasible_routing(wanted, *_limits(slot), self._fleet)
        return allocation

    def _wanted(self, action: FloatArray, slot: Slot) -> FloatArray:
        split: FloatArray = softmax(action * self._scale + self._mask)
        return split * slot.demand[..., None]


#: What makes an action space of fleet, objective and scale: a class, or how to find one.
ActionSpec: TypeAlias = Spec | Callable[[Fleet, Objective, float], Action]


def make_action(
    action: ActionSpec, fleet: Fleet, objective: Objective, scale: float, trust: Trust = True
) -> Action:
    """Build an action space (:func:`~equiload.envs.make.make`), logits ``scale`` per action."""
    if not (np.isfinite(scale) and scale > 0):
        raise DataError(f"action_scale must be a number above 0, got {scale}")
    made: Action = make("action", action, fleet, objective, float(scale), trust=trust)
    return made


def action_box(action: Action) -> spaces.Box:
    """Gymnasium's space: learners draw from ``[-1, 1]``; any finite number is understood."""
    return spaces.Box(-1.0, 1.0, action.shape, dtype=np.float32)


def finite_actions(action: Any, shape: tuple[int, ...]) -> FloatArray:
    """Numbers of the expected shape as float64, or one sentence on what is wrong."""
    try:
        values = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the action must hold numbers of shape {shape}: {error}") from None
    if values.shape != shape:
        raise DataError(f"the action has shape {values.shape}, expected {shape}")
    if not np.abs(values).max() <= _HUGE:  # also where it is not a number
        if np.isfinite(values).all():
            return np.clip(values, -_HUGE, _HUGE)
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise DataError(f"the action is {values[place]} at {list(place)}, expected finite numbers")
    return values


def softmax(logits: Array) -> Array:
    """Softmax over the last axis."""
    xp = namespace(logits)
    shifted = xp.exp(logits - xp.max(logits, axis=-1)[..., None])
    return shifted / shifted.sum(-1)[..., None]


def _limits(slot: Slot) -> tuple[FloatArray, FloatArray]:
    return slot.demand, slot.capacity
