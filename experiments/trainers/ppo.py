"""PPO of stable-baselines3: an episode of all environments at a time, each on other problems."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import Tensor

from equiload.agents.learn.networks import Network
from equiload.agents.learn.sb3 import actor_network, make_model
from equiload.envs import DataError
from equiload.envs.data import Source
from equiload.envs.gym import SB3VecEnv
from equiload.envs.gym.features import make_features
from equiload.envs.gym.rewards import make_reward
from equiload.envs.typing import Share
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.parts import init_weights, layer_of, make_stream


class PPOTrainer:
    """PPO over the project's networks.

    A stretch is one episode of each of the stream's next problems. Fleets and horizons differ from
    stretch to stretch, and stable-baselines3's model belongs to one: so each has a model of its
    own, which begins with the last one's parameters and its optimizer's.

    Parameters
    ----------
    cfg, source, device
        The run's.
    episodes
        Stretches.
    options
        Of stable-baselines3's class.
    average
        Memory of the exponential mean of the actor's weights over stretches; 0: the last ones. A
        stretch teaches what one fleet wants, the mean what they have in common.
    anneal
        Does the learning rate fall, linearly to 0 at the end?
    warm
        Begin with ``cfg.init``?
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
        average: Share = 0.0,
        anneal: bool = False,
        warm: bool = True,
    ) -> None:
        if cfg.forecaster is not None:
            raise DataError("only agent=hindsight trains with forecasts made from the truth")
        self.done, self.total = 0, episodes
        self._cfg, self._device, self._options = cfg, device, options
        self._memory, self._anneal = average, anneal
        self._mean: dict[str, Tensor] = {}
        self._stream = make_stream(cfg, source)
        self._model = self._next(init_weights(cfg) if warm else None)

    def _next(self, weights: Mapping[str, Any] | None = None) -> PPO:
        """An untrained model (but for the actor's weights) on the next problems."""
        cfg, layer, options = self._cfg, layer_of(self._cfg), dict(self._options)
        if self._anneal:
            rate = options.get("learning_rate", 3e-4)  # stable-baselines3's own
            options["learning_rate"] = rate * max(0.0, 1 - self.done / self.total)
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
            **options,
        )
        model.set_logger(Logger(None, []))  # the default one makes a folder in /tmp
        return model

    def advance(self) -> dict[str, float]:
        """See :class:`Trainer`."""
        if self.done:
            parameters: Any = self._model.get_parameters()
            self._model = self._next()
            self._model.set_parameters(parameters)
        model = self._model
        model.learn(model.n_steps * model.n_envs)
        self.done += 1
        share = max(1 - self._memory, 1 / self.done)  # the first ones count alike
        for name, value in actor_network(model).state_dict().items():
            before = self._mean.get(name, value)
            self._mean[name] = before + share * (value - before)
        ended = [info["r"] for info in model.ep_info_buffer or ()]
        return {"return": float(np.mean(ended))} | {
            name.replace("train/", ""): float(value)
            for name, value in model.logger.name_to_value.items()
            if name.startswith("train/")
        }

    def network(self) -> Network:
        """The actor, at the mean of its weights."""
        network = deepcopy(actor_network(self._model))
        network.load_state_dict(self._mean or network.state_dict())
        return network

    def state(self) -> dict[str, Any]:
        """See :class:`Trainer`."""
        parameters = self._model.get_parameters()
        own = {name: dict(part) for name, part in parameters.items()}
        return {"done": self.done, "parameters": own, "mean": dict(self._mean)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :class:`Trainer`."""
        self.done = int(state["done"])
        self._mean = dict(state["mean"])
        self._model.set_parameters(dict(state["parameters"]))
