"""The environments against Gymnasium's rules, and the numbers they must give."""

import copy
import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.wrappers import (
    FlattenObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    RecordVideo,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.envs import DataError, EquiloadError, Instance, Outcome, dual_bound, rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import ENVIRONMENT, GLBEnv, GLBVectorEnv, HindsightDual, Relative
from equiload.testing.strategies import instances

SEEDS = st.integers(0, 2**32 - 1)
ACTIONS = ("shadow_prices", "routing")


@pytest.fixture(scope="module")
def world() -> Instance:
    return synthetic(3, horizon=72, regions=4, batch=3)


def duals(instance: Instance) -> np.ndarray:
    return EGLBOff().solve(instance).weights


def reward_of(name: str):
    objects = {"relative": lambda: Relative(EGLB()), "hindsight": lambda: HindsightDual(duals)}
    return objects[name]() if name in objects else name


OPTIONS = list(
    itertools.product(
        ACTIONS, ("flat", "dict"), ("dense", "terminal", "relative", "hindsight"), ("full", None)
    )
)


@pytest.mark.parametrize(("action", "observation", "reward", "reach"), OPTIONS)
def test_both_checkers_find_nothing(action, observation, reward, reach) -> None:
    world = synthetic(3, horizon=72, regions=4, batch=3, reachability="partial")
    options = {
        "instance": world,
        "horizon": 24,
        "action": action,
        "observation": observation,
        "reward": reward_of(reward),
        "reachability": reach,
    }
    env = gym.make(ENVIRONMENT, **options)
    check_env(env.unwrapped)  # warnings are errors
    check_env_sb3(env.unwrapped)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_checkers_find_nothing_when_rendering(world: Instance, mode: str) -> None:
    env = gym.make(ENVIRONMENT, instance=world, horizon=12, render_mode=mode)
    check_env(env.unwrapped)


def play(env, rng: np.random.Generator, seed: int) -> tuple[list, list]:
    """Rewards and infos of an episode of random actions."""
    _, info = env.reset(seed=seed)
    rewards, infos, done = [], [], False
    while not done:
        action = rng.normal(size=env.action_space.shape) * 2
        _, reward, done, truncated, info = env.step(action)
        assert not truncated
        rewards.append(reward)
        infos.append(info)
    return rewards, infos


@settings(max_examples=60)
@given(instances(), SEEDS, st.sampled_from(ACTIONS))
def test_every_reward_telescopes(instance: Instance, seed: int, action: str) -> None:
    weights = {}

    def some_weights(episode: Instance) -> np.ndarray:
        K, R = len(episode.objective.mu), len(episode.fleet.regions)
        weights["w"] = np.random.default_rng(seed).dirichlet(np.ones(R), K)
        return weights["w"]

    expert = rollout(GLBCost(), instance).objective
    schemes = {
        "dense": ("dense", lambda J: -J),
        "terminal": ("terminal", lambda J: -J),
        "relative": (Relative(GLBCost()), lambda J: expert - J),
        "plain": (HindsightDual(some_weights, baseline=False), lambda J: -J),
        "hindsight": (
            HindsightDual(some_weights),
            lambda J: dual_bound(instance, weights["w"]).value - J,
        ),
    }
    for reward, expected in schemes.values():
        env = GLBEnv(instance=instance, action=action, reward=reward)
        rewards, infos = play(env, np.random.default_rng(seed), seed)
        J = infos[-1]["objective"]
        scale = abs(J) + abs(expert) + np.abs(rewards).sum()
        assert sum(rewards) == pytest.approx(expected(J), rel=0, abs=1e-9 * (1 + scale))


@settings(max_examples=60)
@given(instances(), SEEDS, st.sampled_from(ACTIONS))
def test_info_is_the_outcome(instance: Instance, seed: int, action: str) -> None:
    env = GLBEnv(instance=instance, action=action)
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    loads, done = [], False
    while not done:
        _, _, done, _, info = env.step(rng.normal(size=env.action_space.shape))
        loads.append(env.core.played[-1].load[0])
    outcome = Outcome(instance=instance, load=np.array(loads), routing=np.zeros(instance.horizon))
    np.testing.assert_allclose(info["footprint"], outcome.footprint, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(info["max_footprint"], outcome.max_footprint, rtol=1e-9, atol=1e-9)
    if instance.fleet.routing_cost is None:
        assert info["energy_cost"] == pytest.approx(outcome.energy_cost, rel=1e-9, abs=1e-9)
        assert info["objective"] == pytest.approx(outcome.objective, rel=1e-9, abs=1e-9)
    equity = info["max_footprint"] @ instance.objective.mu
    assert info["objective"] == pytest.approx(info["energy_cost"] + equity)


@settings(max_examples=60)
@given(instances(most_slots=6), SEEDS, st.sampled_from(ACTIONS), st.integers(0, 5))
def test_the_future_is_not_observed(instance: Instance, seed: int, action: str, now: int) -> None:
    """Change everything after slot ``now``: nothing observed or earned so far changes."""
    now = min(now, instance.horizon - 1)
    rng = np.random.default_rng(seed)
    trace = instance.trace
    later = np.arange(instance.horizon) > now
    other = instance.replace(
        trace=trace.__class__(
            price=np.where(later[:, None], trace.price * 3 + 1, trace.price),
            intensity=np.where(later[:, None], trace.intensity * 2 + 1, trace.intensity),
            demand=np.where(later[:, None], trace.demand * 0.5, trace.demand),
            timestamps=trace.timestamps,
            footprints=trace.footprints,
            availability=trace.availability,
        )
    )
    actions = rng.normal(size=(now, *GLBEnv(instance=instance, action=action).action_space.shape))
    seen = []
    for world in (instance, other):
        env = GLBEnv(instance=world, action=action)
        observation, _ = env.reset(seed=seed)
        record = [observation]
        for act in actions:
            observation, reward, *_ = env.step(act)
            record += [observation, np.array(reward)]
        seen.append(record)
    for mine, theirs in zip(*seen, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=40, deadline=None)
@given(instances(batch=(3,), most_slots=5), SEEDS, st.sampled_from(ACTIONS), st.booleans())
def test_vector_is_so_many_singles(
    instance: Instance, seed: int, action: str, relative: bool
) -> None:
    count, horizon = 4, max(1, instance.horizon - 1)

    def options():
        reward = Relative(GLBCost()) if relative else "dense"
        return {"instance": instance, "horizon": horizon, "action": action, "reward": reward}

    many = GLBVectorEnv(count, autoreset_mode="SameStep", **options())
    ones = [GLBEnv(**options()) for _ in range(count)]
    rng = np.random.default_rng(seed)
    observation, _ = many.reset(seed=seed)
    for b, env in enumerate(ones):
        np.testing.assert_array_equal(observation[b], env.reset(seed=seed + b)[0])
    for _ in range(2 * horizon + 1):  # across resets: the generators stay in step
        actions = rng.normal(size=many.action_space.shape)
        observation, reward, ended, _, infos = many.step(actions)
        for b, env in enumerate(ones):
            single, mine, done, _, info = env.step(actions[b])
            assert reward[b] == pytest.approx(mine, rel=1e-12, abs=1e-12)
            assert ended[b] == done
            told = infos["final_info"] if done else infos
            np.testing.assert_allclose(told["footprint"][b], info["footprint"], rtol=1e-12)
            if done:
                np.testing.assert_allclose(infos["final_obs"][b], single, rtol=1e-6)
                single, _ = env.reset()
            np.testing.assert_allclose(observation[b], single, rtol=1e-6, atol=1e-6)


def test_shards_are_one_batch(world: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for size in (2, 64):
        monkeypatch.setattr("equiload.envs.gym.vector._SHARD", size)
        env = GLBVectorEnv(7, instance=world, horizon=12, reward=Relative(GLBCost()))
        env.reset(seed=1)
        actions = np.random.default_rng(0).normal(size=(13, *env.action_space.shape))
        results.append([env.step(a)[:2] for a in actions])
        assert env.instance.batch == (7,)
    # Sums of a shard may differ from the whole batch's in the last bit.
    assert data_equivalence(results[0], results[1], exact=False)


def test_autoreset_modes(world: Instance) -> None:
    options = {"instance": world, "horizon": 3}
    for mode in gym.vector.AutoresetMode:
        env = gym.make_vec(ENVIRONMENT, num_envs=2, autoreset_mode=mode, **options)
        assert env.metadata["autoreset_mode"] is mode
        env.reset(seed=0)
        action = np.zeros(env.action_space.shape)
        for _ in range(2):
            assert not env.step(action)[2].any()
        observation, _, ended, truncated, info = env.step(action)
        assert ended.all()
        assert not truncated.any()
        left = list(env.unwrapped.feature_names).index("time_left")
        if mode is gym.vector.AutoresetMode.SAME_STEP:
            assert (observation[:, left] == 1).all()
            assert info["final_obs"][1][left] == 0
            assert info["_final_info"].all()
            assert (info["objective"] == 0).all()
            assert (info["final_info"]["objective"] != 0).all()
        else:
            assert (observation[:, left] == 0).all()
        if mode is gym.vector.AutoresetMode.NEXT_STEP:
            observation, reward, ended, *_ = env.step(action)
            assert (observation[:, left] == 1).all()
            assert (reward == 0).all()
            assert not ended.any()
        if mode is gym.vector.AutoresetMode.DISABLED:
            with pytest.raises(EquiloadError, match="reset"):
                env.step(action)
            with pytest.raises(DataError, match="lock-step"):
                env.reset(options={"reset_mask": np.array([True, False])})
            observation, _ = env.reset(options={"reset_mask": np.array([True, True])})
            assert (observation[:, left] == 1).all()


def test_seeds_draw_members_and_windows(world: Instance) -> None:
    env = gym.make(ENVIRONMENT, instance=world, horizon=24)
    first, _ = env.reset(seed=5)
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    drawn = {env.reset(seed=s)[0].tobytes() for s in range(30)}
    assert len(drawn) > 20
    env.reset(options={"member": 2, "start": 7})
    episode = env.unwrapped.instance
    np.testing.assert_array_equal(episode.trace.price, world.trace.price[2, 7:31])
    np.testing.assert_array_equal(episode.trace.intensity, world.trace.intensity[2, :, 7:31])
    np.testing.assert_array_equal(episode.trace.timestamps, world.trace.timestamps[2, 7:31])
    np.testing.assert_allclose(episode.capacity, world.capacity[2, 7:31], rtol=1e-15)


def test_a_generator_draws_a_world_for_each_episode() -> None:
    def draw(rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        return synthetic(int(rng.integers(1000)), horizon=30, regions=3, batch=batch)

    many = GLBVectorEnv(3, instance=draw, horizon=24)
    observation, _ = many.reset(seed=4)
    for b in range(3):
        single, _ = GLBEnv(instance=draw, horizon=24).reset(seed=4 + b)
        np.testing.assert_array_equal(observation[b], single)
    assert len({row.tobytes() for row in observation}) == 3


def test_the_default_is_the_synthetic_world() -> None:
    env = gym.make(
        ENVIRONMENT, horizon=24, reachability="partial", equity_weight={"carbon": 1, "water": 2}
    )
    env.reset(seed=0)
    assert not env.unwrapped.core.setting.fleet.full
    assert env.unwrapped.core.setting.objective.mu.tolist() == [1.0, 2.0]
    assert not env.step(env.action_space.sample())[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": 1000}, "horizon"),
        ({"action": "guess"}, "action must be one of"),
        ({"reward": "sparse"}, "reward must be"),
        ({"observation": "image"}, "'observation' must be 'flat' or 'dict', got 'image'"),
        ({"instance": "mars"}, "no instance named"),
        ({"instance": 3}, "instance must be"),
        ({"reachability": "some"}, "matrix"),
        ({"equity_weight": {"noise": 1.0}}, "noise"),
        ({"action_scale": float("nan")}, "action_scale"),
        ({"price_scale": 0.0}, "price_scale"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_bad_options_get_one_sentence(world: Instance, options, message: str) -> None:
    with pytest.raises(DataError, match=message):
        GLBEnv(**({"instance": world} | options))


@pytest.mark.parametrize(
    "action",
    [np.full((2, 4), np.nan), np.full((2, 4), np.inf), np.zeros(7), "up", None, [[1, 2], [3]]],
)
def test_bad_actions_get_one_sentence(world: Instance, action) -> None:
    env = GLBEnv(instance=world)
    with pytest.raises(EquiloadError, match="reset"):
        env.step(np.zeros((2, 4)))
    env.reset(seed=0)
    with pytest.raises(DataError, match="action"):
        env.step(action)
    many = GLBVectorEnv(2, instance=world)
    many.reset(seed=0)
    with pytest.raises(DataError, match="action"):
        many.step([action, action])


@pytest.mark.parametrize("options", [{"start": 99}, {"member": -1}, {"speed": 1}])
def test_bad_reset_options_get_one_sentence(world: Instance, options) -> None:
    with pytest.raises(DataError, match="reset option"):
        GLBEnv(instance=world, horizon=24).reset(options=options)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_their_own_way(world: Instance, duplicate) -> None:
    for env in (
        gym.make(ENVIRONMENT, instance=world, reward=Relative(EGLB()), action="routing"),
        gym.make_vec(ENVIRONMENT, num_envs=3, instance=world),
    ):
        env.reset(seed=2)
        action = np.random.default_rng(0).normal(size=env.action_space.shape)
        env.step(action)
        twin = duplicate(env)
        assert data_equivalence(env.step(action), twin.step(action), exact=True)
        env.step(-action)
        assert data_equivalence(env.step(action)[0], twin.step(action)[0], exact=True) is False


def test_wrappers_of_gymnasium(world: Instance) -> None:
    env = gym.make(ENVIRONMENT, instance=world, horizon=24, observation="dict")
    env = NormalizeReward(RecordEpisodeStatistics(FlattenObservation(env)))
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape
    done = False
    while not done:  # the loop of every tutorial
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        done = terminated or truncated
    assert info["episode"]["l"] == 24
    assert info["episode"]["r"] == pytest.approx(-info["objective"])


@pytest.mark.slow
def test_videos_can_be_recorded(world: Instance, tmp_path: Path) -> None:
    env = gym.make(ENVIRONMENT, instance=world, horizon=6, render_mode="rgb_array")
    env = RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda _: True)
    env.reset(seed=0)
    for _ in range(6):
        env.step(env.action_space.sample())
    env.close()
    (video,) = (tmp_path / "videos").glob("*.mp4")
    assert video.stat().st_size > 1000


@pytest.mark.slow
def test_async_vector_environment(world: Instance) -> None:
    options = {"instance": world, "horizon": 12}
    workers = gym.make_vec(ENVIRONMENT, num_envs=2, vectorization_mode="async", **options)
    native = gym.make_vec(ENVIRONMENT, num_envs=2, **options)
    try:
        action = np.random.default_rng(0).normal(size=native.action_space.shape)
        np.testing.assert_array_equal(workers.reset(seed=3)[0], native.reset(seed=3)[0])
        for _ in range(14):
            mine, theirs = native.step(action), workers.step(action)
            for a, b in zip(mine[:4], theirs[:4], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6)
    finally:
        workers.close()


def test_importable_by_name_alone_and_without_torch() -> None:
    code = (
        "import sys, gymnasium\n"
        "env = gymnasium.make('equiload.envs:equiload/GLB-v0', horizon=24)\n"
        "env.reset(seed=0); env.step(env.action_space.sample())\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_specification_is_short_and_knows_the_length() -> None:
    instance = synthetic(0, horizon=20)
    env = gym.make(ENVIRONMENT, instance=instance, hold=6)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 4
    assert repr(instance) == "<Instance 'synthetic': 20 slots, 10 data centers, 10 regions>"
    assert len(repr(env.spec)) < 600
    named = gym.make(ENVIRONMENT, horizon=20, reward="relative", features=["place"], hold=5)
    assert named.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(named.spec.to_json()))
    assert again.spec is not None
    assert again.spec.max_episode_steps == 4
    assert np.array_equal(again.reset(seed=1)[0], named.reset(seed=1)[0])
    _, _, _, _, info = again.step(again.action_space.sample())
    assert isinstance(info["cost"], np.float64)
    for mode in ("sync", "vector_entry_point"):
        many = gym.make_vec(ENVIRONMENT, num_envs=2, vectorization_mode=mode, horizon=20)
        assert gym.make_vec(many.spec).num_envs == 2
