"""eGLB-Off as one reads it in the paper (equations 1–5): a CVXPY model, gateway by gateway.

Slow, and plain on purpose: the other solvers are held against it.
"""

from __future__ import annotations

import time

import cvxpy as cp
import numpy as np

from equiload.agents.offline.solution import Solution, normalised, weights_from_duals
from equiload.envs import Instance, Outcome, SolverError
from equiload.envs.typing import FloatArray


def solve_reference(instance: Instance) -> Solution:
    """Solve ``min_y Σ_t Σ_i p·x + Σ_k μ_k max_r Σ_t Σ_{i in r} e_k·x`` by CVXPY and HiGHS.

    Raises
    ------
    SolverError
        If HiGHS does not return an optimum.
    """
    begin = time.perf_counter()
    scaled, unit, money = normalised(instance)
    fleet, trace, mu = scaled.fleet, scaled.trace, scaled.objective.mu
    T, J = trace.demand.shape
    N = len(fleet.datacenters)

    allocation = [cp.Variable((T, N), nonneg=True) for _ in range(J)]
    load = cp.sum(allocation)
    constraints = [load <= scaled.capacity]
    for j, flow in enumerate(allocation):
        constraints.append(cp.sum(flow, axis=1) == trace.demand[:, j])
        if not fleet.reachable[j].all():
            constraints.append(flow[:, ~fleet.reachable[j]] == 0)

    cost = cp.sum(cp.multiply(trace.price * fleet.pue, load))
    if fleet.routing_cost is not None:
        cost += sum(cp.sum(flow @ fleet.routing_cost[j]) for j, flow in enumerate(allocation))

    highest = cp.Variable(len(mu))
    equity = []
    for k in range(len(mu)):
        by_datacenter = cp.sum(cp.multiply(trace.intensity[k] * fleet.pue, load), axis=0)
        equity.append(by_datacenter @ fleet.membership <= highest[k])

    problem = cp.Problem(cp.Minimize(cost + mu @ highest), constraints + equity)
    problem.solve(solver=cp.HIGHS)
    if problem.status != cp.OPTIMAL:
        raise SolverError(f"HiGHS stopped with status {problem.status} on the CVXPY model")
    sends = [
        unit * _serving(flow.value, demand)
        for flow, demand in zip(allocation, trace.demand.T, strict=True)
    ]
    routing = np.zeros(T)
    if fleet.routing_cost is not None:
        pairs = zip(sends, fleet.routing_cost, strict=True)
        routing = sum(flow @ (money * cost) for flow, cost in pairs)
    return Solution.certified(
        Outcome(instance=instance, load=np.sum(sends, axis=0), routing=routing),
        weights_from_duals(np.array([row.dual_value for row in equity])),
        {"method": "reference", "seconds": time.perf_counter() - begin},
    )


def _serving(flow: FloatArray, demand: FloatArray) -> FloatArray:
    """Loads ``[T, N]`` of one gateway that serve its demand ``[T]`` to the last digit."""
    flow = np.maximum(flow, 0.0)
    placed = flow.sum(-1)
    factor = np.divide(demand, placed, out=np.zeros_like(placed), where=placed > 0)
    served: FloatArray = flow * factor[:, None]
    return served
