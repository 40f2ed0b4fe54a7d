"""What a user extends without touching the repository: by ``_target_``, or with objects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException

from equiload.agents import EGLB, GLBCost
from equiload.agents.learn import LearnedPolicy, load_checkpoint
from equiload.envs import DataError, rollout
from equiload.envs.data import Draw, SyntheticSource, synthetic
from equiload.envs.gym import ENVIRONMENT, AgentPolicy, GLBEnv
from equiload.envs.make import make
from equiload.experiments.programs.train import Session
from equiload.experiments.results.study import build_agents
from equiload.experiments.running import config
from equiload.robust import RobustPolicy

MINE = """
from pathlib import Path

import torch
from torch import nn

from equiload.envs.gym import Dense
from equiload.envs.gym.actions import ShadowPriceAction, softmax
from equiload.envs.gym.features import SlotsLeft
from equiload.experiments.trainers import HindsightTrainer
from equiload.robust.methods import BlendMethod

Path(__file__).with_name("imported").touch()


class Reward(Dense):
    def __init__(self, times):
        self.times = times

    def __call__(self, step):
        return self.times * super().__call__(step)


class Feature(SlotsLeft):
    def __init__(self, times=1.0):
        self.times = times

    def observe(self, slot):
        return self.times * super().observe(slot)


class Network(nn.Module):
    one_fleet = True

    def __init__(self, layout, *, shape, width):
        super().__init__()
        self.layout, self.shape = layout, shape
        size = max(cut.stop for cut in layout.blocks.values())
        self.body = nn.Linear(size, width)
        self.head = nn.Linear(width, shape[0] * shape[1])

    def bind(self, layout):
        self.layout = layout

    def forward(self, observation):
        return self.head(torch.tanh(self.body(observation))).unflatten(-1, self.shape)


class Action(ShadowPriceAction):
    def weights(self, action):
        return softmax(-action * self._scale)


class Trainer(HindsightTrainer):
    def __init__(self, cfg, source, device, *, steps, warm=True):
        super().__init__(cfg, source, device, options={"steps": steps}, warm=warm)


class Method(BlendMethod):
    pass
