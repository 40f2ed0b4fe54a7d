"""The layer inside an environment, so that a learner trains through the guarantee."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from equiload.envs import (
    DataError,
    Decision,
    Fleet,
    InfeasibleError,
    Instance,
    Policy,
    Setting,
    Slot,
    State,
    Trajectory,
)
from equiload.envs.arrays import like
from equiload.envs.feasibility import TOLERANCE
from equiload.envs.typing import Array, FloatArray
from equiload.robust.blend import blend
from equiload.robust.bounds import Bounds
from equiload.robust.certificate import Certificate, SlotRecord, certificate_of
from equiload.robust.kernels import Ledger, blend_loads, sound
from equiload.robust.policy import RobustLayer
from equiload.robust.safe import SafeSet

if TYPE_CHECKING:  # needs torch
    from equiload.robust.tensors import LevelTensors


class EnvironmentLayer:
    """Blends an environment's decisions with an expert's, as far as the guarantee allows.

    Pass one as ``layer=`` to the single or the vector environment, or to the differentiable
    simulator; without it the learner is trained unwrapped, and may be wrapped afterwards by
    :class:`~equiload.robust.RobustPolicy`. Where routing is free the condition sees loads alone,
    and so does this layer: it works as if all demand entered at one gateway (:func:`pooled`).
    ``info`` tells ``alpha`` (1: the action was played) and ``slack`` (US$) of the last slot.

    Parameters
    ----------
    expert
        Any online policy. It runs on its own virtual trajectory, whatever is played.
    rho, allowance, footprint_bound, bounds
        See :class:`~equiload.robust.RobustLayer`.
    record
        Keep what :meth:`certificate` needs: the expert's loads of every slot.

    Examples
    --------
    >>> from equiload.agents import EGLB
    >>> from equiload.envs.data import synthetic
    >>> from equiload.envs.gym import GLBEnv
    >>> layer = EnvironmentLayer(EGLB(), rho=0.05)
    >>> env = GLBEnv(instance=synthetic(0, horizon=24), layer=layer)
    >>> _ = env.reset(seed=0)
    >>> *_, info = env.step(np.zeros(env.action_space.shape))
    >>> bool(0 <= info["alpha"] <= 1), bool(info["slack"] >= 0)
    (True, True)
    """

    def __init__(
        self,
        expert: Policy,
        *,
        rho: float,
        allowance: float = 0.0,
        footprint_bound: FloatArray | None = None,
        bounds: Bounds | None = None,
        record: bool = False,
    ) -> None:
        self.expert, self.rho, self.allowance = expert, rho, allowance
        self.footprint_bound, self.bounds, self.record = footprint_bound, bounds, record
        self._with_levels: RobustLayer | None = None
        self._tensors: LevelTensors | None = None
        self._rehearsed: tuple[FloatArray, ...] | None = None
        self._retraced: Rehearsed | None = None

    def rehearse(self, instance: Instance) -> None:
        """Only this instance will be played, on tensors: run the expert over it once."""
        setting = Setting.of(instance)
        self._begin(setting)
        slots = (Slot.of(instance, t) for t in range(instance.horizon))
        if setting.knobs:
            self._retraced = Rehearsed(tuple(self._trajectory.act(slot) for slot in slots))
        else:
            self._rehearsed = tuple(self._follow(slot) for slot in slots)

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        fleet, batch = setting.fleet, setting.batch
        slack = np.full(batch, float(self.allowance))
        self._last: dict[str, Array] = {"alpha": np.ones(batch), "slack": slack}
        self._with_levels = self._tensors = None
        if setting.knobs:
            self._with_levels = RobustLayer(
                self._retraced or self.expert,
                rho=self.rho,
                allowance=self.allowance,
                footprint_bound=self.footprint_bound,
                bounds=self.bounds,
                record=self.record,
            )
            self._with_levels.reset(setting)
            return
        fleet = fleet if fleet.routing_cost is not None else _one_gateway(fleet)
        self.safe = SafeSet(
            replace(setting, fleet=fleet),
            rho=self.rho,
            allowance=self.allowance,
            footprint_bound=self.footprint_bound,
        )
        if self._rehearsed is None:
            self._begin(setting)
        self._ledger: Ledger | None = None
        self._records: list[SlotRecord] = []

    def decide(self, slot: Slot, decision: Decision, state: State | None = None) -> Decision:
        """What is played in place of ``decision``; with knobs from the ``state`` before the slot.

        Raises
        ------
        InfeasibleError
            When the expert's allocation is not feasible.
        """
        if self._with_levels is not None:
            if state is None:
                raise DataError(f"slot {slot.index}: the layer needs the state before the slot")
            return self._operate(self._with_levels, slot, decision, state)
        if self._rehearsed is None:
            expert = self._follow(slot)
        else:
            expert = like(self._rehearsed[slot.index], decision.load)
        if isinstance(decision.load, np.ndarray) and decision.allocation is None:
            return self._compiled(slot, expert, decision)
        advice = decision.load[..., None, :] if decision.allocation is None else decision.allocation
        played = blend(self.safe.turn(self._ledger, slot, expert), advice)
        self._ledger = played.ledger
        self._record(expert, played.alpha, played.ledger)
        pairs = self.safe.setting.fleet.routing_cost
        pairs = None if pairs is None else like(pairs, advice)
        return Decision.of(played.allocation, pairs, decision.moved)

    def info(self) -> dict[str, Array]:
        """``alpha [B]`` and ``slack [B]``, US$, of the last slot."""
        return self._last

    def certificate(self) -> Certificate:
        """Certificate of the episodes so far.

        Of :func:`pooled` instances if routing is free and all there is to decide.
        """
        if not self.record:
            raise DataError("the layer keeps no record: make it with record=True")
        if self._with_levels is not None:
            return self._with_levels.certificate()
        return certificate_of(self.safe, self._records)

    def _operate(
        self, layer: RobustLayer, slot: Slot, decision: Decision, state: State
    ) -> Decision:
        if not isinstance(decision.load, np.ndarray):
            return self._on_tensors(layer, slot, decision, state)
        played = layer.act(slot, decision, state.levels)
        assert isinstance(played, Decision)
        alpha, ledger = layer.last
        self._last = {"alpha": alpha, "slack": ledger.right - ledger.left}
        return replace(played, moved=decision.moved)

    def _on_tensors(
        self, layer: RobustLayer, slot: Slot, decision: Decision, state: State
    ) -> Decision:
        if self._tensors is None:
            from equiload.robust.tensors import LevelTensors

            self._tensors = LevelTensors(layer, decision.load)
        played, alpha, slack = self._tensors.play(slot, decision, state)
        self._last = {"alpha": alpha, "slack": slack}
        return played

    def _compiled(self, slot: Slot, expert: FloatArray, decision: Decision) -> Decision:
        if self._ledger is None:
            self._ledger = _copy(self.safe.open(self.safe.rates(slot)))
        ledger = self._ledger
        alpha, played = np.empty(len(expert)), np.empty_like(decision.load)
        blend_loads(
            slot.price,
            slot.intensity,
            slot.capacity,
            expert[:, 0],
            decision.load,
            self.safe.slots_left(slot.index),
            self.safe.condition,
            ledger,
            alpha,
            played,
        )
        self._record(expert, alpha, ledger if not self.record else _copy(ledger))
        return Decision(played, decision.routing, None, decision.moved)

    def _record(self, expert: Array, alpha: Array, ledger: Ledger) -> None:
        self._last = {"alpha": alpha, "slack": ledger.right - ledger.left}
        if self.record:
            # An environment's decisions are feasible.
            refused = np.zeros(self.safe.setting.batch, dtype=np.bool_)
            self._records.append(SlotRecord(expert, alpha, refused, ledger))

    def _begin(self, setting: Setting) -> None:
        self._fleet, self._trajectory = setting.fleet, Trajectory(self.expert)
        self._trajectory.reset(setting)

    def _follow(self, slot: Slot) -> FloatArray:
        """What the expert plays: ``[..., J, N]``, or ``[..., 1, N]`` where routing is free."""
        free = self._fleet.routing_cost is None
        if not (free and self._trajectory.tells_loads):
            allocation: FloatArray = np.maximum(self._trajectory.act(slot).allocation, 0.0)
            return allocation.sum(-2)[..., None, :] if free else allocation
        J, N = self._fleet.reachable.shape
        loads = np.asarray(self._trajectory.loads(slot), dtype=np.float64)
        serving = np.empty(slot.price.shape)
        rows, room = serving.reshape(-1, N), slot.capacity.reshape(-1, N)
        demand = slot.demand.reshape(-1, J)
        fits = loads.shape == serving.shape
        if not (fits and sound(loads.reshape(rows.shape), demand, room, TOLERANCE, rows)):
            raise InfeasibleError(
                f"slot {slot.index}: the expert's loads do not serve all demand within capacity"
            )
        return serving[..., None, :]


class Rehearsed:
    """What a policy did on its own trajectory, slot by slot, once more.

    Parameters
    ----------
    decisions
        Of each slot.
    """

    def __init__(self, decisions: tuple[Decision, ...]) -> None:
        self.decisions = decisions

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""

    def act(self, slot: Slot, _: State) -> Decision:
        """See :class:`~equiload.envs.Policy`."""
        return self.decisions[slot.index]


def pooled(instance: Instance) -> Instance:
    """The instance with all demand entering at one gateway that reaches everything.

    What a :class:`EnvironmentLayer` certifies where routing is free: verify its certificate with
    this and the loads as allocations ``[B, T, 1, N]``.
    """
    demand = instance.trace.demand.sum(-1, keepdims=True)
    trace = instance.trace.replace(demand=demand)
    return instance.replace(fleet=_one_gateway(instance.fleet), trace=trace)


def _one_gateway(fleet: Fleet) -> Fleet:
    reachable = np.ones((1, len(fleet.datacenters)), dtype=np.bool_)
    return fleet.replace(gateways=("all",), reachable=reachable, routing_cost=None, distance=None)


def _copy(ledger: Ledger) -> Ledger:
    """The ledger with arrays of its own."""
    return Ledger(*map(np.array, ledger))
