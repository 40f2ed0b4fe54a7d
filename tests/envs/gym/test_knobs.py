"""Environments with more to decide than routing."""

import pickle
from collections.abc import Sequence

import gymnasium
import numpy as np
import pytest
from audit import audited
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB
from equiload.envs import DataError, Instance, rollout
from equiload.envs.data import SyntheticSource, synthetic
from equiload.envs.data.equipment import KNOBS
from equiload.envs.gym import AgentPolicy, GLBEnv, GLBVectorEnv
from equiload.robust import EnvironmentLayer
from equiload.testing.knobs import KNOBS as PARTS
from equiload.testing.knobs import with_random_knobs
from equiload.testing.strategies import instances

EACH = [*KNOBS, "all"]
SEEDS = st.integers(0, 2**32 - 1)


def played(env: GLBEnv, seed: int, actions: list | None = None) -> tuple[float, dict, Instance]:
    """Rewards of an episode of random actions in sum, its last info and its instance."""
    env.reset(seed=seed)
    env.action_space.seed(seed)
    total, done = 0.0, False
    while not done:
        action = env.action_space.sample()
        if actions is not None:
            actions.append(action)
        _, reward, done, _, info = env.step(action)
        total += reward
    return total, info, env.instance


@pytest.mark.parametrize("action", ["shadow_prices", "routing", "residual"])
@pytest.mark.parametrize("knobs", EACH)
def test_rewards_telescope_and_a_policy_plays_the_same(knobs: str, action: str) -> None:
    env = GLBEnv(horizon=30, instance=SyntheticSource(knobs=knobs), action=action)
    actions: list = []
    total, info, instance = played(env, 3, actions)
    assert total == pytest.approx(-info["objective"], rel=1e-9)
    replayed = iter(actions)
    agent = AgentPolicy(lambda _: next(replayed), action=action)
    assert rollout(agent, instance).objective == pytest.approx(info["objective"], rel=1e-9)


@pytest.mark.parametrize(
    ("knobs", "action"), [*((knobs, "shadow_prices") for knobs in EACH), ("all", "routing")]
)
def test_gymnasiums_checker_is_silent(knobs: str, action: str) -> None:
    source = SyntheticSource(knobs=knobs)
    env = gymnasium.make("equiload/GLB-v0", horizon=12, instance=source, action=action)
    check_env(env.unwrapped)


