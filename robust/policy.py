"""The layer around an expert, and the policy that an expert and an advice make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from equiload.envs import DataError, Decision, Fleet, Policy, Setting, Slot, State, Trajectory
from equiload.envs.dynamics import decided
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.knobs.operation import Levels
from equiload.envs.make import Spec, make
from equiload.envs.policy import allocation_of, check_policy
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.bounds import Bounds
from equiload.robust.certificate import Certificate, SlotRecord, certificate_of, seal
from equiload.robust.departure import LevelTurn, Played
from equiload.robust.kernels import Ledger
from equiload.robust.levels import LevelLedger, LevelSafeSet
from equiload.robust.methods import LevelMethod, Method
from equiload.robust.safe import SafeSet


class Weighed(NamedTuple):
    """A slot of a fleet with knobs: the turn, what is played, and the expert's state after it.

    ``refused [...]``: was the advice not possible?
    """

    turn: LevelTurn
    played: Played
    refused: BoolArray
    expert: State

    @property
    def alpha(self) -> FloatArray:
        """``[...]``: the share of the advice that is played."""
        return np.where(self.refused, 0.0, self.played.alpha)

    @property
    def decision(self) -> Decision:
        """What is played."""
        done = self.played.decision
        assert done.operation is not None
        return decided(done.allocation, done.operation, self.turn.safe.setting.physics)


class RobustLayer:
    """Turns any proposed allocation into one that keeps the guarantee against an expert.

    ``J <= J^π + ρ·(Σ |f^π| + Σ_k μ_k max_r S^π[k, r]) + B`` for every instance and every advice.

    Parameters
    ----------
    expert
        Any online policy. It runs on its own virtual trajectory, whatever is played.
    rho
        ``ρ >= 0``.
    allowance
        ``B >= 0``, US$.
    method
        ``"blend"``, ``"project"``, ``"switch"``, or, without the guarantee, ``"fixed"``; or a
        :class:`~equiload.robust.methods.Method`.
    footprint_bound
        ``Ē``, broadcasts to ``[..., K, R]``: the most that a slot can add to a region's footprint,
        for the horizon-aware condition (★′). None: (★).
    bounds
        What no slot exceeds: needed on fleets with knobs, whose past counts.
    keep_expert
        Keep the expert's decisions for :func:`~equiload.robust.verify`.
    record
        Keep what :meth:`certificate` needs; otherwise the last slot alone is known.
    """

    def __init__(
        self,
        expert: Policy,
        *,
        rho: float,
        allowance: float = 0.0,
        method: Spec | Method = "blend",
        footprint_bound: FloatArray | None = None,
        bounds: Bounds | None = None,
        keep_expert: bool = True,
        record: bool = True,
    ) -> None:
        self.expert, self.rho, self.allowance = expert, rho, allowance
        self.method: Method = make("method", method, like=Method)
        self.footprint_bound, self.bounds = footprint_bound, bounds
        self.keep_expert, self.record = keep_expert, record

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        promise: dict[str, Any] = {
            "rho": self.rho,
            "allowance": self.allowance,
            "footprint_bound": self.footprint_bound,
        }
        self._levels: LevelSafeSet | None = None
        if setting.knobs:
            if not isinstance(self.method, LevelMethod):
                name = type(self.method).__name__
                raise DataError(f"{name} is not made for what the instance has beside routing")
            self._levels = LevelSafeSet.of(setting, self.bounds, **promise)
            self._operate = self.method.operate
        self.safe = SafeSet(setting, **promise) if self._levels is None else self._levels.plain
        self._trajectory = Trajectory(self.expert)
        self._trajectory.reset(setting)
        self.method.reset(self.safe)
        self._ledger: Ledger | None = None
        self._level_ledger: LevelLedger | None = None
        #: Of the slots played so far.
        self.records: list[SlotRecord] = []
        #: ``alpha [...]`` of the last slot, and the ledger after it.
        self.last: tuple[FloatArray, Ledger]

    def act(
        self, slot: Slot, advice: Array | Decision, levels: Levels | None = None
    ) -> FloatArray | Decision:
        """Return what is played when ``advice`` is proposed: an allocation ``[..., J, N]``.

        On a fleet with knobs a decision, from the layer's own ``levels`` before the slot. Advice
        that is not finite or not feasible is refused: the expert's allocation, or the way back to
        it, is played.

        Raises
        ------
        InfeasibleError
            When the expert's allocation is not feasible.
        DataError
            When the advice has the wrong shape.
        """
        given = advice.allocation if isinstance(advice, Decision) else advice
        if getattr(given, "requires_grad", False):
            name = type(self.method).__name__
            raise DataError(f"{name} plays arrays: of tensors EnvironmentLayer keeps the gradients")
        if self._levels is not None:
            return self.weigh(slot, advice, levels).decision
        # Rounding below zero would let S^π fall.
        advice = allocation_of(advice)
        expert = np.maximum(self._trajectory.act(slot).allocation, 0.0)
        proposed, refused = self._screen(np.asarray(advice, dtype=np.float64), expert, slot)
        turn = self.safe.turn(self._ledger, slot, expert)
        played = self.method(turn, proposed)
        self._ledger = played.ledger
        alpha = np.where(refused, 0.0, played.alpha)
        self.last = alpha, played.ledger
        if self.record:
            record = expert if self.keep_expert else seal(expert)
            self.records.append(SlotRecord(record, alpha, refused, played.ledger))
        allocation: FloatArray = played.allocation
        return allocation

    def certificate(self) -> Certificate:
        """Certificate of the episode so far."""
        if not self.record:
            raise DataError("the layer keeps no record: make it with record=True")
        bounds = None if self._levels is None else self._levels.bounds
        return certificate_of(self.safe, self.records, bounds)

    @property
    def level_set(self) -> LevelSafeSet:
        """The condition on a fleet with knobs; :class:`DataError` on one without."""
        if self._levels is None:
            raise DataError("the fleet has nothing beside routing, and so no levels")
        return self._levels

    def weigh(self, slot: Slot, advice: Array | Decision, levels: Levels | None = None) -> Weighed:
        """:meth:`act` on a fleet with knobs, and how it came to what is played."""
        safe, allocation = self.level_set, allocation_of(advice)
        wanted = advice.operation if isinstance(advice, Decision) else None
        advice = Decision(None, None, allocation, operation=wanted)
        if safe.setting.fleet.knobs and levels is None:
            raise DataError(f"slot {slot.index}: the layer needs its own levels before the slot")
        levels = levels or Levels()
        before = self._trajectory.state.levels or Levels()
        expert = self._trajectory.act(slot)
        # Rounding below zero would let S^π fall.
        expert = replace(expert, allocation=np.maximum(expert.allocation, 0.0))
        turn = LevelTurn(safe, self._level_ledger, slot, levels, before, expert)
        proposed, refused = turn.screen(advice)
        played = self._operate(turn, proposed)
        weighed = Weighed(turn, played, refused, self._trajectory.state)
        ledger = self._level_ledger = played.ledger
        self.last = weighed.alpha, ledger.books
        if self.record:
            kept, operation = self.keep_expert, expert.operation
            self.records.append(
                SlotRecord(
                    expert.allocation if kept else seal(expert.allocation, operation),
                    weighed.alpha,
                    refused,
                    ledger.books,
                    operation=operation if kept else None,
                    reserved=ledger.reserved,
                    ends=safe.ends(ledger),
                )
            )
        return weighed

    def _screen(
        self, advice: FloatArray, expert: FloatArray, slot: Slot
    ) -> tuple[FloatArray, BoolArray]:
        if advice.shape != expert.shape:
            raise DataError(
                f"slot {slot.index}: the advice has shape {advice.shape}, expected {expert.shape} "
                "(gateways, data centers)"
            )
        reachable = self.safe.setting.fleet.reachable
        # Stricter than what is asked of the expert: a mixture of the two is then feasible, too.
        sound = feasible(advice, slot.demand, slot.capacity, reachable, TOLERANCE / 4)
        return np.where(sound[..., None, None], advice, expert), ~sound


class RobustPolicy:
    """A policy that follows the advice as far as the guarantee against the expert allows.

    Parameters
    ----------
    advice
        Any policy, trusted or not. The state that it is handed counts what was played.
    expert, rho, allowance, method, footprint_bound, bounds, keep_expert
        See :class:`RobustLayer`.

    Examples
    --------
    >>> from equiload.agents import EGLB, GLBCost
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> instance = synthetic(0, horizon=24)
    >>> policy = RobustPolicy(GLBCost(), EGLB(), rho=0.05)
    >>> outcome, expert = rollout(policy, instance), rollout(EGLB(), instance)
    >>> bool(outcome.objective <= 1.05 * expert.objective)
    True
    """

    def __init__(
        self,
        advice: Policy,
        expert: Policy,
        *,
        rho: float,
        allowance: float = 0.0,
        method: Spec | Method = "blend",
        footprint_bound: FloatArray | None = None,
        bounds: Bounds | None = None,
        keep_expert: bool = True,
    ) -> None:
        self.advice = advice
        self.layer = RobustLayer(
            expert,
            rho=rho,
            allowance=allowance,
            method=method,
            footprint_bound=footprint_bound,
            bounds=bounds,
            keep_expert=keep_expert,
        )

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        check_policy(self.advice)
        self.layer.reset(setting)
        self.advice.reset(setting)

    def act(self, slot: Slot, state: State) -> FloatArray | Decision:
        """Return the allocation ``[..., J, N]``; on a fleet with knobs the decision."""
        return self.layer.act(slot, self.advice.act(slot, state), state.levels)

    def certificate(self) -> Certificate:
        """Certificate of the episode so far."""
        return self.layer.certificate()


def footprint_bound(
    fleet: Fleet, intensity: FloatArray, onsite: FloatArray | None = None
) -> FloatArray:
    """Return ``Ē [..., K, R]`` from a bound ``[..., K, N]`` on the intensities: at full load.

    On a fleet with batteries while they charge; ``onsite`` bounds the on-site intensities.
    """
    drawn = fleet.pue * fleet.capacity
    imported = drawn if fleet.storage is None else drawn + fleet.storage.charge
    most = np.asarray(intensity) * imported
    if onsite is not None:
        most = most + np.asarray(onsite) * drawn
    bound: FloatArray = most @ fleet.membership
    return bound
