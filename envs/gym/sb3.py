"""The vector environment as stable-baselines3's ``VecEnv``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from equiload.envs.errors import DataError
from equiload.envs.gym.core import Options
from equiload.envs.gym.vector import GLBVectorEnv


class SB3VecEnv(VecEnv):
    """``num_envs`` episodes in array operations for stable-baselines3's learners.

    ``infos`` are empty between the ends of episodes, and nothing is copied; at the end they hold
    ``terminal_observation``, ``episode`` (return ``r``, length ``l``, seconds ``t``, as
    ``Monitor`` would) and the last slot's numbers (``objective``, ``energy_cost``, …).

    Parameters
    ----------
    num_envs
        Number of episodes in lock-step.
    seed
        Of the first episodes; environment ``b`` adds ``b``.
    options
        See :class:`~equiload.envs.gym.core.Core`.

    Examples
    --------
    >>> from stable_baselines3 import PPO
    >>> envs = SB3VecEnv(2, horizon=8, seed=0)
    >>> PPO("MlpPolicy", envs, n_steps=8, batch_size=16, device="cpu").learn(16).num_timesteps
    16
    """

    def __init__(
        self,
        num_envs: int,
        *,
        seed: int | None = None,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.envs = GLBVectorEnv(
            num_envs, autoreset_mode=AutoresetMode.SAME_STEP, render_mode=render_mode, **options
        )
        super().__init__(
            num_envs, self.envs.single_observation_space, self.envs.single_action_space
        )
        self.seed(seed)
        self._actions = np.empty(0)
        self._return, self._length, self._began = np.zeros(num_envs), 0, time.perf_counter()

    def reset(self) -> VecEnvObs:
        """Start new episodes; seeds and options set before are used once."""
        seeds = self._seeds if any(s is not None for s in self._seeds) else None
        if any(options != self._options[0] for options in self._options):
            raise DataError("episodes run in lock-step: options must be the same for all of them")
        observation, _ = self.envs.reset(seed=seeds, options=self._options[0])
        self._reset_seeds()
        self._reset_options()
        self._restart()
        return _observation(observation)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Act, and begin anew where episodes have ended."""
        observation, reward, ended, _, info = self.envs.step(self._actions)
        self._return += reward
        self._length += 1
        infos: list[dict[str, Any]]
        if ended.all():
            infos = self._final(info)
            self._restart()
        else:
            infos = [{} for _ in range(self.num_envs)]
        return _observation(observation), reward.astype(np.float32), ended, infos

    def _final(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        seconds = round(time.perf_counter() - self._began, 6)
        last = {k: v for k, v in info["final_info"].items() if not k.startswith("_")}
        return [
            {
                name: values[b] if values.ndim > 1 else float(values[b])
                for name, values in last.items()
            }
            | {
                "terminal_observation": info["final_obs"][b],
                "TimeLimit.truncated": False,
                "episode": {"r": float(self._return[b]), "l": self._length, "t": seconds},
            }
            for b in range(self.num_envs)
        ]

    def _restart(self) -> None:
        self._return, self._length, self._began = np.zeros(self.num_envs), 0, time.perf_counter()

    def close(self) -> None:
        """Release what the environment holds."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Picture of each environment."""
        return list(self.envs.render())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Attribute of the vector environment, once per environment asked for."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: the environments are one."""
        del value, indices
        raise DataError(f"{attr_name} cannot be set: make a new environment with other options")

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Not possible: the environments are one."""
        del args, indices, kwargs
        raise DataError(f"{method_name} cannot be called on single environments of a batch")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """``Monitor`` yes, since ``infos`` hold what it would tell; no other wrapper."""
        from stable_baselines3.common.monitor import Monitor

        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]


def _observation(observation: Any) -> VecEnvObs:
    if isinstance(observation, dict):  # blocks are views of one array; learners keep them
        return {name: np.ascontiguousarray(values) for name, values in observation.items()}
    array: VecEnvObs = observation
    return array
