"""One offline solver on one instance, in a process of its own: ``python rivals.py WAY T N KIND``.

Prints one line of JSON: ``seconds``, ``objective``, ``gap`` (certified) and ``gib`` (peak resident
memory of the process). All but two ways get the aggregated linear program.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

from equiload.agents.offline import EGLBOff, Solution, lp, solve_decomposition, solve_lp
from equiload.agents.offline.reference import solve_reference
from equiload.agents.offline.solution import normalised, weights_from_duals
from equiload.envs import Instance, Outcome
from equiload.envs.data import synthetic

#: Relative tolerance asked of first-order solvers; ours certifies the same.
TOLERANCE = 1e-5
ROUTING = 0.001  # US$ per MWh and km
QUARTERS = 50_000  # from here on slots are quarters of an hour


def make(T: int, N: int, kind: str) -> Instance:
    """``N`` data centers, each its own region, and as many gateways."""
    instance = synthetic(
        0,
        horizon=T,
        regions=min(N, 25),
        sites=max(1, N // 25),
        reachability="partial" if kind == "partial" else "full",
        slot_minutes=15 if T >= QUARTERS else 60,
    )
    fleet = instance.fleet.replace(regions=None, region_of=None)
    if kind == "routing cost":
        fleet = fleet.replace(routing_cost=ROUTING * fleet.distance)
    return instance.replace(fleet=fleet)


def pdlp(instance: Instance) -> Solution:
    """OR-tools' first-order solver on the aggregated linear program."""
    from ortools.pdlp import solvers_pb2
    from ortools.pdlp.python import pdlp as solver

    scaled, unit, money = normalised(instance)
    columns = lp._columns(scaled, aggregate=True)
    model = lp._model(scaled, columns)
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
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    T, N = instance.trace.price.shape
    sent = unit * lp._serving(np.array(result.primal_solution)[K:], columns)
    load, routing = np.zeros((T, N)), np.zeros(T)
    np.add.at(load, (columns.slot, columns.datacenter), sent)
    np.add.at(routing, columns.slot, sent * (money * columns.routing))
    duals = -np.array(result.dual_solution)[: K * R].reshape(K, R)
    outcome = Outcome(instance=instance, load=load, routing=routing)
    return Solution.certified(outcome, weights_from_duals(duals), {})


WAYS: dict[str, Callable[[Instance], Solution]] = {
    "equiload": EGLBOff(tolerance=TOLERANCE).solve,
    "decomposition": lambda instance: solve_decomposition(instance, tolerance=TOLERANCE),
    "HiGHS simplex": lambda instance: solve_lp(instance, method="simplex"),
    "HiGHS interior point": lambda instance: solve_lp(instance, method="ipm"),
    "HiGHS PDLP": lambda instance: solve_lp(instance, method="pdlp"),
    "OR-tools PDLP": pdlp,
    "HiGHS per gateway": lambda instance: solve_lp(instance, aggregate=False),
    "CVXPY": solve_reference,
}


def main() -> None:
    """See the module."""
    way, T, N, kind = sys.argv[1:]
    WAYS[way](make(48, 10, kind))  # loads and compiles
    instance = make(int(T), int(N), kind)
    begin = time.perf_counter()
    solution = WAYS[way](instance)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = {
        "seconds": seconds,
        "objective": solution.objective,
        "gap": solution.gap,
        "gib": peak,
        "method": solution.stats.get("method"),
        "rounds": solution.stats.get("rounds"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
