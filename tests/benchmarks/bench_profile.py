"""Where the time goes, by module: an episode of eGLB, a step of environments, a gradient step."""

import cProfile
import pstats
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bench_learning import trainer_of

from equiload.agents import EGLB
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import GLBVectorEnv

ROOT = Path(__file__).parents[2]
LEAST = 0.03  # smaller shares are summed up


def shares(call: Callable[[], object]) -> dict[str, float]:
    """Share of the time by module; compiled code counts where it is called from."""
    profile = cProfile.Profile()
    profile.runcall(call)
    seconds: dict[str, float] = defaultdict(float)
    for (file, _, name), (*_, own, _, _) in pstats.Stats(profile).stats.items():
        path = Path(file)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts:
            place = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        elif "torch" in file or "torch" in name or "run_backward" in name:
            place = "torch"
        elif "numpy" in file or "numpy" in name:
            place = "numpy"
        else:
            place = "the rest"
        seconds[place] += own
    total = sum(seconds.values())
    found = {place: own / total for place, own in seconds.items() if own >= LEAST * total}
    found["the rest"] = 1 - sum(share for place, share in found.items() if place != "the rest")
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def eglb() -> Callable[[], object]:
    instance = synthetic(0, horizon=672)
    return lambda: rollout(EGLB(), instance)


def vector() -> Callable[[], object]:
    envs = GLBVectorEnv(1024, instance=synthetic(0, horizon=336, batch=4), horizon=168)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, envs.action_space.shape)
    return lambda: [envs.step(actions) for _ in range(20)]


def gradient() -> Callable[[], object]:
    trainer = trainer_of(["agent=hindsight"])
    return trainer.advance


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("eGLB, an episode of 672 slots", eglb),
        ("1,024 environments, 20 steps", vector),
        ("hindsight learner, a gradient step", gradient),
    ],
)
def test_profile(benchmark, what: str, make: Callable[[], Callable[[], object]]) -> None:
    call = make()
    call()
    benchmark.group = "Where the time goes"
    benchmark.pedantic(call, rounds=3)
    found = shares(call)
    text = ", ".join(f"{place} {share:.0%}" for place, share in found.items())
    benchmark.extra_info.update({"row": what, "shares of the interpreter's time": text})
