"""Blend and project against CVXPY statements of the same problems; gradients of the blend."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.envs import Instance, Slot
from equiload.robust import Projector, SafeSet, blend
from equiload.robust.safe import Ledger, Rates
from strategies import instances


def state(instance: Instance, seed: int, bound: np.ndarray | None):
    """A slot with expert and advice after some random, certified history."""
    rng = np.random.default_rng(seed)
    dispatch = instance.fleet.dispatch
    safe = SafeSet(
        fleet=instance.fleet,
        objective=instance.objective,
        rho=0.05,
        allowance=1.0,
        horizon=instance.horizon,
        footprint_bound=bound,
    )
    ledger = None
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        rates = safe.rates(slot.price, slot.intensity, slot.capacity)
        ledger = safe.open(rates) if ledger is None else ledger
        pair = rng.normal(size=(2, *slot.price.shape))
        expert, advice = dispatch.allocation(pair, slot.demand, slot.capacity)
        step = safe.step(rates, expert)
        followed = safe.follow(ledger, rates, step, t)
        played = blend(safe, followed, rates, expert, advice, step)
        ledger = played.ledger
    return safe, followed, rates, slot, expert, advice, step, played


def condition(safe: SafeSet, followed: Ledger, rates: Rates, towards) -> list:
    """The condition on ``towards = y − y^π`` in CVXPY's words."""
    load = cp.sum(towards, axis=0)
    left = followed.cost + rates.cost @ load
    if safe.fleet.routing_cost is not None:
        left += cp.sum(cp.multiply(safe.fleet.routing_cost, towards))
    for k, mu in enumerate(safe.objective.mu):
        added = cp.multiply(rates.footprint[k], load) @ safe.fleet.membership
        left += mu * cp.max(followed.footprint[k] - followed.head[k] + added)
    return [left <= followed.right]


def bound_of(instance: Instance, wanted: bool) -> np.ndarray | None:
    drawn = instance.fleet.pue * instance.capacity[None]
    added = instance.trace.intensity * drawn @ instance.fleet.membership
    return added.max(-2) if wanted else None


@settings(max_examples=60)
@given(instances(), st.integers(0, 999), st.booleans())
def test_blend_is_the_largest_step(instance: Instance, seed: int, horizon_aware: bool) -> None:
    safe, followed, rates, _, expert, advice, _, played = state(
        instance, seed, bound_of(instance, horizon_aware)
    )
    alpha = cp.Variable(bounds=[0, 1])
    problem = cp.Problem(
        cp.Maximize(alpha), condition(safe, followed, rates, alpha * (advice - expert))
    )
    problem.solve(solver=cp.HIGHS)
    assert problem.status == "optimal"
    # Where the condition hardly depends on α, α is not determined to 1e-7, but the side is.
    if abs(float(played.alpha) - float(alpha.value)) > 1e-7:
        size = np.abs(expert).sum() * (1 + np.abs(rates.cost).max() + rates.footprint.max())
        assert followed.right - followed.left <= 1e-7 * (1 + size)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # the oracle's, at 1e-10
@settings(max_examples=60)
@given(instances(), st.integers(0, 999), st.booleans())
def test_projection_is_the_nearest_safe_point(instance, seed, horizon_aware) -> None:
    safe, followed, rates, slot, expert, advice, _, _ = state(
        instance, seed, bound_of(instance, horizon_aware)
    )
    nearest = Projector(safe).project(followed, rates, slot.demand, expert, advice)
    y = cp.Variable(advice.shape, nonneg=True)
    limits = [
        cp.sum(y, axis=1) == slot.demand,
        cp.sum(y, axis=0) <= slot.capacity,
        y[~instance.fleet.reachable] == 0,
    ]
    if instance.fleet.reachable.all():
        limits.pop()
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(y - advice)),
        limits + condition(safe, followed, rates, y - expert),
    )
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    problem.solve(solver=cp.CLARABEL, **tight)
    distance = np.linalg.norm(nearest - advice)
    assert distance**2 == pytest.approx(max(problem.value, 0), abs=1e-7)


def tensors(instance: Instance, seed: int):
    safe, followed, rates, _, expert, advice, *_ = state(instance, seed, None)
    to = torch.as_tensor
    names = Ledger.__dataclass_fields__
    ledger = Ledger(**{n: to(np.array(getattr(followed, n))) for n in names})
    return safe, ledger, Rates(*(to(np.array(x)) for x in rates)), to(expert), to(advice)


@settings(max_examples=60)
@given(instances(), st.integers(0, 999))
def test_torch_gives_what_numpy_gives(instance: Instance, seed: int) -> None:
    *_, played = state(instance, seed, None)
    safe, ledger, rates, expert, advice = tensors(instance, seed)
    got = blend(safe, ledger, rates, expert, advice, safe.step(rates, expert))
    np.testing.assert_allclose(got.alpha.numpy(), played.alpha, atol=1e-12)
    np.testing.assert_allclose(got.allocation.numpy(), played.allocation, atol=1e-12)
    assert bool(safe.certified(got.ledger))


def test_gradients_of_the_blend() -> None:
    rng = np.random.default_rng(0)
    checked = 0
    for seed in range(240):
        instance = _random(rng)
        safe, ledger, rates, expert, advice = tensors(instance, seed)

        def alpha(advice, expert, price, safe=safe, ledger=ledger, rates=rates):
            changed = Rates(price, rates.footprint, rates.room)
            return blend(
                safe, ledger, changed, expert, advice, safe.step(changed, expert)
            ).allocation

        start = blend(safe, ledger, rates, expert, advice, safe.step(rates, expert))
        if not 0.01 < float(start.alpha) < 0.99:
            continue
        inputs = tuple(x.clone().requires_grad_() for x in (advice, expert, rates.cost))
        assert torch.autograd.gradcheck(alpha, inputs, eps=1e-7, atol=1e-4, rtol=1e-4)
        checked += 1
    assert checked >= 3


def _random(rng: np.random.Generator) -> Instance:
    from equiload.experiments.campaign import random_instances

    while True:
        instance = random_instances(rng, 1)[0]
        load = instance.trace.demand.max()
        top = max(instance.trace.price.max(), instance.trace.intensity.max())
        if 0.01 < load < 100 and 0.01 < top < 1e3 and instance.objective.mu.max() <= 1:
            return instance
