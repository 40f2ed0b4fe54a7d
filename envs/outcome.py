"""What came of an episode: the numbers that every table and figure is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equiload.envs.instance import Instance
from equiload.envs.knobs import operation as knobs
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.policy import Policy, Trajectory
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import Array, FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Loads of an episode and what follows from them.

    Parameters
    ----------
    instance
        The problem, or a batch of problems.
    load
        ``[..., T, N]``, MWh of server energy per slot.
    routing
        ``[..., T]``, US$ per slot that sending the requests cost.
    grid
        ``[..., T, N]``, MWh taken from the grid. Default: all that the load needs, PUE times it.
    allocation
        ``[..., T, J, N]``, MWh from gateway to data center, where it was kept.
    operation
        What was done beside routing, with time in front: ``on [..., T, N]``, say. None where there
        was nothing to do.
    start
        Levels before the first slot. Default: as the fleet declares them.

    Examples
    --------
    >>> from equiload.agents import GLBCost
    >>> from equiload.envs.data import synthetic
    >>> outcome = rollout(GLBCost(), synthetic(0, horizon=168, batch=3))
    >>> outcome.objective.shape, outcome.footprint.shape, outcome.par.shape
    ((3,), (3, 2, 10), (3, 2))
    """

    instance: Instance
    load: FloatArray
    routing: FloatArray
    grid: FloatArray | None = None
    allocation: Array = None
    operation: Operation | None = None
    start: Levels | None = None

    def __post_init__(self) -> None:
        # What was done is a record, not a draft.
        self.load.flags.writeable = self.routing.flags.writeable = False

    def __repr__(self) -> str:
        trace, mean = self.instance.trace, "mean " if self.instance.batch else ""
        peaks = self.max_footprint.reshape(-1, len(trace.footprints)).mean(0)
        highest = [
            f"{kind} up to {peak:,.4g} {unit}"
            for kind, peak, unit in zip(trace.footprints, peaks, trace.units, strict=True)
        ]
        told = ", ".join([f"{mean}J {self.objective.mean():,.6g} US$", *highest])
        return f"<Outcome of {self.instance!r}: {told}>"

    @cached_property
    def cost(self) -> FloatArray:
        """``[..., T]``, US$: energy and routing cost of each slot."""
        price, amount = self.instance.trace.price, self.grid
        if amount is None:  # the same, in the order in which the published numbers were rounded
            price, amount = price * self.instance.fleet.pue, self.load
        cost: FloatArray = np.einsum("...tn,...tn->...t", price, amount)
        return sum(self.other_cost.values(), cost + self.routing)

    @property
    def imported(self) -> FloatArray:
        """``[..., T, N]``, MWh taken from the grid."""
        return self.load * self.instance.fleet.pue if self.grid is None else self.grid

    @property
    def drawn(self) -> FloatArray:
        """``[..., T, N]``, MWh that the sites draw, whatever its source, charging left out."""
        on = None if self.operation is None else self.operation.on
        drawn: FloatArray = knobs.draw(self.load, on, self.instance.fleet)
        return drawn

    @cached_property
    def other_cost(self) -> dict[str, FloatArray]:
        """``[..., T]``, US$ by cause, beside energy and routing.

        Wear of batteries, servers started, work given up, quality lost, initial charge missing.
        """
        instance, operation = self.instance, self.operation
        if operation is None:
            return {}
        fleet, on_before = instance.fleet, None
        if fleet.servers is not None:
            on_before = np.empty(operation.on.shape)
            on_before[..., 0, :] = self._start.on
            on_before[..., 1:, :] = operation.on[..., :-1, :]
        by_cause = knobs.costs(operation, instance.trace.demand, on_before, fleet)
        if fleet.storage is not None:
            missing = np.zeros(self.routing.shape)
            missing[..., -1] = knobs.refill(self.levels.stored[..., -1, :], fleet)
            by_cause["refill"] = missing
        return by_cause

    @cached_property
    def levels(self) -> Levels:
        """What is stored, waiting and on after each slot: ``stored [..., T, N]``, say."""
        fleet, operation = self.instance.fleet, self.operation
        if operation is None:
            return Levels()
        stored = waiting = None
        if fleet.storage is not None:
            added = np.cumsum(knobs.stored_by(operation, fleet), axis=-2)
            before = self._start.stored[..., None, :]
            stored = np.clip(before + added, 0.0, fleet.storage.energy)
        if fleet.training is not None:
            left = self.instance.trace.work - operation.work.sum(-1) - operation.late
            before = self._start.waiting[..., None, :]
            waiting = np.maximum(before + np.cumsum(left, axis=-2), 0.0)
        return Levels(stored, waiting, operation.on)

    @property
    def _start(self) -> Levels:
        return self.start or Levels.start(self.instance.fleet, self.instance.batch)

    @cached_property
    def energy_cost(self) -> FloatArray:
        """``[...]``, US$: energy and routing cost of the episode."""
        total: FloatArray = np.asarray(self.cost.sum(-1))
        return total

    @cached_property
    def footprint(self) -> FloatArray:
        """``[..., K, R]``: regional footprints ``S[k, r]`` of the episode (t, m³, …)."""
        intensity, membership = self.instance.trace.intensity, self.instance.fleet.membership
        by_datacenter = np.einsum("...ktn,...tn->...kn", intensity, self.imported)
        onsite = self.instance.trace.onsite_intensity
        if onsite is not None:
            by_datacenter = by_datacenter + np.einsum("...ktn,...tn->...kn", onsite, self.drawn)
        footprint: FloatArray = by_datacenter @ membership
        return footprint

    @property
    def max_footprint(self) -> FloatArray:
        """``[..., K]``: the highest regional footprint."""
        highest: FloatArray = self.footprint.max(-1)
        return highest

    @property
    def mean_footprint(self) -> FloatArray:
        """``[..., K]``: the mean regional footprint."""
        mean: FloatArray = self.footprint.mean(-1)
        return mean

    @property
    def par(self) -> FloatArray:
        """``[..., K]``: peak-to-average ratio ``max_r S / mean_r S`` (1 where nothing is used)."""
        mean, ratio = self.mean_footprint, np.ones(self.max_footprint.shape)
        return np.divide(self.max_footprint, mean, out=ratio, where=mean > 0)

    @property
    def objective(self) -> FloatArray:
        """``[...]``, US$: ``J``, energy and routing cost plus ``Σ_k μ_k max_r S[k, r]``."""
        objective: FloatArray = np.asarray(
            self.energy_cost + self.max_footprint @ self.instance.objective.mu
        )
        return objective

    @property
    def gross(self) -> FloatArray:
        """``[...]``, US$: the objective with every slot's cost taken positive; its scale."""
        gross: FloatArray = np.asarray(
            np.abs(self.cost).sum(-1) + self.max_footprint @ self.instance.objective.mu
        )
        return gross

    @property
    def emitted(self) -> FloatArray:
        """``[..., K, T, N]``: what each data center adds to the footprints in each slot."""
        trace = self.instance.trace
        emitted: FloatArray = trace.intensity * self.imported[..., None, :, :]
        if trace.onsite_intensity is not None:
            emitted = emitted + trace.onsite_intensity * self.drawn[..., None, :, :]
        return emitted

    def cumulative_footprint(self) -> FloatArray:
        """``[..., K, T, R]``: regional footprints up to and including each slot."""
        by_region = self.emitted @ self.instance.fleet.membership
        cumulative: FloatArray = np.cumsum(by_region, axis=-2)
        return cumulative


