"""The hindsight learner, a gradient step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from equiload.agents.learn.hindsight import HindsightLearner, HindsightOptions
from equiload.agents.learn.layout import Layout
from equiload.agents.learn.networks import Network, at_scale, make_network
from equiload.agents.learn.policy import fit_weights
from equiload.envs import DataError, Setting
from equiload.envs.data import Source
from equiload.envs.gym import DifferentiableSimulator, Observer
from equiload.envs.gym.actions import make_action
from equiload.envs.make import called
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.parts import features_of, init_weights, layer_of, make_stream


class HindsightTrainer:
    """:class:`HindsightLearner`; not ``warm``: without the weights of ``init``."""

    squash = "none"

    def __init__(
        self,
        cfg: TrainConfig,
        source: Source,
        device: str,
        *,
        options: Mapping[str, Any],
        warm: bool = True,
    ) -> None:
        if cfg.reward is not None:
            raise DataError("agent=hindsight needs no reward: it learns from the objective itself")
        if cfg.hold > 1:
            raise DataError("agent=hindsight acts in every slot: leave out hold")
        chosen = called("agent.options", HindsightOptions, **options)
        stream = make_stream(cfg, source)
        first, weights = stream(0), init_weights(cfg) if warm else None
        observer = Observer(price_scale=cfg.price_scale, features=features_of(cfg, first))
        setting = Setting.of(first)
        observer.reset(setting)
        network = make_network(
            Layout.of(observer, setting),
            shape=make_action(cfg.action, setting, cfg.scale).shape,
            **at_scale(cfg.network, cfg.scale),
        )
        if weights is not None:
            fit_weights(network, weights)
        self.learner = HindsightLearner(
            network,
            stream,
            chosen,
            bind=_bind,
            features=lambda instance: features_of(cfg, instance, self.learner.steps),
            action=cfg.action,
            action_scale=cfg.scale,
            price_scale=cfg.price_scale,
            layer=layer_of(cfg),
            device=device,
            seed=cfg.seed,
        )
        self.total = chosen.steps

    @property
    def done(self) -> int:
        """Gradient steps done."""
        return self.learner.steps

    def advance(self) -> dict[str, float]:
        """See :class:`Trainer`."""
        return self.learner.step()

    def network(self) -> Network:
        """The moving average."""
        return cast("Network", self.learner.average)

    def state(self) -> dict[str, Any]:
        """See :class:`Trainer`."""
        learner = self.learner
        return {
            "steps": learner.steps,
            "network": dict(learner.network.state_dict()),
            "average": dict(learner.average.state_dict()),
            "optimizer": learner.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :class:`Trainer`."""
        self.learner.steps = int(state["steps"])
        self.learner.network.load_state_dict(state["network"])
        self.learner.average.load_state_dict(state["average"])
        self.learner.optimizer.load_state_dict(dict(state["optimizer"]))


def _bind(network: nn.Module, simulator: DifferentiableSimulator) -> None:
    network.bind(Layout.of(simulator.observer, simulator.setting))  # type: ignore[operator]
