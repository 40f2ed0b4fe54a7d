"""Training throughput: episodes (or environment steps) a second, learner by learner."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from pytest_benchmark.fixture import BenchmarkFixture

from equiload.envs.data import SyntheticSource
from equiload.experiments.running import config
from equiload.experiments.trainers import Trainer, make_trainer

ROUNDS = 3
EPISODES = {"hindsight": 64, "ppo": 256}  # of one stretch
CASES = {
    "hindsight, slots": ["agent=hindsight"],
    "hindsight, slots, through the layer": ["agent=hindsight", "robust=through"],
    "ppo": ["agent=ppo", "problems.elsewhere=0"],
}


def trainer_of(overrides: list[str], device: str = "cpu") -> Trainer:
    """A trainer that has loaded and compiled what it needs, on one thread of the processor."""
    config.register()
    torch.set_num_threads(1)
    with initialize_config_module("equiload.conf", version_base="1.3"):
        chosen = [*overrides, "problems.horizons=[168]", "problems.reachability=[full]"]
        cfg: Any = config.TrainConfig.of(compose("train", overrides=chosen))
    trainer = make_trainer(cfg, SyntheticSource(), device)
    trainer.advance()
    return trainer


@pytest.mark.parametrize("case", list(CASES))
def test_training(benchmark: BenchmarkFixture, case: str) -> None:
    """A gradient step on 64 episodes, or an episode of all environments."""
    trainer = trainer_of(CASES[case])
    benchmark.group = "Learners, 168 slots × 10, one thread"
    benchmark.pedantic(trainer.advance, rounds=ROUNDS)
    episodes = EPISODES[case.split(",")[0]]
    seconds = benchmark.stats.stats.median
    rates = {"episodes a second": episodes / seconds, "slots a second": 168 * episodes / seconds}
    benchmark.extra_info.update(rates, row=case)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("episodes", [64, 256, 1024, 4096])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_training_on_a_gpu(benchmark: BenchmarkFixture, device: str, episodes: int) -> None:
    """A gradient step of the hindsight learner at growing batch, against the processor's."""
    try:
        trainer = trainer_of(["agent=hindsight", f"problems.batch={episodes}"], device=device)
        benchmark.group = "Hindsight learner, 168 slots × 10, by batch"
        benchmark.pedantic(trainer.advance, rounds=ROUNDS)
    except torch.cuda.OutOfMemoryError:
        pytest.skip(f"{episodes} episodes are too many for the GPU's memory")
    rate = episodes / benchmark.stats.stats.median
    where = torch.cuda.get_device_name() if device == "cuda" else "one thread"
    benchmark.extra_info.update(row=f"{episodes} episodes, {where}")
    benchmark.extra_info["episodes a second"] = rate
