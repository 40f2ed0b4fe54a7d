"""What a learner decides: shadow prices or routing splits, turned into feasible loads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from equiload.envs.arrays import namespace
from equiload.envs.checking import checked
from equiload.envs.dispatch import Dispatch
from equiload.envs.dynamics import Decision, State, operated, shadow_cost
from equiload.envs.errors import DataError
from equiload.envs.gym.features import ACTION_SCALE
from equiload.envs.gym.operating import Operating
from equiload.envs.gym.routing import feasible_routing, softmax
from equiload.envs.instance import Instance
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels
from equiload.envs.knobs.prices import Costs, Prices
from equiload.envs.make import Spec, Trust, make, target_of
from equiload.envs.setting import Physics, Setting, Slot
from equiload.envs.typing import Array, FloatArray, Positive

if TYPE_CHECKING:  # needs torch
    from equiload.envs.dispatch.torch_dispatch import TorchDispatch

# Beyond this in an exponent, a price decides alone.
_LARGEST = 30.0
# Beyond it differences of logits could overflow; softmax cannot tell anyway.
_HUGE = 1e100


@runtime_checkable
class Action(Protocol):
    """An action space: how numbers without constraints become a feasible decision."""

    #: Shape of one action.
    shape: tuple[int, ...]

    def decide(self, action: Array, slot: Slot) -> Decision:
        """Loads for finite ``action [B, *shape]``."""
        ...

    def allocation(self, action: FloatArray, slot: Slot) -> FloatArray:
        """Allocation ``[..., J, N]`` for finite ``action [..., *shape]``; the same loads."""
        ...


@runtime_checkable
class ClosedLoop(Protocol):
    """An action space with an expert inside that is told what was played, slot by slot."""

    @property
    def multipliers(self) -> Array:
        """``[B, K, R]``: what the expert prices the next slot at; learners see it."""
        ...

    def reset(self) -> None:
        """Begin the episodes."""
        ...

    def settle(self, slot: Slot, footprint: Array, decision: Decision | None = None) -> None:
        """Take note of what was played: the footprint ``[B, K, R]`` it added, and the decision.

        Without a decision only its footprint is known.
        """
        ...


@runtime_checkable
class Layer(Protocol):
    """Stands between decisions and what is played, for episodes in lock-step.

    ``equiload.robust.EnvironmentLayer`` is one: it keeps a guarantee.
    """

    def reset(self, setting: Setting) -> None:
        """Forget the last episodes."""
        ...

    def rehearse(self, instance: Instance) -> None:
        """From now on only this instance is played: what it alone determines may be kept."""
        ...

    def decide(self, slot: Slot, decision: Decision, state: State) -> Decision:
        """What is played in place of ``decision``, from the ``state`` before the slot.

        Of arrays, or of tensors with their gradients.
        """
        ...

    def info(self) -> dict[str, Array]:
        """Numbers ``[B]`` of the last slot, for the environment's ``info``."""
        ...


@runtime_checkable
class Operates(Protocol):
    """An action space that says what is done beside routing, too."""

    def operate(self, action: Array, slot: Slot, levels: Levels, *, sends: bool = True) -> Decision:
        """Decision for finite ``action [B, *shape]``, from the ``levels`` before the slot.

        ``sends``: must be known who sends what? Loads alone may be faster.
        """
        ...