def rollout(
    policy: Policy,
    instance: Instance,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
    *,
    keep: bool = False,
) -> Outcome:
    """Run an online policy over an instance (or a batch, in lock-step), slot by slot.

    ``track`` wraps the slots to show progress, as ``tqdm`` does; ``keep`` keeps the allocations.

    Raises
    ------
    DataError
        For what is no policy.
    InfeasibleError
        When the policy returns an allocation outside the feasible set; the message says where.

    Examples
    --------
    >>> from equiload.agents import GLBCost
    >>> from equiload.envs.data import synthetic
    >>> outcome = rollout(GLBCost(), synthetic(0, horizon=24))
    >>> outcome.load.shape, outcome.footprint.shape
    ((24, 10), (2, 10))
    """
    T = instance.horizon
    load = np.empty(instance.trace.price.shape)
    routing = np.zeros((*instance.batch, T))
    allocations, operations = [], []
    driven = Trajectory(policy)
    driven.reset(Setting.of(instance))
    for t in track(range(T)):
        decision = driven.act(Slot.of(instance, t))
        load[..., t, :], routing[..., t] = decision.load, decision.routing
        if keep:
            allocations.append(np.array(decision.allocation))
        if decision.operation is not None:
            operations.append(decision.operation)
    allocation = np.stack(allocations, axis=-3) if keep else None
    operation = Operation.stack(operations, len(instance.batch)) if operations else None
    return Outcome(
        instance=instance,
        load=load,
        routing=routing,
        grid=None if operation is None else operation.grid,
        allocation=allocation,
        operation=operation,
    )
