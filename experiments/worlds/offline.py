"""Data sets for offline learning in Minari's format: what was seen, done and paid on a task."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from equiload.agents import EGLBOff
from equiload.agents.learn import LearnedPolicy
from equiload.envs.checking import refuse_unknown
from equiload.envs.errors import DataError
from equiload.envs.gym import GLBVectorEnv
from equiload.envs.tasks import TASKS
from equiload.envs.typing import FloatArray
from equiload.experiments.running.files import DRAFT, saving, versions
from equiload.experiments.running.progress import bars, tracker

# Nothing is multiplied by less: a weight of 0 is a large departure, which the box cuts off.
_FAINTEST = 1e-12
# Chosen on training episodes: how much a region is made dearer that is ahead of the optimum, and
# the least weight of one, so that it can be.
_FEEDBACK, _LOW = 10.0, 0.01
#: Standard deviations of the exploring noise, in turn: from hardly any to a learner's first steps.
NOISE = (0.1, 0.3, 1.0)

#: Episodes of a data set, which are played in lock-step.
MOST = 4096
#: What acts in each data set.
ABOUT = {
    "expert": "the optimum's shadow prices and footprints, which hindsight alone knows",
    "mixed": "eGLB with exploring noise, and in one episode of four random actions",
    "learned": "the policy that ships with the package",
}


def write(
    folder: Path, task: str, kind: str, episodes: int, seed: int, command: str
) -> tuple[Path, float]:
    """Play episodes and write them, whole or not at all; returns where, and their mean return.

    Episode ``b`` is that of ``gymnasium.make(task, hold=1)``, reset with ``seed + b``.

    Raises
    ------
    DataError
        Without minari, for what is unknown or out of range, and where there is such a data set.
    """
    try:
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ImportError:
        raise DataError(
            "data sets in Minari's format need minari: pip install 'equiload[offline]'"
        ) from None
    refuse_unknown("task", [task], TASKS)
    refuse_unknown("data set", [kind], ABOUT)
    if not (1 <= episodes <= MOST and seed >= 0):
        raise DataError(
            f"episodes must lie in 1..{MOST} and the seed be at least 0, got {episodes} and {seed}"
        )
    name = f"{task.rpartition('-')[0]}/{kind}-v0"
    folder = folder.absolute()  # which pyarrow needs
    path = folder / name
    if path.exists():
        raise DataError(f"{path}: is there already; remove it, or name another folder")
    actions = _chosen(task, kind, episodes, seed)
    over = [*[False] * (actions.shape[1] - 1), True]
    env, total = gymnasium.make(task, hold=1), 0.0
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=DRAFT) as draft:
            whole = Path(draft) / "whole"
            whole.mkdir()
            storage = MinariStorage.new(whole / "data", env_spec=env.spec, data_format="arrow")
            storage.update_metadata(
                {
                    "dataset_id": name,
                    "minari_version": version("minari"),
                    "algorithm_name": kind,
                    "description": f"{task}: {ABOUT[kind]}",
                    "requirements": [f"equiload=={version('equiload')}"],
                    "command": command,
                    "seeds": [seed, seed + episodes - 1],
                    "versions": versions(),
                }
            )
            for b, done in enumerate(actions):
                seen, paid = _played(env, seed + b, done)
                total += sum(paid)
                ends = {"terminations": over, "truncations": [False] * len(over)}
                series = {"observations": np.array(seen), "actions": done, "rewards": paid}
                storage.update_episodes([EpisodeBuffer(id=b, seed=seed + b, **series, **ends)])
            whole.rename(path)
    return path, total / episodes


def _chosen(task: str, kind: str, episodes: int, seed: int) -> FloatArray:
    """Actions ``[B, T, ·]``, all episodes side by side."""
    envs: Any = gymnasium.make_vec(task, num_envs=episodes, hold=1).unwrapped
    envs.reset(seed=seed)
    choose = _CHOOSE[kind](envs, np.random.default_rng(seed))
    actions = []
    with bars() as progress:
        for _ in tracker(progress, kind)(range(envs.core.setting.horizon)):
            actions.append(choose().astype(np.float32))
            envs.step(actions[-1])
    return np.stack(actions, axis=1)


def _played(env: Any, seed: int, actions: FloatArray) -> tuple[list[Any], list[Any]]:
    """Observations ``T + 1`` and rewards ``T`` of one episode, as whoever plays it again has them.

    Side by side the last digits are others.
    """
    seen, paid = [env.reset(seed=seed)[0]], []
    for action in actions:
        observation, reward, *_ = env.step(action)
        seen.append(observation)
        paid.append(reward)
    return seen, paid


def _towards(envs: GLBVectorEnv, weights: FloatArray) -> FloatArray:
    """The actions whose prices are nearest to these weights ``[B, K, R]``."""
    core: Any = envs.core
    factor = np.maximum(weights, _FAINTEST) / np.maximum(core.action.multipliers, _FAINTEST)
    reach, wanted = core.action_space.high, np.log(factor).reshape(envs.num_envs, -1)
    actions: FloatArray = np.clip(wanted / core.action_scale, -reach, reach)
    return actions


def _expert(envs: GLBVectorEnv, rng: np.random.Generator) -> Callable[[], FloatArray]:
    del rng
    core = envs.core
    assert core.episodes is not None
    instances = [core.episodes.instance(b) for b in range(envs.num_envs)]
    solutions = EGLBOff().solve_all(instances)
    weights = np.array([solution.weights for solution in solutions])
    optimal = np.array([solution.outcome.cumulative_footprint() for solution in solutions])
    optimal = np.concatenate([np.zeros_like(optimal[:, :, :1]), optimal], axis=2)
    scale = optimal[:, :, -1].max(-1, keepdims=True)

    def choose() -> FloatArray:
        # At the optimum's prices alone several dispatches cost the same, and one is not the other.
        ahead = (core.state.footprint - optimal[:, :, core.t]) / np.maximum(scale, _FAINTEST)
        return _towards(envs, np.maximum(weights, _LOW) * np.exp(_FEEDBACK * ahead))

    return choose


def _mixed(envs: GLBVectorEnv, rng: np.random.Generator) -> Callable[[], FloatArray]:
    reach = envs.core.action_space.high
    shape = (envs.num_envs, *reach.shape)
    sizes = np.resize([*NOISE, 0.0], shape[0])[:, None]

    def choose() -> FloatArray:
        noise, anything = rng.normal(size=shape) * sizes, rng.uniform(-reach, reach, shape)
        return np.where(sizes > 0, np.clip(noise, -reach, reach), anything)

    return choose


def _learned(envs: GLBVectorEnv, rng: np.random.Generator) -> Callable[[], FloatArray]:
    del rng
    policy, core = LearnedPolicy(), envs.core
    policy.reset(core.setting)

    def choose() -> FloatArray:
        assert core.episodes is not None
        return _towards(envs, policy.price(core.episodes.slot(core.t), core.state))

    return choose


_CHOOSE = {"expert": _expert, "mixed": _mixed, "learned": _learned}
