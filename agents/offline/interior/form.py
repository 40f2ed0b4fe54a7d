"""The program in standard form: ``min c·v``, ``A·v = b``, ``0 <= v <= u``, free of units.

A MWh is the mean capacity of a site, a US$ what it costs to run one for a slot, footprints at equal
weights included. What nothing can make larger than 0 is *fixed*, so that all else has an interior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.agents.offline.interior.layout import (
    BATTERY,
    CAPACITY,
    CHARGE,
    DISCHARGE,
    DONE,
    GENERATION,
    GRID,
    LATE,
    ON,
    SPARE,
    STARTED,
    STOPPED,
    STORED,
    SWITCHED,
    WAITING,
    Network,
    Sizes,
)
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.solution import at_stake
from equiload.envs.typing import BoolArray, FloatArray

# In units in which a site's capacity is 1: less than this has no width.
_NOTHING = 1e-9
# A bound that never binds, on what is bounded by others: it keeps prices finite at no cost.
_ROOM = 1.02


@dataclass(frozen=True, eq=False)
class Form:
    """A problem, as the interior point sees it.

    Parameters
    ----------
    problem
        What it was.
    sizes, network
        Its shape and coefficients.
    load, money
        Its units, in the problem's.
    kinds
        ``[K]`` of the problem's kinds of footprint, those that cost anything.
    cost, upper
        ``[variables]``; ``upper`` is 0 where a variable is fixed, and may be infinite.
    widest
        ``[variables]``, finite: what no feasible value exceeds.
    right
        ``[rows]``.
    scale
        What it costs to run all sites at full load, prices taken positive; where that costs
        nothing, what is :func:`~equiload.agents.offline.solution.at_stake`.
    dearest
        The highest cost of a MWh from the grid, whatever the weights.
    idle
        ``[N]``: 0 but for batteries that nothing can change: 1 for an empty one that cannot be
        charged, −1 for a full one that cannot be discharged.
    ceiling
        ``[T, C]``: what can wait after each slot, of what has arrived until then.
    """

    problem: Problem
    sizes: Sizes
    network: Network
    load: float
    money: float
    kinds: BoolArray
    cost: FloatArray
    upper: FloatArray
    widest: FloatArray
    right: FloatArray
    scale: float
    dearest: float
    idle: FloatArray
    ceiling: FloatArray

    @classmethod
    def of(cls, problem: Problem) -> Form:
        """Lay a problem out."""
        return _Drafting(problem).form()


class _Drafting:
    """Fills the arrays of a form, a part of the fleet at a time."""

    def __init__(self, problem: Problem) -> None:
        self.problem, instance = problem, problem.instance
        self.fleet, self.trace = instance.fleet, instance.trace
        T, N = self.trace.price.shape
        mu, highest = instance.objective.mu, self.trace.intensity.max((1, 2))
        if self.trace.onsite_intensity is not None:
            highest = np.maximum(highest, self.trace.onsite_intensity.max((1, 2)))
        self.kinds = mu * highest > 0
        self.mu = mu[self.kinds, None, None]
        imported = np.moveaxis(self.mu * self.trace.intensity[self.kinds], 0, 1)
        whole = self.trace.price + imported.sum(1) / len(self.fleet.regions)
        self.load = float(instance.capacity.mean()) or 1.0
        self.money = float(np.abs(whole).mean()) or float(np.abs(self.trace.price).mean()) or 1.0
        self.capacity = _wide(instance.capacity / self.load)
        drawn = np.zeros(imported.shape)
        if self.trace.onsite_intensity is not None:
            drawn = np.moveaxis(self.mu * self.trace.onsite_intensity[self.kinds], 0, 1)
        idle = np.zeros(N) if self.fleet.servers is None else self.fleet.servers.idle
        battery, senders = self.fleet.storage, problem.senders
        self.idle = _idle(problem, self.load)
        group, site = np.nonzero(senders.reachable)
        saver_group, self.room, self.quality = self._savers()
        J = len(self.fleet.gateways)
        self.network = Network(
            servers=self.fleet.servers is not None,
            storage=battery is not None,
            per_load=self.fleet.pue * (1.0 - idle),
            per_on=self.fleet.pue * idle,
            gain=np.ones(N) if battery is None else np.array(battery.charge_efficiency),
            loss=np.ones(N) if battery is None else 1.0 / battery.discharge_efficiency,
            imported=np.ascontiguousarray(imported / self.money),
            drawn=np.ascontiguousarray(drawn / self.money),
            region=np.array(self.fleet.region_of, dtype=np.int64),
            pair_group=group,
            pair_site=site,
            shared=np.array(np.nonzero(np.triu(site[:, None] == site, 1))),
            class_group=np.array(senders.group_of[J:], dtype=np.int64),
            saver_group=saver_group,
        )
        self.sizes = Sizes(
            slots=T,
            sites=N,
            classes=len(self.network.class_group),
            pairs=len(group),
            savers=len(saver_group),
            groups=len(senders.reachable),
            kinds=int(self.kinds.sum()),
            regions=len(self.fleet.regions),
        )
        flat = np.zeros((3, self.sizes.variables))
        flat[0], flat[1] = np.inf, np.inf
        self.upper, self.widest, self.cost = map(self.sizes.vector, flat)
        self.flat, self.right_flat = flat, np.zeros(self.sizes.rows)
        self.right = self.sizes.by_row(self.right_flat)

    def form(self) -> Form:
        """All parts, one after the other."""
        self._supply()
        self._servers()
        self._storage()
        self._training()
        self._demand()
        self.cost.highest[:] = 1.0
        self.widest.highest[:] = self.widest.slack[:] = 0.0  # the bound's weights make up for it
        before = self.problem.start.footprint[self.kinds] * self.mu[:, :, 0]
        self.right.footprint[:] = -before / (self.money * self.load)
        upper, widest, cost = self.flat
        upper[upper < _NOTHING] = 0.0
        widest[upper == 0] = 0.0
        unit = np.abs(self.cost.site[:, GRID]) + self.network.imported.sum(1) / self.sizes.regions
        whole = (self.network.imported + self.network.drawn).sum(1)
        scale = float((unit * self.capacity * self.fleet.pue).sum())
        return Form(
            self.problem,
            self.sizes,
            self.network,
            self.load,
            self.money,
            self.kinds,
            cost,
            upper,
            widest,
            self.right_flat,
            scale or at_stake(self.problem.instance) / (self.money * self.load),
            float((np.abs(self.cost.site[:, GRID]) + whole).max()),
            self.idle,
            self.most_waiting,
        )

    def _savers(self) -> tuple[np.ndarray, FloatArray, FloatArray]:
        """``[M]``, ``[T, M]`` and ``[M]``: group, room and cost of each way to save."""
        fleet, saver_of = self.fleet, self.problem.senders.saver_of
        if fleet.models is None:
            nothing = np.zeros((len(self.trace.price), 0))
            return np.zeros(0, dtype=np.int64), nothing, np.zeros(0)
        room = np.moveaxis(fleet.models.room(self.trace.demand), 1, 2)  # [T, H, J]
        first = np.unique(saver_of, return_index=True)[1]
        room = room @ np.eye(len(first))[saver_of]
        group = np.array(self.problem.senders.group_of[first], dtype=np.int64)
        cost: FloatArray = fleet.models.unit_cost[first].T.ravel()
        return np.tile(group, room.shape[1]), room.reshape(len(room), -1), cost

    def _supply(self) -> None:
        """The grid, panels, and what sites can draw at all."""
        fleet, (upper, widest) = self.fleet, (self.upper.site, self.widest.site)
        most = self.capacity * fleet.pue
        if fleet.storage is not None:
            most = most + np.where(self.idle != 0, 0.0, fleet.storage.charge / self.load)
        widest[:, GRID], upper[:, GRID] = most, _ROOM * most
        self.cost.site[:, GRID] = self.trace.price / self.money
        upper[:, GENERATION] = 0.0
        if self.trace.generation is not None:
            upper[:, GENERATION] = np.minimum(_wide(self.trace.generation / self.load), most)
        widest[:, GENERATION] = upper[:, GENERATION]
        self.most_drawn = most

    def _servers(self) -> None:
        upper, widest, capacity = self.upper.site, self.widest.site, self.capacity
        upper[:, SPARE] = np.where(capacity > 0, np.inf, 0.0)
        widest[:, SPARE] = capacity
        servers = self.fleet.servers
        if servers is None:
            upper[:, [ON, STARTED, STOPPED]] = 0.0
            self.right.site[:, CAPACITY] = -capacity
            return
        assert self.problem.levels.on is not None
        before = np.vstack([self.problem.levels.on / self.load, capacity[:-1]])
        upper[:, ON] = widest[:, ON] = widest[:, STARTED] = capacity
        upper[:, STARTED] = _ROOM * capacity
        upper[:, STOPPED] = np.where(before > 0, np.inf, 0.0)
        widest[:, STOPPED] = before
        # Where nothing was on and nothing can be, its row is empty.
        self.cost.site[:, STARTED] = servers.start_cost / self.money
        self.right.site[0, SWITCHED] = before[0]

    def _storage(self) -> None:
        upper, widest, battery = self.upper, self.widest, self.fleet.storage
        if battery is None:
            upper.site[:, [CHARGE, DISCHARGE, STORED]] = 0.0
            upper.missing[:] = 0.0
            return
        used = np.where(self.idle != 0, 0.0, 1.0)
        initial, before = (
            used * x / self.load for x in (battery.initial, self.problem.levels.stored)
        )
        most = np.minimum(battery.discharge / self.load, self.most_drawn)
        upper.site[:, CHARGE] = used * battery.charge / self.load
        upper.site[:, DISCHARGE] = used * _wide(most)
        upper.site[:, STORED] = used * battery.energy / self.load
        upper.site[-1, STORED] = np.maximum(upper.site[-1, STORED] - initial, 0.0)
        upper.missing[:] = initial
        widest.site[:, [CHARGE, DISCHARGE, STORED]] = upper.site[:, [CHARGE, DISCHARGE, STORED]]
        widest.missing[:] = initial
        self.cost.site[:, DISCHARGE] = battery.wear / self.money
        self.cost.missing[:] = battery.refill_price / battery.charge_efficiency / self.money
        self.right.site[0, BATTERY] += before
        self.right.site[-1, BATTERY] -= initial

    def _training(self) -> None:
        training, T = self.fleet.training, self.sizes.slots
        self.done: FloatArray = np.zeros((T, self.sizes.groups))  # at most, by group
        self.most_waiting: FloatArray = np.zeros((T, 0))
        if training is None:
            return
        assert self.trace.work is not None
        arrived = _wide(self.trace.work / self.load)
        ceiling, waiting = self.problem.ceiling / self.load, self.problem.levels.waiting / self.load
        arrived[0] += waiting
        self.right.work[:] = arrived
        most, due = np.zeros(arrived.shape), arrived.copy()
        for t in range(T):
            due[t] += most[t - 1] if t else 0.0
            most[t] = np.minimum(ceiling[t], due[t])
        self.most_waiting = most
        upper, widest = self.upper.work, self.widest.work
        upper[:, WAITING] = widest[:, WAITING] = most
        for part in (DONE, LATE):
            upper[:, part] = np.where(due > _NOTHING, np.inf, 0.0)
            widest[:, part] = due
        self.cost.work[:, LATE] = training.late_cost / self.money
        self.done = due @ np.eye(self.sizes.groups)[self.network.class_group]

    def _demand(self) -> None:
        """Loads, and what is saved of them."""
        network, senders = self.network, self.problem.senders
        demand = _wide(senders.by_group(self.trace.demand) / self.load)
        asked = (demand + self.done)[:, network.pair_group] > _NOTHING
        capacity = self.capacity[:, network.pair_site]
        self.upper.load[:] = np.where(asked & (capacity > 0), np.inf, 0.0)
        self.widest.load[:] = capacity
        self.upper.saved[:] = self.widest.saved[:] = _wide(self.room / self.load)
        pairs = senders.routing[network.pair_group, network.pair_site]
        self.cost.load[:] = pairs / self.money
        self.cost.saved[:] = self.quality / self.money
        self.right.demand[:] = demand


def _wide(values: FloatArray) -> FloatArray:
    wide: FloatArray = np.where(values < _NOTHING, 0.0, values)
    return wide


def _idle(problem: Problem, unit: float) -> FloatArray:
    """``[N]``: see :class:`Form`."""
    battery, stored = problem.instance.fleet.storage, problem.levels.stored
    if battery is None:
        return np.zeros(len(problem.instance.fleet.datacenters))
    nothing = _NOTHING * unit
    no_charge, no_discharge = battery.charge <= nothing, battery.discharge <= nothing
    empty, full = stored <= nothing, stored >= battery.energy - nothing
    idle: FloatArray = np.where(no_charge & empty, 1.0, np.where(no_discharge & full, -1.0, 0.0))
    return idle
