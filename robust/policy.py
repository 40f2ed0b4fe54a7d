"""The layer around an expert, and the policy that an expert and an advice make."""

from __future__ import annotations

import numpy as np

from equiload.envs import DataError, Fleet, Policy, Setting, Slot, State, Trajectory
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.make import Spec, make
from equiload.envs.policy import allocation_of, check_policy
from equiload.envs.typing import BoolArray, FloatArray
from equiload.robust.certificate import Certificate, SlotRecord, certificate_of, seal
from equiload.robust.kernels import Ledger
from equiload.robust.methods import Method
from equiload.robust.safe import SafeSet


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
    keep_expert
        Keep the expert's allocations, ``[..., T, J, N]``, for :func:`~equiload.robust.verify`.
    """

    def __init__(
        self,
        expert: Policy,
        *,
        rho: float,
        allowance: float = 0.0,
        method: Spec | Method = "blend",
        footprint_bound: FloatArray | None = None,
        keep_expert: bool = True,
    ) -> None:
        self.expert, self.rho, self.allowance = expert, rho, allowance
        self.method: Method = make("method", method, like=Method)
        self.footprint_bound, self.keep_expert = footprint_bound, keep_expert

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self.safe = SafeSet(
            setting,
            rho=self.rho,
            allowance=self.allowance,
            footprint_bound=self.footprint_bound,
        )
        self._trajectory = Trajectory(self.expert)
        self._trajectory.reset(setting)
        self.method.reset(self.safe)
        self._ledger: Ledger | None = None
        self._records: list[SlotRecord] = []

    def act(self, slot: Slot, advice: FloatArray) -> FloatArray:
        """Return what is played ``[..., J, N]`` when ``advice`` is proposed.

        Advice that is not finite or not feasible is refused: the expert's allocation is played.

        Raises
        ------
        InfeasibleError
            When the expert's allocation is not feasible.
        DataError
            When the advice has the wrong shape.
        """
        # Rounding below zero would let S^π fall.
        expert = np.maximum(self._trajectory.act(slot).allocation, 0.0)
        proposed, refused = self._screen(np.asarray(advice, dtype=np.float64), expert, slot)
        turn = self.safe.turn(self._ledger, slot, expert)
        played = self.method(turn, proposed)
        self._ledger = played.ledger
        alpha = np.where(refused, 0.0, played.alpha)
        record = expert if self.keep_expert else seal(expert)
        self._records.append(SlotRecord(record, alpha, refused, played.ledger))
        allocation: FloatArray = played.allocation
        return allocation

    def certificate(self) -> Certificate:
        """Certificate of the episode so far."""
        return certificate_of(self.safe, self._records)

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
    expert, rho, allowance, method, footprint_bound, keep_expert
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
        keep_expert: bool = True,
    ) -> None:
        self.advice = advice
        self.layer = RobustLayer(
            expert,
            rho=rho,
            allowance=allowance,
            method=method,
            footprint_bound=footprint_bound,
            keep_expert=keep_expert,
        )

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        check_policy(self.advice)
        self.layer.reset(setting)
        self.advice.reset(setting)

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]``."""
        return self.layer.act(slot, allocation_of(self.advice.act(slot, state)))

    def certificate(self) -> Certificate:
        """Certificate of the episode so far."""
        return self.layer.certificate()


def footprint_bound(fleet: Fleet, intensity: FloatArray) -> FloatArray:
    """Return ``Ē [..., K, R]`` from a bound ``[..., K, N]`` on the intensities: at full load."""
    bound: FloatArray = (np.asarray(intensity) * (fleet.pue * fleet.capacity)) @ fleet.membership
    return bound
