"""eGLB-Off as one sparse linear program, solved by HiGHS."""

from __future__ import annotations

import time

import numpy as np

from equiload.agents.offline.flows import Flows, outcome_of
from equiload.agents.offline.knobs import KNOBS, Sums
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.program import Answer, Program, Terms
from equiload.agents.offline.solution import Solution, prices_from_duals
from equiload.envs import Instance, State
from equiload.envs.knobs.prices import Prices
from equiload.envs.typing import FloatArray

# From here on HiGHS's interior point is faster than the simplex method that it would choose, where
# levels link the slots (measured with 12 to 672 slots of 10 data centers).
_MANY_VARIABLES = 5000


def solve_lp(
    instance: Instance,
    *,
    aggregate: bool = True,
    method: str = "choose",
    start: State | None = None,
    ceiling: FloatArray | None = None,
) -> Solution:
    """Solve the linear program over all slots.

    Parameters
    ----------
    instance
        One problem.
    aggregate
        Treat gateways (and training classes) of equal reachability and routing cost as one. With
        full reachability and no routing cost, ``T × N`` loads are left of ``T × J × N``.
    method
        HiGHS's ``solver`` option: ``choose``, ``simplex``, ``ipm`` or ``pdlp``.
    start
        State before the first slot, whose footprints the maximum counts too, and whose levels the
        first slot begins with. Default: nothing yet.
    ceiling
        ``[T, C]``, MWh of training work that may wait after each slot. Default: of the instance's
        own arrivals; a window whose ``start`` has work waiting knows of earlier ones.

    Raises
    ------
    DataError
        For a batch of instances, and a start or ceiling that does not fit it.
    InfeasibleError
        For levels that cannot be: negative, or more stored than a battery holds.
    SolverError
        If HiGHS does not return an optimum.
    """
    begin = time.perf_counter()
    problem = Problem.of(instance, aggregate=aggregate, start=start, ceiling=ceiling)
    flows = Flows.of(problem)
    program = program_of(problem, flows)
    if method == "choose" and instance.knobs and program.width > _MANY_VARIABLES:
        method = "ipm"
    answer = program.solve(method)
    return Solution.certified(
        outcome_of(instance, problem, flows, answer, start),
        prices_of(instance, answer, problem.money),
        {
            "method": "lp" if aggregate else "lp per gateway",
            "variables": program.width,
            "iterations": answer.iterations,
            "seconds": time.perf_counter() - begin,
        },
        start,
        ceiling,
    )


def program_of(problem: Problem, flows: Flows) -> Program:
    """The linear program: highest footprint of each kind, loads, and what the knobs have."""
    instance, senders = problem.instance, problem.senders
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    (T, N), G = trace.price.shape, len(senders.reachable)
    t, g, i = flows.slot, flows.group, flows.datacenter
    program = Program()
    highest = program.variables("highest", (len(mu),), lower=-np.inf, cost=mu)
    bounded = G == 1  # each data center's load is one variable
    loads = program.variables(
        "loads",
        (len(t),),
        upper=instance.capacity[t, i] if bounded else np.inf,
        cost=senders.routing[g, i],
    )
    sums = Sums(served=loads.at(t * G + g), load=loads.at(t * N + i))
    for name, rows in KNOBS.items():
        if name in instance.knobs:
            rows(program, problem, sums)
    pue = np.tile(fleet.pue, T)
    if sums.on is None:
        draw = sums.load.times(pue)
    else:
        assert fleet.servers is not None
        idle = np.tile(fleet.servers.idle, T)
        draw = sums.load.times(pue * (1.0 - idle)) + sums.on.times(pue * idle)
    grid = draw
    if sums.supply is not None:
        grid = program.variables("grid", (T, N))
        balance = grid + sums.supply - draw
        program.rows("balance", (T, N), balance, lower=0.0, upper=0.0)
    program.pay(grid, trace.price)
    _footprints(program, problem, highest, grid, draw)
    demand = senders.by_group(trace.demand)
    program.rows("demand", (T, G), sums.served, lower=demand, upper=demand)
    if sums.on is not None:
        program.rows("capacity", (T, N), sums.load - sums.on, upper=0.0)
    elif not bounded:
        program.rows("capacity", (T, N), sums.load, upper=instance.capacity)
    return program


def _footprints(
    program: Program, problem: Problem, highest: Terms, grid: Terms, draw: Terms
) -> None:
    """``S[k, r] − highest[k] <= −before[k, r]``."""
    fleet, trace = problem.instance.fleet, problem.instance.trace
    K, R = shape = problem.start.footprint.shape
    region = np.tile(fleet.region_of, trace.horizon)
    own, kind = np.arange(K * R), np.repeat(np.arange(K), R)
    rows = Terms(own, highest.column[kind], -np.ones(K * R))
    for k in range(K):
        rows += grid.times(trace.intensity[k]).at(k * R + region)
        if trace.onsite_intensity is not None:
            rows += draw.times(trace.onsite_intensity[k]).at(k * R + region)
    program.rows("footprint", shape, rows, upper=-problem.start.footprint)


def prices_of(instance: Instance, answer: Answer, money: float) -> Prices:
    """The program's multipliers as shadow prices, in units of ``money`` US$/MWh."""
    fleet, duals = instance.fleet, answer.duals
    return prices_from_duals(
        fleet,
        footprint=-duals["footprint"],
        stored=None if fleet.storage is None else -money * duals["stored"],
        waiting=None if fleet.training is None else money * duals["waiting"],
        on=None if fleet.servers is None else money * duals["on"],
    )
