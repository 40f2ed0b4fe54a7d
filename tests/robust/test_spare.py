"""Capacity that the expert leaves free: the lemma, and what the layer makes of it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, EGLBOff, GLBCost, WithKnobs
from equiload.envs import (
    DataError,
    Decision,
    Instance,
    Outcome,
    Setting,
    Slot,
    State,
    rollout,
)
from equiload.envs.data import synthetic
from equiload.experiments.hostile import levels
from equiload.experiments.hostile.levels import Retrace
from equiload.robust import Bounds, RobustPolicy, Sparing, spare_capacity, verify
from equiload.robust.spare import Spare

_AMOUNTS, _SHARES = (st.fractions(0, most, max_denominator=8) for most in (4, 1))


@st.composite
def backlogs(draw) -> tuple[int, list[Fraction], list[Fraction], int, Fraction, Fraction]:
    """Deadline, arrivals, of what may wait what the expert leaves, the advice's last slot, how much
    more than the expert it leaves, of what it could, and what can be done of that in a slot."""
    slots = draw(st.integers(2, 8))
    amounts = st.lists(_AMOUNTS, min_size=slots, max_size=slots)
    shares = st.lists(_SHARES, min_size=slots, max_size=slots)
    return (
        draw(st.integers(1, slots)),
        draw(amounts),
        draw(shares),
        draw(st.integers(0, slots - 1)),
        draw(_SHARES),
        draw(_AMOUNTS),
    )


def waits(arrivals: list[Fraction], deadline: int, t: int, until: int) -> Fraction:
    """What arrived up to ``t`` and may wait until ``until``; nothing at the end."""
    if until == len(arrivals) - 1:
        return Fraction(0)
    return sum(arrivals[max(until - deadline + 1, 0) : t + 1], Fraction(0))


def late_part(
    surplus: Fraction, owed: Fraction, arrivals, deadline: int, t: int, width: Fraction, hurry=0
) -> Fraction:
    """``(g − r)⁺`` after slot ``t``; with ``hurry`` slots of work too many, which is wrong."""
    last = len(arrivals) - 1
    rooms = [
        max(waits(arrivals, deadline, t, until) - owed, Fraction(0)) + width * (until - t + hurry)
        for until in range(t + 1, min(t + deadline, last) + 1)
    ]
    return max(surplus - min(rooms, default=Fraction(0)), Fraction(0))


def grows(case, hurry: int = 0) -> bool:
    """Is more given up on the way back than was foreseen, in any slot of it?"""
    deadline, arrivals, shares, start, more, width = case
    owed = surplus = late = Fraction(0)
    for t, arrived in enumerate(arrivals):
        ceiling = waits(arrivals, deadline, t, t)
        owed = shares[t] * min(owed + arrived, ceiling)
        foreseen, given_up = late, Fraction(0)
        if t == start:
            surplus = more * (ceiling - owed)
        elif t > start:
            left = surplus - min(surplus, width)
            given_up = max(owed + left - ceiling, Fraction(0))
            surplus = left - given_up
        late = late_part(surplus, owed, arrivals, deadline, t, width, hurry)
        if t > start and late + given_up > foreseen:
            return True
    return surplus > 0


@settings(max_examples=200)
@given(backlogs())
def test_no_more_is_given_up_than_foreseen(case) -> None:
    assert not grows(case)


def test_with_a_slot_of_work_too_many_more_is() -> None:
    one, none = Fraction(1), Fraction(0)
    case = 2, [one, none, none, none], [none] * 4, 0, one, one / 4
    assert not grows(case)
    assert grows(case, hurry=1)


class PutOff:
    """No work in some slots, then to the last bit what the expert does."""

    def __init__(self, expert: Outcome, slots: tuple[int, ...]) -> None:
        self.expert, self.slots = expert, slots

    def reset(self, setting: Setting) -> None: ...

    def act(self, slot: Slot, state: State) -> Decision:
        done = self.expert.operation.map(lambda array: array[slot.index])
        if slot.index in self.slots:
            done = replace(done, work=done.work * 0.0, late=None)
        done = replace(done, grid=None)
        return Decision(None, None, self.expert.allocation[slot.index], operation=done)


@pytest.mark.parametrize("rho", [0.02, 0.1])
@pytest.mark.parametrize("slots", [(2, 3), (17, 18)])
def test_room_shrinks_while_the_expert_is_followed(rho: float, slots: tuple[int, ...]) -> None:
    day = synthetic("validation/0", horizon=24, knobs="training")
    spare = spare_capacity(day.fleet, 0.1)
    own = rollout(Sparing(WithKnobs(EGLB()), spare), day, keep=True)
    policy = RobustPolicy(
        PutOff(own, slots),
        Sparing(WithKnobs(EGLB()), spare),
        rho=rho,
        bounds=Bounds.of(day, spare=spare),
    )
    outcome, certificate = rollout(policy, day, keep=True), policy.certificate()
    found = verify(certificate, day, outcome.allocation, outcome.operation)
    assert found.ok, found.violations[:3]
    assert certificate.holds
    assert outcome.objective <= (1 + rho) * own.objective


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_the_layers_room_bounds_the_lemmas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = levels.random_parts(rng, 2)
    if instance.fleet.training is None:
        return
    instance, spare = levels.with_spare(rng, instance)
    expert = rollout(Sparing(WithKnobs(EGLB()), spare), instance, keep=True)
    setting = Setting.of(instance)
    known = Spare(setting, Bounds.of(instance, spare=spare).fit(setting), 100)
    room, work = known.open(), instance.trace.work
    for t in range(instance.horizon):
        slot = type("S", (), {"work": work[:, t], "index": t})
        done = {"work": expert.operation.work[:, t], "late": expert.operation.late[:, t]}
        room = known.after(room, slot, done)
        for b in range(2):
            for c, deadline in enumerate(instance.fleet.training.deadline):
                if known.width[c] == 0:
                    assert room.most[b, c] == 0
                    continue
                arrivals = [Fraction(x) for x in work[b, :, c]]
                exact = sum(arrivals[: t + 1], Fraction(0)) - sum(
                    (
                        Fraction(x)
                        for x in [
                            *expert.operation.work[b, : t + 1, c].ravel(),
                            *expert.operation.late[b, : t + 1, c],
                        ]
                    ),
                    Fraction(0),
                )
                huge = sum(arrivals, Fraction(1)) * 10**6
                width = Fraction(known.width[c])
                r = huge - late_part(huge, exact, arrivals, int(deadline), t, width)
                assert Fraction(room.least[b, c]) <= r <= Fraction(room.most[b, c])


@pytest.fixture(scope="module")
def day() -> Instance:
    return synthetic("test/0", horizon=72, knobs="training")


def test_more_of_perfect_advice_is_kept(day: Instance) -> None:
    spare = spare_capacity(day.fleet, 0.1)
    expert, best = Sparing(WithKnobs(EGLB()), spare), Retrace(EGLBOff().solve(day).outcome)
    objective = {}
    for name, declared in (("without", None), ("with", spare)):
        bounds = Bounds.of(day, spare=declared)
        policy = RobustPolicy(best, expert, rho=0.1, bounds=bounds)
        outcome = rollout(policy, day, keep=True)
        certificate = policy.certificate()
        assert verify(certificate, day, outcome.allocation, outcome.operation, exact=True).ok
        assert not certificate.breach.any()
        objective[name] = float(outcome.objective)
    assert objective["with"] < 0.995 * objective["without"]


def test_an_expert_that_leaves_nothing_free_is_a_breach(day: Instance) -> None:
    spare = spare_capacity(day.fleet, 0.95)
    policy = RobustPolicy(GLBCost(), WithKnobs(EGLB()), rho=0.1, bounds=Bounds.of(day, spare=spare))
    outcome = rollout(policy, day, keep=True)
    certificate = policy.certificate()
    short = (rollout(WithKnobs(EGLB()), day).load + spare.sum(0) > day.capacity).any(-1)
    assert short.any()
    assert (certificate.breach == short).all()
    hidden = replace(certificate, breach=np.zeros_like(short))
    found = verify(hidden, day, outcome.allocation, outcome.operation)
    assert any("breach of the bounds is not reported" in str(v) for v in found.violations)
    invented = replace(certificate, breach=np.ones_like(short))
    found = verify(invented, day, outcome.allocation, outcome.operation)
    assert any("is reported for none" in str(v) for v in found.violations) == (not short.all())


def test_what_is_spared_must_fit(day: Instance) -> None:
    with pytest.raises(DataError, match="no training work to leave capacity for"):
        spare_capacity(synthetic("validation/0", horizon=2).fleet, 0.1)
    with pytest.raises(DataError, match="must be from 0 to 1, got 2"):
        spare_capacity(day.fleet, 2)
    bounds = Bounds.of(day, spare=np.ones((7, 10)))
    policy = RobustPolicy(GLBCost(), WithKnobs(EGLB()), rho=0.1, bounds=bounds)
    with pytest.raises(DataError, match=r"bounds\.spare must broadcast to \(3, 10\)"):
        policy.reset(Setting.of(day))
