"""The ladder of tasks: what an id stands for, what is scored on it, and the page about it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import leaderboard
from equiload.agents import EGLB, EGLBOff, GLBCost, WithKnobs
from equiload.envs import DataError, Policy, rollout
from equiload.envs.data import synthetic, toy
from equiload.envs.gym import RESIDUAL_ENVIRONMENT
from equiload.envs.tasks import TASKS
from equiload.testing import score
from equiload.testing.scores import digest, expert, problems, results, scored

#: What each id stands for. Nothing here is ever changed: a changed world is a new id.
STANDS_FOR = {
    "Toy-v0": "9a7fd54e5d9c6c4698fa275a00717e08f7b3f071685d881358e2da2c089f84a3",
    "GLBEasy-v0": "98202ffc3df56b81ad6cbffc6f4acadaf2cbd84c265f7296a6d55b315bd5f07e",
    "GLBPaper-v0": "bb5d067f98b6c3bdc9677635d0b41dac6c69cb4dcdb0696c36c82f90cb608103",
    "GLBPaperPartial-v0": "62f5079f7ba9ed5efc51904122806ca3a9dd3ab48fd74da57034e32443e3f993",
    "GLBHard-v0": "44825189d4b946e7128adaca210122851016d2063fb9563a132b0333aa6f66dc",
    "GLBSolar-v0": "63160be2374be7a0ecb2759d9a58c83831ffba75c6d4264c828791f69a9cbecf",
    "GLBStorage-v0": "a1d765a919b78ebda014b1df05feccecb2bc56a8f939217a3d6fee37028479b7",
    "GLBTraining-v0": "f60a2eb402f433d1256997db41542cd3b3c67e99754d8d9377ae6f1ab7d6f415",
    "GLBServers-v0": "6a1ff42d0ab5e03d9e7eb5667b41f0e4ee781b05a2d1a678c8b3227fff140ffa",
    "GLBModels-v0": "9f2f30f4953ada14dea610a948cd642d887d7fa4890aa22645317e08003093db",
    "GLBKnobs-v0": "823912be91bc765353d361415094cf74299255a7156c2c1cdfe41cf5c0ebcda6",
}
STANDS_FOR = {f"equiload/{name}": told for name, told in STANDS_FOR.items()}
ON_THE_TRACE = [task for task in TASKS if TASKS[task].recorded]
QUICK = ["equiload/Toy-v0", "equiload/GLBEasy-v0"]


@pytest.fixture
def trace(request: pytest.FixtureRequest, task: str) -> str | None:
    """Folder of the published trace, for tasks that need it."""
    return str(request.getfixturevalue("bloom10_root")) if task in ON_THE_TRACE else None


def zero(task: str) -> Policy:
    """What scores 0."""
    return WithKnobs(EGLB()) if TASKS[task].knobs else EGLB()


def test_what_was_measured_is_of_these_tasks() -> None:
    assert {task: results(task)["digest"] for task in TASKS} == STANDS_FOR
    for task in TASKS.values():
        told = results(task.id)
        assert told["task"] == task.id
        assert task.id in told["command"]
        assert told["versions"]["equiload"]
        assert {len(row["objectives"]) for row in told["rows"].values()} == {task.draws}
        # Nothing is better than the optimum, and that is within what its solver certifies.
        optimum = told["rows"]["eGLB-Off, the optimum"]["score"]
        assert 0.999 < optimum <= 1.0
        assert max(row["score"] for row in told["rows"].values()) == optimum


@pytest.mark.parametrize("task", [task for task in TASKS if task != "equiload/GLBHard-v0"])
def test_an_id_stands_for_what_it_did_and_a_cell_comes_out_again(task, trace) -> None:
    assert digest(problems(task, trace)) == STANDS_FOR[task]
    for policy, name in ((EGLB(), "eGLB"), (GLBCost(), "GLB-Cost"), (zero(task), expert(task))):
        known, again = results(task)["rows"][name], score(policy, task, folder=trace)
        np.testing.assert_allclose(again.objectives, known["objectives"], rtol=1e-9)
        assert again.score == pytest.approx(known["score"], rel=1e-6, abs=1e-9)
        if TASKS[task].draws > 1:
            assert again.interval == pytest.approx(known["interval"], rel=1e-6, abs=1e-9)
        else:
            assert again.interval is known["interval"] is None


@pytest.mark.slow
def test_the_hard_task_is_what_it_was() -> None:
    task = "equiload/GLBHard-v0"
    known, again = results(task)["rows"]["eGLB"], score(EGLB(), task)
    assert digest(problems(task)) == STANDS_FOR[task]
    np.testing.assert_allclose(again.objectives, known["objectives"], rtol=1e-9)
    assert again.score == pytest.approx(0.0, abs=1e-9)


def test_a_bound_is_certified_again() -> None:
    easy = problems("equiload/GLBEasy-v0")
    told = results("equiload/GLBEasy-v0")["bounds"]
    assert EGLBOff().solve(easy[7]).lower_bound == pytest.approx(told[7], rel=1e-7)


def test_draws_side_by_side_are_the_test_draws() -> None:
    easy = problems("equiload/GLBEasy-v0")
    for n in (0, 31):
        alone = synthetic(f"test/{n}", horizon=168)
        for ours, theirs in zip(easy[n].series.arrays(), alone.series.arrays(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_hash_notices_what_is_changed() -> None:
    week = synthetic("test/0", horizon=168)
    trace, fleet, weights = week.trace, week.fleet, week.objective.equity_weight
    others = [
        week.replace(trace=trace.replace(price=trace.price * (1 + 1e-5))),
        week.replace(trace=trace.replace(timestamps=trace.timestamps + np.timedelta64(1, "h"))),
        week.replace(
            fleet=fleet.replace(reachable=synthetic(reachability="partial").fleet.reachable)
        ),
        week.replace(objective=type(week.objective)(equity_weight={**weights, "water": 61.0})),
    ]
    assert len({digest(instance) for instance in [week, *others]}) == 1 + len(others)
    # Another processor's last digits are no other world.
    assert digest(week.replace(trace=trace.replace(price=trace.price * (1 + 1e-15)))) == digest(
        week
    )


def test_the_toys_optimum_by_hand() -> None:
    """The best share of the first data center is one of four: nothing, all, or a kind is level."""
    draws = toy([f"test/{n}" for n in range(32)], horizon=24)
    bounds = results("equiload/Toy-v0")["bounds"]
    for n in range(32):
        (p, q), intensity = draws.trace.price[n, 0], draws.trace.intensity[n, :, 0]
        mu, shares = draws.objective.mu, np.array([0.0, 1.0, *(intensity[:, 1] / intensity.sum(1))])
        level = np.maximum(intensity[:, :1] * shares, intensity[:, 1:] * (1 - shares))
        by_hand = 24 * (p * shares + q * (1 - shares) + mu @ level).min()
        assert bounds[n] == pytest.approx(by_hand, rel=1e-7)


@pytest.mark.parametrize("task", TASKS)
def test_the_environment_plays_training_draws(task: str) -> None:
    env = gymnasium.make(task)
    defaults = dict(gymnasium.spec(RESIDUAL_ENVIRONMENT).kwargs)
    assert env.spec.kwargs == {"task": task, **defaults}
    assert gymnasium.make(env.spec.from_json(env.spec.to_json())).spec == env.spec
    assert env.spec.max_episode_steps == -(-TASKS[task].horizon // defaults["hold"])
    env.reset(seed=3)
    episode = env.unwrapped.instance
    assert episode.horizon == TASKS[task].horizon
    assert episode.fleet.full == (TASKS[task].reachability == "full")
    if task in QUICK:
        scored_on = problems(task)
        assert episode.fleet.same_as(scored_on.fleet)
        assert episode.objective == scored_on.objective or np.array_equal(
            episode.objective.mu, scored_on.objective.mu
        )
        assert not (scored_on.trace.price == episode.trace.price).all((-1, -2)).any()


@pytest.mark.filterwarnings("ignore")
def test_the_environment_is_gymnasiums_kind_and_takes_options() -> None:
    check_env(gymnasium.make("equiload/Toy-v0").unwrapped, skip_render_check=True)
    bare = {"action": "shadow_prices", "hold": 1, "reward": "dense", "horizon": 6}
    env = gymnasium.make("equiload/Toy-v0", **bare)
    assert env.action_space.high[0] == 1.0
    assert env.spec.max_episode_steps == 6
    many = gymnasium.make_vec("equiload/Toy-v0", num_envs=3)
    observation, _ = many.reset(seed=5)
    single, _ = gymnasium.make("equiload/Toy-v0").reset(seed=6)
    np.testing.assert_array_equal(observation[1], single)


def test_a_score_by_hand() -> None:
    ours, eglb, bounds = np.array([9.0, 21.0]), np.array([10.0, 20.0]), np.array([8.0, 18.0])
    result = scored("some", ours, eglb, bounds)
    assert result.score == 0.0
    assert result.interval == (-0.5, 0.5)
    assert result.gap == pytest.approx(30 / 26 - 1)
    assert scored("some", bounds, eglb, bounds).score == 1.0
    assert scored("some", eglb, eglb, bounds).interval == (0.0, 0.0)
    # eGLB is the optimum but for the rounding of the bounds: no score is made of that.
    nearly = scored("some", eglb * (1 + 1e-9), eglb, eglb * (1 - 1e-9))
    assert nearly.score == pytest.approx(-1e-3)
    assert scored("some", eglb[:1], eglb[:1], bounds[:1]).interval is None


def test_what_is_wrong_is_one_sentence(tmp_path) -> None:
    with pytest.raises(
        DataError, match=r"no task 'GLBEasy-v0'; did you mean 'equiload/GLBEasy-v0'\?"
    ):
        score(EGLB(), "GLBEasy-v0")
    with pytest.raises(DataError, match="'task' must be a text"):
        score(EGLB(), 3)
    with pytest.raises(DataError, match="EGLBOff is no policy: it lacks reset or act"):
        score(EGLBOff(), "equiload/Toy-v0")
    with pytest.raises(DataError, match="is no policy: reset must take"):
        score(EGLB, "equiload/Toy-v0")
    with pytest.raises(DataError, match="equiload data fetch bloom10 FOLDER"):
        score(EGLB(), "equiload/GLBPaper-v0")
    with pytest.raises(DataError, match="no such file"):
        score(EGLB(), "equiload/GLBPaper-v0", folder=tmp_path)
    with pytest.raises(DataError, match="full reachability, got 'partial'"):
        toy(reachability="partial")


def test_another_trace_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    other = problems("equiload/Toy-v0")[:16]
    monkeypatch.setattr("equiload.testing.scores.problems", lambda *_: other)
    with pytest.raises(DataError, match="the draws are not what this id stands for"):
        score(EGLB(), "equiload/Toy-v0")


def test_the_page_is_what_the_command_makes() -> None:
    text = leaderboard.PAGE.read_text(encoding="utf-8")
    assert text == leaderboard.page(), "python tools/leaderboard.py writes it anew"
    assert all(f"| `{task.id}` | {task.purpose} |" in text for task in TASKS.values())


def test_random_actions_are_the_same_again() -> None:
    toys = problems("equiload/Toy-v0")
    rows = [
        leaderboard.rows(TASKS["equiload/Toy-v0"])["random action, `residual`"] for _ in range(2)
    ]
    one, other = (rollout(policy, toys).objective for policy in rows)
    np.testing.assert_array_equal(one, other)
    known = results("equiload/Toy-v0")["rows"]["random action, `residual`"]["objectives"]
    np.testing.assert_allclose(one, known, rtol=1e-9)
