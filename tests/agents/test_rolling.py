"""Plans solved anew in every slot."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equiload.agents import EGLB, EGLBOff, RollingHorizon, Solution, WithKnobs
from equiload.agents.forecast import Perfect, SameHour
from equiload.agents.offline import solve_lp
from equiload.agents.offline.feasible import fitting
from equiload.envs import Fleet, Instance, rollout
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


@pytest.mark.parametrize("knobs", [(), ("servers",), ("storage", "training", "servers")])
def test_a_rough_solver_does_not_carry_a_load_beyond_capacity(
    knobs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    day = synthetic("validation/1", horizon=6, knobs=[*knobs])
    beyond = []

    def rough(window: Instance, **options: Any) -> Solution:
        """Moves a little load to the fullest data center, as a solver's tolerance lets it."""
        solution = solve_lp(window, **options)
        outcome = solution.outcome
        load, room = outcome.load.copy(), window.capacity - outcome.load
        full, other = room[0].argmin(), room[0].argmax()
        beyond.append(1e-7 - room[0, full])
        load[0, [full, other]] += [1e-7, -1e-7]
        return replace(solution, outcome=replace(outcome, load=load))

    monkeypatch.setattr("equiload.agents.rolling.solve_lp", rough)
    outcome = rollout(RollingHorizon(Perfect(day), window=6), day)
    assert max(beyond) > 5e-8
    assert (outcome.load <= day.capacity * (1 + 1e-12)).all()
    assert outcome.objective == pytest.approx(EGLBOff().solve(day).objective, rel=1e-5)


def test_what_exceeds_capacity_goes_where_there_is_room_and_work_yields() -> None:
    fleet = Fleet(
        datacenters=["a", "b", "c"],
        gateways=["x", "y"],
        capacity=[1.0, 1.0, 1.0],
        reachable=[[1, 1, 0], [0, 1, 1]],
    )
    capacity = np.array([1.0, 1.0, 0.5])
    allocation = np.array([[1.2, 0.3, 0.0], [0.0, 0.5, 0.2]])
    work = np.array([[0.0, 0.1, 0.2], [0.0, 0.1, 0.1]])
    requests, done = fitting(allocation, work, capacity, fleet)
    assert done is not None
    np.testing.assert_allclose(requests.sum(1), allocation.sum(1))
    assert not requests[~fleet.reachable].any()
    assert (requests.sum(0) + done.sum(0) <= capacity + 1e-12).all()
    np.testing.assert_allclose(done[:, 2], [0.2, 0.1])  # where there was room
    assert done[:, 1] == pytest.approx([0.0, 0.0])  # 0.2 more of requests than there is room for
    same, _ = fitting(allocation / 2, work / 2, capacity, fleet)
    np.testing.assert_array_equal(same, allocation / 2)
