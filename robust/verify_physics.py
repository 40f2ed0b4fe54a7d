"""The problem as :mod:`~equiload.robust.verify_levels` reads it, sharing nothing with the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equiload.envs import Instance
from equiload.envs.typing import Array, FloatArray


@dataclass
class Taken:
    """What a slot of one sequence of decisions comes to.

    ``cost [...]`` US$ and ``footprint [..., K, R]``; the ``stored [..., N]`` and the work
    ``removed [..., C]`` by it; what is ``on [..., N]``; the size of all that was added up,
    ``cost_size`` and ``footprint_size``; and MWh ``excess [...]`` by which it was not possible.
    """

    cost: Any
    footprint: Array
    stored: Array
    removed: Array
    on: Array
    cost_size: Any
    footprint_size: Array
    excess: dict[str, Array]


class Physics:
    """The problem in one kind of numbers, as the equations of docs/knobs.md read."""

    def __init__(self, instance: Instance, number: Callable[[object], Array]) -> None:
        self.number, self.fleet = number, instance.fleet
        self.horizon, self.mu = instance.horizon, number(instance.objective.mu)
        self.trace = instance.trace
        self.capacity = number(instance.capacity)
        self.zero = number(np.zeros(self.trace.price.shape[:-2]))
        fleet, N = self.fleet, len(self.fleet.datacenters)
        self.none = number(np.zeros((*self.zero.shape, N)))
        self.classes = 0 if fleet.training is None else len(fleet.training.classes)
        self.into = self.out = number(np.ones(N))
        if fleet.storage is not None:
            self.into = number(fleet.storage.charge_efficiency)
            self.out = number(fleet.storage.discharge_efficiency)

    def by_region(self, by_site: Array) -> Array:
        """``[..., R]``."""
        regions = range(len(self.fleet.regions))
        sums = [by_site[..., self.fleet.region_of == r].sum(-1) for r in regions]
        return np.stack(sums, axis=-1)

    def slot(self, t: int, given: dict[str, FloatArray], on_before: Array) -> Taken:
        """What the decisions of slot ``t`` come to."""
        number, fleet, trace = self.number, self.fleet, self.trace
        exact = {name: number(array) for name, array in given.items()}
        sent, demand = exact["allocation"], number(trace.demand[..., t, :])
        load, saved = sent.sum(-2), exact.get("saved", demand * 0)
        excess = {
            "not all demand": abs(sent.sum(-1) + saved - demand).max(-1),
            "out of reach": (sent * ~fleet.reachable).max((-1, -2)),
        }
        for name, array in exact.items():
            axes = (-1, -2) if name in {"allocation", "work"} else -1
            excess[f"{name} below 0"] = (-array).max(axes)
        costs, removed = [self.zero], number(np.zeros((*self.zero.shape, self.classes)))
        if fleet.routing_cost is not None:
            costs += list(np.moveaxis((number(fleet.routing_cost) * sent).sum(-1), -1, 0))
        if fleet.models is not None:
            costs.append(self._quality(saved, demand, excess))
        if fleet.training is not None:
            removed = exact["work"].sum(-1) + exact["late"]
            load = load + exact["work"].sum(-2)
            costs.append((number(fleet.training.late_cost) * exact["late"]).sum(-1))
            reach = fleet.training.reach(len(fleet.datacenters))
            excess["work out of reach"] = (exact["work"] * ~reach).max((-1, -2))
        on = exact.get("on", load)
        excess["load that is not on"] = (load - on).max(-1)
        excess["on beyond the capacity"] = (on - self.capacity[..., t, :]).max(-1)
        drawn = number(fleet.pue) * load
        if fleet.servers is not None:
            idle = number(fleet.servers.idle)
            drawn = number(fleet.pue) * (idle * on + (1 - idle) * load)
            started = np.maximum(on - on_before, 0)
            costs.append((number(fleet.servers.start_cost) * started).sum(-1))
        charge, discharge = exact.get("charge", self.none), exact.get("discharge", self.none)
        if fleet.storage is not None:
            costs.append((number(fleet.storage.wear) * discharge).sum(-1))
            excess["charged too fast"] = (charge - number(fleet.storage.charge)).max(-1)
            excess["discharged too fast"] = (discharge - number(fleet.storage.discharge)).max(-1)
        excess["discharged beyond what is drawn"] = (discharge - drawn - charge).max(-1)
        used = exact.get("generation", self.none)
        if trace.generation is not None:
            there = number(trace.generation[..., t, :])
            excess["generation that is not there"] = (used - there).max(-1)
        balance = drawn + charge - discharge - used
        excess["given back to the grid"] = (-balance).max(-1)
        flow = drawn + charge + discharge + used
        grid = np.maximum(balance, 0)  # below 0 it is by rounding
        price = number(trace.price[..., t, :])
        emitted, size = (number(trace.intensity[..., t, :]) * g[..., None, :] for g in (grid, flow))
        if trace.onsite_intensity is not None:
            onsite = number(trace.onsite_intensity[..., t, :]) * drawn[..., None, :]
            emitted, size = emitted + onsite, size + onsite
        return Taken(
            cost=sum(costs) + (price * grid).sum(-1),
            footprint=self.by_region(emitted),
            stored=self.into * charge - discharge / self.out,
            removed=removed,
            on=on,
            cost_size=sum(abs(c) for c in costs) + (abs(price) * flow).sum(-1),
            footprint_size=self.by_region(size),
            excess=excess,
        )

    def _quality(self, saved: Array, demand: Array, excess: dict[str, Array]) -> Array:
        models, number = self.fleet.models, self.number
        assert models is not None
        widths, losses = (number(part) for part in models.steps)
        can = demand * number(models.share)
        excess["saved beyond what may be"] = (saved - can * widths.sum()).max(-1)
        cost, left = self.zero, saved
        for width, loss in zip(widths, losses, strict=True):
            here = np.minimum(left, can * width)
            cost = cost + (number(models.worth) * loss * here).sum(-1)
            left = left - here
        return cost

    def may_wait(self, t: int) -> Array:
        """``[..., C]``, MWh: what arrived within the deadlines; nothing after the last slot."""
        training, work = self.fleet.training, self.trace.work
        assert training is not None
        assert work is not None
        sums = []
        for c, deadline in enumerate(training.deadline):
            last = t == self.horizon - 1 or deadline == 0
            first = t + 1 if last else max(t + 1 - int(deadline), 0)
            sums.append(self.zero + self.number(work[..., first : t + 1, c]).sum(-1))
        return np.stack(sums, axis=-1)

    def size(self, t: int) -> Array:
        """``[...]``, MWh: what amounts of the slot are measured by."""
        number, fleet, trace = self.number, self.fleet, self.trace
        size = self.capacity[..., t, :].sum(-1) + number(trace.demand[..., t, :]).sum(-1)
        if trace.work is not None:
            size = size + number(trace.work[..., : t + 1, :]).sum((-1, -2))
        if fleet.storage is not None:
            size = size + number(fleet.storage.energy).sum()
        return np.maximum(size, number(1e-300))