class ShadowPriceAction:
    """Actions ``[K, R]``: weights ``w = softmax(scale · action)`` over regions, then dispatch.

    The load is ``argmin_x Σ_i (p + Σ_k μ_k w[k, r] e_k)·x`` over the slot's feasible set. With
    the right constant weights (eGLB-Off's duals) that is optimal up to ties.

    On a fleet with storage, training work or servers the numbers lie in a row, and further prices
    follow the ``K·R``; the slot is then cleared by :class:`~equiload.envs.knobs.market.Market`:

    * ``N``: a stored MWh is worth ``exp(action)`` times what one costs from the grid, so that above
      0 a battery charges, below 0 it discharges, and near 0 it idles;
    * ``C``: to have a MWh of training work done is worth ``exp(action)`` times the slot's marginal
      cost: above 0 work is done, below 0 it waits;
    * ``N``: a server that is on is worth ``1 / (1 + exp(−action))`` of what its start costs.

    Parameters
    ----------
    setting
        Of the episodes.
    scale
        Logits per unit of action.
    physics, dispatch, market
        The setting's, on the device where the action is taken. Default: in numpy arrays.
    """

    def __init__(
        self,
        setting: Setting,
        scale: float,
        physics: Physics | None = None,
        dispatch: TorchDispatch | None = None,
        market: Market | None = None,
    ) -> None:
        fleet = setting.fleet
        self._by_kind = setting.footprint_shape[-2:]
        self.shape: tuple[int, ...] = self._by_kind
        N, C = len(fleet.datacenters), 0 if fleet.training is None else len(fleet.training.classes)
        #: How many further prices there are, by the level that they are of.
        self.levels = {
            "stored": N if fleet.storage is not None else 0,
            "waiting": C,
            "on": N if fleet.servers is not None else 0,
        }
        kinds, owners = setting.objective.footprints, dict.fromkeys(self.levels, fleet.datacenters)
        if fleet.training is not None:
            owners["waiting"] = fleet.training.classes
        #: Name of each number.
        self.names = (
            *(f"{kind}[{region}]" for kind in kinds for region in fleet.regions),
            *(f"{name}[{x}]" for name, count in self.levels.items() for x in owners[name][:count]),
        )
        if any(self.levels.values()):
            self.shape = (len(self.names),)
        self._setting = setting
        self._dispatch = setting.fleet.dispatch
        self._loads: Dispatch | TorchDispatch = dispatch or self._dispatch
        self._physics, self._scale = physics or setting.physics, scale
        self._given_market = market

    def weights(self, action: Array) -> Array:
        """Weights ``[..., K, R]`` on the simplex over regions."""
        return softmax(self._split(action)[0] * self._scale)

    def _split(self, action: Array) -> tuple[Array, Array]:
        """The part ``[..., K, R]`` that prices footprints, and the rest."""
        if self.shape == self._by_kind:
            return action, action[..., :0, 0]
        count = math.prod(self._by_kind)
        return action[..., :count].reshape(*action.shape[:-1], *self._by_kind), action[..., count:]

    @cached_property
    def _market(self) -> Market:
        return self._given_market or Market(self._setting.fleet)

    def operate(self, action: Array, slot: Slot, levels: Levels, *, sends: bool = True) -> Decision:
        """See :class:`Operates`."""
        weights, fleet, xp = self.weights(action), self._physics.fleet, namespace(action)
        costs = Costs.of(slot, weights, self._physics)
        factor = xp.exp(xp.clip(self._split(action)[1], -_LARGEST, _LARGEST))
        ends = accumulate(self.levels.values(), initial=0)
        stored, waiting, on = (factor[..., a:b] for a, b in pairwise(ends))
        prices = Prices(weights)
        if fleet.storage is not None:
            theta = costs.grid + abs(costs.grid) * (stored - 1.0)
            prices = replace(prices, stored=theta)
        if fleet.training is not None:
            pi = costs.marginal + abs(costs.marginal) * (waiting - 1.0)
            prices = replace(prices, waiting=xp.minimum(pi, fleet.training.urgent))
        if fleet.servers is not None:
            prices = replace(prices, on=fleet.servers.start_cost * on / (1.0 + on))
        return self._market.clear(slot, prices, levels, self._physics, costs=costs, sends=sends)

    def decide(self, action: Array, slot: Slot) -> Decision:
        """See :class:`Action`; nothing is ever moved."""
        pairs = self._physics.routing_cost
        if isinstance(pairs, np.ndarray):  # a layer needs to know who sends what
            return Decision.of(self.allocation(action, slot), pairs)
        return Decision(*self._loads.loads(self._unit(action, slot), *limits(slot)))

    def allocation(self, action: FloatArray, slot: Slot) -> FloatArray:
        """See :class:`Action`."""
        return self._dispatch.allocation(self._unit(action, slot), *limits(slot))

    def _unit(self, action: Array, slot: Slot) -> Array:
        return shadow_cost(slot, self.weights(action), self._physics)


