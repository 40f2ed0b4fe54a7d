"""Plans solved anew in every slot."""

import numpy as np
import pytest

from equiload.agents import EGLB, EGLBOff, RollingHorizon, WithKnobs
from equiload.agents.forecast import Perfect, SameHour
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import odd_problems, random_problems


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_to_the_end_and_with_a_perfect_forecast_it_is_the_optimum(reachability: str) -> None:
    day = synthetic("validation/2", horizon=14, knobs="all", reachability=reachability)
    best = EGLBOff().solve(day).objective
    outcome = rollout(RollingHorizon(Perfect(day), window=14), day)
    assert outcome.objective == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_it_plays_what_is_possible_on_any_fleet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    knobs = [name for name in KNOBS if rng.random() < 0.6]
    instance = with_random_knobs(rng, odd_problems()["batch"], knobs)
    together = rollout(RollingHorizon(SameHour(), window=4), instance).objective
    alone = rollout(RollingHorizon(SameHour(), window=4), instance[1]).objective
    assert together[1] == pytest.approx(alone, rel=1e-6)


def test_without_knobs_it_plans_as_well() -> None:
    instance = random_problems(np.random.default_rng(3), 1)[0]
    best = EGLBOff().solve(instance).objective
    outcome = rollout(RollingHorizon(Perfect(instance), window=8), instance)
    assert outcome.objective == pytest.approx(best, rel=1e-6, abs=1e-6 * float(outcome.gross))


@pytest.mark.slow
def test_two_days_ahead_and_known_it_is_near_the_optimum_and_better_than_rules() -> None:
    week = synthetic("validation/4", horizon=96, knobs="all")
    best = EGLBOff().solve(week).objective
    known = rollout(RollingHorizon(Perfect(week), window=48), week).objective
    past = rollout(RollingHorizon(SameHour(), window=24), week).objective
    ruled = rollout(WithKnobs(EGLB()), week).objective
    assert known < 1.02 * best
    assert known < past < 1.15 * best
    assert known < ruled
