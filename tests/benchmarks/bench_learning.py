"""Training throughput: episodes (or environment steps) a second, learner by learner."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from pytest_benchmark.fixture import BenchmarkFixture

from equiload.experiments import config
from equiload.experiments.train import _plain
from equiload.experiments.trainers import make_trainer

ROUNDS = 3
CASES = {
    "hindsight, slots": ["agent=hindsight"],
    "hindsight, slots, through the layer": ["agent=hindsight", "robust=through"],
    "hindsight, back through time": ["agent=hindsight", "agent.options.gradient=episode"],
    "ppo": ["agent=ppo"],
    "sac": ["agent=sac", "agent.options.learning_starts=100"],
    "td3": ["agent=td3", "agent.options.learning_starts=100"],
}


@pytest.mark.parametrize("case", list(CASES))
def test_training(benchmark: BenchmarkFixture, case: str) -> None:
    """One stretch: a gradient step on 64 episodes, or an episode of all environments."""
    config.register()
    torch.set_num_threads(1)
    with initialize_config_module("equiload.conf", version_base="1.3"):
        chosen = [*CASES[case], "problems.horizons=[168]", "problems.reachability=[full]"]
        cfg: Any = _plain(compose("train", overrides=chosen))
    trainer = make_trainer(cfg, "cpu")
    trainer.advance()  # loads and compiles
    benchmark.pedantic(trainer.advance, rounds=ROUNDS)
    episodes = int(cfg.agent.get("environments", cfg.problems["batch"]))
    seconds = benchmark.stats.stats.median
    benchmark.extra_info |= {"episodes/s": episodes / seconds, "slots/s": 168 * episodes / seconds}
    print(f"\n{case}: {seconds:.2f} s a stretch, {episodes / seconds:.0f} episodes a second")
