"""At any prices the bound lies below what anybody pays."""

from dataclasses import replace

import numpy as np
import pytest

from equiload.agents import EGLB, GLBCost, WithKnobs
from equiload.envs import Instance, Setting, State, dual_bound, rollout
from equiload.envs.errors import DataError
from equiload.envs.knobs.bound import knob_bound
from equiload.envs.knobs.prices import Prices
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import odd_problems, random_problems


def random_prices(rng: np.random.Generator, instance: Instance) -> Prices:
    """Prices over time, some of them where the bound must put them right."""
    fleet, trace = instance.fleet, instance.trace
    K, R = len(instance.objective.mu), len(fleet.regions)
    lead = trace.price.shape[:-1]
    weights = rng.dirichlet(np.ones(R), size=(*instance.batch, K))
    money = float(np.abs(trace.price).mean()) or 1.0
    N = len(fleet.datacenters)
    prices = Prices(weights, stored=money * rng.uniform(-1, 2, (*lead, N)))
    if fleet.training is not None:
        classes = len(fleet.training.classes)
        late = fleet.training.late_cost
        prices = replace(prices, waiting=late * rng.uniform(0, 1.2, (*lead, classes)))
    if fleet.servers is not None:
        start = fleet.servers.start_cost
        prices = replace(prices, on=start * rng.uniform(-0.1, 1.2, (*lead, N)))
    return prices


@pytest.mark.parametrize("seed", range(60))
def test_the_bound_is_below_what_policies_pay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    knobs = [name for name in KNOBS if rng.random() < 0.6]
    instance = with_random_knobs(rng, random_problems(rng, 2), knobs)
    bound = knob_bound(instance, random_prices(rng, instance))
    for policy in (GLBCost(), WithKnobs(EGLB())):
        outcome = rollout(policy, instance)
        assert (bound <= outcome.objective + 1e-9 * np.abs(outcome.gross)).all()


def test_without_parts_it_is_the_other_bound() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        instance = random_problems(rng, 2)
        prices = random_prices(rng, instance)
        ours, theirs = knob_bound(instance, prices), dual_bound(instance, prices.weights).value
        scale = np.abs(rollout(GLBCost(), instance).gross)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * scale.max())


def test_a_member_of_a_batch_has_the_bound_that_it_has_alone() -> None:
    rng = np.random.default_rng(3)
    instance = with_random_knobs(rng, random_problems(rng, 3))
    prices = random_prices(rng, instance)
    together = knob_bound(instance, prices)
    for b in range(3):
        one = Prices(*(array[b] for array in (getattr(prices, n) for n in Prices.__slots__)))
        assert np.isclose(knob_bound(instance[b], one), together[b], rtol=1e-12)


def test_footprints_and_levels_before_the_first_slot_count() -> None:
    rng = np.random.default_rng(4)
    instance = with_random_knobs(rng, odd_problems()["plain"])
    prices = random_prices(rng, instance)
    start = State.start(Setting.of(instance))
    more = replace(start, footprint=start.footprint + 2.0)
    added = knob_bound(instance, prices, more) - knob_bound(instance, prices, start)
    assert np.isclose(added, 2.0 * instance.objective.mu.sum())


def test_the_other_bound_refuses_what_it_does_not_know() -> None:
    rng = np.random.default_rng(5)
    instance = with_random_knobs(rng, random_problems(rng, 1)[0], ["generation"])
    weights = random_prices(rng, instance).weights
    with pytest.raises(DataError, match="nothing but routing, and the instance has generation"):
        dual_bound(instance, weights)
