"""The problem as :mod:`~equiload.robust.verify_levels` reads it, sharing nothing with the layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from equiload.envs import Instance
from equiload.envs.typing import Array, FloatArray
from equiload.robust.verify_numbers import Exact
from equiload.robust.violations import FEASIBLE, Violation, beyond, fractions

Decisions = dict[str, Exact]


class Taken(NamedTuple):
    """What a slot of one sequence of decisions comes to: US$ ``[...]``, ``[..., K, R]``."""

    cost: Exact
    footprint: Exact


class Physics:
    """What decisions cost and emit, exactly, as the equations of docs/knobs.md read.

    ``into``, ``out`` ``[N]`` are efficiencies as fractions; ``begin`` reads a slot.
    """

    def __init__(self, instance: Instance) -> None:
        self.fleet, self.trace, self.horizon = instance.fleet, instance.trace, instance.horizon
        self.mu, self._capacity = Exact.of(instance.objective.mu), instance.capacity
        fleet, N, batch = self.fleet, len(self.fleet.datacenters), instance.batch
        self.classes = 0 if fleet.training is None else len(fleet.training.classes)
        self.zero, self.none = Exact.of(np.zeros(batch)), Exact.of(np.zeros((*batch, N)))
        self.pue, self.into, self.out = Exact.of(fleet.pue), *(fractions(np.ones(N)),) * 2
        if fleet.storage is not None:
            self.into = fractions(fleet.storage.charge_efficiency)
            self.out = fractions(fleet.storage.discharge_efficiency)
        self._into, self._out = Exact.of(self.into), Exact.of(1 / self.out)
        #: ``[..., C]`` MWh of work that arrived before each slot so far.
        self.arrived = [Exact.of(np.zeros((*batch, self.classes)))]

    def begin(self, t: int) -> None:
        """Read the inputs of slot ``t``, as far as decisions meet them."""
        trace = self.trace
        self.price, self.intensity, self.demand, self.capacity = (
            Exact.of(series[..., t, :])
            for series in (trace.price, trace.intensity, trace.demand, self._capacity)
        )
        if trace.onsite_intensity is not None:
            self.onsite = Exact.of(trace.onsite_intensity[..., t, :])
        if trace.work is not None:
            self.arrived.append(self.arrived[-1] + trace.work[..., t, :])

    def since(self, first: int, t: int, c: int) -> Exact:
        """``[...]``, MWh of class ``c`` that arrived from slot ``first`` up to ``t``."""
        if first > t:
            return self.zero
        return self.arrived[t + 1][..., c] - self.arrived[first][..., c]

    def by_region(self, by_site: Exact) -> Exact:
        """``[..., R]``."""
        regions = range(len(self.fleet.regions))
        return Exact.stack([by_site[..., self.fleet.region_of == r].sum() for r in regions])

    def moved(self, given: Decisions) -> tuple[Exact, Exact]:
        """MWh ``[..., N]`` stored, and ``[..., C]`` of work removed: linear in the decisions."""
        stored, removed = self.none, self.arrived[0]
        if self.fleet.storage is not None:
            stored = self._into * given["charge"] - self._out * given["discharge"]
        if self.fleet.training is not None:
            removed = given["work"].sum() + given["late"]
        return stored, removed

    def slot(self, given: Decisions, on_before: Exact) -> Taken:
        """What the decisions of the slot come to."""
        fleet, load, cost = self.fleet, given["allocation"].sum(-2), self.zero
        if fleet.routing_cost is not None:
            cost = cost + (given["allocation"] * fleet.routing_cost).sum().sum()
        if fleet.models is not None:
            cost = cost + self._quality(given["saved"])
        if fleet.training is not None:
            load = load + given["work"].sum(-2)
            cost = cost + (given["late"] * fleet.training.late_cost).sum()
        drawn = load
        if fleet.servers is not None:
            on, idle = given["on"], fleet.servers.idle
            drawn = load + (on - load) * idle
            cost = cost + ((on - on_before).positive() * fleet.servers.start_cost).sum()
        drawn = balance = self.pue * drawn
        if fleet.storage is not None:
            cost = cost + (given["discharge"] * fleet.storage.wear).sum()
            balance = balance + given["charge"] - given["discharge"]
        if self.trace.generation is not None:
            balance = balance - given["generation"]
        grid = balance.positive()  # below 0 it is by rounding
        emitted = self.intensity * grid[..., None, :]
        if self.trace.onsite_intensity is not None:
            emitted = emitted + self.onsite * drawn[..., None, :]
        return Taken(cost + (self.price * grid).sum(), self.by_region(emitted))

    def _quality(self, saved: Exact) -> Exact:
        models = self.fleet.models
        assert models is not None
        can, cost, left = self.demand * models.share, self.zero, saved
        for width, loss in zip(*models.steps, strict=True):
            here = left.at_most(can * width)
            cost = cost + (here * loss * models.worth).sum()
            left = left - here
        return cost


def impossible(instance: Instance, given: dict[str, FloatArray], who: str) -> list[Violation]:
    """Slots in which more than a rounding of ``given [..., T, …]`` could not be done.

    As :data:`FEASIBLE` says: what levels, loads and demands miss is measured in MWh, in floats.
    """
    fleet, trace, sent = instance.fleet, instance.trace, given["allocation"]
    steps, nothing = sent.shape[-3], np.zeros(1)
    demand, capacity = trace.demand[..., :steps, :], instance.capacity[..., :steps, :]
    load, saved = sent.sum(-2), given.get("saved", nothing)
    size = capacity.sum(-1) + demand.sum(-1)
    amounts = {
        "not all demand": np.abs(sent.sum(-1) + saved - demand).max(-1),
        "out of reach": np.where(fleet.reachable, 0.0, sent).max((-1, -2)),
    }
    for name, array in given.items():
        amounts[f"{name} below 0"] = -array.reshape(*size.shape, -1).min(-1)
    if (models := fleet.models) is not None:
        most = demand * models.share * models.steps[0].sum()
        amounts["saved beyond what may be"] = (saved - most).max(-1)
    if (training := fleet.training) is not None and trace.work is not None:
        load = load + given["work"].sum(-2)
        reach = training.reach(len(fleet.datacenters))
        amounts["work out of reach"] = np.where(reach, 0.0, given["work"]).max((-1, -2))
        arrived = np.cumsum(trace.work[..., :steps, :], -2)
        waiting = arrived - np.cumsum(given["work"].sum(-1) + given["late"], -2)
        amounts["work that is not there"] = -waiting.min(-1)
        most = _may_wait(arrived, training.deadline, instance.horizon)
        amounts["work that waits too long"] = (waiting - most).max(-1)
        size = size + arrived.sum(-1)
    on = given.get("on", load)
    amounts["load that is not on"] = (load - on).max(-1)
    amounts["on beyond the capacity"] = (on - capacity).max(-1)
    balance = fleet.pue * load
    if fleet.servers is not None:
        balance = fleet.pue * (load + fleet.servers.idle * (on - load))
    if (storage := fleet.storage) is not None:
        charge, discharge = given["charge"], given["discharge"]
        balance = balance + charge - discharge
        flow = storage.charge_efficiency * charge - discharge / storage.discharge_efficiency
        stored = storage.initial + np.cumsum(flow, -2)
        amounts["charged too fast"] = (charge - storage.charge).max(-1)
        amounts["discharged too fast"] = (discharge - storage.discharge).max(-1)
        amounts["discharged what is not stored"] = -stored.min(-1)
        amounts["stored beyond what fits"] = (stored - storage.energy).max(-1)
        amounts["discharged beyond what is drawn"] = -balance.min(-1)
        size = size + storage.energy.sum()
    if trace.generation is not None:
        there = trace.generation[..., :steps, :]
        amounts["generation that is not there"] = (given["generation"] - there).max(-1)
        balance = balance - given["generation"]
    amounts["given back to the grid"] = -balance.min(-1)
    named = {who + what: amount for what, amount in amounts.items()}
    return beyond(named, FEASIBLE * np.maximum(size, 1e-300))


def _may_wait(arrived: FloatArray, deadline: Array, horizon: int) -> FloatArray:
    """``[..., T, C]``, MWh: what arrived within the deadlines; nothing after the last slot."""
    steps = arrived.shape[-2]
    before = np.concatenate([np.zeros_like(arrived[..., :1, :]), arrived], axis=-2)
    end = np.arange(1, steps + 1)[:, None]
    first = np.where(end == horizon, end, np.maximum(end - deadline, 0))
    may: FloatArray = arrived - before[..., first, np.arange(len(deadline))]
    return may
