"""Data sets for offline learning: loaded by minari, and played again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from equiload.experiments import cli
from equiload.experiments.worlds.offline import ABOUT

minari = pytest.importorskip("minari")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minari")
    options = ["--task", "equiload/Toy-v0", "--episodes", "8", "--seed", "5"]
    assert cli.main(["data", "offline", str(folder), *options]) == 0
    return folder


@pytest.fixture(params=ABOUT)
def dataset(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return minari.load_dataset(f"equiload/Toy/{request.param}-v0")


def test_it_plays_again_to_the_bit(dataset) -> None:
    env = dataset.recover_environment()
    assert env.spec.kwargs["task"] == "equiload/Toy-v0"
    metadata = dataset.storage.get_episode_metadata(range(8))
    assert dataset.total_episodes == 8
    for episode, told in zip(dataset.iterate_episodes(), metadata, strict=True):
        observation, _ = env.reset(seed=told["seed"])
        seen, paid = [observation], []
        for action in episode.actions:
            assert env.action_space.contains(action)
            observation, reward, over, _, _ = env.step(action)
            seen.append(observation)
            paid.append(reward)
        assert over
        np.testing.assert_array_equal(episode.rewards, paid)
        np.testing.assert_array_equal(episode.observations, seen)
        np.testing.assert_array_equal(episode.terminations, np.arange(24) == 23)
        assert not episode.truncations.any()
    assert [told["seed"] for told in dataset.storage.get_episode_metadata([0, 7])] == [5, 12]


def test_what_it_says_of_itself(dataset) -> None:
    told = dataset.storage.metadata
    assert told["command"].startswith("equiload data offline FOLDER ")
    assert told["command"].endswith("--task equiload/Toy-v0 --episodes 8 --seed 5")
    assert told["seeds"] == [5, 12]
    assert told["versions"]["equiload"] in told["requirements"][0]
    assert ABOUT[told["algorithm_name"]] in told["description"]


def test_they_are_as_good_as_their_names(folder: Path) -> None:
    saved = {
        kind: np.mean(
            [
                episode.rewards.sum()
                for episode in minari.MinariDataset(
                    folder / "equiload" / "Toy" / f"{kind}-v0" / "data"
                ).iterate_episodes()
            ]
        )
        for kind in ABOUT
    }
    assert min(saved["expert"], saved["learned"]) > 0 > saved["mixed"]


def test_nothing_is_half_written_or_written_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["equiload"]
    command = ["data", "offline", str(folder), "mixed", "--task", "equiload/Toy-v0"]
    assert cli.main(command) == 2
    assert "is there already" in capsys.readouterr().err

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minari.dataset._storages.arrow_storage.ArrowStorage.update_episodes", full)
    command[2] = str(tmp_path)
    assert cli.main(command) == 2
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["expret"], "there is no data set 'expret'; did you mean 'expert'?"),
        (["--task", "equiload/Toy"], "did you mean 'equiload/Toy-v0'?"),
        (["--episodes", "0"], "episodes must lie in 1..4096"),
        (["--seed", "-1"], "the seed be at least 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(options, said, tmp_path: Path, capsys) -> None:
    assert cli.main(["data", "offline", str(tmp_path), *options]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_minari_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "minari.data_collector", None)
    assert cli.main(["data", "offline", str(tmp_path)]) == 2
    assert "pip install 'equiload[offline]'" in capsys.readouterr().err
