"""PPO, SAC and TD3 of stable-baselines3, an episode of all environments at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor

from equiload.agents.learn.networks import Network
from equiload.agents.learn.sb3 import SQUASH, Scaled, actor_network, make_model
from equiload.envs import DataError, Instance
from equiload.envs.data import Source
from equiload.envs.gym import SB3VecEnv
from equiload.envs.gym.rewards import make_reward
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.hindsight import HindsightTrainer
from equiload.experiments.trainers.parts import (
    episodes_of,
    features_of,
    init_weights,
    layer_of,
    synthetic_share,
)

#: What a replay buffer holds, by stable-baselines3's names: saved, off-policy learning goes on.
_REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class SB3Trainer:
    """PPO, SAC or TD3, an episode of all environments at a time."""

    one_fleet = True

    def __init__(
        self,
        cfg: TrainConfig,
        source: Source,
        device: str,
        *,
        algorithm: str,
        episodes: int,
        environments: int,
        options: Mapping[str, Any],
        reward_scale: float = 1.0,
        warm_start: int = 0,
        warm: bool = True,
    ) -> None:
        self._seed, self._done, self.total = cfg.seed, 0, episodes
        self.squash = SQUASH[algorithm]
        reward = Scaled(make_reward(cfg.reward), reward_scale)
        if cfg.forecaster is not None:
            raise DataError("only agent=hindsight trains with forecasts made from the truth")
        synthetic_share(cfg, source)  # refuses one that these cannot be trained with
        layer, drawn_from = layer_of(cfg), episodes_of(cfg, source)
        self._horizon = cfg.problems.horizons[0]
        if isinstance(drawn_from, Instance):
            first = drawn_from.window(0, self._horizon)
        else:
            first = drawn_from(np.random.default_rng(0), ())
        self.envs = SB3VecEnv(
            environments,
            instance=drawn_from,
            horizon=self._horizon,
            seed=cfg.seed,
            action=cfg.action,
            reward=reward,
            action_scale=cfg.action_scale,
            price_scale=cfg.price_scale,
            features=features_of(cfg, first),
            layer=layer() if layer else None,
        )
        steps = {"n_steps": self._horizon} if algorithm == "ppo" else {}
        self.model = make_model(
            algorithm,
            self.envs,
            cfg.network,
            weights=_warm(cfg, source, device, warm_start) if warm else None,
            seed=cfg.seed,
            device=device,
            **options,
            **steps,
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
        steps = self._horizon * self.envs.num_envs
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
        state: dict[str, Any] = {
            "done": self.done,
            "timesteps": model.num_timesteps,
            "updates": model._n_updates,  # noqa: SLF001
            "parameters": {name: dict(own) for name, own in model.get_parameters().items()},
        }
        if getattr(model, "log_ent_coef", None) is not None:
            state["log_ent_coef"] = model.log_ent_coef  # type: ignore[attr-defined]
        if isinstance(model, OffPolicyAlgorithm):
            buffer = model.replay_buffer
            assert buffer is not None
            state["replay"] = {name: getattr(buffer, name) for name in _REPLAY}
            state["place"] = [buffer.pos, buffer.full]
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :class:`Trainer`."""
        model, self._done = self.model, int(state["done"])
        model.num_timesteps, model._n_updates = state["timesteps"], state["updates"]  # noqa: SLF001
        model.set_parameters(dict(state["parameters"]))
        if "log_ent_coef" in state:
            model.log_ent_coef.data.copy_(state["log_ent_coef"])  # type: ignore[attr-defined]
        if isinstance(model, OffPolicyAlgorithm):
            buffer = model.replay_buffer
            assert buffer is not None
            for name in _REPLAY:
                getattr(buffer, name)[...] = state["replay"][name].numpy()
            buffer.pos, buffer.full = state["place"]


def _warm(cfg: TrainConfig, source: Source, device: str, steps: int) -> Mapping[str, Tensor] | None:
    """Weights of a network that has imitated eGLB-Off for some steps; none if not asked for."""
    if not steps:
        return init_weights(cfg)
    problems = cfg.problems.model_copy(update={"synthetic": 0.0})  # one fleet, as what follows
    changes = {"agent": {"kind": "hindsight"}, "reward": None, "problems": problems}
    imitation = cfg.model_copy(update=changes)
    options = {"steps": steps, "target": "offline"}
    trainer = HindsightTrainer(imitation, source, device, options=options)
    for _ in range(steps):
        trainer.advance()
    return dict(trainer.network().state_dict())
