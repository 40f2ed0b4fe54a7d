"""eGLB-MPC and eGLB with predicted duals, and the warm solver beneath them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, EGLBMPC, EGLBOff, EGLBPredicted, ShadowPrices
from equiload.agents.forecast import (
    Adversarial,
    Climatology,
    PastDays,
    Perfect,
    Persistence,
    SameHour,
)
from equiload.agents.offline import solve_decomposition, solve_lp
from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import DataError, Instance, Setting, Slot, State, dual_bound, rollout
from equiload.envs.data import bloom10, synthetic
from equiload.robust import RobustPolicy
from equiload.testing.strategies import instances


def size(instance: Instance) -> float:
    cost = np.abs(instance.trace.price).max() + instance.trace.intensity.max()
    routing = 0.0 if instance.fleet.routing_cost is None else instance.fleet.routing_cost.max()
    return float((1 + cost + routing) * (1 + instance.trace.demand.sum()) * 20)


def begun(instance: Instance, seed: int) -> State:
    shape = (len(instance.objective.mu), len(instance.fleet.regions))
    return State(np.zeros(()), np.random.default_rng(seed).uniform(0, 10, shape))


@settings(max_examples=80)
@given(instances(), st.integers(0, 2**32 - 1))
def test_solvers_agree_from_any_start(instance: Instance, seed: int) -> None:
    start = begun(instance, seed)
    tight = 1e-8 * size(instance) + 1e-7 * start.footprint.sum() * (1 + instance.objective.mu.sum())
    lp = solve_lp(instance, start=start)
    decomposed = solve_decomposition(instance, tolerance=1e-9, start=start)
    assert lp.lower_bound == pytest.approx(lp.objective, abs=tight)
    assert decomposed.objective == pytest.approx(lp.objective, abs=10 * tight)
    assert decomposed.lower_bound <= lp.objective + tight
    # What is said of the objective is so.
    highest = (start.footprint + lp.outcome.footprint).max(-1)
    assert lp.objective == pytest.approx(
        float(lp.outcome.energy_cost + highest @ instance.objective.mu)
    )
    none = solve_lp(instance, start=State.start(Setting.of(instance))).objective
    assert none == pytest.approx(solve_lp(instance).objective, abs=tight)


@settings(max_examples=40)
@given(instances(), st.integers(0, 2**32 - 1))
def test_a_warm_solver_certifies_whatever_changed(instance: Instance, seed: int) -> None:
    """Prices turned round between calls: bounds still hold, and the optimum is still found."""
    solver = Decomposition(tolerance=1e-9)
    solver.solve(instance)
    trace = instance.trace
    fields = {name: getattr(trace, name) for name in type(trace).__dataclass_fields__}
    other = instance.replace(trace=type(trace)(**{**fields, "price": 5 - trace.price}))
    start = begun(instance, seed)
    warm, exact = solver.solve(other, start=start), solve_lp(other, start=start)
    tight = 1e-8 * size(other) + 1e-7 * start.footprint.sum() * (1 + instance.objective.mu.sum())
    assert warm.lower_bound <= exact.objective + tight
    assert warm.objective == pytest.approx(exact.objective, abs=10 * tight)


def test_going_on_is_quicker_than_beginning_anew() -> None:
    instance = synthetic(seed=3, horizon=200)
    solver = Decomposition(tolerance=1e-4)
    cold = solver.solve(instance.window(0, 168)).stats["rounds"]
    warm = [solver.solve(instance.window(t, 168)).stats["rounds"] for t in range(1, 20)]
    assert np.mean(warm) < 0.6 * cold


@settings(max_examples=40)
@given(instances(), st.integers(0, 2**32 - 1))
def test_many_weights_at_once(instance: Instance, seed: int) -> None:
    rng = np.random.default_rng(seed)
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    weights, start = rng.dirichlet(np.ones(R), (3, K)), begun(instance, seed)
    together = dual_bound(instance, weights, start=start)
    for m in range(3):
        alone = dual_bound(instance, weights[m], start=start)
        assert together.value[m] == pytest.approx(float(alone.value))
        added = float(np.einsum("k,kr,kr->", instance.objective.mu, weights[m], start.footprint))
        assert alone.value - dual_bound(instance, weights[m]).value == pytest.approx(
            added, abs=1e-9 * (size(instance) + added)
        )


POLICIES = {
    "mpc": lambda: EGLBMPC(SameHour()),
    "mpc, now and then": lambda: EGLBMPC(Climatology(), every=3, memory=4),
    "mpc, samples": lambda: EGLBMPC(PastDays(samples=2), every=2),
    "predicted": lambda: EGLBPredicted(Persistence(), trust=0.4, after=2),
    "against": lambda: EGLBMPC(Adversarial(SameHour(), size=1.0)),
}


@settings(max_examples=12)
@given(instances(batch=(2,)), st.sampled_from(sorted(POLICIES)))
def test_feasible_and_a_batch_is_its_instances(instance: Instance, name: str) -> None:
    together = rollout(POLICIES[name](), instance)  # raises where infeasible
    for b in range(2):
        alone = rollout(POLICIES[name](), instance[b])
        np.testing.assert_allclose(together.load[b], alone.load, atol=1e-9)


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_with_the_perfect_forecast_it_is_nearly_optimal(reachability: str) -> None:
    gaps = []
    for d in range(2):
        instance = synthetic(seed=f"test/{d}", horizon=336, reachability=reachability)
        best = EGLBOff().solve(instance).lower_bound
        gaps.append(rollout(EGLBMPC(Perfect(instance)), instance).objective / best - 1)
    assert 0 <= np.mean(gaps) < 0.003


@pytest.mark.slow
def test_yesterday_beats_mirror_descent_on_draws_nothing_was_chosen_on() -> None:
    gaps = {"mpc": [], "eglb": []}
    for d in range(6):
        instance = synthetic(seed=f"test/{d}", horizon=457)
        best = EGLBOff().solve(instance).lower_bound
        policies = {"mpc": EGLBMPC(SameHour(), every=3, memory=24), "eglb": EGLB()}
        for name, policy in policies.items():
            gaps[name].append(rollout(policy, instance).objective / best - 1)
    assert np.mean(gaps["mpc"]) < np.mean(gaps["eglb"])


def test_trust_none_and_all() -> None:
    instance = synthetic(seed=4, horizon=60)
    none = rollout(EGLBPredicted(SameHour(), trust=0.0, after=24), instance)
    np.testing.assert_array_equal(none.load, rollout(EGLB(), instance).load)
    full = EGLBPredicted(Perfect(instance), trust=1.0, tolerance=1e-6)
    load = rollout(full, instance).load
    dispatched = rollout(ShadowPrices(full.predicted), instance).load
    np.testing.assert_allclose(load, dispatched, atol=1e-12)
    best = EGLBOff().solve(instance)
    value = dual_bound(instance, full.predicted).value
    assert value == pytest.approx(best.lower_bound, rel=1e-5)


def test_predicted_anew_and_trusted_fully_it_is_mpc() -> None:
    instance = synthetic(seed=4, horizon=60)
    predicted = rollout(EGLBPredicted(SameHour(), trust=1.0, every=3), instance)
    again = rollout(EGLBMPC(SameHour(), every=3), instance)
    np.testing.assert_allclose(predicted.load, again.load, atol=1e-9)


def test_what_was_played_counts_not_what_was_proposed() -> None:
    instance = synthetic(seed=4, horizon=30)
    before: list[np.ndarray] = []

    class Watched(EGLBMPC):
        def act(self, slot: Slot, state: State) -> np.ndarray:
            before.append(state.footprint)
            return super().act(slot, state)

    outcome = rollout(RobustPolicy(Watched(SameHour()), EGLB(), rho=0.0), instance)
    played = outcome.cumulative_footprint()
    for t in range(1, 30):
        np.testing.assert_allclose(before[t], played[:, t - 1], atol=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_the_guarantee_holds_whatever_is_predicted(rho: float) -> None:
    instance = synthetic(seed="test/5", horizon=120)
    wrong = EGLBMPC(Adversarial(Perfect(instance), size=1.0))
    policy = RobustPolicy(wrong, EGLB(), rho=rho)
    objective = rollout(policy, instance).objective
    assert policy.certificate().holds.all()
    expert = rollout(EGLB(), instance)
    money = np.abs(expert.cost).sum() + expert.max_footprint @ instance.objective.mu
    assert objective <= expert.objective + rho * money + 1e-6 * money
    assert (
        objective < rollout(EGLBMPC(Adversarial(Perfect(instance), size=1.0)), instance).objective
    )


@pytest.mark.slow
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_perfect_on_the_paper_trace(bloom10_root, reachability: str) -> None:
    paper = bloom10(bloom10_root, reachability=reachability)
    best = EGLBOff().solve(paper).lower_bound
    gap = rollout(EGLBMPC(Perfect(paper)), paper).objective / best - 1
    assert 0 <= gap < 0.003


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_yesterday_beats_mirror_descent_on_the_paper_trace(
    bloom10_root: Path, reachability: str
) -> None:
    """Nothing was chosen on this trace."""
    paper = bloom10(bloom10_root, reachability=reachability)
    mine = rollout(EGLBMPC(SameHour(), every=3, memory=24), paper).objective
    assert mine < rollout(EGLB(), paper).objective


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: EGLBMPC(SameHour(), every=0),
        lambda: EGLBMPC(SameHour(), memory=0),
        lambda: EGLBMPC(SameHour(), tolerance=0),
        lambda: EGLBPredicted(SameHour(), trust=1.5),
        lambda: EGLBPredicted(SameHour(), after=-1),
        lambda: EGLBPredicted(SameHour(), every=0),
    ],
)
def test_options_are_checked(wrong) -> None:
    with pytest.raises(DataError):
        wrong()
