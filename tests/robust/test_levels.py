"""The guarantee where the past counts: random fleets with random parts, checked exactly."""

from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, EGLBOff, GLBCost, WithKnobs
from equiload.envs import DataError, Decision, Instance, Policy, Setting, Slot, State, rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy, GLBEnv, GLBVectorEnv
from equiload.envs.knobs.operation import Levels, Operation
from equiload.experiments.hostile import levels
from equiload.robust import (
    Bounds,
    Certificate,
    EnvironmentLayer,
    RobustLayer,
    RobustPolicy,
    Verification,
    verify,
)
from equiload.robust.departure import LevelTurn
from equiload.robust.kernels import Ledger, follow_effect
from equiload.robust.levels import LevelSafeSet
from equiload.robust.safe import Effect

SEEDS = st.integers(0, 2**32 - 1)


def play(instance: Instance, advice: Policy, expert: Policy, **options):
    policy = RobustPolicy(advice, expert, bounds=Bounds.of(instance), **options)
    outcome = rollout(policy, instance, keep=True)
    certificate = policy.certificate()
    found = verify(certificate, instance, outcome.allocation, outcome.operation)
    return outcome, certificate, found


def attacked(seed: int, **options) -> tuple[Certificate, Verification]:
    """One random problem or two; hostile advice, a random expert, ρ, B and method."""
    rng = np.random.default_rng(seed)
    instance, spare = levels.random_parts(rng, int(rng.integers(1, 3))), None
    if instance.fleet.training is not None and rng.integers(2):
        instance, spare = levels.with_spare(rng, instance)
    certificate, *played = levels.play(instance, rng, spare, **options)
    return certificate, verify(certificate, instance, *played, exact=True)


@settings(max_examples=150)
@given(SEEDS)
def test_no_violation(seed: int) -> None:
    certificate, verification = attacked(seed)
    assert verification.ok, verification.violations[:3]
    assert certificate.holds.all()
    assert not certificate.breach.any()


@pytest.mark.slow
def test_no_violation_in_many_episodes() -> None:
    for seed in range(600):
        _, verification = attacked(seed)
        assert verification.ok, (seed, verification.violations[:3])