class RoutingAction:
    """Actions ``[J, N]``: each gateway splits its demand by ``softmax(scale · action)``.

    Data centers out of reach get nothing, and what is placed where there is no room is moved to
    where there is (:func:`~equiload.envs.gym.routing.feasible_routing`).

    On a fleet with storage, training work, servers or models the numbers lie in a row, and those of
    :class:`~equiload.envs.gym.operating.Operating` follow the ``J·N``. Requests go first; what is
    not possible is moved, too, or left out.

    Parameters
    ----------
    setting, scale, physics
        See :class:`ShadowPriceAction`.
    """

    one_fleet = True

    def __init__(self, setting: Setting, scale: float, physics: Physics | None = None) -> None:
        fleet = setting.fleet
        self._pairs: tuple[int, ...] = fleet.reachable.shape
        self._physics, self._scale = physics or setting.physics, scale
        self.shape, self._further = self._pairs, Operating(fleet, scale, self._physics)
        #: Name of each number.
        self.names = (
            *(f"send[{j} -> {i}]" for j in fleet.gateways for i in fleet.datacenters),
            *self._further.names,
        )
        if self._further.names:
            self.shape = (len(self.names),)
        reachable = self._physics.reachable
        xp = namespace(reachable)
        self._mask = xp.where(reachable > 0, reachable * 0.0, -xp.inf)

    def decide(self, action: Array, slot: Slot) -> Decision:
        """See :class:`Action`."""
        allocation, moved = self._routed(action, *limits(slot))
        return Decision.of(allocation, self._physics.routing_cost, moved)

    def allocation(self, action: FloatArray, slot: Slot) -> FloatArray:
        """See :class:`Action`."""
        splits, _ = self._split(action)
        allocation: FloatArray = self._routed(splits, *limits(slot))[0]
        return allocation

    def operate(self, action: Array, slot: Slot, levels: Levels, *, sends: bool = True) -> Decision:
        """See :class:`Operates`; who sends what is what it says."""
        del sends
        splits, rest = self._split(action)
        saved = self._further.saved(rest, slot)
        left = slot.demand
        if saved is not None:
            left = namespace(left).maximum(left - saved, 0.0)
        allocation, moved = self._routed(splits, left, slot.capacity)
        wanted, changed = self._further.operation(rest, slot, levels, allocation.sum(-2))
        wanted = replace(wanted, saved=saved)
        return operated(allocation, wanted, slot, levels, self._physics, moved + changed)

    def _split(self, action: Array) -> tuple[Array, Array]:
        """The routing splits ``[..., J, N]``, and the rest."""
        if self.shape == self._pairs:
            return action, action[..., :0, 0]
        count = math.prod(self._pairs)
        return action[..., :count].reshape(*action.shape[:-1], *self._pairs), action[..., count:]

    def _routed(self, action: Array, demand: Array, capacity: Array) -> tuple[Array, Array]:
        """Allocation ``[..., J, N]``, and MWh ``[...]`` that it had to move."""
        wanted = softmax(action * self._scale + self._mask) * demand[..., None]
        allocation = feasible_routing(wanted, demand, capacity, self._physics)
        # What leaves one data center arrives at another: half of all differences.
        return allocation, 0.5 * abs(allocation - wanted).sum((-1, -2))


#: What makes an action space of setting and scale: a class, or how to find one.
ActionSpec: TypeAlias = Spec | Callable[..., Action]


@checked
def make_action(
    action: ActionSpec, setting: Setting, scale: Positive, trust: Trust = True, **tensors: Any
) -> Action:
    """Build an action space (:func:`~equiload.envs.make.make`), logits ``scale`` per action.

    ``tensors``: ``physics``, ``dispatch`` and ``market`` on a device, see
    :class:`ShadowPriceAction`.
    """
    space: Action = make(
        "action", action, setting, float(scale), like=Action, trust=trust, **tensors
    )
    return space


def scale_of(action: ActionSpec, scale: float | None) -> float:
    """Logits per unit of an action: as stated, or the action's own."""
    if scale is not None:
        return float(scale)
    return float(getattr(target_of("action", action), "usual_scale", ACTION_SCALE))


def reach_of(action: Action) -> float:
    """Bound of the space that learners draw its actions from: ``[-reach, reach]``."""
    return float(getattr(action, "reach", 1.0))


def finite_actions(action: Any, batch: tuple[int, ...], shape: tuple[int, ...]) -> FloatArray:
    """Numbers ``[*batch, *shape]`` as float64, or one sentence on what is wrong.

    The numbers of one action may lie in a row, as in the action space.
    """
    try:
        values = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        expected = (*batch, math.prod(shape))
        raise DataError(f"the action must hold numbers of shape {expected}: {error}") from None
    row = (*batch, math.prod(shape))
    if values.shape not in (row, (*batch, *shape)):
        raise DataError(f"the action has shape {values.shape}, expected {row}")
    values = values.reshape(*batch, *shape)
    if not np.abs(values).max() <= _HUGE:  # also where it is not a number
        if np.isfinite(values).all():
            return np.clip(values, -_HUGE, _HUGE)
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise DataError(f"the action is {values[place]} at {list(place)}, expected finite numbers")
    return values


def limits(slot: Slot) -> tuple[Array, Array]:
    """What a dispatch must keep to: the slot's demand, and the capacity that is up."""
    return slot.demand, slot.capacity
