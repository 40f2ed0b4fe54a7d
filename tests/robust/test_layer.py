"""The guarantee over random small problems, checked exactly; and the layer's limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, GLBCost
from equiload.envs import DataError, Fleet, Instance, Objective, Setting, Slot, State, rollout
from equiload.envs.data import synthetic
from equiload.envs.typing import FloatArray
from equiload.robust import FixedMethod, RobustPolicy, footprint_bound, verify
from equiload.testing.strategies import instances


class Vertices:
    """Dispatch at random, or at fixed, unit costs: extreme allocations."""

    def __init__(self, seed: int, *, gain: float = 1.0) -> None:
        self.seed, self.gain = seed, gain

    def reset(self, setting: Setting) -> None:
        self._fleet, self._rng = setting.fleet, np.random.default_rng(self.seed)

    def act(self, slot: Slot, state: State) -> FloatArray:
        unit = self._rng.normal(size=slot.price.shape)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Worst(Vertices):
    """The dearest allocation of each slot, all into few regions."""

    def act(self, slot: Slot, state: State) -> FloatArray:
        unit = -(slot.price + slot.intensity.sum(-2)) * self._fleet.pue
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Better(Vertices):
    """Good at first, then bad: spends whatever slack it has built up."""

    def act(self, slot: Slot, state: State) -> FloatArray:
        sign = 1.0 if slot.index % 4 < 2 else -1.0
        unit = sign * (slot.price + slot.intensity.sum(-2)) * self._fleet.pue
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


def tight_bound(instance: Instance) -> FloatArray:
    """The least bound that no slot of the instance exceeds."""
    trace, fleet = instance.trace, instance.fleet
    possible = (trace.intensity * fleet.pue * instance.capacity[..., None, :, :]) @ fleet.membership
    return possible.max(-2)


def play(instance: Instance, advice, expert, **options):
    policy = RobustPolicy(advice, expert, **options)
    outcome = rollout(policy, instance, keep=True)
    return outcome, policy.certificate(), outcome.allocation


ADVICE = {"random": Vertices, "worst": Worst, "better": Better}
SCALES = st.sampled_from([1e-6, 1.0, 1e9])


@settings(max_examples=400)
@given(
    st.data(),
    SCALES,
    st.sampled_from(list(ADVICE)),
    st.sampled_from([0.0, 1e-12, 0.05, 1.0]),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["blend", "project", "switch"]),
    st.booleans(),
    st.integers(0, 99),
)
def test_no_violation(data, scale, advice, rho, allowance, method, horizon_aware, seed) -> None:
    instance = data.draw(instances(scale=scale))
    _outcome, certificate, played = play(
        instance,
        ADVICE[advice](seed),
        Vertices(seed + 1),
        rho=rho,
        allowance=allowance * scale,
        method=method,
        footprint_bound=tight_bound(instance) if horizon_aware else None,
    )
    result = verify(certificate, instance, played, exact=True)
    assert result.ok, [str(v) for v in result.violations]
    assert result.breaches == 0
    assert not certificate.breach.any()
    assert not certificate.refused.any()
    assert certificate.holds
    assert result.smallest_slack >= 0


@settings(max_examples=50)
@given(instances(batch=(5,)), st.sampled_from(["blend", "project", "switch"]), st.booleans())
def test_batch_and_filter_agree_with_the_exact_check(instance, method, horizon_aware) -> None:
    bound = tight_bound(instance) if horizon_aware else None
    _, certificate, played = play(
        instance, Better(0), Vertices(1), rho=0.02, method=method, footprint_bound=bound
    )
    quick, exact = (verify(certificate, instance, played, exact=e) for e in (False, True))
    assert quick.ok
    assert exact.ok
    assert (quick.episodes, quick.slots) == (5, 5 * instance.horizon)
    assert exact.exact == 5
    assert quick.smallest_slack <= exact.smallest_slack + 1e-12


@given(instances(), st.integers(0, 99), st.sampled_from(["blend", "project", "switch"]))
def test_advice_that_is_the_expert_changes_nothing(instance, seed, method) -> None:
    _, certificate, played = play(instance, Vertices(seed), Vertices(seed), rho=0, method=method)
    np.testing.assert_array_equal(played, np.maximum(certificate.expert, 0))
    assert (certificate.alpha == 1).all()


@given(instances(), st.integers(0, 99), st.sampled_from(["blend", "project", "switch"]))
def test_a_large_allowance_leaves_the_advice_alone(instance, seed, method) -> None:
    _, certificate, played = play(
        instance, Worst(seed), Vertices(1), rho=1e12, allowance=1e12, method=method
    )
    np.testing.assert_array_equal(played, rollout(Worst(seed), instance, keep=True).allocation)
    assert (certificate.alpha == 1).all()


def two_regions(price: list[list[float]], intensity: float = 0.0, **objective: float) -> Instance:
    """One gateway with a unit of demand, two data centers."""
    from equiload.envs import Trace

    prices = np.array(price)
    T = len(prices)
    return Instance(
        fleet=Fleet(datacenters=("a", "b"), gateways=("g",), capacity=np.ones(2)),
        trace=Trace(
            price=prices,
            intensity=np.full((1, T, 2), intensity),
            demand=np.ones((T, 1)),
            timestamps=np.datetime64("2024-01-01", "s") + np.arange(T) * np.timedelta64(1, "h"),
            footprints=("carbon",),
        ),
        objective=Objective(equity_weight=objective or {"carbon": 1.0}),
    )


class Always:
    """Everything to one data center."""

    def __init__(self, datacenter: int, value: float = 1.0) -> None:
        self.datacenter, self.value = datacenter, value

    def reset(self, *args) -> None:
        pass

    def act(self, slot: Slot, state: State) -> FloatArray:
        allocation = np.zeros((*slot.demand.shape, slot.price.shape[-1]))
        allocation[..., self.datacenter] = self.value
        return allocation


def test_zero_tolerance_still_takes_what_is_better_early_and_spends_it_later() -> None:
    # The advice (a) saves 4 in the first slot, then costs 1 more, then 10 more than the expert (b).
    instance = two_regions([[1, 5], [3, 2], [12, 2]])
    outcome, certificate, _ = play(instance, Always(0), Always(1), rho=0)
    np.testing.assert_allclose(certificate.alpha, [1, 1, 0.3], atol=1e-12)
    np.testing.assert_allclose(certificate.left, [-4, -3, 0], atol=1e-11)
    assert outcome.objective == pytest.approx(9)
    other, _, _ = play(two_regions([[1, 5], [3, 2]]), Always(0), Always(1), rho=0)
    assert other.objective == 4 < 7


def test_switching_never_returns() -> None:
    instance = two_regions([[5, 2], [1, 2]])
    _, certificate, _ = play(instance, Always(0), Always(1), rho=0.5, method="switch")
    np.testing.assert_array_equal(certificate.alpha, [0, 0])
    _, certificate, _ = play(instance, Always(0), Always(1), rho=0.5)
    np.testing.assert_allclose(certificate.alpha, [1 / 3, 1], atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0, -1.0, 0.5])
def test_advice_that_cannot_be_played_is_refused(value: float) -> None:
    instance = two_regions([[1, 2], [1, 2]])
    _, certificate, played = play(instance, Always(0, value), Always(1), rho=1)
    assert certificate.refused.all()
    assert (certificate.alpha == 0).all()
    np.testing.assert_array_equal(played, certificate.expert)
    assert verify(certificate, instance, played, exact=True).ok


def test_a_fixed_mixture_has_no_guarantee_and_the_check_says_where() -> None:
    instance = two_regions([[2, 2], [9, 2], [2, 2]])
    _, certificate, played = play(instance, Always(0), Always(1), rho=0.1, method=FixedMethod(0.5))
    assert not certificate.holds
    for exact in (False, True):
        result = verify(certificate, instance, played, exact=exact)
        assert not result.ok
        assert {v.slot for v in result.violations} == {1, 2, -1}
        assert "slot 1: the condition does not hold" in str(result.violations[0])


def test_the_check_finds_what_is_tampered_with() -> None:
    instance = two_regions([[1, 5], [3, 2], [12, 2]])
    _, certificate, played = play(instance, Always(0), Always(1), rho=0)

    def complaints(certificate=certificate, played=played) -> str:
        results = [verify(certificate, instance, played, exact=e) for e in (False, True)]
        assert [str(v) for v in results[0].violations] == [str(v) for v in results[1].violations]
        return "; ".join(str(v) for v in results[0].violations)

    assert complaints() == ""
    other = played.copy()
    other[2] += [[1e-13, -1e-13]]
    assert "slot 2: the condition does not hold" in complaints(played=other)
    other = played.copy()
    other[1] *= 1.01
    assert "slot 1: the allocation misses the demand" in complaints(played=other)
    low = replace(certificate, left=certificate.left - 1e-9)
    assert "slot 0: the stated left side is too low" in complaints(low)
    high = replace(certificate, right=certificate.right + 1e-9)
    assert "slot 0: the stated right side is too high" in complaints(high)
    assert "the stated excess is too low" in complaints(replace(certificate, excess=np.array(-5.0)))
    assert "alpha is 0" in complaints(replace(certificate, alpha=certificate.alpha * 0))


def test_a_breach_of_the_declared_bound_is_reported() -> None:
    instance = two_regions([[1, 2]] * 3, intensity=2.0)
    bound = footprint_bound(instance.fleet, np.array([[1.0, 1.0]]))
    np.testing.assert_array_equal(bound, [[1.0, 1.0]])
    _, certificate, played = play(instance, Always(0), Always(1), rho=0.1, footprint_bound=bound)
    assert certificate.breach.all()
    assert verify(certificate, instance, played).breaches == 3
    silent = replace(certificate, breach=np.zeros(3, dtype=bool))
    found = [str(v) for v in verify(silent, instance, played).violations]
    assert "slot 0: a breach of the bound is not reported" in found[0]


def test_in_one_state_the_horizon_aware_condition_allows_no_less() -> None:
    from equiload.robust import SafeSet

    rng = np.random.default_rng(0)
    objective = Objective(equity_weight={"carbon": 2.0})
    fleet = Fleet(datacenters=("a", "b", "c"), gateways=("g",), capacity=np.ones(3))
    wins = 0
    for _ in range(200):
        series = (rng.uniform(-1, 2, (3,)), rng.uniform(0, 2, (1, 3)), np.ones(1), np.ones(3))
        before = [rng.dirichlet(np.ones(3))[None] for _ in range(3)]
        alphas = []
        for bound in (None, np.full((1, 3), 2.0)):
            safe = SafeSet(Setting(fleet, objective, 5), rho=0.05, footprint_bound=bound)
            alphas.append(_alpha_after(safe, series, before))
        assert alphas[1] >= alphas[0] - 1e-12
        wins += alphas[1] > alphas[0] + 1e-6
    assert wins > 0


def _alpha_after(safe, series, history) -> float:
    """Step after four expert slots with one common departure, from the same state."""
    from equiload.robust import blend

    expert, other, advice = history
    ledger = None
    for t in range(5):
        turn = safe.turn(ledger, Slot(*series, index=t, timestamp=None), expert)
        ledger = turn.followed
        if t == 0:
            _, ledger = turn.departure(expert + 0.01 * (other - expert))
    return float(blend(turn, advice).alpha)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -1.0}, "rho is -1.0, expected a finite number of at least 0"),
        ({"rho": np.nan}, "rho is nan, expected"),
        ({"rho": "much"}, "rho must hold numbers"),
        ({"rho": 1e-60}, "rho is 1e-60, expected .* 0 or from 1e-50 to 1e.50 in size"),
        ({"rho": 0.1, "allowance": np.inf}, "allowance is inf, expected a finite number"),
        ({"rho": 0.1, "method": "hope"}, "method must be one of"),
        ({"rho": 0.1, "footprint_bound": np.ones(3)}, "footprint_bound must broadcast"),
        ({"rho": 0.1, "footprint_bound": -np.ones(2)}, "at least 0"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    instance = two_regions([[1, 2]])
    with pytest.raises(DataError, match=message):
        rollout(RobustPolicy(GLBCost(), GLBCost(), **options), instance)
    with pytest.raises(DataError, match="'weight' must be at most 1"):
        FixedMethod(1.5)


def test_without_the_experts_allocations_the_certificate_is_the_same_but_not_verified() -> None:
    instance = synthetic(3, horizon=12)
    certificates = []
    for keep_expert in (True, False):
        policy = RobustPolicy(GLBCost(), EGLB(), rho=0.05, keep_expert=keep_expert)
        rollout(policy, instance)
        certificates.append(policy.certificate())
    kept, lean = certificates
    assert lean.expert.size == 0
    assert lean.verdict() == kept.verdict()
    np.testing.assert_array_equal(lean.slack, kept.slack)
    assert lean.digest == kept.digest
    (violation,) = verify(lean, instance, kept.expert).violations
    assert "make the layer with keep_expert" in str(violation)


@pytest.mark.parametrize("keep_expert", [True, False])
def test_the_digest_names_the_experts_decisions(keep_expert: bool) -> None:
    from hashlib import sha256

    instance = synthetic(3, horizon=12)
    certificates = {}
    for advice, expert in ((GLBCost, EGLB), (EGLB, EGLB), (EGLB, GLBCost)):
        policy = RobustPolicy(advice(), expert(), rho=0.05, keep_expert=keep_expert)
        played = rollout(policy, instance, keep=True).allocation
        certificates[advice, expert] = policy.certificate()
    again = rollout(GLBCost(), instance, keep=True).allocation
    slots = b"".join(sha256(slot.tobytes()).digest() for slot in again)
    certificate = certificates[EGLB, GLBCost]
    assert certificate.digest == sha256(slots).hexdigest()
    assert certificates[GLBCost, EGLB].digest == certificates[EGLB, EGLB].digest
    assert certificates[EGLB, EGLB].digest != certificate.digest
    # Whoever makes the expert's decisions again verifies a certificate that kept none.
    assert verify(replace(certificate, expert=again), instance, played).ok
    (violation,) = verify(
        replace(certificate, expert=again, digest="0"), instance, played
    ).violations
    assert "the digest is not that of the expert's allocations" in str(violation)


def test_an_expert_that_leaves_dust_is_certified_and_verified_alike() -> None:
    """The footprint is all dust: products of it are subnormal, and not exact."""

    class Dust(Always):
        def act(self, slot: Slot, state: State) -> FloatArray:
            allocation = super().act(slot, state)
            allocation[..., 1] = self.dust
            return allocation

    clean = two_regions([[0.0, 0.0]] * 3, carbon=1e-50)
    intensity = np.broadcast_to([0.0, 1e-50], (1, 3, 2))
    closed = np.tile([1.0, 0.0], (3, 1))
    trace = replace(clean.trace, intensity=intensity, availability=closed)
    instance, expert = clean.replace(trace=trace), Dust(0)
    rng = np.random.default_rng(0)
    for expert.dust in 10.0 ** rng.uniform(-300, -150, 100):
        for bound in (None, np.zeros((1, 2))):
            _, certificate, played = play(
                instance, Always(0), expert, rho=1.0, footprint_bound=bound
            )
            result = verify(certificate, instance, played, exact=True)
            assert certificate.holds
            assert result.ok, [str(violation) for violation in result.violations]


def test_certificate_before_the_first_slot_and_advice_of_the_wrong_shape() -> None:
    instance = two_regions([[1, 2]])
    policy = RobustPolicy(GLBCost(), GLBCost(), rho=0.1)
    policy.reset(Setting.of(instance))
    with pytest.raises(DataError, match="no slot to certify"):
        policy.certificate()
    with pytest.raises(DataError, match="the advice has shape"):
        policy.layer.act(Slot.of(instance, 0), np.zeros((2, 2)))


def test_ratio_bounds_the_distance_to_the_offline_optimum() -> None:
    instance = two_regions([[1, 2], [2, 1]], intensity=1.0)
    outcome, certificate, _ = play(instance, GLBCost(), GLBCost(), rho=0)
    # J = 2 + max(1, 1) = 3 is optimal.
    assert certificate.ratio(outcome) == pytest.approx(1.0)
    assert certificate.ratio(outcome, np.array([[0.5, 0.5]])) == pytest.approx(1.0)


def test_long_horizon_keeps_the_exact_inequality() -> None:
    rng = np.random.default_rng(3)
    T = 3000
    instance = two_regions(rng.normal(30, 30, (T, 2)).tolist(), intensity=0.37)
    _, certificate, played = play(instance, Better(0), Vertices(1), rho=1e-4)
    result = verify(certificate, instance, played, exact=True)
    assert result.ok, [str(v) for v in result.violations[:3]]
    assert 0 < certificate.alpha.mean() < 1
