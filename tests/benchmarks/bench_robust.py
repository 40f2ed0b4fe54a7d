"""Cost of the layer: a blended batch of slots, a projected slot, a verified episode."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from equiload.envs import Fleet, Objective
from equiload.robust import Projector, SafeSet, blend


def problem(batch: tuple[int, ...], rho: float):
    rng = np.random.default_rng(0)
    N = 10
    fleet = Fleet(
        datacenters=tuple(f"dc{i}" for i in range(N)),
        gateways=tuple(f"gw{j}" for j in range(N)),
        capacity=np.ones(N),
    )
    objective = Objective(equity_weight={"carbon": 1500.0, "water": 60.0})
    safe = SafeSet(fleet=fleet, objective=objective, rho=rho, horizon=10)
    rates = safe.rates(
        rng.uniform(10, 90, (*batch, N)), rng.uniform(0, 1, (*batch, 2, N)), np.ones((*batch, N))
    )
    demand = rng.uniform(0.3, 0.7, (*batch, N))
    expert, advice = (
        fleet.dispatch.allocation(rng.normal(size=(*batch, N)), demand, rates.room)
        for _ in range(2)
    )
    step = safe.step(rates, expert)
    followed = safe.follow(safe.open(rates), rates, step, 0)
    return safe, followed, rates, demand, expert, advice, step


@pytest.mark.parametrize("batch", [1, 64, 1024])
def test_blend(benchmark: BenchmarkFixture, batch: int) -> None:
    safe, followed, rates, _, expert, advice, step = problem((batch,), 0.05)
    played = benchmark(blend, safe, followed, rates, expert, advice, step)
    benchmark.extra_info["rows_per_second"] = batch / benchmark.stats.stats.median
    assert ((played.alpha >= 0) & (played.alpha <= 1)).all()


def test_project_a_slot(benchmark: BenchmarkFixture) -> None:
    safe, followed, rates, demand, expert, advice, _ = problem((), 0.01)
    projector = Projector(safe)
    benchmark(projector.project, followed, rates, demand, expert, advice)
    assert benchmark.stats.stats.median < 2e-3
