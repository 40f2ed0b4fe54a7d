"""What ``train`` drives: the hindsight learner and stable-baselines3's, alike from outside.

Everything random in a stretch of training follows from the seed and from how far training is, so
that going on from a saved state gives the numbers of a run that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor, nn

from equiload.agents import EGLB
from equiload.agents.forecast import Perfect
from equiload.agents.learn.checkpoint import load_checkpoint
from equiload.agents.learn.hindsight import HindsightLearner, HindsightOptions
from equiload.agents.learn.layout import Layout
from equiload.agents.learn.networks import Network, make_network
from equiload.agents.learn.observation import make_features
from equiload.agents.learn.policy import deepened, fit_weights, shipped
from equiload.agents.learn.problems import SyntheticStream
from equiload.agents.learn.sb3 import Scaled, actor_network, make_model
from equiload.agents.offline.decomposition import Decomposition
from equiload.envs import DataError, Instance
from equiload.envs.data import Draw, synthetic
from equiload.envs.forecast import Forecaster
from equiload.envs.gym import (
    DifferentiableSimulator,
    HindsightDual,
    Observer,
    Relative,
    Reward,
    SB3VecEnv,
)
from equiload.envs.gym.rewards import make_reward
from equiload.envs.typing import FloatArray
from equiload.experiments.config import TrainConfig
from equiload.experiments.entry import build
from equiload.robust import EnvironmentLayer

#: Name of a reward scheme to what makes it.
REWARDS: Mapping[str, Callable[[], Reward]] = {
    "dense": lambda: make_reward("dense"),
    "terminal": lambda: make_reward("terminal"),
    "relative": lambda: Relative(EGLB()),
    "hindsight_dual": lambda: HindsightDual(duals),
}


class Trainer(Protocol):
    """Something that learns in stretches."""

    #: Stretches in all.
    total: int

    @property
    def done(self) -> int:
        """Stretches done so far."""
        ...

    def advance(self) -> dict[str, float]:
        """One more stretch; what happened, by name."""
        ...

    def network(self) -> Network:
        """What has been learned: to be evaluated and kept."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        ...


def duals(instance: Instance) -> FloatArray:
    """``[K, R]``: eGLB-Off's dual weights of one episode, to a gap of 1e-3."""
    return Decomposition(tolerance=1e-3).solve(instance).weights


def make_trainer(cfg: TrainConfig, device: str, *, warm: bool = True) -> Trainer:
    """The trainer of a configuration; not ``warm``: it will be restored, so no warm start.

    Raises
    ------
    DataError
        For what does not go together.
    """
    set_random_seed(cfg.seed)
    kind = cfg.agent["kind"]
    if kind == "hindsight":
        if cfg.reward is not None:
            raise DataError("agent=hindsight needs no reward: it learns from the objective itself")
        options = HindsightOptions(**cfg.agent["options"])
        return HindsightTrainer(cfg, _stream(cfg), options, device, _given(cfg))
    return SB3Trainer(cfg, device, warm=warm)