@settings(max_examples=60, deadline=None)
@given(instances(), SEEDS, st.sampled_from(["shadow_prices", "routing"]), st.data())
def test_any_action_is_feasible_on_any_fleet(
    plain: Instance, seed: int, action: str, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    problem = with_random_knobs(rng, plain, sorted(data.draw(st.sets(st.sampled_from(PARTS)))))
    env = GLBEnv(instance=problem, action=action)
    assert len(env.action_names) == len(set(env.action_names)) == env.action_space.shape[0]
    env.reset(seed=seed)
    done, rewards, actions, moved = False, [], [], []
    while not done:
        size = 10.0 ** rng.integers(-2, 300)
        actions.append(rng.normal(size=env.action_space.shape) * size)
        _, reward, done, _, info = env.step(actions[-1])
        rewards.append(reward)
        moved.append(info["moved"])
    assert min(moved) >= 0
    gross = np.abs(rewards).sum() + float(
        np.abs(problem.series.price).max() * problem.capacity.sum()
    )
    assert abs(sum(rewards) + info["objective"]) <= 1e-9 * gross
    if not problem.knobs:
        return
    replayed = iter(actions)
    agent = AgentPolicy(lambda _: next(replayed), action=action)
    outcome = rollout(agent, problem, keep=True)
    spent = audited(outcome, lambda t: outcome.allocation[t])
    assert abs(spent - info["objective"]) <= 1e-9 * gross


@pytest.mark.parametrize("act", ["shadow_prices", "routing"])
def test_a_batch_plays_as_its_members_alone(act: str) -> None:
    source = SyntheticSource(knobs="all")
    many = GLBVectorEnv(3, horizon=20, instance=source, action=act)
    one = GLBEnv(horizon=20, instance=source, action=act)
    together, _ = many.reset(seed=[5, 6, 7])
    alone, _ = one.reset(seed=6)
    for _ in range(19):
        np.testing.assert_allclose(together[1], alone, rtol=1e-6)
        action = many.action_space.sample()
        together, rewards, _, _, infos = many.step(action)
        alone, reward, _, _, info = one.step(action[1])
        assert rewards[1] == pytest.approx(reward, rel=1e-12)
        assert infos["moved"][1] == pytest.approx(info["moved"], rel=1e-9, abs=1e-12)


def test_levels_are_observed() -> None:
    env = GLBEnv(horizon=30, instance=SyntheticSource(knobs="all"), observation="dict")
    seen, _ = env.reset(seed=0)
    assert (seen["stored"] == 0.5).all()
    assert (seen["on"] == 1.0).all()
    assert (seen["waiting"] == 0.0).all()
    instance = env.instance
    total = instance.fleet.capacity.sum()
    np.testing.assert_allclose(seen["work"], instance.trace.work[0] / total, rtol=1e-6)
    np.testing.assert_allclose(seen["may_wait"], instance.series.ceiling[0] / total, rtol=1e-6)
    np.testing.assert_allclose(seen["generation"], instance.trace.generation[0], rtol=1e-6)
    assert [name for name in env.feature_names if name.startswith("waiting")] == [
        "waiting[6 h]",
        "waiting[24 h]",
        "waiting[72 h]",
    ]


def test_what_an_action_asks_of_batteries_work_and_servers_is_done() -> None:
    env = GLBEnv(horizon=12, instance=SyntheticSource(knobs="all"), observation="dict")
    for sign in (1.0, -1.0):
        env.reset(seed=1)
        action = np.zeros(env.action_space.shape)
        action[20:] = 20.0 * sign
        seen, *_ = env.step(action)
        # A battery gives no more than its site draws.
        assert (sign * (seen["stored"] - 0.5) >= 0).all()
        assert (sign * (seen["stored"] - 0.5) > 0.1).sum() >= 5
        assert (seen["waiting"].sum() > 1e-9) == (sign < 0)
        if sign < 0:
            assert seen["on"].min() < 1.0


def block(names: Sequence[str], start: str, end: str = "]") -> list[int]:
    """Where the numbers of an action lie that are so named."""
    return [n for n, name in enumerate(names) if name.startswith(start) and name.endswith(end)]


def test_a_routing_action_does_what_it_says() -> None:
    env = GLBEnv(horizon=12, instance=SyntheticSource(knobs="all"), action="routing")
    assert env.action_names[0] == "send[Texas -> Texas]"
    env.reset(seed=1)
    fleet, series, names = env.instance.fleet, env.instance.series, env.action_names
    storage, saves = fleet.storage, fleet.models.steps[0].sum() / 2
    assert storage is not None

    def levels() -> tuple[np.ndarray, ...]:
        return tuple(getattr(env.core.state.levels, n)[0] for n in ("stored", "waiting", "on"))

    before, *_ = levels()
    action = np.zeros(env.action_space.shape)
    action[block(names, "save")], action[block(names, "on")] = -1.0, 0.0
    action[block(names, "work", "later]")], action[block(names, "battery")] = 50.0, 0.5
    *_, info = env.step(action)
    stored, waiting, on = levels()
    # Spread evenly all has room, and nothing is moved: not by a rounding.
    assert info["moved"] == 0.0
    np.testing.assert_allclose(info["load"], series.demand[0].sum() / 10, rtol=1e-12)
    np.testing.assert_allclose(waiting, series.work[0], rtol=1e-12)
    np.testing.assert_allclose(on, (fleet.capacity + info["load"]) / 2, rtol=1e-12)
    np.testing.assert_allclose(stored - before, 0.5 * storage.charge * storage.charge_efficiency)
    # The other way: all work at once in Texas, all savings, servers off, batteries emptied.
    action[block(names, "save")], action[block(names, "on")] = 7.0, -1e9
    action[block(names, "work", "Texas]")], action[block(names, "battery")] = 100.0, -1.0
    *_, info = env.step(action)
    work, requests = series.work[:2].sum(), (1.0 - saves) * series.demand[1].sum()
    after, waiting, on = levels()
    # It has no room for all of that, and the batteries are not all that is drawn.
    over = work - (1.0 - requests / 10)
    assert over > 0.1
    assert info["load"][0] == pytest.approx(1.0)
    assert info["load"].sum() + waiting.sum() == pytest.approx(requests + work, rel=1e-12)
    np.testing.assert_allclose(on, info["load"], rtol=1e-12)
    given = (stored - after) * storage.discharge_efficiency
    most = np.minimum(storage.discharge, stored * storage.discharge_efficiency)
    np.testing.assert_allclose(given, np.minimum(most, info["load"]), rtol=1e-9)
    short = (storage.discharge - given).sum()
    assert info["moved"] == pytest.approx(over + short, rel=1e-9)


def test_what_decides_nothing_but_routing_says_so() -> None:
    instance = synthetic("validation/0", horizon=12, knobs=["solar"])
    with pytest.raises(DataError, match=r"has generation, .*: the layer needs bounds="):
        GLBEnv(instance=instance, layer=EnvironmentLayer(EGLB(), rho=0.1)).reset(seed=0)
    with pytest.raises(DataError, match="hindsight_dual decides nothing but routing"):
        GLBEnv(instance=instance, reward="hindsight_dual").reset(seed=0)


def test_rewards_relative_to_an_expert_count_its_levels_too() -> None:
    env = GLBEnv(horizon=24, instance=SyntheticSource(knobs="all"), reward="relative_percent")
    total, info, instance = played(env, 2)
    expert = rollout(EGLB(), instance).objective
    assert total == pytest.approx(100 * (1 - info["objective"] / expert), rel=1e-9)


@pytest.mark.parametrize("action", ["shadow_prices", "routing", "residual"])
def test_each_episode_has_equipment_of_its_own_sizes(action: str) -> None:
    source = SyntheticSource(knobs="all", equipment={"idle": [0.1, 0.5], "storage_hours": [1, 8]})
    env = GLBEnv(horizon=20, instance=source, action=action)
    idle = []
    for seed in (3, 4, 3):
        actions: list = []
        total, info, instance = played(env, seed, actions)
        idle.append(instance.fleet.servers.idle[0])
        assert total == pytest.approx(-info["objective"], rel=1e-9)
        replayed = iter(actions)
        agent = AgentPolicy(lambda _, replayed=replayed: next(replayed), action=action)
        assert rollout(agent, instance).objective == pytest.approx(info["objective"], rel=1e-9)
    assert idle[0] == idle[2] != idle[1]


def test_episodes_in_lock_step_share_their_equipment() -> None:
    ranges = SyntheticSource(knobs="all", equipment={"idle": [0.1, 0.5]})
    with pytest.raises(DataError, match="share one fleet, and the sizes of these differ: play one"):
        GLBVectorEnv(2, horizon=5, instance=ranges).reset(seed=0)
    some = [SyntheticSource(seed, horizon=5, knobs="random").instance() for seed in range(9)]
    env = GLBEnv(instance=lambda rng, _: some[rng.integers(9)])
    with pytest.raises(DataError, match="on the same fleet, but for the sizes of what there is"):
        [env.reset(seed=seed) for seed in range(9)]


def test_pictures_and_text_show_levels() -> None:
    source, options = SyntheticSource(knobs="all"), {"horizon": 24, "reward": "relative"}
    env = GLBEnv(instance=source, render_mode="rgb_array", **options)
    plain = GLBEnv(render_mode="rgb_array", **options)
    shapes = []
    for each in (plain, env):
        each.reset(seed=0)
        each.action_space.seed(0)
        blank = each.render()
        for t in range(20):  # axes grow on the way, a panel at a time
            each.step(each.action_space.sample())
            if t % 4 == 0:
                each.render()
        assert (each.render() != blank).any()
        shapes.append(blank.shape)
        twin = pickle.loads(pickle.dumps(each))  # draws all of it at once
        assert np.array_equal(twin.render(), each.render())
    assert shapes == [(540, 960, 3), (720, 1280, 3)]
    told = GLBEnv(instance=source, render_mode="ansi", **options)
    told.reset(seed=0)
    told.step(np.zeros(told.action_space.shape))
    fleet, levels = told.instance.fleet, told.core.state.levels
    lines = {line.split(":")[0].strip(): line for line in told.render().splitlines()}
    assert f"{levels.stored.sum():.2f} of {fleet.storage.energy.sum():.2f} MWh" in lines["stored"]
    assert f"24 h {levels.waiting[0, 1]:.2f}" in lines["waiting"]
    assert f"{levels.on.sum():.2f} of 10.00 MWh" in lines["on"]


@pytest.mark.parametrize("knobs", [["servers"], ["storage"], ["training"], ["solar"], ["models"]])
def test_each_knob_alone_is_drawn(knobs: list[str]) -> None:
    env = GLBEnv(instance=SyntheticSource(knobs=knobs), horizon=6, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    wide = env.render().shape == (720, 1280, 3)
    assert wide == (knobs != ["models"])  # which leave nothing behind
