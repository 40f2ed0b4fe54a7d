"""PPO of stable-baselines3: an episode of all environments at a time, each on other problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger

from equiload.agents.learn.networks import Network
from equiload.agents.learn.sb3 import actor_network, make_model
from equiload.envs import DataError
from equiload.envs.data import Source
from equiload.envs.gym import SB3VecEnv
from equiload.envs.gym.features import make_features
from equiload.envs.gym.rewards import make_reward
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.parts import init_weights, layer_of, make_stream


class PPOTrainer:
    """PPO over the project's networks.

    A stretch is one episode of each of the stream's next problems. Fleets and horizons differ from
    stretch to stretch, and stable-baselines3's model belongs to one: so each has a model of its
    own, which begins with the last one's parameters and its optimizer's.
    """

    squash = "clip"

    def __init__(
        self,
        cfg: TrainConfig,
        source: Source,
        device: str,
        *,
        episodes: int,
        options: Mapping[str, Any],
        warm: bool = True,
    ) -> None:
        if cfg.forecaster is not None:
            raise DataError("only agent=hindsight trains with forecasts made from the truth")
        self.done, self.total = 0, episodes
        self._cfg, self._device, self._options = cfg, device, options
        self._stream = make_stream(cfg, source)
        self._model = self._next(init_weights(cfg) if warm else None)

    def _next(self, weights: Mapping[str, Any] | None = None) -> PPO:
        """An untrained model (but for the actor's weights) on the next problems."""
        cfg, layer = self._cfg, layer_of(self._cfg)
        envs = SB3VecEnv(
            cfg.problems.batch,
            instance=self._stream(self.done),
            seed=cfg.seed + 100_000 * (self.done + 1),
            action=cfg.action,
            hold=cfg.hold,
            reward=make_reward(cfg.reward),
            action_scale=cfg.scale,
            price_scale=cfg.price_scale,
            features=make_features(cfg.features),
            layer=layer() if layer else None,
        )
        model = make_model(
            envs,
            cfg.network,
            weights=weights,
            seed=cfg.seed + 1_000_003 * (self.done + 1),
            device=self._device,
            n_steps=envs.envs.core.steps,
            **self._options,
        )
        model.set_logger(Logger(None, []))  # the default one makes a folder in /tmp
        return model

    def advance(self) -> dict[str, float]:
        """See :class:`Trainer`."""
        if self.done:
            parameters = self._model.get_parameters()
            self._model = self._next()
            self._model.set_parameters(parameters)
        model = self._model
        model.learn(model.n_steps * model.n_envs)
        self.done += 1
        ended = [info["r"] for info in model.ep_info_buffer or ()]
        return {"return": float(np.mean(ended))} | {
            name.replace("train/", ""): float(value)
            for name, value in model.logger.name_to_value.items()
            if name.startswith("train/")
        }

    def network(self) -> Network:
        """The actor."""
        return actor_network(self._model)

    def state(self) -> dict[str, Any]:
        """See :class:`Trainer`."""
        parameters = self._model.get_parameters()
        return {"done": self.done, "parameters": {k: dict(own) for k, own in parameters.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :class:`Trainer`."""
        self.done = int(state["done"])
        self._model.set_parameters(dict(state["parameters"]))
