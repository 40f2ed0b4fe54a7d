"""Features beside the standard observation: what they say, when they say it, and to whom."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from equiload.agents import EGLB, ShadowPrices
from equiload.agents.forecast import Climatology, PastDays, Perfect, SameHour
from equiload.envs import DataError, Instance, Setting, Slot, State, rollout
from equiload.envs.data import synthetic
from equiload.envs.dynamics import shadow_cost
from equiload.envs.forecast import Recorder
from equiload.envs.gym import (
    ENVIRONMENT,
    AgentPolicy,
    DifferentiableSimulator,
    GLBEnv,
    GLBVectorEnv,
    Observer,
)
from equiload.envs.gym.features import (
    ExpertPrices,
    Feature,
    ForecastMeans,
    Place,
    RecentPast,
    SlotsLeft,
)
from equiload.testing.strategies import instances

SEEDS = st.integers(0, 2**32 - 1)


def every_feature() -> list[Feature]:
    forecast = ForecastMeans(Climatology(), hours=3)
    return [ExpertPrices(EGLB()), forecast, RecentPast(), SlotsLeft(), Place()]


def only(feature: Feature, instance: Instance) -> np.ndarray:
    """``[T, ..., width]``: one feature over all of an instance."""
    feature.reset(Setting.of(instance), price_scale=100.0)
    return np.stack([feature.observe(Slot.of(instance, t)) for t in range(instance.horizon)])


def blocks(feature: Feature, instance: Instance) -> dict[str, np.ndarray]:
    """The same in a dict by block, after the observer: ``[T, ..., width]``, float32."""
    observer = Observer("dict", features=[feature])
    observer.reset(Setting.of(instance))
    nothing = State.start(Setting.of(instance))
    seen = [observer.observe(Slot.of(instance, t), nothing) for t in range(instance.horizon)]
    return {name: np.stack([row[name] for row in seen]) for name in seen[0]}


@pytest.fixture(scope="module")
def world() -> Instance:
    return synthetic(3, horizon=72, regions=4, batch=3)


def test_both_checkers_find_nothing(world: Instance) -> None:
    for layout in ("flat", "dict"):
        options: dict[str, Any] = {
            "instance": world,
            "horizon": 24,
            "features": every_feature(),
            "observation": layout,
        }
        env = gym.make(ENVIRONMENT, **options)
        check_env(env.unwrapped)  # warnings are errors
        check_env_sb3(env.unwrapped)


@settings(max_examples=60, deadline=None)
@given(instances(batch=(2,)), SEEDS)
def test_tensors_are_observed_as_arrays_are(instance: Instance, seed: int) -> None:
    """What the simulator has rehearsed is what an environment sees, and does not drift by use."""
    rng = np.random.default_rng(seed)
    simulator = DifferentiableSimulator(instance, features=every_feature())
    observer = Observer(features=every_feature())
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    nothing = np.zeros(2)
    for _ in range(2):  # a simulator is used over and over
        observer.reset(Setting.of(instance))
        _, first = simulator.reset()
        footprint = np.zeros((2, K, R))
        for t in range(instance.horizon):
            mine = observer.observe(Slot.of(instance, t), State(nothing, footprint))
            theirs, tensor = first, torch.tensor(footprint)
            if t:
                theirs = simulator.observer.observe(simulator.slot(t), State(nothing, tensor))
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-6)
            footprint = rng.uniform(0, 5, (2, K, R))
        mine = observer.final(Slot.of(instance, t), State(nothing, footprint))
        ended = State(nothing, torch.tensor(footprint))
        theirs = simulator.observer.final(simulator.slot(t), ended)
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-6)
        assert (mine[..., observer.blocks["time"].stop :] == 0).all()  # nothing is left to know


def test_tensors_need_a_rehearsal(world: Instance) -> None:
    simulator = DifferentiableSimulator(world, features=every_feature())
    observer = Observer(features=every_feature())
    observer.reset(Setting.of(world))
    with pytest.raises(DataError, match="rehearse"):
        observer.observe(simulator.slot(0), State(torch.zeros(3), torch.zeros(3, 2, 4)))


@settings(max_examples=40, deadline=None)
@given(instances(batch=(3,)), SEEDS)
def test_single_vector_and_policy_see_the_same(instance: Instance, seed: int) -> None:
    features = every_feature()  # one list for all: each environment must run its own copies
    many = GLBVectorEnv(3, instance=instance, features=features, autoreset_mode="Disabled")
    singles = [GLBEnv(instance=instance, features=features) for _ in range(3)]
    seen: list[np.ndarray] = []

    def act(observation: np.ndarray) -> np.ndarray:
        seen.append(np.asarray(observation))
        weights = np.random.default_rng(seed).normal(size=(observation.shape[-1], K * R)) / 10
        rows = np.stack([row @ weights for row in observation.reshape(-1, len(weights))])
        return np.tanh(rows).reshape(*observation.shape[:-1], K, R)

    K, R = many.core.action.shape
    together, info = many.reset(options={"member": 0})
    alone = []
    for member, env in enumerate(singles):
        observation, _ = env.reset(options={"member": member})
        done, trail = False, [observation]
        while not done:
            observation, _, done, _, told = env.step(act(observation[None])[0])
            trail.append(observation)
        alone.append((np.stack(trail), told["objective"]))
    seen.clear()
    outcome = rollout(AgentPolicy(act, features=features), instance)
    for member, (trail, objective) in enumerate(alone):
        # The last observation, after the last slot, no policy is shown.
        for mine, theirs in zip(seen, trail[:-1], strict=True):
            np.testing.assert_array_equal(mine[member], theirs)
        assert outcome.objective[member] == pytest.approx(objective, rel=1e-9, abs=1e-9)
    trail, objective = alone[0]
    for t in range(instance.horizon):
        np.testing.assert_array_equal(together, np.stack([trail[t]] * 3))
        together, *_, info = many.step(act(together))
    np.testing.assert_array_equal(together, np.stack([trail[-1]] * 3))
    np.testing.assert_allclose(info["objective"], objective, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(instances(), SEEDS)
def test_no_action_changes_a_feature(instance: Instance, seed: int) -> None:
    rng = np.random.default_rng(seed)
    trails = []
    for scale in (0.0, 3.0):
        env = GLBEnv(instance=instance, features=every_feature())
        observation, _ = env.reset(seed=0)
        standard = env.core.observer.blocks["time"].stop
        trail = [observation[standard:]]
        for _ in range(instance.horizon):
            action = scale * rng.normal(size=env.action_space.shape)
            trail.append(env.step(action)[0][standard:])
        trails.append(trail)
    np.testing.assert_array_equal(*trails)
    assert np.any(trails[0][0])


@settings(max_examples=60, deadline=None)
@given(instances(most_slots=12), st.integers(0, 11))
def test_no_feature_looks_ahead(instance: Instance, now: int) -> None:
    now = min(now, instance.horizon - 1)
    trace, later = instance.trace, np.arange(instance.horizon)[:, None] > now
    other = instance.replace(
        trace=dataclasses.replace(
            trace,
            price=np.where(later, 3 * trace.price + 1, trace.price),
            intensity=np.where(later, 2 * trace.intensity + 1, trace.intensity),
            demand=np.where(later, 0.5 * trace.demand, trace.demand),
        )
    )
    for mine, theirs in zip(every_feature(), every_feature(), strict=True):
        before = only(mine, instance)[: now + 1]
        np.testing.assert_array_equal(before, only(theirs, other)[: now + 1])


@pytest.mark.parametrize("hours", [1.0, 6.0, 24.0, 500.0])
def test_means_of_the_perfect_forecast(world: Instance, hours: float) -> None:
    seen = blocks(ForecastMeans(Perfect(world), hours=hours), world)
    trace, T, N = world.trace, world.horizon, 4
    carbon = world.objective.mu[0] * trace.intensity[:, 0] / (100.0 * N)
    truth = {
        "price": trace.price / 100.0,
        "intensity_carbon": carbon,
        "demand": trace.demand * N / world.fleet.capacity.sum(),
    }
    assert world.objective.footprints[0] == "carbon"
    for name, series in truth.items():
        for t in range(T):
            near = series[:, t : t + int(hours)].mean(1)
            np.testing.assert_allclose(seen[f"next_{name}"][t], near, rtol=1e-5)
            np.testing.assert_allclose(seen[f"rest_{name}"][t], series[:, t:].mean(1), rtol=1e-5)


def test_means_of_samples_are_means_over_all_of_them(world: Instance) -> None:
    one = world[0]
    seen = blocks(ForecastMeans(PastDays(samples=5, seed=1), hours=12), one)
    recorder = Recorder(one.horizon)
    for t in range(one.horizon):
        history = recorder.record(Slot.of(one, t))
        if t in (30, 47):
            days = PastDays(samples=5, seed=1).forecast(history, one.horizon - t - 1)
            ahead = [np.vstack([one.trace.price[t], day])[:12].mean(0) for day in days.price]
            np.testing.assert_allclose(
                seen["next_price"][t], np.mean(ahead, axis=0) / 100, rtol=1e-5
            )


def test_recent_past_recomputed(world: Instance) -> None:
    seen = blocks(RecentPast(), world)
    trace, water = world.trace, world.objective.footprints.index("water")
    scaled = {
        "price": trace.price / 100,
        "intensity_water": world.objective.mu[water] * trace.intensity[:, water] / 400,
    }
    for name, series in scaled.items():
        for t in range(world.horizon):
            so_far = series[:, : t + 1]
            again = series[:, t - 23] if t >= 23 else series[:, t]
            np.testing.assert_allclose(
                seen[f"day_{name}"][t], so_far[:, -24:].mean(1), rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(seen[f"again_{name}"][t], again, rtol=1e-5)
            np.testing.assert_allclose(
                seen[f"spread_{name}"][t], so_far.std(1), rtol=1e-4, atol=1e-6
            )


def test_half_hours_make_days_of_forty_eight_slots() -> None:
    hourly = synthetic(5, horizon=120, regions=3)
    trace = hourly.trace
    begin = trace.timestamps[0].astype("datetime64[s]")
    clock = begin + np.arange(120) * np.timedelta64(1800, "s")
    half = hourly.replace(trace=dataclasses.replace(trace, timestamps=clock))
    past = blocks(RecentPast(), half)
    np.testing.assert_allclose(
        past["day_price"][100], trace.price[53:101].mean(0) / 100, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(past["again_price"][100], trace.price[53] / 100, rtol=1e-5)
    ahead = blocks(ForecastMeans(Perfect(half), hours=6), half)
    expected = trace.price[20:32].mean(0) / 100
    np.testing.assert_allclose(ahead["next_price"][20], expected, rtol=1e-5)


def test_the_sun_stands_highest_at_local_noon() -> None:
    base = synthetic(5, horizon=48, regions=3)
    # Greenwich, 90° east and 90° west (south of the equator): noon at 12, 6 and 18 h UTC.
    fleet = base.fleet.replace(location=np.array([[51.5, 0.0], [30.0, 90.0], [-33.0, -90.0]]))
    start = np.datetime64("2024-01-01T00", "s")
    clock = start + np.arange(48) * np.timedelta64(3600, "s")
    trace = dataclasses.replace(base.trace, timestamps=clock)
    seen = blocks(Place(), base.replace(fleet=fleet, trace=trace))
    assert seen["sun_cos"][:24].argmin(0).tolist() == [12, 6, 18]
    np.testing.assert_allclose(seen["sun_cos"][[12, 6, 18], [0, 1, 2]], -1, atol=1e-6)
    np.testing.assert_allclose(seen["sun_sin"][[12, 6, 18], [0, 1, 2]], 0, atol=1e-6)
    # January: the depth of winter in the north, of summer in the south.
    assert (seen["season_cos"] * [1, 1, -1] > 0.99).all()
    assert (seen["place_known"] == 1).all()
    np.testing.assert_allclose(seen["place_0"][0], np.sin(np.radians([0, 90, -90])), atol=1e-6)


def test_a_fleet_without_locations_has_no_place() -> None:
    base = synthetic(5, horizon=24, regions=3)
    here, nowhere = Place(), Place()
    lost = base.replace(fleet=base.fleet.replace(location=None))
    assert only(here, base).any()
    assert not only(nowhere, lost).any()


def test_slots_left_at_both_ends(world: Instance) -> None:
    left = blocks(SlotsLeft(), world)["slots_left"]
    np.testing.assert_allclose(left[0], np.log(72) / 5, rtol=1e-6)
    np.testing.assert_array_equal(left[-1], 0.0)


@settings(max_examples=60, deadline=None)
@given(instances(routing=False))
def test_playing_the_experts_prices_is_its_dispatch(instance: Instance) -> None:
    """The block, played as it stands, dispatches at eGLB's multipliers scaled to sum to 1."""
    expert, trail = EGLB(), []
    expert.reset(Setting.of(instance))
    for t in range(instance.horizon):
        trail.append(expert.multipliers.copy())
        expert.act(Slot.of(instance, t), State.start(Setting.of(instance)))
    env = GLBEnv(instance=instance, features=[ExpertPrices(EGLB())], observation="dict")
    observation, _ = env.reset(seed=0)
    fleet = instance.fleet
    for t in range(instance.horizon):
        action = [observation[f"expert_{kind}"] for kind in instance.objective.footprints]
        scaled = np.exp(4.0 * np.stack(action))
        scaled /= scaled.sum(-1, keepdims=True)
        gamma = np.maximum(trail[t], 1e-6 / len(fleet.regions))
        gamma /= gamma.sum(-1, keepdims=True)
        np.testing.assert_allclose(scaled, gamma, rtol=1e-4, atol=1e-7)
        observation, *_ = env.step(np.stack(action))
        slot = Slot.of(instance, t)
        unit = shadow_cost(slot, scaled, Setting.of(instance).physics)
        cheapest = fleet.dispatch.allocation(unit, slot.demand, slot.capacity).sum(-2)
        # Ties may be broken otherwise; what is paid at these prices may not differ.
        paid, least = unit @ env.core.played[-1].load[0], unit @ cheapest
        assert paid == pytest.approx(least, rel=1e-6, abs=1e-6)


