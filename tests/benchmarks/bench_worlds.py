"""Throughput of the generator, of the table loader and of the checks."""

from pathlib import Path

import pytest

from equiload.envs.data import synthetic, table
from equiload.envs.data.checks import check_instance

EXAMPLE = Path(__file__).parents[2] / "envs" / "data" / "example" / "example.yaml"


@pytest.mark.parametrize("batch", [1, 64, 1024])
def test_generator(benchmark, batch: int) -> None:
    """Target: 1,000 instances of 168 slots x 10 data centers a second on two cores."""
    benchmark.group = "synthetic, 168 x 10"
    seeds = iter(range(1_000_000))
    synthetic(next(seeds), horizon=168)  # fills the tables of sun and clocks
    benchmark.pedantic(
        lambda: synthetic(next(seeds), horizon=168, batch=batch), rounds=5, warmup_rounds=1
    )
    benchmark.extra_info["instances a second"] = round(batch / benchmark.stats["median"])
    assert batch < 1024 or batch / benchmark.stats["median"] > 300  # a slow machine's tenth


@pytest.mark.parametrize("sites", [1, 7])
def test_generator_of_a_year_everywhere(benchmark, sites: int) -> None:
    benchmark.group = "synthetic, a year, 32 regions"
    benchmark.pedantic(
        lambda: synthetic(0, horizon=8760, regions=32, sites=sites), rounds=2, warmup_rounds=1
    )


def test_table(benchmark) -> None:
    benchmark.group = "table, worked example: 2 regions x 120 h from 8 files"
    benchmark.pedantic(lambda: table(EXAMPLE), rounds=5, warmup_rounds=1)


def test_checks(benchmark) -> None:
    benchmark.group = "checks, 672 x 10"
    instance = synthetic(0)
    benchmark.pedantic(lambda: check_instance(instance), rounds=3, warmup_rounds=1)
