"""Training on one's own data: which hours, which mixture, what is recorded and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from safetensors.torch import load_file

from equiload.agents import EGLB
from equiload.agents.learn import MixedStream, SyntheticStream, WindowStream, load_checkpoint
from equiload.envs import DataError, Instance
from equiload.envs.data import (
    Draw,
    RecordedSource,
    Source,
    SyntheticSource,
    synthetic,
)
from equiload.experiments.programs.train import Session, final_draws, final_rows
from equiload.experiments.running import config
from equiload.experiments.running.sources import make_source
from equiload.experiments.trainers import make_trainer
from equiload.experiments.trainers.lineage import seen_in_training
from equiload.experiments.trainers.parts import make_stream
from equiload.experiments.trainers.validation import Validation
from own_data import write_world

SLOTS = 600
SMALL = [
    "validation.draws=8",
    "validation.horizon=24",
    "problems.horizons=[24]",
    "problems.batch=4",
    "evaluate_every=1",
    "network.hidden=8",
]
KINDS = {
    "hindsight": ["agent.options.steps=4", "agent.options.learning_rate=0.05"],
    "ppo": ["agent.episodes=2", "agent.options.batch_size=16", "agent.options.learning_rate=0.05"],
}
PLACES = ("Chile", "Finland", "Korea", "Poland")  # none of the paper's ten


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-five days of four regions, as an operator would describe them."""
    folder = tmp_path_factory.mktemp("own")
    made = synthetic("validation/31", horizon=SLOTS, regions=PLACES, ranges={"outages": 0.0})
    path = write_world(made, folder, "own.yaml")
    reach = {name: [*PLACES[:2], name] for name in PLACES[2:]}
    top = f"equity_weight: {{carbon: 900, water: 40}}\nreachability: {json.dumps(reach)}\n"
    path.write_text(top + path.read_text())
    return path


def configured(kind: str, *more: str) -> tuple[Any, Source]:
    """A small training configuration, and the source that it names."""
    config.register()
    with initialize_config_module("equiload.conf", version_base="1.3"):
        overrides = [f"agent={kind}", *KINDS[kind], *SMALL, *more]
        cfg = config.TrainConfig.of(compose("train", overrides=overrides))
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    return cfg, source


