"""Dispatch of one slot: rows per second, and how exact, against general solvers.

Every way gets the aggregated problem: one gateway for each group of equal ones. Rivals solve as
many rows as ``ROWS`` says; ``cost error`` is the largest relative difference to HiGHS's optimum.
"""

import warnings

import highspy
import numpy as np
import pytest
import rivals
from scipy import sparse

from equiload.envs import Dispatch
from equiload.envs.typing import FloatArray

SIZES = [10, 100]
ROWS = {"equiload": 4096, "equiload, allocation": 1024}
FEW = 48
CENTS, GRAMS = 1e4, 1e6  # whole numbers per US$/MWh and per MWh, for OR-tools


class Rows:
    """Independent dispatch problems of one fleet, as transportation problems between groups."""

    def __init__(self, kind: str, N: int, count: int) -> None:
        instance = rivals.make(count, N, kind)
        rng = np.random.default_rng(0)
        self.unit = instance.trace.price + rng.uniform(0, 100, (count, N))  # not tied within sites
        self.demand, self.capacity = instance.trace.demand, instance.capacity
        self.dispatch: Dispatch = instance.fleet.dispatch
        self.grouped = self.demand @ self.dispatch.grouping
        first = np.unique(self.dispatch.group_of, return_index=True)[1]
        self.reachable = self.dispatch.reachable[first]
        routing = instance.fleet.routing_cost
        self.routing = np.zeros(self.reachable.shape) if routing is None else routing[first]
        self.pairs = np.argwhere(self.reachable)


def ours(rows: Rows) -> FloatArray:
    load, routing = rows.dispatch.loads(rows.unit, rows.demand, rows.capacity)
    return (rows.unit * load).sum(-1) + routing


def allocation(rows: Rows) -> FloatArray:
    sent = rows.dispatch.allocation(rows.unit, rows.demand, rows.capacity)
    grouped = np.einsum("bjn,jg->bgn", sent, rows.dispatch.grouping)
    return (grouped * (rows.unit[:, None] + rows.routing)).sum((-1, -2))


def highs(rows: Rows) -> FloatArray:
    """One model, warm-started: costs and bounds change from row to row."""
    g, i = rows.pairs.T
    G, N, number = *rows.reachable.shape, np.arange(len(g))
    matrix = sparse.csc_matrix(
        (np.ones(2 * len(g)), (np.concatenate([g, G + i]), np.tile(number, 2))),
        shape=(G + N, len(g)),
    )
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_, model.col_lower_ = np.zeros(len(g)), np.zeros(len(g))
    model.col_upper_ = np.full(len(g), np.inf)
    model.row_lower_ = np.concatenate([rows.grouped[0], np.full(N, -np.inf)])
    model.row_upper_ = np.concatenate([rows.grouped[0], rows.capacity[0]])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
    model.a_matrix_.value_ = matrix.data
    solver = highspy.Highs()
    options = {"output_flag": False, "presolve": "off", "solver": "simplex", "simplex_strategy": 4}
    for name, value in options.items():
        solver.setOptionValue(name, value)
    solver.passModel(model)
    found = np.empty(FEW)
    for b in range(FEW):
        cost = rows.unit[b, i] + rows.routing[g, i]
        solver.changeColsCost(len(g), number.astype(np.int32), cost)
        for row in range(G):
            solver.changeRowBounds(row, rows.grouped[b, row], rows.grouped[b, row])
        for row in range(N):
            solver.changeRowBounds(G + row, -np.inf, rows.capacity[b, row])
        solver.run()
        assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        found[b] = solver.getInfo().objective_function_value
    return found


def flow(rows: Rows) -> FloatArray:
    """OR-tools' minimum-cost flow, in whole numbers."""
    min_cost_flow = pytest.importorskip("ortools.graph.python.min_cost_flow")
    g, i = rows.pairs.T
    G, N = rows.reachable.shape
    found = np.empty(FEW)
    for b in range(FEW):
        solver = min_cost_flow.SimpleMinCostFlow()
        cost = np.round(CENTS * (rows.unit[b, i] + rows.routing[g, i])).astype(np.int64)
        supply = np.round(GRAMS * rows.grouped[b]).astype(np.int64)
        room = np.floor(GRAMS * rows.capacity[b]).astype(np.int64)
        solver.add_arcs_with_capacity_and_unit_cost(
            g, G + i, np.full(len(g), supply.sum(), dtype=np.int64), cost
        )
        solver.add_arcs_with_capacity_and_unit_cost(
            G + np.arange(N), np.full(N, G + N), room, np.zeros(N, dtype=np.int64)
        )
        nodes = np.arange(G + N + 1)
        solver.set_nodes_supplies(
            nodes, np.concatenate([supply, np.zeros(N), [-supply.sum()]]).astype(np.int64)
        )
        assert solver.solve() == solver.OPTIMAL
        found[b] = solver.optimal_cost() / CENTS / GRAMS
    return found


def transport(rows: Rows) -> FloatArray:
    """POT's network simplex: what is left of capacity goes to a dummy gateway at no cost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its docstrings
        ot = pytest.importorskip("ot")
    forbidden = 1e4
    found = np.empty(FEW)
    for b in range(FEW):
        cost = np.where(rows.reachable, rows.unit[b] + rows.routing, forbidden)
        spare = rows.capacity[b].sum() - rows.grouped[b].sum()
        supply = np.append(rows.grouped[b], max(spare, 0.0))
        found[b] = ot.emd2(supply, rows.capacity[b], np.vstack([cost, np.zeros(cost.shape[1])]))
    return found


WAYS = {
    "equiload": ours,
    "equiload, allocation": allocation,
    "HiGHS, warm": highs,
    "OR-tools min-cost flow": flow,
    "POT emd": transport,
}


@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("kind", ["full", "partial", "routing cost"])
@pytest.mark.parametrize("way", WAYS)
def test_rows(benchmark, kind: str, N: int, way: str) -> None:
    benchmark.group = f"Dispatch, {kind}: microseconds a slot"
    count = ROWS.get(way, FEW)
    if kind == "routing cost" and N > 10:
        count = min(count, 256)
    rows = Rows(kind, N, count)
    best = highs(rows)
    found = benchmark.pedantic(WAYS[way], args=(rows,), rounds=5, warmup_rounds=1)
    error = np.abs(found[:FEW] / best - 1).max()
    benchmark.extra_info.update(row=f"{N} × {N}", column=way, scale=1e6 / len(found))
    benchmark.extra_info["cost error"] = float(error)
    benchmark.extra_info["rows a second"] = len(found) / benchmark.stats.stats.median
    assert error <= (1e-3 if way.startswith("OR") else 1e-8)
