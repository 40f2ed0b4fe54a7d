"""PPO, SAC and TD3 of stable-baselines3, an episode of all environments at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor

from equiload.agents import EGLB
from equiload.agents.learn.networks import Network
from equiload.agents.learn.sb3 import Scaled, actor_network, make_model
from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import DataError, Instance
from equiload.envs.data import Source
from equiload.envs.gym import HindsightDual, Relative, Reward, SB3VecEnv
from equiload.envs.gym.rewards import make_reward
from equiload.envs.typing import FloatArray
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.hindsight import HindsightTrainer
from equiload.experiments.trainers.parts import (
    episodes_of,
    features_of,
    given_weights,
    layer_of,
    synthetic_share,
)

#: Name of a reward scheme to what makes it.
REWARDS: Mapping[str, Callable[[], Reward]] = {
    "dense": lambda: make_reward("dense"),
    "terminal": lambda: make_reward("terminal"),
    "relative": lambda: Relative(EGLB()),
    "hindsight_dual": lambda: HindsightDual(duals),
}

_REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class SB3Trainer:
    """PPO, SAC or TD3, an episode of all environments at a time."""

    def __init__(self, cfg: TrainConfig, source: Source, device: str, *, warm: bool = True) -> None:
        agent = cfg.agent
        self._seed, self._done, self.total = cfg.seed, 0, int(agent["episodes"])
        if cfg.reward not in REWARDS:
            raise DataError(f"reward must be one of {', '.join(REWARDS)}, got {cfg.reward!r}")
        if cfg.forecaster is not None:
            raise DataError("only agent=hindsight trains with forecasts made from the truth")
        synthetic_share(cfg, source)  # refuses one that these cannot be trained with
        layer, episodes = layer_of(cfg), episodes_of(cfg, source)
        self._horizon = int(cfg.problems["horizons"][0])
        if isinstance(episodes, Instance):
            first = episodes.window(0, self._horizon)
        else:
            first = episodes(np.random.default_rng(0), ())
        self.envs = SB3VecEnv(
            int(agent["environments"]),
            instance=episodes,
            horizon=self._horizon,
            seed=cfg.seed,
            reward=Scaled(REWARDS[cfg.reward](), float(agent["reward_scale"])),
            action_scale=cfg.action_scale,
            price_scale=cfg.price_scale,
            features=features_of(cfg, first),
            layer=layer() if layer else None,
        )
        options = dict(agent["options"])
        if agent["kind"] == "ppo":
            options["n_steps"] = self._horizon
        self.model = make_model(
            agent["kind"],
            self.envs,
            dict(cfg.network),
            weights=_warm(cfg, source, device) if warm else None,
            seed=cfg.seed,
            device=device,
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
        steps = self._horizon * self.envs.num_envs
        self.model.learn(steps, reset_num_timesteps=False)
        self._done += 1
        ended = [info["r"] for info in self.model.ep_info_buffer or ()]
        told = {"return": float(np.mean(ended[-self.envs.num_envs :]))} if ended else {}
        return told | {
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
        found: dict[str, Any] = {
            "done": self.done,
            "timesteps": model.num_timesteps,
            "updates": model._n_updates,  # noqa: SLF001
            "parameters": {name: dict(state) for name, state in model.get_parameters().items()},
        }
        if getattr(model, "log_ent_coef", None) is not None:
            found["log_ent_coef"] = model.log_ent_coef  # type: ignore[attr-defined]
        if isinstance(model, OffPolicyAlgorithm):
            buffer = model.replay_buffer
            assert buffer is not None
            found["replay"] = {name: getattr(buffer, name) for name in _REPLAY}
            found["place"] = [buffer.pos, buffer.full]
        return found

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


def duals(instance: Instance) -> FloatArray:
    """``[K, R]``: eGLB-Off's dual weights of one episode, to a gap of 1e-3."""
    return Decomposition(tolerance=1e-3).solve(instance).weights


def _warm(cfg: TrainConfig, source: Source, device: str) -> Mapping[str, Tensor] | None:
    """Weights of a network that has imitated eGLB-Off for a while; none if not asked for."""
    steps = int(cfg.agent.get("warm_start", 0))
    if not steps:
        return given_weights(cfg)
    agent = {"kind": "hindsight", "options": {"steps": steps, "target": "offline"}}
    problems = {**cfg.problems, "synthetic": 0}  # one fleet, as what follows
    imitation = dataclasses.replace(cfg, agent=agent, reward=None, problems=problems)
    trainer = HindsightTrainer(imitation, source, device)
    for _ in range(steps):
        trainer.advance()
    return dict(trainer.network().state_dict())
