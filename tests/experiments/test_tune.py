"""Tuning: what is tried, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from equiload.agents import EGLB, EGLBOff, WithKnobs
from equiload.agents.levers import StoredByCharge, WaitingByFullness, WarmByShare
from equiload.envs import DataError, rollout
from equiload.envs.data import synthetic
from equiload.experiments.cli import start
from equiload.experiments.programs.tune import Search, search_of
from equiload.experiments.running import config

ROW = "algorithm=[eglb_knobs]"


@pytest.fixture(autouse=True)
def hydra(request: pytest.FixtureRequest) -> Iterator[None]:
    if "monkeypatch" in request.fixturenames:  # the program starts Hydra itself
        yield
        return
    config.register()
    with initialize_config_module("equiload.conf", version_base="1.3"):
        yield


def search(*options: str) -> Search:
    return search_of(config.TuneConfig.of(compose("tune", list(options))))


def test_parameters_of_rules_are_tried_in_every_combination() -> None:
    found = search(ROW, "parameters={waiting.width: [0.5, 2], stored.memory: [6, 72.0]}")
    assert found.name == "eGLB with knobs"
    assert [tuple(one.values()) for one in found.combinations] == [
        (0.5, 6),
        (0.5, 72.0),
        (2, 6),
        (2, 72.0),
    ]
    day = synthetic("train/0", horizon=24, knobs="all")
    expected = [
        rollout(
            WithKnobs(
                EGLB(),
                waiting=WaitingByFullness(width=one["waiting.width"]),
                stored=StoredByCharge(memory=one["stored.memory"]),
            ),
            day,
        ).objective
        for one in found.combinations
    ]
    np.testing.assert_array_equal(found.objectives(day), expected)
    assert len(np.unique(expected)) == 4


def test_the_row_states_the_rules_own_defaults() -> None:
    day = synthetic("train/1", horizon=24, knobs="all")
    stated = search(ROW, "parameters={on.share: [0.25]}").objectives(day)
    assert stated == rollout(WithKnobs(EGLB()), day).objective


def test_of_eglb_the_grid_is_played_at_once() -> None:
    found = search("step_size=[0.5, 2]", "z_max=[1]", "mirror=[entropic]")
    day = synthetic("train/0", horizon=24)
    assert len(found.combinations) == 4
    assert found.combinations[1] == {
        "mirror": "entropic",
        "schedule": "constant",
        "step_size": 2.0,
        "z_max": 1.0,
    }
    alone = [rollout(EGLB(**one), day).objective for one in found.combinations]
    np.testing.assert_allclose(found.objectives(day), alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([ROW], "one row and what to try of it are needed"),
        (["parameters={a: [1]}"], "one row and what to try of it are needed"),
        ([ROW, "parameters={off.share: [1]}"], "the row has no 'off' to set 'off.share' of"),
        ([ROW, "parameters={on.share.x: [1]}"], "the row has no 'on.share' to set"),
        ([ROW, "parameters={on.share: []}"], "'parameters.on.share' must be a list of at least 1"),
        ([ROW, "parameters={on.shore: [1]}"], "shore"),
        ([ROW, "parameters={on.share: [2]}"], "'share' must be at most 1, got 2"),
        (["algorithm=[eglb_off]", "parameters={tolerance: [1]}"], "EGLBOff is no online policy"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence(options: list[str], sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)) as raised:
        search(*options)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_what_was_tried_is_written_the_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["draws=2", "horizons=[24]", "reachability=[full]", "+instance.knobs=all"]
    row = [ROW, "parameters={waiting.width: [1, 30.0], on.share: [0.5]}"]
    assert not start("tune", [*few, *row, f"hydra.run.dir={tmp_path / 'run'}"])
    assert "waiting.width" in capsys.readouterr().out
    trials = json.loads((tmp_path / "run" / "tune.json").read_text())["trials"]
    days = [synthetic(f"train/{n}", horizon=24, knobs="all") for n in range(2)]
    for trial in trials:
        policy = WithKnobs(
            EGLB(),
            waiting=WaitingByFullness(width=trial["waiting.width"]),
            on=WarmByShare(share=trial["on.share"]),
        )
        bounds = [EGLBOff().solve(day).lower_bound for day in days]
        gaps = [
            rollout(policy, day).objective / bound - 1
            for day, bound in zip(days, bounds, strict=True)
        ]
        assert trial["gap"] == pytest.approx(np.mean(gaps))
    assert trials[0]["gap"] < trials[1]["gap"]
