"""Blend and project against CVXPY statements of the same problems; gradients of the blend."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.envs import Instance, Setting, Slot
from equiload.robust import Projector, Rates, SafeSet, Turn, blend
from equiload.testing.strategies import instances


def state(instance: Instance, seed: int, bound: np.ndarray | None):
    """A slot with expert and advice after some random, certified history."""
    rng = np.random.default_rng(seed)
    dispatch = instance.fleet.dispatch
    safe = SafeSet(Setting.of(instance), rho=0.05, allowance=1.0, footprint_bound=bound)
    ledger = None
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        pair = rng.normal(size=(2, *slot.price.shape))
        expert, advice = dispatch.allocation(pair, slot.demand, slot.capacity)
        turn = safe.turn(ledger, slot, expert)
        played = blend(turn, advice)
        ledger = played.ledger
    return turn, advice, played


def bound_of(instance: Instance, wanted: bool) -> np.ndarray | None:
    drawn = instance.fleet.pue * instance.capacity[None]
    added = instance.trace.intensity * drawn @ instance.fleet.membership
    return added.max(-2) if wanted else None


def size_of(turn: Turn) -> float:
    """US$: the order of magnitude of the condition's terms."""
    setting, rates, followed = turn.safe.setting, turn.rates, turn.followed
    mu = setting.objective.mu[:, None]
    unit = np.abs(rates.cost).max() + (mu * rates.footprint).sum(0).max()
    if setting.fleet.routing_cost is not None:
        unit += np.abs(setting.fleet.routing_cost).max()
    past = np.abs(followed.cost) + (mu * np.abs(followed.footprint)).sum() + followed.right
    return float(unit * turn.expert.sum() + past) or 1.0


def largest_step(lines: tuple, right: float) -> float:
    """CVXPY's largest ``α`` for a right side; 0 where there is none."""
    cost, rise, height, slope, mu = lines
    alpha = cp.Variable(bounds=[0, 1])
    left = cost + alpha * rise
    for k in range(len(mu)):
        left += mu[k] * cp.max(height[k] + alpha * slope[k])
    problem = cp.Problem(cp.Maximize(alpha), [left <= right])
    tight = dict.fromkeys(("primal_feasibility_tolerance", "dual_feasibility_tolerance"), 1e-10)
    problem.solve(solver=cp.HIGHS, **tight)
    assert problem.status in ("optimal", "infeasible")
    return float(alpha.value) if problem.status == "optimal" else 0.0


def test_blend_is_the_largest_step() -> None:
    """``α`` lies between the oracle's for a right side lower and higher by 1e-9 of the condition.

    No case is left out. Nearly always the two agree to 1e-7, and so α equals them.
    """
    widths, held = [], 0

    @settings(max_examples=150)
    @given(instances(), st.integers(0, 999), st.booleans())
    def check(instance: Instance, seed: int, horizon_aware: bool) -> None:
        nonlocal held
        turn, advice, played = state(instance, seed, bound_of(instance, horizon_aware))
        fleet, rates, followed = instance.fleet, turn.rates, turn.followed
        size = size_of(turn)
        towards = advice - turn.expert
        load = towards.sum(0)
        rise = rates.cost @ load
        if fleet.routing_cost is not None:
            rise += (fleet.routing_cost * towards).sum()
        lines = (
            followed.cost / size,
            rise / size,
            (followed.footprint - followed.head) / size,
            (rates.footprint * load) @ fleet.membership / size,
            instance.objective.mu,
        )
        low, high = (largest_step(lines, followed.right / size + d) for d in (-1e-9, 1e-9))
        assert low - 1e-7 <= played.alpha <= high + 1e-7
        widths.append(high - low)
        held += 1e-6 < played.alpha < 1 - 1e-6

    check()
    assert np.mean(np.array(widths) <= 1e-7) >= 0.95
    assert held >= 10


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_projection_is_the_nearest_safe_point() -> None:
    """The same allocation as Clarabel's to 1e-7 of the slot's demand: the projection is unique.

    Where the advice is safe as it stands, it is itself the truth, to which Clarabel is only near.

    The few cases in which Clarabel itself stops short are counted, and compared by distance.
    """
    moved, stalled = 0, 0

    @settings(max_examples=300)
    @given(instances(), st.integers(0, 999), st.booleans())
    def check(instance: Instance, seed: int, horizon_aware: bool) -> None:
        nonlocal moved, stalled
        turn, advice, _ = state(instance, seed, bound_of(instance, horizon_aware))
        demand = turn.slot.demand
        nearest = Projector(turn.safe).project(
            turn.followed, turn.rates, demand, turn.expert, advice
        )
        unit = demand.sum() or 1.0
        found, exact = oracle(turn, advice)
        if turn.safe.certified(turn.departure(advice)[1]):
            np.testing.assert_allclose(nearest / unit, advice / unit, atol=1e-9)
        elif exact:
            np.testing.assert_allclose(nearest / unit, found, atol=1e-7)
        else:  # the oracle stalled short of 1e-13: it must not be nearer
            assert np.linalg.norm(nearest - advice) <= np.linalg.norm(found * unit - advice) + 1e-7
            stalled += 1
        moved += np.abs(nearest - advice).max() > 1e-6 * unit

    check()
    assert moved >= 20
    assert stalled <= 15