def of(path: Path) -> list[str]:
    return ["instance=table", f"instance.path={path}"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def span(source: Source, split: str) -> tuple[np.datetime64, np.datetime64]:
    first, last, _ = source.provenance["parts"][split]
    return np.datetime64(first.removesuffix("Z")), np.datetime64(last.removesuffix("Z"))


def hours(instance: Instance) -> np.ndarray:
    return np.unique(instance.trace.timestamps)


def test_the_synthetic_world_is_trained_on_as_ever() -> None:
    still = [f"problems.{share}=0" for share in ("elsewhere", "moved", "reweighted")]
    cfg, source = configured("hindsight", "seed=3", *still)
    for step in range(3):
        drawn = make_stream(cfg, source)(step)
        expected = synthetic(Draw.train(31_000_000 + step), horizon=24, batch=4)
        np.testing.assert_array_equal(drawn.trace.price, expected.trace.price)
    moved, source = configured("hindsight", "+instance.regions=[Chile,Korea]", "+instance.sites=2")
    moved.problems.elsewhere = 0.0
    assert make_stream(moved, source)(0).fleet.regions == ("Chile", "Korea")
    assert len(make_stream(moved, source)(0).fleet.datacenters) == 4


def test_windows_of_the_three_parts_never_overlap(own: Path) -> None:
    cfg, source = configured("hindsight", *of(own), "problems.horizons=[24,72]")
    ends = {split: span(source, split) for split in ("train", "validation", "test")}
    day = np.timedelta64(24, "h")
    assert ends["validation"][0] - ends["train"][1] > day
    assert ends["test"][0] - ends["validation"][1] > day
    assert source.provenance["gap"] == 24
    cfg.problems.synthetic = 0.0
    stream = make_stream(cfg, source)
    trained = np.unique(np.concatenate([hours(stream(step)) for step in range(40)]))
    assert trained[0] >= ends["train"][0]
    assert trained[-1] <= ends["train"][1]
    assert len(trained) > 0.9 * 0.7 * SLOTS  # and they are drawn from all of it
    chosen = Validation(cfg.validation, source)._batches
    judged = np.unique(np.concatenate([hours(batch) for batch, *_ in chosen]))
    assert ends["validation"][0] <= judged[0]
    assert judged[-1] <= ends["validation"][1]
    cfg.final = config.FinalConfig(split="test", draws=9)
    for draw in final_draws(cfg, source):
        window = hours(source.draw(draw, horizon=24))
        assert ends["test"][0] <= window[0]
        assert window[-1] <= ends["test"][1]


def test_synthetic_worlds_are_mixed_in_by_share(own: Path) -> None:
    cfg, source = configured("hindsight", *of(own), "problems.synthetic=0.25")
    cfg.problems.moved = cfg.problems.reweighted = 0.0
    stream = make_stream(cfg, source)
    assert isinstance(stream, MixedStream)
    taken = [stream.synthetic(step) for step in range(2000)]
    assert np.mean(taken) == pytest.approx(0.25, abs=0.03)
    for step in (taken.index(True), taken.index(False)):
        drawn, again = stream(step), stream(step)
        np.testing.assert_array_equal(drawn.trace.price, again.trace.price)
        assert (drawn.fleet.datacenters == PLACES) == (not taken[step])
        assert dict(drawn.objective.equity_weight) == {"carbon": 900.0, "water": 40.0}
    cfg.problems.synthetic = None
    assert make_stream(cfg, source).share == 0.5  # type: ignore[union-attr]
    cfg.problems.synthetic = 0
    assert isinstance(make_stream(cfg, source), WindowStream)
    cfg.network["kind"], cfg.problems.synthetic = "flat", None
    assert isinstance(make_stream(cfg, source), WindowStream)


def test_kinds_of_synthetic_worlds_are_put_in_the_order_of_the_data(own: Path) -> None:
    _, source = configured("hindsight", *of(own))
    whole = source.instance()
    order = {"footprints": ("water", "carbon"), "intensity": whole.trace.intensity[::-1]}
    turned = whole.replace(trace=dataclasses.replace(whole.trace, **order))
    other = SyntheticStream(batch=2, horizons=[24], regions=3)
    mixed = MixedStream(
        own=WindowStream(source=RecordedSource(turned), horizons=[24]), other=other, share=1.0
    )
    drawn, plain = mixed(0), other(0)
    assert drawn.trace.footprints == ("water", "carbon")
    assert drawn.objective.footprints == ("water", "carbon")
    np.testing.assert_array_equal(drawn.trace.intensity, plain.trace.intensity[:, ::-1])


@pytest.mark.parametrize("kind", ["hindsight", "ppo"])
def test_a_killed_run_goes_on_to_the_same_numbers(kind: str, own: Path, tmp_path: Path) -> None:
    cfg, source = configured(kind, *of(own))
    Session(cfg, source, tmp_path / "whole", "").run()
    killed, stop = Session(cfg, source, tmp_path / "killed", ""), 1
    advance = killed._trainer.advance

    def once() -> dict[str, float]:
        if killed._trainer.done == stop:
            raise KeyboardInterrupt
        return advance()

    killed._trainer.advance = once  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    Session(cfg, make_source(cfg.instance), tmp_path / "killed", "").run()
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    weights = [load_file(tmp_path / f / "last.safetensors") for f in ("whole", "killed")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert len({row["gap"] for row in rows(tmp_path / "whole")}) > 1  # it did learn something


def test_forecasts_and_the_layer_train_on_windows(own: Path, tmp_path: Path) -> None:
    wrong = "forecaster={_target_: equiload.agents.forecast.Noisy, seed: 0, sizes: [0.0, 0.5]}"
    features = "features=[forecast,recent_past,place,slots_left]"
    cfg, source = configured("hindsight", *of(own), wrong, features, "robust=through")
    Session(cfg, source, tmp_path, "").run()
    place = load_checkpoint(tmp_path / "last").observation["blocks"]
    assert place["place_known"] == place["rest_price"] == "datacenter"


def test_a_checkpoint_says_what_it_was_trained_on(own: Path, tmp_path: Path) -> None:
    cfg, source = configured("hindsight", *of(own))
    Session(cfg, source, tmp_path / "a", "").run()
    told = json.loads((tmp_path / "a" / "best.json").read_text())["training"]["data"]
    digest = source.provenance["sha256"]
    assert (told["source"], told["sha256"], told["synthetic"]) == ("own.yaml", digest, 0.5)
    assert told["gap"] == 24
    assert told["parts"]["train"][:1] + told["parts"]["test"][1:2] == [
        f"{source.instance().trace.timestamps[0]}Z",
        f"{source.instance().trace.timestamps[-1]}Z",
    ]
    policy = load_checkpoint(tmp_path / "a" / "best")
    assert "trained on these hours" in str(seen_in_training(policy, source, "train"))
    assert "chosen by these hours" in str(seen_in_training(policy, source, "validation"))
    assert seen_in_training(policy, source, "test") is None
    assert seen_in_training(policy, source, None) is not None  # the whole trace
    assert seen_in_training(policy, SyntheticSource(), "test") is None
    late = make_source({**cfg.instance, "split": [0.1, 0.1, 0.8]})
    assert seen_in_training(policy, late, "test") is not None  # another split of the same hours
    more, _ = configured("hindsight", *of(own), f"init={tmp_path}/a/best")
    Session(more, late, tmp_path / "b", "").run()
    tuned = load_checkpoint(tmp_path / "b" / "best")
    assert tuned.training["data"]["init"] == told
    assert seen_in_training(tuned, late, "test") is not None


def test_there_are_as_many_windows_as_fit(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, source = configured("hindsight", *of(own), "final.draws=9", "final.split=test")
    draws = final_draws(cfg, source)
    assert draws == ["test/0", "test/1"]
    line = "own.yaml has 2 test draws, not 9: 2 are run"
    assert capsys.readouterr().err.splitlines() == [line]
    cfg.validation.reachability = ["full"]
    scores = Validation(cfg.validation, source)
    assert [len(bound) for _, bound, _ in scores._batches] == [2]
    stamps = scores._batches[0][0].trace.timestamps
    assert (stamps[0, 0], stamps[-1, -1]) == span(source, "validation")  # spread over all of it


def test_rows_of_the_end_are_the_test_windows(own: Path, tmp_path: Path) -> None:
    cfg, source = configured("hindsight", *of(own), "final.draws=2", "final.split=test")
    Session(cfg, source, tmp_path, "").run()
    judged = final_rows(cfg, source, final_draws(cfg, source), load_checkpoint(tmp_path / "best"))
    assert len(judged) == 2 * 2 * 2  # draws, reachabilities, algorithms
    first, last = span(source, "test")
    for row in judged:
        stamps = row.outcome.instance.trace.timestamps
        assert first <= stamps[0]
        assert stamps[-1] <= last


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["problems.horizons=[24,500]"],
            "the train part has 420 of the 600 slots, and a window takes 500",
        ),
        (
            ["validation.horizon=80"],
            "the validation part has 66 of the 600 slots, and a window takes 80",
        ),
        (["validation.horizon=0"], "'validation.horizon' must be at least 1, got 0"),
        (["validation.draws=0"], "'validation.draws' must be at least 1, got 0"),
        (["problems.horizons=[0]"], r"'problems.horizons\[0\]' must be at least 1, got 0"),
        (["problems.synthetic=1.5"], "'problems.synthetic' must be at most 1, got 1.5"),
        (["network.kind=flat", "problems.synthetic=0.5"], "network=flat knows one fleet"),
        (["+problems.colour=1"], "there is no option 'problems.colour'"),
        (
            ["validation.reachability=[some]"],
            r"'validation.reachability\[0\]' must be 'full' or 'partial', got 'some'",
        ),
        (["init=nowhere"], "no such checkpoint"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    own: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Session(*configured("hindsight", *of(own), *overrides), tmp_path, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("final", "message"),
    [
        ("final.split=exam", "'final.split' must be 'train', 'validation' or 'test', got 'exam'"),
        ("final.draws=-1", "'final.draws' must be at least 0, got -1"),
    ],
)
def test_a_bad_end_is_found_before_the_beginning(final: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        configured("hindsight", final)


def test_ppo_goes_on_from_fleet_to_fleet(own: Path) -> None:
    """Four regions of one's own and ten synthetic ones, by one policy; its spread is by kind."""
    trainer = make_trainer(*configured("ppo", *of(own), "problems.synthetic=0.5"), "cpu")
    regions, before = set(), trainer.state()["parameters"]
    for _ in range(8):
        returned = trainer.advance()
        regions.add(trainer.network().layout.share.shape[1])
    assert regions == {4, 10}
    assert np.isfinite(list(returned.values())).all()
    after = trainer.state()["parameters"]
    assert after["policy"]["log_std"].shape == (2,)
    assert all((after["policy"][name] != value).any() for name, value in before["policy"].items())
    # What has been learned goes over whole: Adam has counted every step.
    steps = {float(moments["step"]) for moments in after["policy.optimizer"]["state"].values()}
    assert steps == {8 * 4.0}


def test_shifted_worlds_can_be_trained_on(own: Path) -> None:
    for more in ([], of(own)):
        cfg, source = configured("hindsight", *more, "shift=price", "problems.synthetic=0")
        cfg.problems.moved = cfg.problems.reweighted = cfg.problems.elsewhere = 0.0
        stream = make_stream(cfg, source)
        base = source.base  # type: ignore[attr-defined]
        plain = make_stream(cfg, base)(1).trace.price
        ratio = stream(1).trace.price / plain
        assert np.unique(ratio.round(6)).tolist() == [1.0, 3.0]


@pytest.mark.slow
def test_own_data_from_the_command_line(own: Path, tmp_path: Path) -> None:
    def train(*overrides: str, folder: str = "run") -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "equiload.experiments.cli",
            "train",
            *SMALL,
            *KINDS["hindsight"],
        ]
        return subprocess.run(
            [*command, *overrides, f"hydra.run.dir={tmp_path}/{folder}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=own.parent,
        )

    mine = ["instance=table", "instance.path=own.yaml"]
    done = train(*mine, "final.split=test", "final.draws=2")
    assert done.returncode == 0, done.stderr
    assert "best validation gap" in done.stdout
    assert (tmp_path / "run" / "results.parquet").is_file()
    for split, seen in (("train", True), ("test", False)):
        judge = [
            sys.executable,
            "-m",
            "equiload.experiments.cli",
            "evaluate",
            *mine,
            f"split={split}",
        ]
        small = ["draws=1", "instance.horizon=24", "reachability=[full]"]
        done = subprocess.run(
            [
                *judge,
                *small,
                f"checkpoint={tmp_path}/run/best",
                f"hydra.run.dir={tmp_path}/{split}",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=own.parent,
        )
        assert done.returncode == 0, done.stderr
        assert ("the policy was trained on these hours (" in done.stderr) == seen
    for overrides, folder, message in (
        (["instance=table"], "other", "instance.path must be given"),
        (["instance=table", "instance.path=none.yaml"], "other", "none.yaml: no such file"),
        (["instance=synthetic"], "run", "holds another configuration"),
    ):
        failed = train(*overrides, folder=folder)
        assert failed.returncode == 2
        assert message in failed.stderr
        assert len(failed.stderr.strip().splitlines()) == 1


def test_a_fleet_without_a_choice_has_no_gap_to_close() -> None:
    world = synthetic("validation/31", horizon=200, regions=PLACES)
    served = np.minimum(world.trace.demand, 0.5)
    alone = world.replace(
        fleet=world.fleet.replace(reachable=np.eye(4)),
        trace=dataclasses.replace(world.trace, demand=served, availability=None),
    )
    options = config.ValidationConfig(index=0, draws=1, horizon=24, reachability=["partial"])
    validation = Validation(options, RecordedSource(alone, gap=0))
    *_, gap = validation._batches[0]
    validation._batches[0] = (*validation._batches[0][:2], np.zeros_like(gap))
    assert np.abs(gap).max() < 1e-9
    scores = validation.scores(lambda forecaster: EGLB())
    assert scores["closed"] == 0
    assert scores["gap"] == pytest.approx(0, abs=1e-9)
