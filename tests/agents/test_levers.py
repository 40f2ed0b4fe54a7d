"""Rules that price what is stored, waits and is on."""

import numpy as np
import pytest

from equiload.agents import EGLB, Ensemble, GLBCost, WithKnobs
from equiload.agents.levers import StoredByCharge
from equiload.envs import DataError, rollout
from equiload.envs.data import synthetic
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.policies import check_policy
from equiload.testing.problems import random_problems

WEEKS = synthetic([f"validation/{n}" for n in range(4)], horizon=168, knobs="all")


@pytest.mark.parametrize("seed", range(30))
def test_it_plays_what_is_possible_on_any_fleet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    knobs = [name for name in KNOBS if rng.random() < 0.6]
    instance = with_random_knobs(rng, random_problems(rng, 2), knobs)
    together = rollout(WithKnobs(EGLB()), instance).objective
    alone = [rollout(WithKnobs(EGLB()), instance[b]).objective for b in range(2)]
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_it_is_a_policy() -> None:
    check_policy(WithKnobs(EGLB()))


def test_rules_are_worth_more_than_half_of_what_idle_knobs_cost() -> None:
    idle, ruled = (rollout(policy, WEEKS).objective for policy in (EGLB(), WithKnobs(EGLB())))
    assert (ruled < 0.75 * idle).all()


def test_nothing_is_given_up_and_batteries_end_where_they_began() -> None:
    outcome = rollout(WithKnobs(EGLB()), WEEKS)
    work = WEEKS.trace.work.sum((-1, -2))
    assert (outcome.operation.late.sum((-1, -2)) < 1e-3 * work).all()
    np.testing.assert_allclose(outcome.other_cost["refill"], 0.0, atol=1e-6)


def test_a_battery_is_worth_its_rule() -> None:
    weeks = synthetic([f"validation/{n}" for n in range(4)], horizon=168, knobs="storage")
    idle = rollout(WithKnobs(EGLB(), stored=_Nothing()), weeks)
    ruled = rollout(WithKnobs(EGLB()), weeks)
    assert (idle.operation.discharge == 0).all()
    assert (ruled.operation.discharge.sum((-1, -2)) > 0).all()
    assert ruled.objective.mean() < idle.objective.mean()


class _Nothing(StoredByCharge):
    """Stored energy is worth what a MWh costs now: a battery never moves."""

    def price(self, costs, slot, levels):
        del slot, levels
        return costs.grid


def test_an_ensemble_prices_there_as_anywhere() -> None:
    outcome = rollout(WithKnobs(Ensemble([EGLB(), EGLB(step_size=1.0)])), WEEKS)
    assert (outcome.objective < rollout(GLBCost(), WEEKS).objective).all()


def test_a_policy_that_does_not_price_is_refused() -> None:
    with pytest.raises(DataError, match="GLBCost does not dispatch at shadow prices"):
        WithKnobs(GLBCost())