def oracle(turn: Turn, advice: np.ndarray) -> tuple[np.ndarray, bool]:
    """The projection in units of the demand, all scaled to order 1; did Clarabel reach 1e-13?"""
    safe, slot, rates, expert, _, followed = turn
    fleet, objective = safe.setting.fleet, safe.setting.objective
    unit, size = slot.demand.sum() or 1.0, size_of(turn)
    reachable = fleet.reachable
    y = cp.Variable(advice.shape)
    towards = y - expert / unit
    load = cp.sum(towards, axis=0)
    left = followed.cost / size + (rates.cost * unit / size) @ load
    if fleet.routing_cost is not None:
        left += cp.sum(cp.multiply(fleet.routing_cost * unit / size, towards))
    for k, mu in enumerate(objective.mu):
        added = cp.multiply(rates.footprint[k] * unit / size, load) @ fleet.membership
        left += mu * cp.max((followed.footprint[k] - followed.head[k]) / size + added)
    limits = [
        cp.sum(y, axis=1) == slot.demand / unit,
        load <= (slot.capacity - expert.sum(0)) / unit,
        y >= 0,
        left <= followed.right / size,
    ]
    if not reachable.all():
        limits.append(y[~reachable] == 0)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y - advice / unit)), limits)
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-13)
    problem.solve(solver=cp.CLARABEL, max_iter=500, **tight)
    return y.value, problem.status == "optimal"


def tensors(instance: Instance, seed: int):
    turn, advice, played = state(instance, seed, None)
    ledger, rates = (
        type(parts)(*(torch.as_tensor(np.array(part)) for part in parts))
        for parts in (turn.followed, turn.rates)
    )
    turn = turn._replace(followed=ledger, expert=torch.as_tensor(turn.expert))
    return with_rates(turn, rates), torch.as_tensor(advice), played


def with_rates(turn: Turn, rates: Rates) -> Turn:
    """The same turn at other rates; what the expert has done before stays."""
    return turn._replace(rates=rates, effect=turn.safe.effect(rates, turn.expert))


@settings(max_examples=60)
@given(instances(), st.integers(0, 999))
def test_torch_gives_what_numpy_gives(instance: Instance, seed: int) -> None:
    turn, advice, played = tensors(instance, seed)
    got = blend(turn, advice)
    np.testing.assert_allclose(got.alpha.numpy(), played.alpha, atol=1e-12)
    np.testing.assert_allclose(got.allocation.numpy(), played.allocation, atol=1e-12)
    assert bool(turn.safe.certified(got.ledger))


def test_gradients_of_the_blend() -> None:
    rng = np.random.default_rng(0)
    checked = 0
    for seed in range(1200):
        if checked == 25:
            break
        instance = _random(rng)
        turn, advice, _ = tensors(instance, seed)

        def allocation(advice, expert, cost, turn=turn):
            rates = turn.rates._replace(cost=cost)
            return blend(with_rates(turn._replace(expert=expert), rates), advice).allocation

        start = blend(turn, advice)
        if not 0.01 < float(start.alpha) < 0.99:
            continue
        inputs = tuple(x.clone().requires_grad_() for x in (advice, turn.expert, turn.rates.cost))
        assert torch.autograd.gradcheck(allocation, inputs, eps=1e-7, atol=1e-4, rtol=1e-4)
        checked += 1
    assert checked == 25


def _random(rng: np.random.Generator) -> Instance:
    from equiload.testing.problems import random_problems

    while True:
        instance = random_problems(rng, 1)[0]
        load = instance.trace.demand.max()
        top = max(instance.trace.price.max(), instance.trace.intensity.max())
        if 0.01 < load < 100 and 0.01 < top < 1e3 and instance.objective.mu.max() <= 1:
            return instance
