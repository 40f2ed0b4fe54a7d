"""eGLB against the algorithm written out in plain loops, and its properties."""

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from equiload.agents import EGLB, GLBCost, GLBDist, GLBFootprint, ShadowPrices
from equiload.envs import DataError, Instance, Objective, Setting, Slot, State, rollout
from equiload.envs.data import synthetic
from equiload.testing.strategies import instances


def plain_eglb(instance: Instance, options: dict) -> tuple[np.ndarray, np.ndarray]:
    """Loads and final multipliers, spelt out; the dispatch is the project's (tested elsewhere)."""
    fleet, trace, mu = instance.fleet, instance.trace, instance.objective.mu
    T, N = trace.price.shape
    K, R = len(mu), len(fleet.regions)
    entropic = options["mirror"] == "entropic"
    gamma = [[1 / R if entropic else 0.0] * R for _ in range(K)]
    total = [0.0] * K
    loads = np.zeros((T, N))
    for t in range(T):
        unit = np.zeros(N)
        for i in range(N):
            unit[i] = trace.price[t, i]
            for k in range(K):
                unit[i] += gamma[k][fleet.region_of[i]] * mu[k] * trace.intensity[k, t, i]
            unit[i] *= fleet.pue[i]
        allocation = fleet.dispatch.allocation(unit, trace.demand[t], instance.capacity[t])
        loads[t] = allocation.sum(0)
        eta = options["step_size"] / math.sqrt(T if options["schedule"] == "constant" else t + 1)
        for k in range(K):
            full_load = sum(trace.intensity[k, t] * fleet.pue * fleet.capacity) / R
            total[k] += mu[k] * full_load
            scale = total[k] / (t + 1)
            if not scale:
                continue
            crowded = sum(max(g, 0) for g in gamma[k]) > 1
            for r in range(R):
                used = sum(
                    trace.intensity[k, t, i] * fleet.pue[i] * loads[t, i]
                    for i in range(N)
                    if fleet.region_of[i] == r
                )
                z = options["z_max"] * scale if crowded and gamma[k][r] > 0 else 0.0
                move = eta / scale * (mu[k] * used - z)
                factor = math.exp(min(max(move, -2), 2))
                gamma[k][r] = min(gamma[k][r] * factor, 1e6) if entropic else gamma[k][r] + move
    return loads, np.array(gamma)


def test_eglb_is_the_algorithm_spelt_out() -> None:
    differently = []  # examples where rounding broke a tie between equal unit costs otherwise

    @settings(max_examples=150)
    @given(
        instances(),
        st.fixed_dictionaries(
            {
                "step_size": st.floats(0.01, 3),
                "z_max": st.floats(0, 3),
                "mirror": st.sampled_from(["euclidean", "entropic"]),
                "schedule": st.sampled_from(["constant", "inverse_sqrt"]),
            }
        ),
    )
    def check(instance: Instance, options: dict) -> None:
        policy = EGLB(**options)
        outcome = rollout(policy, instance)
        loads, gamma = plain_eglb(instance, options)
        same = np.isclose(loads, outcome.load, atol=1e-9).all(1)
        assert same[0]
        differently.append(not same.all())
        if same.all():  # otherwise multipliers differ too
            np.testing.assert_allclose(policy.multipliers, gamma, rtol=1e-9, atol=1e-12)

    check()
    assert np.mean(differently) < 0.02  # none when this was written


