"""One offline solver on one instance, in a process of its own: ``python rivals.py WAY T N KIND``.

Prints one line of JSON: ``times`` of its runs in seconds (one run, if that is long), ``objective``,
``gap`` (certified) and ``gib`` (peak resident memory of the process). All but two ways get the
aggregated linear program.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse

from equiload.agents.offline import Decomposition, EGLBOff, solve_lp
from equiload.agents.offline.flows import Flows, outcome_of
from equiload.agents.offline.lp import prices_of, program_of
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.reference import solve_reference
from equiload.agents.offline.solution import Solution, weights_from_duals
from equiload.envs import Fleet, Instance
from equiload.envs.data import synthetic
from equiload.envs.knobs.prices import Prices

#: Relative tolerance asked of first-order solvers; ours certifies the same.
TOLERANCE = 1e-5
#: … with knobs, where HiGHS runs at its own.
WITH_KNOBS = 1e-4
ROUTING = 0.001  # US$ per MWh and km
LONG = 2.0  # seconds from which on one run has to do
MINUTES = 50_000  # from here on slots are five minutes


def make(T: int, N: int, kind: str) -> Instance:
    """``N`` data centers, each its own region, and as many gateways.

    Above 25 there are several of both at a place. With partial reachability each gateway there
    lacks a quarter of the data centers, others each, so that no two are equal. Kinds that begin
    with "all knobs" have three classes of training work, batteries, panels, servers and models.
    """
    if kind in KNOB_KINDS:
        drawn = synthetic(0, horizon=T, regions=N, knobs="all")
        if kind.endswith("full"):
            return drawn
        reachable = np.random.default_rng(0).random((N, N)) >= 0.25
        return drawn.replace(fleet=drawn.fleet.replace(reachable=reachable | np.eye(N, dtype=bool)))
    places = min(N, 25)
    drawn = synthetic(
        0,
        horizon=T,
        regions=places,
        sites=N // places,
        reachability="partial" if kind == "partial" else "full",
        slot_minutes=5 if T >= MINUTES else 60,
    )
    fleet, each = drawn.fleet, N // places
    reachable = np.repeat(fleet.reachable, each, axis=0)
    if kind == "partial" and each > 1:
        lacking = np.random.default_rng(0).random(reachable.shape) < 0.25
        own = np.arange(N) // each == np.arange(N)[:, None] // each
        reachable = reachable & (~lacking | own)
    distance = np.repeat(fleet.distance, each, axis=0)
    fleet = Fleet(
        datacenters=fleet.datacenters,
        gateways=fleet.datacenters,
        capacity=fleet.capacity,
        reachable=reachable,
        routing_cost=ROUTING * distance if kind == "routing cost" else None,
    )
    demand = np.repeat(drawn.trace.demand / each, each, axis=-1)
    return drawn.replace(fleet=fleet, trace=dataclasses.replace(drawn.trace, demand=demand))


def pdlp(instance: Instance) -> Solution:
    """OR-tools' first-order solver on the aggregated linear program."""
    from ortools.pdlp import solvers_pb2
    from ortools.pdlp.python import pdlp as solver

    problem = Problem.of(instance)
    flows = Flows.of(problem)
    ours = program_of(problem, flows)
    model = ours.model()
    program = solver.QuadraticProgram()
    program.objective_vector = np.array(model.col_cost_)
    program.variable_lower_bounds = np.array(model.col_lower_)
    program.variable_upper_bounds = np.array(model.col_upper_)
    program.constraint_lower_bounds = np.array(model.row_lower_)
    program.constraint_upper_bounds = np.array(model.row_upper_)
    matrix = model.a_matrix_
    program.constraint_matrix = sparse.csc_matrix(
        (matrix.value_, matrix.index_, matrix.start_), (model.num_row_, model.num_col_)
    )
    options = solvers_pb2.PrimalDualHybridGradientParams()
    criteria = options.termination_criteria.simple_optimality_criteria
    criteria.eps_optimal_relative, criteria.eps_optimal_absolute = TOLERANCE, TOLERANCE
    result = solver.primal_dual_hybrid_gradient(program, options)
    answer = ours.named(np.array(result.primal_solution), np.array(result.dual_solution))
    outcome = outcome_of(instance, problem, flows, answer, None)
    weights = weights_from_duals(-answer.duals["footprint"])
    return Solution.certified(outcome, Prices(weights), {})


def without_crossover(instance: Instance) -> Solution:
    """HiGHS's interior point, whose answer is no vertex."""
    problem = Problem.of(instance)
    flows = Flows.of(problem)
    answer = program_of(problem, flows).solve("ipm", run_crossover="off")
    outcome = outcome_of(instance, problem, flows, answer, None)
    return Solution.certified(outcome, prices_of(instance, answer, problem.money), {})


WAYS: dict[str, Callable[[Instance], Solution]] = {
    "equiload": EGLBOff(tolerance=TOLERANCE).solve,
    "decomposition": lambda instance: Decomposition(tolerance=TOLERANCE).solve(instance),
    "HiGHS simplex": lambda instance: solve_lp(instance, method="simplex"),
    "HiGHS interior point": lambda instance: solve_lp(instance, method="ipm"),
    "HiGHS PDLP": lambda instance: solve_lp(instance, method="pdlp"),
    "OR-tools PDLP": pdlp,
    "HiGHS per gateway": lambda instance: solve_lp(instance, aggregate=False),
    "CVXPY": solve_reference,
}
KNOB_KINDS = ("all knobs full", "all knobs partial")
KNOB_WAYS: dict[str, Callable[[Instance], Solution]] = {
    "equiload": EGLBOff(solver="interior", tolerance=WITH_KNOBS).solve,
    "HiGHS simplex": WAYS["HiGHS simplex"],
    "HiGHS interior point": WAYS["HiGHS interior point"],
    "HiGHS without crossover": without_crossover,
}


def main() -> None:
    """See the module."""
    way, T, N, kind = sys.argv[1:]
    solve = (KNOB_WAYS if kind in KNOB_KINDS else WAYS)[way]
    solve(make(48, 10, kind))  # loads and compiles
    instance = make(int(T), int(N), kind)
    times: list[float] = []
    while not times or (len(times) < 3 and times[0] < LONG):
        begin = time.perf_counter()
        solution = solve(instance)
        times.append(time.perf_counter() - begin)
    # Not getrusage's: what the parent held when it forked would count.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    found = {
        "times": sorted(times),
        "objective": solution.objective,
        "gap": solution.gap,
        "gib": int(peak[1]) / 2**20 if peak else None,
        "method": solution.stats.get("method"),
        "rounds": solution.stats.get("rounds"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
