"""PPO of stable-baselines3, an episode of all environments at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed

from equiload.agents.learn.networks import Network
from equiload.agents.learn.sb3 import actor_network, make_model
from equiload.envs import DataError
from equiload.envs.data import Source
from equiload.envs.gym import SB3VecEnv
from equiload.envs.gym.features import make_features
from equiload.envs.gym.rewards import make_reward
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.parts import (
    episodes_of,
    init_weights,
    layer_of,
    synthetic_share,
)


class PPOTrainer:
    """PPO over the project's networks, an episode of all environments at a time."""

    one_fleet = True
    squash = "clip"

    def __init__(
        self,
        cfg: TrainConfig,
        source: Source,
        device: str,
        *,
        episodes: int,
        environments: int,
        options: Mapping[str, Any],
        warm: bool = True,
    ) -> None:
        self._seed, self._done, self.total = cfg.seed, 0, episodes
        if cfg.forecaster is not None:
            raise DataError("only agent=hindsight trains with forecasts made from the truth")
        synthetic_share(cfg, source)  # refuses one that these cannot be trained with
        layer, episodes_from = layer_of(cfg), episodes_of(cfg, source)
        self.envs = SB3VecEnv(
            environments,
            **episodes_from,
            seed=cfg.seed,
            action=cfg.action,
            hold=cfg.hold,
            reward=make_reward(cfg.reward),
            action_scale=cfg.scale,
            price_scale=cfg.price_scale,
            features=make_features(cfg.features),
            layer=layer() if layer else None,
        )
        self.model = make_model(
            self.envs,
            cfg.network,
            weights=init_weights(cfg) if warm else None,
            seed=cfg.seed,
            device=device,
            n_steps=self.envs.envs.core.steps,
            **options,
        )
        self.model.set_logger(Logger(None, []))  # the default one makes a folder in /tmp

    @property
    def done(self) -> int:
        """Episodes of all environments done."""
        return self._done

    def advance(self) -> dict[str, float]:
        """See :class:`Trainer`; the environments begin anew, on fresh draws."""
        set_random_seed(self._seed + 1_000_003 * (self.done + 1))
        self.envs.seed(self._seed + 100_000 * (self.done + 1))
        self.model._last_obs = None  # noqa: SLF001 - so that learn() resets the environments
        steps = self.envs.envs.core.steps * self.envs.num_envs
        self.model.learn(steps, reset_num_timesteps=False)
        self._done += 1
        ended = [info["r"] for info in self.model.ep_info_buffer or ()]
        returns = {"return": float(np.mean(ended[-self.envs.num_envs :]))} if ended else {}
        return returns | {
            name.replace("train/", ""): float(value)
            for name, value in self.model.logger.name_to_value.items()
            if name.startswith("train/")
        }

    def network(self) -> Network:
        """The actor."""
        return actor_network(self.model)

    def state(self) -> dict[str, Any]:
        """See :class:`Trainer`."""
        model = self.model
        return {
            "done": self.done,
            "timesteps": model.num_timesteps,
            "updates": model._n_updates,  # noqa: SLF001
            "parameters": {name: dict(own) for name, own in model.get_parameters().items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :class:`Trainer`."""
        model, self._done = self.model, int(state["done"])
        model.num_timesteps, model._n_updates = state["timesteps"], state["updates"]  # noqa: SLF001
        model.set_parameters(dict(state["parameters"]))