@pytest.mark.parametrize("method", ["blend", "project", "switch"])
@settings(max_examples=30)
@given(SEEDS)
def test_loads_below_zero_by_rounding_are_none(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = levels.random_parts(rng, 4)
    advice = levels.Shaken(levels.RandomPrices(seed), seed)
    options = {"rho": float(rng.choice([0.0, 0.01, 0.1])), "method": method}
    outcome, _, found = play(instance, advice, levels.RandomPrices(seed + 1), **options)
    assert found.ok, found.violations[:3]
    assert outcome.allocation.min() >= 0.0


@pytest.mark.parametrize(
    "left_out",
    [
        "stored_behind",
        "stored_ahead",
        "waiting_behind",
        "waiting_ahead",
        "waiting_late",
        "on_behind",
        "missing",
        "surplus",
    ],
)
def test_every_potential_is_needed(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LevelSafeSet.worth.func

    def worth(self: LevelSafeSet) -> dict:
        return {n: v * (n != left_out) for n, v in whole(self).items()}

    forgetful = cached_property(worth)
    forgetful.__set_name__(LevelSafeSet, "worth")
    monkeypatch.setattr(LevelSafeSet, "worth", forgetful)
    for seed in range(1500):
        if not attacked(seed, rho=0.0, method="blend")[1].ok:
            return
    pytest.fail("nothing was violated")


class Switching:
    """The cheapest allocation, and servers on at random: of the last site by another's chance."""

    def __init__(self, allocation, seed: int, *, apart: bool) -> None:
        self.allocation, self.seed, self.apart = allocation, seed, apart

    def reset(self, setting: Setting) -> None:
        self._rng, self._other = (np.random.default_rng(self.seed + more) for more in (0, 99))

    def act(self, slot: Slot, state: State) -> Decision:
        allocation = self.allocation[slot.index]
        load, share = allocation.sum(0), self._rng.uniform(size=len(slot.capacity))
        if self.apart:
            share[-1] = self._other.uniform()
        on = load + share * (slot.capacity - load)
        return Decision(None, None, allocation, operation=Operation(on=on))


def test_large_costs_that_are_alike_take_nothing_from_small_ones() -> None:
    day = synthetic("validation/0", horizon=6, knobs="servers")
    start_cost = np.full(len(day.fleet.datacenters), 1e9 / 3)
    start_cost[-1] = 1e-9
    servers = replace(day.fleet.servers, start_cost=start_cost)
    trace = day.trace.replace(price=day.trace.price * 1e-9, intensity=day.trace.intensity * 1e-9)
    day = day.replace(fleet=day.fleet.replace(servers=servers), trace=trace)
    allocation = rollout(GLBCost(), day, keep=True).allocation
    for seed in range(10):
        advice, expert = (Switching(allocation, seed, apart=apart) for apart in (True, False))
        policy = RobustPolicy(advice, expert, rho=0.1, bounds=Bounds.of(day))
        outcome = rollout(policy, day, keep=True)
        played = outcome.allocation, outcome.operation
        assert verify(policy.certificate(), day, *played, exact=True).ok, seed


class Replay:
    """What another run did, slot by slot."""

    def __init__(self, outcome) -> None:
        self.outcome = outcome

    def reset(self, setting: Setting) -> None: ...

    def act(self, slot: Slot, state: State) -> Decision:
        outcome, t = self.outcome, slot.index
        names = [n for n in Operation.__slots__ if getattr(outcome.operation, n) is not None]
        done = Operation(**{n: getattr(outcome.operation, n)[t] for n in names})
        return Decision(outcome.load[t], outcome.routing[t], outcome.allocation[t], operation=done)


@pytest.fixture(scope="module")
def day() -> Instance:
    return synthetic("validation/0", horizon=24, knobs="all")


def test_the_experts_own_advice_is_played_to_the_last_bit(day: Instance) -> None:
    alone = rollout(WithKnobs(EGLB()), day, keep=True)
    outcome, certificate, _ = play(day, WithKnobs(EGLB()), WithKnobs(EGLB()), rho=0.0)
    assert (certificate.alpha == 1).all()
    assert outcome.objective == alone.objective
    assert (outcome.levels.stored == alone.levels.stored).all()
    assert (certificate.reserved == 0).all()


@pytest.mark.parametrize("method", ["blend", "project", "switch"])
def test_with_all_the_room_there_is_advice_is_played_as_it_is(day: Instance, method: str) -> None:
    alone = rollout(GLBCost(), day)
    outcome, certificate, _ = play(day, GLBCost(), WithKnobs(EGLB()), rho=1e6, method=method)
    assert (certificate.alpha == 1).all()
    assert outcome.objective == alone.objective


def test_advice_that_is_not_possible_is_refused(day: Instance) -> None:
    class Impossible(GLBCost):
        def act(self, slot: Slot, state: State) -> Decision:
            allocation = super().act(slot, state)
            wanted = Operation(charge=np.full(10, np.nan if slot.index % 2 else 1e9))
            return Decision(None, None, allocation, operation=wanted)

    alone = rollout(WithKnobs(EGLB()), day)
    outcome, certificate, verification = play(day, Impossible(), WithKnobs(EGLB()), rho=1.0)
    assert certificate.refused.all()
    assert (certificate.alpha == 0).all()
    assert outcome.objective == alone.objective
    assert verification.ok


def test_advice_cannot_save_where_there_are_no_models() -> None:
    day = synthetic("validation/0", horizon=12, knobs="storage")

    class Saves(GLBCost):
        def act(self, slot: Slot, state: State) -> Decision:
            less = slot.demand * 0.5
            allocation = self._fleet.dispatch.allocation(slot.price, less, slot.capacity)
            return Decision(None, None, allocation, operation=Operation(saved=less))

    outcome, certificate, verification = play(day, Saves(), WithKnobs(EGLB()), rho=1.0)
    assert certificate.refused.all()
    assert verification.ok
    assert outcome.objective == rollout(WithKnobs(EGLB()), day).objective


def test_a_layer_needs_its_levels(day: Instance) -> None:
    layer = RobustLayer(WithKnobs(EGLB()), rho=0.1, bounds=Bounds.of(day))
    layer.reset(Setting.of(day))
    slot = Slot.of(day, 0)
    with pytest.raises(DataError, match="slot 0: the layer needs its own levels before the slot"):
        layer.act(slot, day.fleet.dispatch.allocation(slot.price, slot.demand, slot.capacity))


def test_the_optimum_as_advice_pays_within_the_guarantee(day: Instance) -> None:
    best = EGLBOff().solve(day).outcome
    kept = rollout(Replay(replace(best, allocation=_allocation(best))), day, keep=True)
    assert kept.objective == pytest.approx(best.objective, rel=1e-6)
    ratios = []
    for rho in (0.0, 0.5, 5.0):
        outcome, certificate, verification = play(day, Replay(kept), WithKnobs(EGLB()), rho=rho)
        assert verification.ok
        ratios.append(float(outcome.objective / rollout(WithKnobs(EGLB()), day).objective))
    assert ratios[0] == 1.0
    assert ratios[2] < 1.0
    assert (certificate.reserved.max(0) > 0).any()


def _allocation(outcome) -> np.ndarray:
    """Who sends what, of loads."""
    fleet, operation = outcome.instance.fleet, outcome.operation
    load = np.maximum(outcome.load - operation.work.sum(-2), 0.0)
    asked = outcome.instance.trace.demand - operation.saved
    return fleet.dispatch.allocation(np.zeros_like(load), asked, load * (1 + 1e-12) + 1e-15)


def test_a_batch_is_its_members() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        instance = levels.random_parts(rng, 2)
        bounds = Bounds.of(instance)
        whole = RobustPolicy(GLBCost(), WithKnobs(EGLB()), rho=0.1, bounds=bounds)
        both = rollout(whole, instance, keep=True)
        for b in range(instance.batch[0]):
            alone = RobustPolicy(GLBCost(), WithKnobs(EGLB()), rho=0.1, bounds=bounds)
            one = rollout(alone, instance.replace(trace=instance.trace[b]), keep=True)
            np.testing.assert_allclose(
                one.allocation, both.allocation[b], atol=1e-9 * instance.fleet.capacity.max()
            )
            np.testing.assert_allclose(one.objective, both.objective[b], rtol=1e-9)


def test_a_mixture_that_rounding_makes_impossible_costs_no_other_problem_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixture = LevelTurn._mixture
    instance = levels.random_parts(np.random.default_rng(5), 3)

    def alphas() -> np.ndarray:
        layer = RobustLayer(WithKnobs(EGLB()), rho=0.05, bounds=Bounds.of(instance))
        setting, slot = Setting.of(instance), Slot.of(instance, 0)
        layer.reset(setting)
        dearest = instance.fleet.dispatch.allocation(-slot.price, slot.demand, slot.capacity)
        layer.act(slot, dearest, Levels.start(instance.fleet, instance.batch))
        return layer.records[-1].alpha

    whole = alphas()
    assert ((whole > 0) & (whole < 1)).sum() > 1
    spoiled = int(np.argmax((whole > 0) & (whole < 1)))

    def off_by_rounding(self: LevelTurn, *given) -> tuple:
        mixed, possible = mixture(self, *given)
        return mixed, possible & (np.arange(len(possible)) != spoiled)

    monkeypatch.setattr(LevelTurn, "_mixture", off_by_rounding)
    assert (alphas() == np.where(np.arange(3) == spoiled, 0.0, whole)).all()


@settings(max_examples=60)
@given(SEEDS, st.booleans())
def test_the_compiled_books_are_those_of_the_array_form(seed: int, bounded: bool) -> None:
    rng = np.random.default_rng(seed)
    instance = levels.random_parts(rng, 3)
    setting = Setting.of(instance)
    size, shape = instance.trace.intensity.mean(), setting.footprint_shape
    bound = rng.uniform(0, 3, shape) * size if bounded else None
    promise = {"rho": float(rng.choice([0.0, 0.1])), "allowance": 1.0, "footprint_bound": bound}
    safe = LevelSafeSet.of(setting, Bounds.of(instance), **promise).plain
    rates = safe.rates(Slot.of(instance, 0))
    books = safe.open(rates)._replace(footprint=rng.normal(size=shape) * size)
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        rates, cost = safe.rates(slot), rng.normal(size=(3, 3)) * [[1.0], [1e-9], [1.0]]
        footprint = rng.uniform(0, 2, (2, *shape)) * size
        footprint[1] *= 1e-9
        effect = Effect(cost[0], cost[1], footprint[0], footprint[1], cost[2])
        after = Ledger(*map(np.empty_like, books))
        given = slot.intensity, slot.capacity, cost, footprint, safe.slots_left(t)
        follow_effect(*given, safe.condition, books, after)
        books = safe.follow(books, rates, effect, t)
        for name, array in books._asdict().items():
            if bounded or name != "breach":
                np.testing.assert_array_equal(getattr(after, name), array, err_msg=name)


def test_an_environment_keeps_the_guarantee(day: Instance) -> None:
    layer = EnvironmentLayer(WithKnobs(EGLB()), rho=0.1, bounds=Bounds.of(day), record=True)
    envs = GLBVectorEnv(3, instance=day, horizon=24, layer=layer)
    envs.reset(seed=0)
    rng, alphas = np.random.default_rng(0), []
    for _ in range(24):
        *_, info = envs.step(3.0 * rng.normal(size=envs.action_space.shape))
        alphas.append(info["alpha"])
        assert (info["slack"] >= 0).all()
    assert 0.0 < np.mean(alphas) < 1.0
    certificate = envs.core.layer.certificate()
    assert certificate.holds.all()
    assert (np.array(alphas) == certificate.alpha.T).all()
    expert = rollout(WithKnobs(EGLB()), day).objective
    assert (info["objective"] <= 1.1 * expert).all()


def test_an_agent_in_a_layer_does_what_it_did_in_the_environment(day: Instance) -> None:
    def layer() -> EnvironmentLayer:
        return EnvironmentLayer(WithKnobs(EGLB()), rho=0.1, bounds=Bounds.of(day))

    env = GLBEnv(instance=day, horizon=24, layer=layer())
    env.reset(seed=0)
    action, done = np.linspace(-2, 2, env.action_space.shape[0]).astype(np.float32), False
    while not done:
        *_, done, _, info = env.step(action)
    agent = AgentPolicy(lambda _: action)
    policy = RobustPolicy(agent, WithKnobs(EGLB()), rho=0.1, bounds=Bounds.of(day))
    assert rollout(policy, day).objective == pytest.approx(info["objective"], rel=1e-12)


def test_a_slot_beyond_the_bounds_is_a_breach(day: Instance) -> None:
    bounds = Bounds.of(day)
    low = replace(bounds, price=0.9 * bounds.price)
    policy = RobustPolicy(GLBCost(), WithKnobs(EGLB()), rho=0.1, bounds=low)
    outcome = rollout(policy, day, keep=True)
    breach = (day.trace.price > low.price).any(-1)
    assert breach.any()
    assert (policy.certificate().breach == breach).all()
    found = verify(policy.certificate(), day, outcome.allocation, outcome.operation)
    assert found.breaches == breach.sum()
    hidden = replace(policy.certificate(), breach=np.zeros_like(breach))
    found = verify(hidden, day, outcome.allocation, outcome.operation)
    assert any("breach of the bounds is not reported" in str(v) for v in found.violations)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: {"left": c.left - 1.0}, "stated left side is too low"),
        (lambda c: {"right": c.right + 1.0}, "stated right side is too high"),
        (lambda c: {"reserved": c.reserved * 0.5}, "stated reserve is too low"),
        (lambda c: {"excess": c.excess - 1e6}, "stated excess is too low"),
        (lambda c: {"operation": replace(c.operation, late=c.operation.late + 1)}, "digest"),
        (lambda c: {"operation": None}, "must be given"),
        (lambda c: {"bounds": None}, "must have bounds"),
        (lambda c: {"alpha": c.alpha + 1.0}, "alpha lies outside"),
        (lambda c: {"left": c.left[:3]}, "left is float64 (3,), expected (24,)"),
        (lambda c: {"left": list(c.left - 1.0)}, "stated left side is too low"),
        (lambda c: {"complete": False}, "complete is False, with 24 of 24 slots"),
        (lambda c: {"rho": float("nan")}, "rho is nan"),
        (lambda c: {"rho": -0.1}, "rho is -0.1"),
        (lambda c: {"allowance": float("inf")}, "allowance is inf"),
        (lambda c: {"reserved": c.reserved[:, :2]}, "reserved is float64 (24, 2)"),
        (lambda c: {"footprint_bound": np.ones(3)}, "footprint_bound is (3,)"),
        (lambda c: {"bounds": replace(c.bounds, price=np.ones(3))}, "bounds.price is (3,)"),
    ],
)
def test_tampering_is_found(day: Instance, change, said: str) -> None:
    outcome, certificate, verification = play(day, GLBCost(), WithKnobs(EGLB()), rho=0.1)
    assert verification.ok
    tampered = replace(certificate, **change(certificate))
    found = verify(tampered, day, outcome.allocation, outcome.operation)
    assert any(said in str(violation) for violation in found.violations), found.violations[:3]


