"""Capacity that the expert leaves free: work that waits longer than the expert's can be done there.

Without it, work that waits beyond the expert's may have to be given up, at ``L``. Where the expert
leaves ``σ[c] = Σ_i σ[c, i]`` MWh of every slot free for a class, the way back does up to ``σ`` of
the surplus in each slot, spread as ``σ[c, i]`` is. After slot ``t`` there may wait until ``τ``
without having to be done what arrived since ``τ − h``; of that the expert's own takes no more than
``q^π``, and what arrives later only adds room. So of a surplus ``q − q^π`` up to

    r = min_{τ = t+1 … min(t+h, T)} (A(τ − h, t] − q^π)⁺ + σ·(τ − t)

can be done in time (τ = T: nothing may wait), and no more than what exceeds it is ever given up. So

    Φ = m·min((q − q^π)⁺, r) + L·(q − q^π − r)⁺,   m = Σ_i (σ[c, i]/σ)·(U·PUE + β),
    Ψ[k, r'] = Σ_{i in r'} (σ[c, i]/σ)·PUE·(ē + ē°)·min((q − q^π)⁺, r),

for classes where ``m + Σ_k μ_k max_r' Ψ`` of a MWh is at most ``L``; docs/robustness.md has the
proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from equiload.envs import DataError, Decision, Fleet, Policy, Setting, Slot, State
from equiload.envs.arrays import like, namespace
from equiload.envs.dynamics import operated
from equiload.envs.feasibility import TOLERANCE
from equiload.envs.knobs.operation import Levels
from equiload.envs.policy import allocation_of, check_policy
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.bounds import Bounds

_EPS = float(np.finfo(np.float64).eps)
#: Who calls it worth while by more than rounding is right.
_MARGIN = 1.0 + 1e-9


class Room(NamedTuple):
    """What can be done in time, and what tells it: another in every slot, whatever is decided.

    Parameters
    ----------
    arrived
        ``[..., H, C]``, MWh of work in the last slots, the latest last.
    owed, owed_error
        ``[..., C]``, MWh: ``q^π``, and how far off it may be.
    least, most
        ``[..., C]``, MWh: bounds on ``r``; 0 for classes without spare capacity.
    """

    arrived: FloatArray
    owed: FloatArray
    owed_error: FloatArray
    least: FloatArray
    most: FloatArray


@dataclass(frozen=True, eq=False)
class Spare:
    """Capacity that is left free for work, and what work done there costs at most.

    Parameters
    ----------
    setting
        With training work.
    bounds
        With ``spare``, and fitted to the setting.
    terms
        No number passes through more roundings.
    """

    setting: Setting
    bounds: Bounds
    terms: int

    @cached_property
    def share(self) -> FloatArray:
        """``[C, N]``: where the work of a class would be done."""
        assert self.bounds.spare is not None
        total = self.bounds.spare.sum(-1, keepdims=True)
        share: FloatArray = self.bounds.spare / np.where(total > 0, total, 1.0)
        return share

    @cached_property
    def unit(self) -> tuple[FloatArray, FloatArray]:
        """``m [C]``, US$ per MWh, and the footprints ``[C, K, R]`` of it."""
        fleet, bounds = self.setting.fleet, self.bounds
        start = 0.0 if fleet.servers is None else fleet.servers.start_cost
        intensity = bounds.intensity
        if bounds.onsite is not None:
            intensity = intensity + bounds.onsite
        footprint = self.share[:, None, :] * (fleet.pue * intensity)
        return self.share @ (bounds.price * fleet.pue + start), footprint @ fleet.membership

    @cached_property
    def width(self) -> FloatArray:
        """``σ [C]``, MWh per slot; 0 where to give up is no dearer than to do."""
        assert self.bounds.spare is not None
        training = self.setting.fleet.training
        assert training is not None
        cost, footprint = self.unit
        all_in = cost + footprint.max(-1) @ self.setting.objective.mu
        worth_while = all_in * _MARGIN <= training.late_cost
        return np.where(worth_while, self.bounds.spare.sum(-1), 0.0)

    @cached_property
    def cost(self) -> FloatArray:
        """``[C]``, US$ per MWh of surplus that can be done in time; ``L`` where none can."""
        training = self.setting.fleet.training
        assert training is not None
        return np.where(self.width > 0, self.unit[0], training.late_cost)

    @cached_property
    def footprint(self) -> FloatArray:
        """``[C, K, R]`` of a MWh of surplus that can be done in time."""
        return np.where((self.width > 0)[:, None, None], self.unit[1], 0.0)

    def open(self) -> Room:
        """Before the first slot."""
        training = self.setting.fleet.training
        assert training is not None
        most = max(1, min(int(training.deadline.max()), self.setting.horizon))
        zero = np.zeros((*self.setting.batch, len(training.classes)))
        arrived = np.zeros((*self.setting.batch, most, len(training.classes)))
        return Room(arrived, zero, zero, zero, zero)

    def after(self, room: Room, slot: Slot, expert: dict[str, FloatArray]) -> Room:
        """What can be done in time after a slot in which the expert decided that."""
        training = self.setting.fleet.training
        assert training is not None
        arrived = np.concatenate([room.arrived[..., 1:, :], slot.work[..., None, :]], axis=-2)
        done = expert["work"].sum(-1) + expert["late"]
        owed = room.owed + (slot.work - done)
        size = np.abs(room.owed) + slot.work + done
        error = room.owed_error + self.terms * _EPS * size
        # Of the last slots, the latest first: what arrived in so many of them.
        since = np.cumsum(arrived[..., ::-1, :], axis=-2)
        left, ends = self.setting.horizon - 1 - slot.index, np.zeros_like(owed)
        for c, width in enumerate(self.width):
            until = min(int(training.deadline[c]), left)
            if until and width > 0:
                kept = np.zeros((*owed.shape[:-1], until))  # of A(τ − h, t], for each τ
                before = int(training.deadline[c]) - 1 - np.arange(until)
                known = (before > 0) & (np.arange(1, until + 1) < left)
                index = np.minimum(before[known], since.shape[-2]) - 1
                kept[..., known] = since[..., index, c]
                free = np.maximum(kept - owed[..., c, None], 0.0) + width * np.arange(1, until + 1)
                ends[..., c] = free.min(-1)
        roundings = self.terms + since.shape[-2]
        error_of_ends = error + roundings * _EPS * (ends + since[..., -1, :] + np.abs(owed))
        some = ends > 0
        least = np.where(some, np.maximum(ends - error_of_ends, 0.0), 0.0)
        return Room(arrived, owed, error, least, np.where(some, ends + error_of_ends, 0.0))

    def work(self, expert: Decision, slot: Slot, levels: Levels, expert_levels: Levels) -> Array:
        """``[..., C, N]``, MWh of the surplus that the way back does in the slot.

        Of the layer's own ``levels``: arrays, or tensors.
        """
        own, xp = levels.waiting, namespace(levels.waiting)
        surplus = xp.maximum(own - like(expert_levels.waiting, own), 0.0)
        width = like(self.width, own)
        free = ~self._short(expert, slot)[..., None, :] * self.share
        extra: Array = xp.minimum(surplus, width)[..., None] * like(free, own)
        return extra

    def broken(self, expert: Decision, slot: Slot) -> BoolArray:
        """``[...]``: does the expert leave less free than was declared?"""
        return np.asarray(self._short(expert, slot).any(-1))

    def _short(self, expert: Decision, slot: Slot) -> BoolArray:
        assert self.bounds.spare is not None
        needed = expert.load + self.bounds.spare.sum(-2)
        # As much as the feasibility of a load is held to, and half of that.
        room = 0.5 * TOLERANCE * self.setting.fleet.capacity.max()
        short: BoolArray = needed > slot.capacity + room
        return short


class Sparing:
    """A policy that leaves capacity free: it plays as if data centers were so much smaller.

    What it leaves out gets its default there, too: work as soon as it fits beside what is spared.

    Parameters
    ----------
    policy
        Any policy for fleets with training work.
    spare
        ``[C, N]``, MWh per slot, as in :class:`~equiload.robust.Bounds`.

    Examples
    --------
    >>> from equiload.agents import EGLB, WithKnobs
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> day = synthetic("validation/0", horizon=24, knobs="training")
    >>> spare = spare_capacity(day.fleet, 0.1)
    >>> outcome = rollout(Sparing(WithKnobs(EGLB()), spare), day)
    >>> bool((outcome.load + spare.sum(0) <= day.capacity * (1 + 1e-9)).all())
    True
    """

    def __init__(self, policy: Policy, spare: FloatArray) -> None:
        self.policy, self.spare = policy, np.asarray(spare, dtype=np.float64)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        check_policy(self.policy)
        self._less = self.spare.sum(-2)
        smaller = np.maximum(setting.fleet.capacity - self._less, 0.0)
        self._setting = replace(setting, fleet=setting.fleet.replace(capacity=smaller))
        self.policy.reset(self._setting)

    def act(self, slot: Slot, state: State) -> Decision:
        """Return the decision."""
        slot = replace(slot, capacity=np.maximum(slot.capacity - self._less, 0.0))
        levels = state.levels or Levels()
        if levels.on is not None:
            levels = replace(levels, on=np.minimum(levels.on, slot.capacity))
        returned = self.policy.act(slot, replace(state, levels=levels))
        wanted = returned.operation if isinstance(returned, Decision) else None
        return operated(allocation_of(returned), wanted, slot, levels, self._setting.physics)


def spare_capacity(fleet: Fleet, share: float) -> FloatArray:
    """``[C, N]``, MWh per slot: a share of every capacity, in equal parts for each class.

    Of a data center, among the classes that may run there.

    Raises
    ------
    DataError
        Without training work, or for a share outside 0 to 1.
    """
    if fleet.training is None:
        raise DataError("the fleet has no training work to leave capacity for")
    if not 0 <= share <= 1:
        raise DataError(f"the share of capacity to leave free must be from 0 to 1, got {share}")
    reach = fleet.training.reach(len(fleet.datacenters))
    parts: FloatArray = share * fleet.capacity * reach / np.maximum(reach.sum(0), 1)
    return parts
