"""Project where the past counts: nearer to the advice than a blend, and as safe."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, GLBCost, WithKnobs
from equiload.envs import Instance, Setting, Slot, rollout
from equiload.envs.data import synthetic
from equiload.envs.dynamics import State
from equiload.envs.knobs.operation import Levels, after
from equiload.envs.policy import Trajectory
from equiload.experiments.hostile import levels
from equiload.experiments.hostile.levels import Dump
from equiload.robust import Bounds, RobustPolicy, verify
from equiload.robust.departure import LevelTurn
from equiload.robust.levels import LevelSafeSet
from equiload.robust.packing import parts_of
from equiload.robust.project_levels import project

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30)
@given(SEEDS)
def test_no_violation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance, spare = levels.random_parts(rng, int(rng.integers(1, 3))), None
    if instance.fleet.training is not None and rng.integers(2):
        instance, spare = levels.with_spare(rng, instance)
    certificate, *played = levels.play(instance, rng, spare, method="project")
    found = verify(certificate, instance, *played, exact=True)
    assert found.ok, found.violations[:3]
    assert certificate.holds.all()
    assert not certificate.breach.any()


def turns(seed: int):
    """A turn and advice in it, slot by slot; what is played is the projection."""
    rng = np.random.default_rng(seed)
    instance = levels.random_parts(rng, 1)
    setting, bounds = Setting.of(instance), Bounds.of(instance)
    rho = float(rng.choice([0.01, 0.1]))
    safe = LevelSafeSet.of(setting, bounds, rho=rho, allowance=0.0, footprint_bound=None)
    expert, advice, state, ledger = Trajectory(WithKnobs(EGLB())), Dump(seed), None, None
    expert.reset(setting)
    advice.reset(setting)
    own = Levels.start(setting.fleet, setting.batch)
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        state = State(np.zeros(1), np.zeros(setting.footprint_shape), own)
        before = expert.state.levels or Levels()
        decided = expert.act(slot)
        decided = replace(decided, allocation=np.maximum(decided.allocation, 0.0))
        turn = LevelTurn(safe, ledger, slot, own, before, decided)
        proposed, _ = turn.screen(advice.act(slot, state))
        played = project(turn, proposed)
        yield turn, proposed, played
        ledger = played.ledger
        own = after(own, played.decision.operation, slot, setting.fleet)


def distance(one, other) -> float:
    a, b = parts_of(one), parts_of(other)
    return float(np.sqrt(sum(((a[n] - b[n]) ** 2).sum() for n in a)))


@settings(max_examples=25)
@given(SEEDS)
def test_it_is_no_further_from_the_advice_than_a_blend(seed: int) -> None:
    for turn, advice, played in turns(seed):
        blended = turn.blend(advice)
        moved = distance(played.decision, advice)
        assert moved <= distance(blended.decision, advice)
        books = played.ledger.books
        assert (books.left <= books.right).all() or played.alpha == 0
        if blended.alpha == 1:
            assert played.alpha == 1
            assert moved == 0
        # Nothing between it and the advice is certain to be safe, or it would have been nearer.
        elif played.alpha > 0 and blended.alpha > 0:
            apart = distance(turn.back, advice)
            assert played.alpha == pytest.approx(1 - moved / apart, abs=1e-9)


def test_it_is_nearer_than_a_blend_by_much() -> None:
    nearer = []
    for seed in range(30):
        for turn, advice, played in turns(seed):
            blended = turn.blend(advice)
            if 0 < blended.alpha < 1:
                nearer.append(
                    distance(played.decision, advice) / distance(blended.decision, advice)
                )
    assert len(nearer) > 10
    assert np.mean(nearer) < 0.9


@pytest.fixture(scope="module")
def day() -> Instance:
    return synthetic("validation/0", horizon=12, knobs="all")


def test_the_experts_own_advice_is_played_to_the_last_bit(day: Instance) -> None:
    alone = rollout(WithKnobs(EGLB()), day)
    policy = RobustPolicy(
        WithKnobs(EGLB()), WithKnobs(EGLB()), rho=0.0, method="project", bounds=Bounds.of(day)
    )
    assert rollout(policy, day).objective == alone.objective
    assert (policy.certificate().alpha == 1).all()


def test_a_day_with_all_knobs(day: Instance) -> None:
    policy = RobustPolicy(
        GLBCost(), WithKnobs(EGLB()), rho=0.05, method="project", bounds=Bounds.of(day)
    )
    outcome = rollout(policy, day, keep=True)
    certificate = policy.certificate()
    assert verify(certificate, day, outcome.allocation, outcome.operation).ok
    assert 0 < certificate.alpha.mean() < 1