class HindsightTrainer:
    """:class:`HindsightLearner`, a gradient step at a time."""

    def __init__(
        self,
        cfg: TrainConfig,
        stream: SyntheticStream,
        options: HindsightOptions,
        device: str,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        first = stream(0)
        observer = Observer(price_scale=cfg.price_scale, features=_features(cfg, first))
        observer.reset(first.fleet, first.objective, first.horizon, first.batch)
        network = make_network(
            Layout.of(observer, first.fleet, first.objective), **dict(cfg.network)
        )
        if weights is not None:
            fit_weights(network, weights)
        self.learner = HindsightLearner(
            network,
            stream,
            options,
            bind=_bind,
            features=lambda instance: _features(cfg, instance),
            action_scale=cfg.action_scale,
            price_scale=cfg.price_scale,
            layer=_layer(cfg),
            device=device,
            seed=cfg.seed,
        )
        self.total = options.steps

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


class SB3Trainer:
    """PPO, SAC or TD3, an episode of all environments at a time."""

    def __init__(self, cfg: TrainConfig, device: str, *, warm: bool = True) -> None:
        agent = cfg.agent
        self._seed, self._done, self.total = cfg.seed, 0, int(agent["episodes"])
        if cfg.reward not in REWARDS:
            raise DataError(f"reward must be one of {', '.join(REWARDS)}, got {cfg.reward!r}")
        if cfg.forecaster is not None:
            raise DataError("only agent=hindsight trains with forecasts made from the truth")
        stream = _stream(cfg)
        layer = _layer(cfg)
        self._horizon = int(stream.horizons[0])
        self._drawn = _Drawn(self._horizon, stream)
        first = self._drawn(np.random.default_rng(0), ())
        self.envs = SB3VecEnv(
            int(agent["environments"]),
            instance=self._drawn,
            seed=cfg.seed,
            reward=Scaled(REWARDS[cfg.reward](), float(agent["reward_scale"])),
            action_scale=cfg.action_scale,
            price_scale=cfg.price_scale,
            features=_features(cfg, first),
            layer=layer() if layer else None,
        )
        options = dict(agent["options"])
        if agent["kind"] == "ppo":
            options["n_steps"] = self._horizon
        self.model = make_model(
            agent["kind"],
            self.envs,
            dict(cfg.network),
            weights=_warm(cfg, device) if warm else None,
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


_REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class _Drawn:
    """Training draws for environments: a fresh one for every episode."""

    def __init__(self, horizon: int, stream: SyntheticStream) -> None:
        self._horizon, self._stream = horizon, stream

    def __call__(self, rng: np.random.Generator, batch: tuple[int, ...]) -> Instance:
        return synthetic(
            Draw.train(int(rng.integers(2**31))),
            horizon=self._horizon,
            batch=batch,
            reachability=self._stream.reachability[0],
            regions=self._stream.regions,
        )


def _stream(cfg: TrainConfig) -> SyntheticStream:
    return SyntheticStream(**{**dict(cfg.problems), "seed": cfg.seed})


def _features(cfg: TrainConfig, instance: Instance) -> Any:
    return make_features(cfg.features, _forecaster(cfg, instance))


def _forecaster(cfg: TrainConfig, instance: Instance) -> Forecaster | None:
    """The perfect forecast made wrong, to a size that differs from batch to batch."""
    if cfg.forecaster is None:
        return None
    node = dict(cfg.forecaster)
    sizes, index = node.pop("sizes"), Draw.of(instance.trace.provenance["draw"].split("[")[0]).index
    size = float(np.random.default_rng([cfg.seed, index]).choice(np.asarray(sizes)))
    forecaster: Forecaster = build(node, base=Perfect(instance), size=size)
    return forecaster


def _layer(cfg: TrainConfig) -> Callable[[], EnvironmentLayer] | None:
    robust = dict(cfg.robust)
    if robust["mode"] != "through":
        return None
    return lambda: EnvironmentLayer(EGLB(), rho=robust["rho"], allowance=robust["allowance"])


def _given(cfg: TrainConfig) -> dict[str, Tensor] | None:
    """Weights of the checkpoint to begin with; none if there is none."""
    if cfg.init is None:
        return None
    checkpoint = load_checkpoint(shipped(str(cfg.init)))
    if list(checkpoint.observation.get("features", ())) != list(cfg.features):
        raise DataError(
            f"init {cfg.init!r} looks at the features {checkpoint.observation.get('features')}, "
            f"this run at {list(cfg.features)}"
        )
    return deepened(checkpoint, int(cfg.network.get("depth", 0)))


def _warm(cfg: TrainConfig, device: str) -> dict[str, Tensor] | None:
    """Weights of a network that has imitated eGLB-Off for a while; none if not asked for."""
    steps = int(cfg.agent.get("warm_start", 0))
    if not steps:
        return _given(cfg)
    options = HindsightOptions(steps=steps, target="offline")
    trainer = HindsightTrainer(cfg, _stream(cfg), options, device, _given(cfg))
    for _ in range(steps):
        trainer.advance()
    return dict(trainer.network().state_dict())


def _bind(network: nn.Module, simulator: DifferentiableSimulator) -> None:
    instance = simulator.instance
    network.bind(Layout.of(simulator.observer, instance.fleet, instance.objective))  # type: ignore[operator]
