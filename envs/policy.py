"""The interface that every online algorithm speaks, and who drives it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from equiload.envs.dynamics import Decision, State, operated, slot_cost, transition
from equiload.envs.errors import DataError
from equiload.envs.feasibility import check_allocation
from equiload.envs.knobs.operation import check_shapes
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import Array, FloatArray


@runtime_checkable
class Policy(Protocol):
    """An online algorithm: one decision per slot, seeing no later slot.

    ``reset`` is called once before an episode (or before a batch of episodes in lock-step), then
    ``act`` once per slot in order.

    Examples
    --------
    >>> class EqualShares:
    ...     def reset(self, setting):
    ...         self.count = len(setting.fleet.datacenters)
    ...
    ...     def act(self, slot, state):
    ...         return np.repeat(slot.demand[..., None], self.count, axis=-1) / self.count
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> rollout(EqualShares(), synthetic(0, horizon=24)).load.shape
    (24, 10)
    """

    def reset(self, setting: Setting, /) -> None:
        """Forget everything, and learn what is known before the first slot."""
        ...

    def act(self, slot: Slot, state: State, /) -> Array | Decision:
        """Return a feasible allocation ``[..., J, N]`` for the slot, or a decision that has one.

        ``state`` is what has come of the episode before the slot. It counts what was played, which
        is not what was proposed where a layer stands between.
        """
        ...


@runtime_checkable
class LoadPolicy(Policy, Protocol):
    """A policy that can tell the loads alone, which is faster: eGLB, for one."""

    def loads(self, slot: Slot, state: State, /) -> Array:
        """Loads ``[..., N]`` of what ``act`` would return, in place of calling it."""
        ...


class Trajectory:
    """A policy on a trajectory of its own; it is driven slot by slot, and its state kept, here.

    Parameters
    ----------
    policy
        Any online policy.

    Raises
    ------
    DataError
        For what is no policy.
    """

    def __init__(self, policy: Policy) -> None:
        check_policy(policy)
        self.policy = policy
        #: Can it tell the loads alone?
        self.tells_loads = isinstance(policy, LoadPolicy)

    def reset(self, setting: Setting) -> None:
        """Begin an episode, or a batch in lock-step."""
        self._fleet, self._physics = setting.fleet, setting.physics
        self.state = State.start(setting)
        self.policy.reset(setting)

    def act(self, slot: Slot) -> Decision:
        """What the policy does in the slot, with its allocation.

        Raises
        ------
        InfeasibleError
            When it returns an allocation outside the feasible set; the message says where.
        """
        returned = self.policy.act(slot, self.state)
        allocation = allocation_of(returned)
        if not self._physics.plain(slot):
            decision = self._operated(allocation, returned, slot)
            self.follow(slot, decision)
            return decision
        check_allocation(allocation, slot, self._fleet.reachable)
        load, pairs = allocation.sum(-2), self._fleet.routing_cost
        routing = np.zeros(load.shape[:-1])
        if pairs is not None:
            routing = np.einsum("...jn,jn->...", allocation, pairs)
        decision = Decision(load, routing, allocation)
        self.follow(slot, decision)
        return decision

    def _operated(self, allocation: FloatArray, returned: Array | Decision, slot: Slot) -> Decision:
        wanted = returned.operation if isinstance(returned, Decision) else None
        asked = slot
        if wanted is not None:
            check_shapes(wanted, slot, self._fleet)
            # Without smaller models nothing is saved, whatever is wanted.
            if wanted.saved is not None and self._fleet.models is not None:
                asked = replace(slot, demand=slot.demand - wanted.saved)
        check_allocation(allocation, asked, self._fleet.reachable)
        return operated(allocation, wanted, slot, self.state.levels, self._physics)

    def loads(self, slot: Slot) -> Array:
        """Loads ``[..., N]`` alone, which is faster, of a :class:`LoadPolicy`; they are trusted."""
        policy: Any = self.policy
        if not self._physics.plain(slot):
            return self.act(slot).load
        loads: Array = policy.loads(slot, self.state)
        self.follow(slot, Decision(loads, 0.0))
        return loads

    def follow(self, slot: Slot, decision: Decision) -> None:
        """Take note of what was done in the slot."""
        cost = slot_cost(slot, decision, self._physics, self.state.levels)
        self.state = transition(self.state, cost)


def allocation_of(returned: Array | Decision) -> FloatArray:
    """``[..., J, N]``: the allocation in what a policy returned.

    Raises
    ------
    DataError
        For a decision without one.
    """
    allocation = returned.allocation if isinstance(returned, Decision) else returned
    if allocation is None:
        raise DataError("a policy's decision must have an allocation")
    return np.asarray(allocation, dtype=np.float64)


def check_policy(policy: object) -> None:
    """Raise :class:`DataError` unless it has ``reset(setting)`` and ``act(slot, state)``."""
    name = type(policy).__name__
    if not isinstance(policy, Policy):
        raise DataError(f"{name} is no policy: it lacks reset or act")
    for method, arguments in ((policy.reset, ("setting",)), (policy.act, ("slot", "state"))):
        try:
            inspect.signature(method).bind(*arguments)
        except TypeError:
            raise DataError(
                f"{name} is no policy: {method.__name__} must take ({', '.join(arguments)})"
            ) from None
