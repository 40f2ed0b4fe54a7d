"""eGLB-Off as one sparse linear program, solved by HiGHS."""

from __future__ import annotations

import time
from dataclasses import dataclass

import highspy
import numpy as np
from scipy import sparse

from equiload.agents.offline.solution import Solution, normalised, weights_from_duals
from equiload.envs import Instance, Outcome, SolverError, State
from equiload.envs.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class _Columns:
    """One variable per slot, group of gateways and data center that the group may use."""

    slot: IntArray
    group: IntArray
    datacenter: IntArray
    routing: FloatArray
    demand: FloatArray  # [T, G]


def solve_lp(
    instance: Instance,
    *,
    aggregate: bool = True,
    method: str = "choose",
    start: State | None = None,
) -> Solution:
    """Solve the linear program over all slots.

    Parameters
    ----------
    instance
        One problem.
    aggregate
        Treat gateways of equal reachability and routing cost as one. With full reachability and no
        routing cost, ``T × N`` variables are left of ``T × J × N``.
    method
        HiGHS's ``solver`` option: ``choose``, ``simplex``, ``ipm`` or ``pdlp``.
    start
        State before the first slot, whose footprints the maximum counts too. Default: nothing yet.

    Raises
    ------
    SolverError
        If HiGHS does not return an optimum.
    """
    begin = time.perf_counter()
    scaled, unit, money = normalised(instance)
    columns = _columns(scaled, aggregate)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("solver", method)
    before = None
    if start is not None:  # in the units of the scaled problem; a kind never used adds a constant
        peak = unit * instance.trace.intensity.max(axis=(-1, -2))[:, None]
        before = np.divide(
            start.footprint, peak, out=np.zeros(start.footprint.shape), where=peak > 0
        )
    solver.passModel(_model(scaled, columns, before))
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise SolverError(f"HiGHS stopped: {solver.modelStatusToString(status)}")
    solution = solver.getSolution()
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    loads = unit * _serving(np.array(solution.col_value, dtype=np.float64)[K:], columns)
    T, N = instance.trace.price.shape
    load = np.zeros((T, N))
    np.add.at(load, (columns.slot, columns.datacenter), loads)
    routing = np.zeros(T)
    np.add.at(routing, columns.slot, loads * (money * columns.routing))
    duals = -np.array(solution.row_dual[: K * R]).reshape(K, R)
    return Solution.certified(
        Outcome(instance=instance, load=load.reshape(T, N), routing=routing),
        weights_from_duals(duals),
        {
            "method": "lp" if aggregate else "lp per gateway",
            "variables": K + len(loads),
            "iterations": int(solver.getInfo().simplex_iteration_count),
            "seconds": time.perf_counter() - begin,
        },
        start,
    )


def _serving(loads: FloatArray, columns: _Columns) -> FloatArray:
    """Loads that serve the demand to the last digit, from loads that do within a tolerance."""
    loads = np.maximum(loads, 0.0)
    placed = np.zeros(columns.demand.shape)
    np.add.at(placed, (columns.slot, columns.group), loads)
    factor = np.divide(columns.demand, placed, out=np.zeros_like(placed), where=placed > 0)
    served: FloatArray = loads * factor[columns.slot, columns.group]
    return served


def _columns(instance: Instance, aggregate: bool) -> _Columns:
    fleet, demand = instance.fleet, instance.trace.demand
    reachable = fleet.reachable
    routing = np.zeros(reachable.shape) if fleet.routing_cost is None else fleet.routing_cost
    if aggregate:
        group_of = fleet.dispatch.group_of
        first = np.unique(group_of, return_index=True)[1]
        demand = demand @ np.eye(len(first))[group_of]
        reachable, routing = reachable[first], routing[first]
    group, datacenter = np.nonzero(reachable)
    T = instance.horizon
    return _Columns(
        slot=np.repeat(np.arange(T), len(group)),
        group=np.tile(group, T),
        datacenter=np.tile(datacenter, T),
        routing=np.tile(routing[group, datacenter], T),
        demand=demand,
    )


def _model(
    instance: Instance, columns: _Columns, start: FloatArray | None = None
) -> highspy.HighsLp:
    """Columns: the highest footprint of each kind, then loads.

    Rows: ``S[k, r] − highest[k] <= 0``, demand, then capacity (bounds where there is one group).
    """
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    T, N = trace.price.shape
    K, R, G = len(mu), len(fleet.regions), columns.demand.shape[1]
    t, g, i = columns.slot, columns.group, columns.datacenter
    number = np.arange(len(t))
    draws = fleet.pue[i]
    rows = [np.arange(K * R)]
    cols = [np.repeat(np.arange(K), R)]
    values = [-np.ones(K * R)]
    for k in range(K):
        rows.append(k * R + fleet.region_of[i])
        cols.append(K + number)
        values.append(trace.intensity[k, t, i] * draws)
    rows.append(K * R + t * G + g)
    cols.append(K + number)
    values.append(np.ones(len(t)))
    lower = [np.full(K * R, -np.inf), columns.demand.ravel()]
    upper = [np.zeros(K * R) if start is None else -np.ravel(start), columns.demand.ravel()]
    bound = np.full(len(t), np.inf)
    if G == 1:
        bound = instance.capacity[t, i]
    else:
        rows.append(K * R + T * G + t * N + i)
        cols.append(K + number)
        values.append(np.ones(len(t)))
        lower.append(np.full(T * N, -np.inf))
        upper.append(instance.capacity.ravel())
    matrix = sparse.csc_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))),
        shape=(sum(map(len, lower)), K + len(t)),
    )
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_ = np.concatenate([mu, trace.price[t, i] * draws + columns.routing])
    model.col_lower_ = np.concatenate([np.full(K, -np.inf), np.zeros(len(t))])
    model.col_upper_ = np.concatenate([np.full(K, np.inf), bound])
    model.row_lower_, model.row_upper_ = np.concatenate(lower), np.concatenate(upper)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = matrix.indptr
    model.a_matrix_.index_ = matrix.indices
    model.a_matrix_.value_ = matrix.data
    return model