@pytest.mark.parametrize("part", ["charge", "discharge", "work", "late", "on", "saved"])
def test_what_cannot_be_done_is_found(day: Instance, part: str) -> None:
    outcome, certificate, _ = play(day, GLBCost(), WithKnobs(EGLB()), rho=0.1)
    operation = replace(outcome.operation, **{part: getattr(outcome.operation, part) + 100.0})
    assert not verify(certificate, day, outcome.allocation, operation).ok


def test_demand_is_not_saved_without_models() -> None:
    day = synthetic("validation/0", horizon=12, knobs="storage")
    outcome, certificate, verification = play(day, GLBCost(), WithKnobs(EGLB()), rho=0.1)
    assert verification.ok
    operation = replace(outcome.operation, saved=day.trace.demand * 0.5)
    found = verify(certificate, day, outcome.allocation * 0.5, operation)
    assert any("not all demand" in str(violation) for violation in found.violations)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bounds": None}, r"the instance has storage, .*needs bounds="),
        ({"bounds": Bounds(np.ones(10), np.ones(10), np.ones((2, 10)))}, "bounds.work"),
        ({"bounds": Bounds(np.ones(3), np.ones(10), np.ones((2, 10)))}, r"bounds.price must broad"),
    ],
)
def test_what_the_layer_needs_is_said(day: Instance, options: dict, said: str) -> None:
    given = {"bounds": Bounds.of(day), **options}
    policy = RobustPolicy(GLBCost(), WithKnobs(EGLB()), rho=0.1, **given)
    with pytest.raises(DataError, match=said):
        policy.reset(Setting.of(day))


def test_bounds_are_finite_and_not_negative() -> None:
    with pytest.raises(DataError, match=r"bounds\.price must hold finite numbers of at least 0"):
        Bounds(np.array([np.nan]), np.ones(1), np.ones((1, 1)))