"""
SMALL = [
    "validation.draws=2",
    "validation.horizon=12",
    "problems.horizons=[12]",
    "problems.batch=2",
    "evaluate_every=1",
]
PPO = ["agent=ppo", "agent.episodes=1", "agent.options.batch_size=4"]
OWN = [
    "+reward={_target_: mine.Reward, times: 2}",
    "features=[place,expert_prices,{_target_: mine.Feature, times: 0.5}]",
    "+network={_target_: mine.Network, width: 3}",
    "+action={_target_: mine.Action}",
]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "imported"
    sys.modules.pop("mine", None)


def configured(*overrides: str) -> Any:
    config.register()
    with initialize_config_module("equiload.conf", version_base="1.3"):
        return config.TrainConfig.of(compose("train", overrides=[*SMALL, *overrides]))


def run(folder: Path, program: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "equiload.experiments.cli", program, *overrides],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def test_a_strangers_checkpoint_runs_no_code_of_his(mine: Path, tmp_path: Path) -> None:
    Session(configured(*PPO, *OWN), SyntheticSource(), tmp_path / "run", "").run()
    checkpoint, world = tmp_path / "run" / "best", synthetic(Draw.test(0), horizon=4)
    trusted = rollout(LearnedPolicy(checkpoint, trust=True), world)
    own = [vars(sys.modules["mine"])[name] for name in ("Feature", "Network", "Action")]
    assert rollout(LearnedPolicy(checkpoint, trust=own), world).objective == trusted.objective
    del sys.modules["mine"]
    mine.unlink()
    with pytest.raises(DataError, match=r"mine\.Feature may run foreign code"):
        LearnedPolicy(checkpoint)
    told = json.loads(checkpoint.with_suffix(".json").read_text())
    for path in (
        "os.system",
        "equiload.envs.make.import_module",
        "equiload.envs.data.source.np.load",
        "equiload.agents.learn.policy.torch.load",
        "equiload.experiments.programs.train.Session",
        "equiload.envs.gym.features.make_features",
    ):
        nested = {"kind": "expert_prices", "expert": {"_target_": path}}
        for spec in ({"_target_": path}, nested):
            told["observation"]["features"] = [spec]
            checkpoint.with_suffix(".json").write_text(json.dumps(told))
            with pytest.raises(DataError, match="may run foreign code"):
                LearnedPolicy(checkpoint)
    policy = {"_target_": "equiload.agents.learn.LearnedPolicy", "checkpoint": "x", "trust": True}
    told["observation"]["features"] = [{"kind": "expert_prices", "expert": policy}]
    checkpoint.with_suffix(".json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"LearnedPolicy may run foreign code"):
        LearnedPolicy(checkpoint)
    told["observation"]["features"] = ["place", "expert_prices", "slots_left"]  # the same blocks
    for part, spec in (
        ("action", {**told["action"], "kind": {"_target_": "mine.Action"}}),
        ("network", {"_target_": "mine.Network", "width": 3}),
    ):
        ours = {**told, "action": {**told["action"], "kind": "shadow_prices"}, part: spec}
        checkpoint.with_suffix(".json").write_text(json.dumps(ours))
        with pytest.raises(DataError, match=rf"mine\.{part.title()} may run foreign code"):
            rollout(LearnedPolicy(checkpoint), world)
    assert not mine.exists()  # never imported


def test_environments_take_names_targets_and_objects(mine: Path) -> None:
    import mine as own  # type: ignore[import-not-found]

    world = synthetic(1, horizon=3)
    by_name = GLBEnv(instance=world, reward="dense", features=["slots_left"])
    by_target = GLBEnv(
        instance=world,
        reward={"_target_": "mine.Reward", "times": 3},
        features=[{"_target_": "mine.Feature", "times": 0.5}],
        action={"_target_": "mine.Action"},
    )
    by_object = gymnasium.make(
        ENVIRONMENT,
        instance=world,
        reward=own.Reward(3),
        features=[own.Feature(0.5)],
        action=own.Action,
    )
    action = np.linspace(-0.4, 0.5, 20, dtype=np.float32).reshape(2, 10)
    played: list[Any] = []
    for env, chosen in ((by_name, action), (by_target, -action), (by_object, -action)):
        observation, _ = env.reset(seed=0)
        played.append((observation, *env.step(chosen)[:2]))
    assert played[1][2] == played[2][2] == 3 * played[0][2]
    assert played[1][0][-1] == played[2][0][-1] == 0.5 * played[0][0][-1]
    outcome = rollout(AgentPolicy(lambda _: action, action=own.Action), world)
    assert outcome.objective == rollout(AgentPolicy(lambda _: -action), world).objective


def test_methods_and_nulls_and_what_stands_beside_a_target(mine: Path) -> None:
    world = synthetic(1, horizon=4)
    costs = [
        float(rollout(RobustPolicy(GLBCost(), EGLB(), rho=0.1, method=method), world).objective)
        for method in ("blend", {"_target_": "mine.Method"}, make("method", "blend"))
    ]
    assert len(set(costs)) == 1
    assert make("method", {"kind": "fixed", "weight": 0.25}).weight == 0.25
    assert make("method", {"kind": "fixed", "weight": None}).weight == 0.5
    # The options of what it stands in place of are not its own; a slip is neither's.
    beside = {"kind": "fixed", "weight": 0.25, "_target_": "mine.Method"}
    assert type(make("method", beside)).__name__ == "Method"
    for spec, message in (
        (beside | {"wieght": 1}, r"method mine\.Method: .*'wieght'"),
        ({"_target_": "mine.Nothing"}, r"there is no 'mine\.Nothing' to import"),
        ({"_target_": 3}, "_target_ must be an import path, got 3"),
        ("best", "method must be one of blend, project, switch, fixed or a _target_, got 'best'"),
        ({"weight": 1}, "the method needs a name or a _target_"),
        (None, "method must be one of blend, .* got none"),
    ):
        with pytest.raises(DataError, match=message):
            make("method", spec)


@pytest.mark.slow
def test_ones_own_objects_from_the_command_line(mine: Path, tmp_path: Path) -> None:
    trained = run(tmp_path, "train", *PPO, *SMALL, *OWN, "hydra.run.dir=ppo")
    assert trained.returncode == 0, trained.stderr
    layer = ["robust=after", "+robust.method={_target_: mine.Method}"]
    trainer = "+agent={_target_: mine.Trainer, steps: 1}"
    trained = run(tmp_path, "train", *SMALL, trainer, *layer, "hydra.run.dir=own")
    assert trained.returncode == 0, trained.stderr
    assert load_checkpoint(tmp_path / "own" / "best").training["step"] == 1
    few = ["draws=2", "instance.horizon=12", "reachability=[full]", "checkpoint=ppo/best"]
    refused = run(tmp_path, "evaluate", *few)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: mine.Feature may run foreign code")
    few += ["trust=true", "+algorithms.robust_learned.agent.method={_target_: mine.Method}"]
    done = run(tmp_path, "evaluate", *few, "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "evaluation.json").read_text())["scores"]
    assert [score["algorithm"] for score in scores] == ["eGLB", "Learned", "Robust(Learned)"]


@pytest.mark.slow
@pytest.mark.parametrize("agent", [["agent.options.steps=2"], [*PPO, "hold=1"]])
def test_routing_from_the_command_line(agent: list[str], tmp_path: Path) -> None:
    routing = ["action=routing", "network=flat"]
    done = run(tmp_path, "train", *agent, *SMALL, *routing, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    few = ["draws=2", "instance.horizon=12", "reachability=[full]", "checkpoint=run/best"]
    done = run(tmp_path, "evaluate", *few, "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "evaluation.json").read_text())["scores"]
    assert {score["algorithm"] for score in scores} == {"eGLB", "Learned", "Robust(Learned)"}
    assert load_checkpoint(tmp_path / "run" / "best").action["kind"] == "routing"
    for wrong, message in (
        (["network=regions"], "the network regions gives actions of shape (2, 10)"),
        (["+network.residual=true", "features=[expert_prices]"], "a residual network acts on"),
        (["problems.synthetic=1", "problems.colour=1"], "there is no option 'problems.colour'"),
    ):
        failed = run(tmp_path, "train", *SMALL, *routing, *wrong)
        assert failed.returncode
        assert message in failed.stderr


@pytest.mark.parametrize(
    "slip",
    [
        "problems.colour=1",
        "problems.batch=many",
        "validation.drows=3",
        "final.spilt=test",
        "robust.roh=1",
        "network.hiden=3",
    ],
)
def test_a_mistyped_option_is_refused_by_name(slip: str) -> None:
    with pytest.raises((ConfigCompositionException, DataError), match=slip.partition("=")[0]):
        configured(slip)


def test_a_row_that_is_not_run_by_default_can_be_added() -> None:
    config.register()
    added = ["+algorithm@algorithms.mine=eglb_predicted", "algorithms.mine.agent.trust=0.5"]
    with initialize_config_module("equiload.conf", version_base="1.3"):
        usual = compose("benchmark").algorithms
        rows = config.BenchmarkConfig.of(compose("benchmark", overrides=added)).algorithms
    assert list(rows) == [*usual, "mine"]
    assert build_agents({"mine": rows["mine"]})["eGLB, predicted prices"].trust == 0.5
