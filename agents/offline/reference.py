"""eGLB-Off as one reads it in the paper (equations 1–5): a CVXPY model, gateway by gateway.

What a fleet may have beside routing is added class by class and site by site. Slow, and plain on
purpose: the other solvers are held against it.
"""

from __future__ import annotations

import time
from typing import Any

import cvxpy as cp
import numpy as np
from scipy import sparse

from equiload.agents.offline.checks import check_problem
from equiload.agents.offline.feasible import operated, paced, serving
from equiload.agents.offline.scaling import normalised
from equiload.agents.offline.solution import Solution, prices_from_duals
from equiload.envs import Instance, Outcome, SolverError
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.typing import BoolArray, FloatArray


def solve_reference(instance: Instance) -> Solution:
    """Solve ``min_y Σ_t Σ_i p·x + Σ_k μ_k max_r Σ_t Σ_{i in r} e_k·x`` by CVXPY and HiGHS.

    With parts beside routing: ``min Σ_t (p·grid + wear + starts + late work + quality + routing) +
    what is missing of the initial charge + Σ_k μ_k max_r Σ_t Σ_{i in r} (e_k·grid + e°_k·draw)``.

    Raises
    ------
    DataError
        For a batch of instances.
    SolverError
        If HiGHS does not return an optimum.
    """
    check_problem(instance)
    begin = time.perf_counter()
    scaled, unit, money = normalised(instance)
    model = _Model(scaled)
    problem = cp.Problem(cp.Minimize(sum(model.costs)), list(model.constraints.values()))
    problem.solve(solver=cp.HIGHS)
    if problem.status != cp.OPTIMAL:
        raise SolverError(f"HiGHS stopped with status {problem.status} on the CVXPY model")
    duals = {name: row.dual_value for name, row in model.constraints.items()}
    kinds = [duals[f"footprint of {k}"] for k in instance.trace.footprints]
    prices = prices_from_duals(
        instance.fleet,
        footprint=np.array(kinds),
        stored=money * duals["stored"] if "stored" in duals else None,
        waiting=-money * duals["waiting"] if "waiting" in duals else None,
        on=money * duals["on"] if "on" in duals else None,
    )
    return Solution.certified(
        model.outcome(instance, unit, money),
        prices,
        {"method": "reference", "seconds": time.perf_counter() - begin},
    )