def test_the_experts_prices_are_worth_the_expert() -> None:
    """On a world of a week: an agent that repeats them ends where eGLB ends."""
    week = synthetic("validation/0", horizon=168)

    def repeat(observation: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([observation["expert_carbon"], observation["expert_water"]], -2)

    agent = AgentPolicy(repeat, observation="dict", features=[ExpertPrices(EGLB())])
    mine, expert = rollout(agent, week).objective, rollout(EGLB(), week).objective
    equal = np.full((2, 10), 0.1)
    assert abs(mine / expert - 1) < 0.01
    assert rollout(ShadowPrices(equal), week).objective / expert > 1.02


def test_shards_run_experts_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = synthetic(7, horizon=24, regions=2, batch=3).window(0, 6)
    expert = EGLB()
    features = [ExpertPrices(expert), ForecastMeans(SameHour()), RecentPast()]
    results = []
    for size in (4096, 10_000):
        monkeypatch.setattr("equiload.envs.gym.vector._SHARD", size)
        env = GLBVectorEnv(4200, instance=tiny, horizon=4, features=features)
        assert len(env.shards) == (2 if size == 4096 else 1)
        trail = [env.reset(seed=1)[0]]
        actions = np.random.default_rng(0).normal(size=(5, *env.action_space.shape))
        trail += [env.step(action)[0] for action in actions]
        results.append(np.stack(trail))
    np.testing.assert_array_equal(results[0], results[1])
    assert not hasattr(expert, "multipliers")  # what was handed over is left alone


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_their_own_way(world: Instance, duplicate: Any) -> None:
    options = {"instance": world, "horizon": 24, "features": every_feature()}
    for env in (gym.make(ENVIRONMENT, **options), gym.make_vec(ENVIRONMENT, num_envs=3, **options)):
        env.reset(seed=2)
        action = np.random.default_rng(0).normal(size=env.action_space.shape)
        env.step(action)
        twin = duplicate(env)
        assert data_equivalence(env.step(action), twin.step(action), exact=True)
        env.reset(seed=9)  # forgets all that the features have seen; the twin goes on
        straight = gym.make_vec if isinstance(env, gym.vector.VectorEnv) else gym.make
        count = {"num_envs": 3} if straight is gym.make_vec else {}
        third = straight(ENVIRONMENT, **count, **options)
        third.reset(seed=2)
        for _ in range(2):
            third.step(action)
        assert data_equivalence(third.step(action), twin.step(action), exact=True)


class Wrong:
    """A feature that does not do what it says."""

    def __init__(self, value: float, width: int, block: str = "mine") -> None:
        self.value, self.width, self.block = value, width, block

    def reset(self, setting: Setting, **_: Any):
        self.batch = setting.batch
        return {self.block: "datacenter"}

    def observe(self, slot: Slot) -> np.ndarray:
        return np.full((*self.batch, self.width), self.value)


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        (Wrong(0.0, 1), "blocks have 4 entries, what they observe has 1"),
        (Wrong(np.nan, 4), "a feature is no number in slot 0"),
        (Wrong(0.0, 4, "price"), "two blocks of the observation are named 'price'"),
    ],
)
def test_features_that_do_not_fit_get_one_sentence(
    world: Instance, feature: Feature, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        GLBEnv(instance=world, features=[feature]).reset(seed=0)


def test_freak_features_are_cut(world: Instance) -> None:
    env = GLBEnv(instance=world, features=[Wrong(1e300, 4)])
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert (observation[-4:] == 100).all()


@pytest.mark.parametrize("hours", [0.0, -1.0, np.nan, np.inf])
def test_hours_are_checked(hours: float) -> None:
    with pytest.raises(DataError, match=r"'hours' must be (above 0|a finite number)"):
        ForecastMeans(SameHour(), hours=hours)
