"""The dispatch kernel: rows per second, against HiGHS on the same rows."""

import numpy as np
import pytest
from scipy.optimize import linprog

from equiload.envs.data import synthetic

ROWS = 4096


@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("what", ["load", "allocation", "HiGHS (64 rows)"])
def test_rows(benchmark, reachability: str, what: str) -> None:
    benchmark.group = f"dispatch of {ROWS} slots, 10 x 10, {reachability}"
    instance = synthetic(seed=0, horizon=ROWS, reachability=reachability)
    fleet, trace = instance.fleet, instance.trace
    if what.startswith("HiGHS"):
        bounds = [(0, None if ok else 0) for ok in fleet.reachable.ravel()]

        def rows() -> None:
            for t in range(64):
                linprog(
                    np.tile(trace.price[t], 10),
                    A_ub=np.tile(np.eye(10), 10),
                    b_ub=instance.capacity[t],
                    A_eq=np.kron(np.eye(10), np.ones(10)),
                    b_eq=trace.demand[t],
                    bounds=bounds,
                    method="highs",
                )

        benchmark.pedantic(rows, rounds=3)
    else:
        solve = getattr(fleet.dispatch, what)
        benchmark.pedantic(
            solve, args=(trace.price, trace.demand, instance.capacity), rounds=20, warmup_rounds=2
        )