class _Model:
    """Variables by name, one constraint object per kind, and costs by cause."""

    def __init__(self, instance: Instance) -> None:
        self.instance, self.fleet, self.trace = instance, instance.fleet, instance.trace
        self.T, self.N = instance.trace.price.shape
        self.variables: dict[str, cp.Variable] = {}
        self.constraints: dict[str, cp.Constraint] = {}
        self.costs: list[cp.Expression] = []
        self._before = sparse.eye(self.T, k=-1, format="csr")  # what the slot before holds

        fleet, trace = self.fleet, self.trace
        load = self._inference()
        if fleet.training is not None:
            load = load + self._training()
        draw, most = cp.multiply(np.tile(fleet.pue, (self.T, 1)), load), instance.capacity
        if fleet.servers is not None:
            draw, most = self._servers(load)
        self.constraints["capacity"] = load <= most
        grid = draw
        if fleet.storage is not None or trace.generation is not None:
            grid = self._variable("grid", self.T, self.N)
            supply = self._supply()
            self.constraints["balance"] = grid + supply == draw
        self.costs.append(cp.sum(cp.multiply(trace.price, grid)))
        self._equity(grid, draw)

    def _variable(self, name: str, *shape: int) -> cp.Variable:
        self.variables[name] = cp.Variable(shape, nonneg=True)
        return self.variables[name]

    def _inference(self) -> cp.Expression:
        """Loads ``[T, N]`` of all gateways, and the smaller models that they may use."""
        fleet, demand = self.fleet, self.trace.demand
        flows = []
        for j, gateway in enumerate(fleet.gateways):
            flow = self._variable(f"from {gateway}", self.T, self.N)
            served = cp.sum(flow, axis=1)
            if fleet.models is not None:
                room, unit = fleet.models.room(demand)[:, j], fleet.models.unit_cost[j]
                saved = self._variable(f"saved by {gateway}", *room.shape)
                self.constraints[f"room of {gateway}"] = saved <= room
                self.costs.append(cp.sum(saved @ unit))
                served += cp.sum(saved, axis=1)
            self.constraints[f"demand of {gateway}"] = served == demand[:, j]
            self._reach(gateway, flow, fleet.reachable[j])
            if fleet.routing_cost is not None:
                self.costs.append(cp.sum(flow @ fleet.routing_cost[j]))
            flows.append(flow)
        return cp.sum(flows)

    def _reach(self, name: str, flow: cp.Variable, reach: BoolArray) -> None:
        if not reach.all():
            self.constraints[f"reach of {name}"] = flow[:, ~reach] == 0

    def _training(self) -> cp.Expression:
        """Loads ``[T, N]`` of work done, from ``waiting = before + arrived − done − late``."""
        training, arrived = self.fleet.training, self.trace.work
        assert training is not None
        assert arrived is not None
        flows, done = [], []
        reachable = training.reach(self.N)
        for name, reach in zip(training.classes, reachable, strict=True):
            flow = self._variable(f"work of {name}", self.T, self.N)
            self._reach(f"the class {name}", flow, reach)
            flows.append(flow)
            done.append(cp.sum(flow, axis=1))
        waiting, late = (self._variable(n, *arrived.shape) for n in ("waiting", "late"))
        left = self._before @ waiting + arrived - cp.vstack(done).T - late
        self.constraints["waiting"] = waiting == left
        self.constraints["deadlines"] = waiting <= self.instance.series.ceiling
        self.costs.append(cp.sum(late @ training.late_cost))
        return cp.sum(flows)

    def _servers(self, load: cp.Expression) -> tuple[cp.Expression, cp.Variable]:
        """What is drawn ``[T, N]`` by servers that are on, and how many are."""
        servers = self.fleet.servers
        assert servers is not None
        on, started = (self._variable(n, self.T, self.N) for n in ("on", "started"))
        self.constraints["up"] = on <= self.instance.capacity
        first = np.zeros((self.T, self.N))
        first[0] = self.fleet.capacity
        self.constraints["on"] = on - (self._before @ on + first) <= started
        self.costs.append(cp.sum(started @ servers.start_cost))
        pue = np.tile(self.fleet.pue, (self.T, 1))
        idle = cp.multiply(pue * servers.idle, on)
        return idle + cp.multiply(pue * (1.0 - servers.idle), load), on

    def _supply(self) -> cp.Expression:
        """What sites have ``[T, N]`` from elsewhere than the grid."""
        supply: Any = 0.0
        if self.trace.generation is not None:
            used = self._variable("generation", self.T, self.N)
            self.constraints["generation"] = used <= self.trace.generation
            supply += used
        if self.fleet.storage is not None:
            supply += self._storage()
        return supply

    def _storage(self) -> cp.Expression:
        battery = self.fleet.storage
        assert battery is not None
        names = ("charge", "discharge", "stored")
        charge, discharge, stored = (self._variable(n, self.T, self.N) for n in names)
        most = (battery.charge, battery.discharge, battery.energy)
        for name, variable, width in zip(names, (charge, discharge, stored), most, strict=True):
            self.constraints[f"width of {name}"] = variable <= np.tile(width, (self.T, 1))
        gain = charge @ np.diag(battery.charge_efficiency)
        loss = discharge @ np.diag(1.0 / battery.discharge_efficiency)
        first = np.zeros((self.T, self.N))
        first[0] = battery.initial
        self.constraints["stored"] = stored == self._before @ stored + first + gain - loss
        missing = cp.pos(battery.initial - stored[-1])
        self.costs.append(cp.sum(discharge @ battery.wear))
        self.costs.append(missing @ (battery.refill_price / battery.charge_efficiency))
        return discharge - charge

    def _equity(self, grid: cp.Expression, draw: cp.Expression) -> None:
        mu, trace = self.instance.objective.mu, self.trace
        highest = cp.Variable(len(mu))
        for k, kind in enumerate(trace.footprints):
            by_datacenter = cp.sum(cp.multiply(trace.intensity[k], grid), axis=0)
            if trace.onsite_intensity is not None:
                by_datacenter += cp.sum(cp.multiply(trace.onsite_intensity[k], draw), axis=0)
            footprint = by_datacenter @ self.fleet.membership
            self.constraints[f"footprint of {kind}"] = footprint <= highest[k]
        self.costs.append(mu @ highest)

    def outcome(self, instance: Instance, unit: float, money: float) -> Outcome:
        """What the variables' values do, feasible to the last digit."""
        fleet, values = self.fleet, {n: v.value for n, v in self.variables.items()}
        load, routing = np.zeros((self.T, self.N)), np.zeros(self.T)
        saved = np.zeros(self.trace.demand.shape)
        for j, gateway in enumerate(fleet.gateways):
            if fleet.models is not None:
                room = fleet.models.room(self.trace.demand)[:, j]
                saved[:, j] = np.clip(values[f"saved by {gateway}"], 0.0, room).sum(-1)
            asked = self.trace.demand[:, j] - saved[:, j]
            flow = _serving(values[f"from {gateway}"], asked, fleet.reachable[j])
            load += flow
            if fleet.routing_cost is not None:
                routing += flow @ fleet.routing_cost[j]
        operation = None
        if self.instance.knobs:
            operation = Operation(
                saved=None if fleet.models is None else saved,
                **{n: values.get(n) for n in ("on", "charge", "discharge", "generation")},
                **self._work(values),
            )
            if operation.work is not None:
                load += operation.work.sum(1)
            operation = operated(load, operation, self.instance, Levels.start(fleet, ()))
            operation = operation.map(lambda amounts: unit * amounts)
        return Outcome(
            instance=instance,
            load=unit * load,
            routing=unit * money * routing,
            grid=None if operation is None else operation.grid,
            operation=operation,
        )

    def _work(self, values: dict[str, FloatArray]) -> dict[str, FloatArray]:
        """``work [T, C, N]`` and ``late [T, C]``."""
        training, ceiling = self.fleet.training, self.instance.series.ceiling
        if training is None:
            return {}
        work = np.stack([values[f"work of {name}"] for name in training.classes], axis=1)
        waiting = np.zeros(len(training.classes))
        done, late = paced(work.sum(-1), values["late"], self.instance, waiting, ceiling)
        for c, reach in enumerate(training.reach(self.N)):
            work[:, c] = _serving(work[:, c], done[:, c], reach)
        return {"work": work, "late": late}


def _serving(flow: FloatArray, demand: FloatArray, reach: BoolArray) -> FloatArray:
    """Loads ``[T, N]`` of one sender that add up to ``demand [T]`` to the last digit."""
    T, N = flow.shape
    slot = np.repeat(np.arange(T), int(reach.sum()))
    served = np.zeros((T, N))
    served[:, reach] = serving(flow[:, reach].ravel(), slot, demand).reshape(T, -1)
    return served
