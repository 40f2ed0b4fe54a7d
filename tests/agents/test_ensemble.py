"""Ensembles: the mean of prices, told what is really played."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, EGLBMPC, Ensemble, GLBCost, ShadowPrices
from equiload.agents.forecast import PastDays
from equiload.agents.learn import LearnedPolicy
from equiload.envs import DataError, Instance, Policy, dual_bound, rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy
from equiload.robust import RobustPolicy
from equiload.testing import check_policy
from equiload.testing.strategies import instances

WORLD = synthetic(3, horizon=48, batch=2)
RESIDUAL = AgentPolicy(lambda seen: np.full((len(seen), 20), 0.3), action="residual", hold=6)


@pytest.mark.parametrize(
    "member",
    [EGLB(), EGLBMPC(PastDays(samples=2), every=6), LearnedPolicy(), RESIDUAL],
    ids=["eglb", "mpc", "learned", "residual"],
)
def test_one_member_is_itself(member: Policy) -> None:
    alone, itself = rollout(Ensemble([member]), WORLD), rollout(member, WORLD)
    np.testing.assert_allclose(alone.objective, itself.objective, rtol=1e-9)
    np.testing.assert_allclose(alone.load, itself.load, atol=1e-6)


def test_the_prices_are_the_mean() -> None:
    first, second = np.zeros((2, 10)), np.zeros((2, 10))
    first[:, 0], second[:, 3] = 1.0, 1.0
    mixed = Ensemble([ShadowPrices(first), ShadowPrices(second)], [0.25, 0.75])
    expected = rollout(ShadowPrices(0.25 * first + 0.75 * second), WORLD)
    np.testing.assert_array_equal(rollout(mixed, WORLD).load, expected.load)


@settings(max_examples=60)
@given(instances(), st.integers(0, 2**32 - 1))
def test_a_mean_of_weights_bounds_at_least_as_well(instance: Instance, seed: int) -> None:
    """Why prices are mixed: the dual function is concave in them."""
    shape = (3, len(instance.objective.mu), len(instance.fleet.regions))
    weights = np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])
    shares = np.array([0.2, 0.3, 0.5])
    bounds = np.array([dual_bound(instance, w).value for w in weights])
    mean = dual_bound(instance, np.tensordot(shares, weights, axes=1)).value
    assert mean >= shares @ bounds - 1e-9 * (1 + np.abs(bounds).max())


def test_multipliers_follow_what_a_layer_lets_through() -> None:
    """Under the guarantee the ensemble's eGLB sees the layer's footprints, not its own."""
    safe = RobustPolicy(Ensemble([EGLB(), LearnedPolicy()]), GLBCost(), rho=0.01)
    outcome = rollout(safe, WORLD)
    assert (outcome.objective <= 1.01 * rollout(GLBCost(), WORLD).objective).all()
    followed = safe.advice.members[0].multipliers  # type: ignore[attr-defined]
    free = Ensemble([EGLB(), LearnedPolicy()])
    rollout(free, WORLD)
    assert np.abs(followed - free.members[0].multipliers).max() > 1e-3  # type: ignore[attr-defined]


def test_a_batch_is_its_members() -> None:
    check_policy(Ensemble([EGLB(), LearnedPolicy()]))


def test_what_does_not_price_is_refused() -> None:
    with pytest.raises(DataError, match="GLBCost does not dispatch at shadow prices"):
        Ensemble([EGLB(), GLBCost()])
    with pytest.raises(DataError, match=r"2 members need as many shares .*, got \(0\.5, 0\.6\)"):
        Ensemble([EGLB(), EGLB()], [0.5, 0.6])
    with pytest.raises(DataError, match="0 members need as many shares"):
        Ensemble([])
    routing = AgentPolicy(lambda seen: np.zeros((10, 10)), action="routing")
    with pytest.raises(DataError, match="the action routing is not one of shadow prices"):
        rollout(Ensemble([routing]), synthetic(3, horizon=4))