@given(st.floats(0.01, 5), st.floats(0.1, 3), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_z_solves_its_subproblem(total: float, z_max: float, R: int, seed: int) -> None:
    """``z = argmin max_r z_r − Σ γ_r z_r`` over ``[0, z_max]``: the closed form against HiGHS."""
    gamma = np.random.default_rng(seed).normal(0.3, 1.0, R) * total
    closed = z_max * (gamma > 0) * (np.maximum(gamma, 0).sum() > 1)
    value = closed.max() - gamma @ closed
    best = linprog(
        np.append(-gamma, 1.0),
        A_ub=np.hstack([np.eye(R), -np.ones((R, 1))]),
        b_ub=np.zeros(R),
        bounds=[(0, z_max)] * R + [(None, None)],
    )
    assert value == pytest.approx(best.fun, abs=1e-9)


def test_units_do_not_matter() -> None:
    """In another currency eGLB does the same."""
    differently = []  # examples where rounding broke a tie otherwise

    @given(instances(full=True), st.sampled_from([1e-6, 1e9]))
    def check(instance: Instance, currency: float) -> None:
        policy, other = EGLB(), EGLB()
        outcome = rollout(policy, instance)
        same = rollout(other, in_another_currency(instance, currency))
        equal = np.allclose(outcome.load, same.load, atol=1e-9)
        differently.append(not equal)
        if equal:
            np.testing.assert_allclose(policy.multipliers, other.multipliers, rtol=1e-6)

    check()
    assert np.mean(differently) < 0.02  # none when this was written


def in_another_currency(instance: Instance, currency: float) -> Instance:
    trace, fleet = instance.trace, instance.fleet
    weight = {k: v * currency for k, v in instance.objective.equity_weight.items()}
    routing = None if fleet.routing_cost is None else fleet.routing_cost * currency
    return Instance(
        fleet=fleet.replace(routing_cost=routing),
        trace=dataclasses.replace(trace, price=trace.price * currency),
        objective=Objective(equity_weight=weight),
    )


@settings(max_examples=30)
@given(instances(most_slots=12), st.integers(0, 11), st.sampled_from([0.0, 1e-9, 1e9]))
def test_no_single_slot_throws_the_multipliers_out_of_reach(
    instance: Instance, t: int, factor: float
) -> None:
    trace = instance.trace
    intensity = trace.intensity.copy()
    intensity[:, t % instance.horizon] *= factor
    freak = instance.replace(trace=dataclasses.replace(trace, intensity=intensity))
    policy = EGLB()
    rollout(policy, freak)
    assert np.isfinite(policy.multipliers).all()
    assert (policy.multipliers >= 0).all()


def test_many_parameters_run_as_a_batch(paper: Instance) -> None:
    part = paper.window(0, 48)
    steps = np.array([0.5, 1.0, 2.0])
    batch = part.replace(trace=type(part.trace).stack([part.trace] * 3))
    together = rollout(EGLB(step_size=steps), batch)
    for b, step in enumerate(steps):
        alone = rollout(EGLB(step_size=step), part)
        np.testing.assert_array_equal(together.load[b], alone.load)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mirror": "spherical"}, "'mirror' must be 'euclidean' or 'entropic', got 'spherical'"),
        ({"schedule": "linear"}, "'schedule' must be 'constant' or 'inverse_sqrt', got 'linear'"),
        ({"step_size": 0.0}, "step_size must be positive, got 0.0"),
        ({"step_size": np.nan}, "step_size must be positive, got nan"),
        ({"step_size": [None]}, "step_size must be positive, got [None]"),
        ({"z_max": [10**400]}, "'z_max' must be a number or an array, got"),
        ({"z_max": -1.0}, "z_max must be at least 0, got -1.0"),
    ],
)
def test_options_are_checked(options: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        EGLB(**options)


@settings(max_examples=60)
@given(instances(batch=(2,)), st.integers(0, 2**32 - 1))
def test_every_policy_is_feasible_and_batches(instance: Instance, seed: int) -> None:
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    weights = np.random.default_rng(seed).dirichlet(np.ones(R), K)
    policies = [GLBCost(), GLBDist(), GLBFootprint("kind0"), ShadowPrices(weights)]
    for policy in policies:
        together = rollout(policy, instance)  # raises where infeasible
        for b in range(2):
            np.testing.assert_allclose(
                together.load[b], rollout(policy, instance[b]).load, atol=1e-12
            )


def test_greedy_rules_say_what_they_lack(paper: Instance) -> None:
    with pytest.raises(DataError, match="there is no footprint kind 'noise'"):
        rollout(GLBFootprint("noise"), paper)
    with pytest.raises(DataError, match="GLB-Dist needs a distance in km"):
        rollout(GLBDist(), paper.replace(fleet=paper.fleet.replace(distance=None)))
    with pytest.raises(DataError, match="shadow-price weights have shape"):
        rollout(ShadowPrices(np.ones((3, 3))), paper)
    with pytest.raises(DataError, match="finite and at least 0"):
        ShadowPrices(-np.ones((2, 10)))


def test_nearest_data_center_first() -> None:
    """Two gateways want the near data center, which has room for one and a half."""
    from equiload.envs import Fleet, Trace

    instance = Instance(
        fleet=Fleet(
            datacenters=("near", "far"),
            gateways=("a", "b"),
            capacity=[1.5, 5.0],
            distance=[[1.0, 10.0], [2.0, 4.0]],
        ),
        trace=Trace(
            price=np.zeros((1, 2)),
            intensity=np.zeros((1, 1, 2)),
            demand=np.ones((1, 2)),
            timestamps=np.array(["2024-01-01"], dtype="datetime64[s]"),
            footprints=("carbon",),
        ),
        objective=Objective(equity_weight={"carbon": 1}),
    )
    policy = GLBDist()
    policy.reset(Setting.of(instance))
    allocation = policy.act(Slot.of(instance, 0), State.start(Setting.of(instance)))
    np.testing.assert_allclose(allocation, [[1.0, 0.0], [0.5, 0.5]])


def test_options_of_another_batch_are_named() -> None:
    with pytest.raises(DataError, match=r"step_size has shape \(2,\), the batch \(3,\)"):
        rollout(EGLB(step_size=np.ones(2)), synthetic(0, horizon=2, batch=3))
