"""The predictions experiment as its user runs it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from equiload.agents.forecast import Persistence
from equiload.agents.learn import Checkpoint, Layout, make_network
from equiload.envs import Setting
from equiload.envs.data import synthetic
from equiload.envs.gym import Observer
from equiload.envs.gym.features import make_features
from equiload.experiments.programs.train import save_checkpoint
from equiload.experiments.results import parquet

SMALL = ["draws=2", "instance.horizon=30"]


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "equiload.experiments.cli", "predictions"]
    return subprocess.run(
        [*command, *SMALL, *overrides, f"hydra.run.dir={folder}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = run(folder, "~errors.noise", "~errors.delay", "~errors.swap", "rho=[0.05]")
    assert done.returncode == 0, done.stderr
    assert "Robust(eGLB-MPC), ρ = 0.05" in done.stdout
    return folder


def test_scores(finished: Path) -> None:
    results = json.loads((finished / "predictions.json").read_text())
    assert results["schema"] == 1
    assert results["split"] == "test"
    scores = {(s["error"], s["size"], s["algorithm"]): s for s in results["scores"]}
    for score in scores.values():
        assert -1e-9 <= score["low"] <= score["gap"] <= score["high"]
    assert {error for error, _, _ in scores} == {"none", "perfect", "bias", "adversary"}
    assert scores["bias", 0.3, "eGLB-MPC"]["price_mape"] == pytest.approx(0.3, abs=1e-9)
    assert scores["perfect", 0.0, "eGLB-MPC"]["footprint_mape"] == 0
    # The expert is the reference eGLB: (1 + ρ) times its objective bounds the wrapped one's.
    expert, rho = scores["none", 0.0, "eGLB"]["gap"], 0.05
    wrapped = [s for (_, _, name), s in scores.items() if name.startswith("Robust(")]
    assert {s["advice"] for s in wrapped} == {"eGLB-MPC", "learned"}
    assert len(wrapped) == 2 * 7  # of the default configuration: kinds and sizes of error
    for score in wrapped:
        assert score["rho"] == rho
        assert score["gap"] <= (1 + rho) * (1 + expert) - 1 + 1e-9


def test_csv_and_figure(finished: Path) -> None:
    with (finished / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    results = json.loads((finished / "predictions.json").read_text())["scores"]
    assert [float(row["gap"]) for row in rows] == [score["gap"] for score in results]
    assert {path.name for path in finished.glob("predictions.p*")} == {
        "predictions.pdf",
        "predictions.png",
    }


def test_rows_of_every_draw(finished: Path) -> None:
    rows = parquet.read(finished / parquet.FILE).to_pandas()
    scores = json.loads((finished / "predictions.json").read_text())["scores"]
    assert len(rows) == 2 * len(scores)
    assert set(rows["draw"]) == {"test/0", "test/1"}
    bias = next(
        s for s in scores if (s["error"], s["size"], s["algorithm"]) == ("bias", 0.3, "eGLB-MPC")
    )
    mean = rows["gap"][rows["algorithm"] == "eGLB-MPC, bias 0.3"].mean()
    assert mean == pytest.approx(bias["gap"], rel=1e-12)


def test_the_same_again(finished: Path) -> None:
    again = finished.parent / "again"
    done = run(
        again, "~errors.noise", "~errors.delay", "~errors.swap", "rho=[0.05]", "figures=false"
    )
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads((folder / "predictions.json").read_text())["scores"]
        for folder in (finished, again)
    )
    assert first == second


def checkpoint_with_forecasts(stem: Path) -> None:
    """A small network of random weights that looks at forecasts."""
    world, names = synthetic(0, horizon=24), ["expert_prices", "forecast"]
    observer = Observer(features=make_features(names, Persistence()))
    observer.reset(Setting.of(world))
    layout = Layout.of(observer, Setting.of(world))
    network = {"kind": "regions", "hidden": 8, "depth": 1}
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.3 * torch.randn(value.shape, generator=generator)
        for name, value in make_network(layout, **network).state_dict().items()
    }
    checkpoint = Checkpoint(
        network=network,
        observation={
            "kinds": list(layout.kinds),
            "features": names,
            "price_scale": 100.0,
            "blocks": layout.signature,
        },
        action={"kind": "shadow_prices", "scale": 4.0, "squash": "none"},
        weights=weights,
    )
    save_checkpoint(stem, checkpoint)


def test_a_learned_policy_takes_the_forecast(tmp_path: Path) -> None:
    checkpoint_with_forecasts(tmp_path / "mine")
    done = run(
        tmp_path / "run",
        "errors={noise: null, bias: null, delay: null, swap: null}",
        "+algorithms.learned={_target_: equiload.agents.learn.LearnedPolicy, "
        f"checkpoint: {tmp_path / 'mine'}}}",
        "algorithms.eGLB-MPC=null",
        "wrapped=[learned]",
        "rho=[0, 0.05]",
        "figures=false",
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run" / "predictions.json").read_text())["scores"]
    gaps = {(s["error"], s["size"], s["advice"], s["rho"]): s["gap"] for s in scores}
    assert ("perfect", 0.0, "eGLB-MPC", None) not in gaps
    assert ("perfect", 0.0, "predicted, trust 1", 0.05) not in gaps
    # Another forecast, another decision; and wrapped it stays near eGLB, however bad.
    errors = [("perfect", 0.0), ("adversary", 0.2), ("adversary", 0.5), ("adversary", 1.0)]
    alone = [gaps[(*error, "learned", None)] for error in errors]
    assert len(set(alone)) == len(errors)
    expert = gaps["none", 0.0, "eGLB", None]
    assert min(alone) > expert  # its weights are random
    for error in errors:
        assert gaps[(*error, "learned", 0.0)] <= expert + 1e-9
        assert gaps[(*error, "learned", 0.05)] <= 1.05 * (1 + expert) - 1 + 1e-9


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("wrapped=[guess]", "wrapped names 'guess', which is not among the algorithms"),
        ("draws=1", "'draws' must be at least 2, got 1"),
        ("errors.bias.sizes=[2]", "'size' must be at most 1, got 2.0"),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path: Path, override: str, sentence: str) -> None:
    done = run(tmp_path / "run", override)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
