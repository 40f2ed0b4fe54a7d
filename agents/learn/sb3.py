"""stable-baselines3's PPO, SAC and TD3 over this project's networks and environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.policies import ActorCriticPolicy, ContinuousCritic
from stable_baselines3.sac.policies import Actor as SACActor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import Actor as TD3Actor
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from equiload.agents.learn.layout import Layout, with_action
from equiload.agents.learn.networks import (
    FlatNetwork,
    Network,
    RegionEncoder,
    at_scale,
    make_network,
)
from equiload.envs import DataError
from equiload.envs.gym import Reward, SB3VecEnv
from equiload.envs.gym.rewards import Transition
from equiload.envs.gym.source import Episodes
from equiload.envs.typing import FloatArray

#: How an algorithm's deterministic action follows from its network: see ``Checkpoint.action``.
SQUASH: Mapping[str, str] = {"ppo": "clip", "sac": "tanh", "td3": "tanh"}


class Scaled:
    """A reward scheme in units of ``1 / factor`` US$, so that values are of order one."""

    def __init__(self, reward: Reward, factor: float) -> None:
        self.reward, self.factor = reward, factor

    def reset(self, episodes: Episodes) -> None:
        """See :class:`~equiload.envs.gym.Reward`."""
        self.reward.reset(episodes)

    def __call__(self, step: Transition) -> FloatArray:
        """See :class:`~equiload.envs.gym.Reward`."""
        return self.factor * self.reward(step)


class Flattened(nn.Module):
    """A network's actions as one row, as stable-baselines3 wants them: ``[..., prod(shape)]``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        action: Tensor = self.network(observation)
        return action.flatten(-2)


class Critic(nn.Module):
    """Observations (for a Q-value followed by an ``action``) ``[..., F]`` to a code ``[..., H]``.

    Made like the actor: regions share one encoder and their codes are averaged, or a perceptron.
    """

    def __init__(
        self, layout: Layout, network: Mapping[str, Any], action: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        #: Beside an actor of the user's own stands a perceptron.
        self.regional = "_target_" not in network and network.get("kind", "regions") == "regions"
        names = ("hidden", "depth", "context") if self.regional else ("hidden", "depth")
        options = {k: network[k] for k in names if network.get(k) is not None}
        layout = layout if action is None else with_action(layout, action)
        if self.regional:
            self.body: nn.Module = RegionEncoder(layout, **options)
        else:
            self.body = FlatNetwork(layout, **options).body
        #: ``H``.
        self.width = int(options.get("hidden", 64))

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        code: Tensor = self.body(observation)
        return code.mean(-2) if self.regional else code


class _Bodies(nn.Module):
    """In place of stable-baselines3's extractor: the actor gives actions, the critic a code."""

    def __init__(self, actor: Flattened, critic: Critic, actions: int) -> None:
        super().__init__()
        self.actor, self.critic = actor, critic
        self.latent_dim_pi, self.latent_dim_vf = actions, critic.width

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        row: Tensor = self.actor(features)
        return row

    def forward_critic(self, features: Tensor) -> Tensor:
        code: Tensor = self.critic(features)
        return code


class _Networked:
    """Keeps what networks are made of until stable-baselines3's constructor wants them."""

    _defaults: Mapping[str, Any] = {}
    action_space: Any

    def __init__(
        self,
        *args: Any,
        layout: Layout,
        network: Mapping[str, Any],
        shape: tuple[int, ...],
        **kwargs: Any,
    ) -> None:
        self._layout, self._network, self._shape = layout, network, shape
        super().__init__(*args, **{**self._defaults, **kwargs, "net_arch": []})

    def _flattened(self, **changes: Any) -> Flattened:
        spec = {**self._network, **changes}
        return Flattened(make_network(self._layout, shape=self._shape, **spec))


class PPOPolicy(_Networked, ActorCriticPolicy):
    """Actor and critic of the project's networks; ``network`` as for ``make_network``."""

    _defaults = {"ortho_init": False}  # noqa: RUF012

    def _build_mlp_extractor(self) -> None:
        actor, critic = self._flattened(), Critic(self._layout, self._network)
        self.mlp_extractor = _Bodies(actor, critic, int(self.action_space.shape[0]))  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()  # the actor's output is the mean already
        make: Any = self.optimizer_class
        self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


class _OffPolicy(_Networked):
    """What SAC's and TD3's policies share: their modules are exchanged as they are made.

    ``make_actor`` and ``make_critic`` are where stable-baselines3 lets a policy differ. It has no
    option for what differs here: a Q-value's body reads the action beside the observation (so a
    features extractor, which sees the observation alone, will not do), and the actor's output is
    the action already. ``ContinuousCritic`` numbers its networks as attributes too.
    """

    def _with_q_networks(self, critic: ContinuousCritic) -> ContinuousCritic:
        for index in range(len(critic.q_networks)):
            body = Critic(self._layout, self._network, self._shape)
            q_network = nn.Sequential(body, nn.Linear(body.width, 1))
            critic.q_networks[index] = q_network
            setattr(critic, f"qf{index}", q_network)
        return critic


class RegionSACPolicy(_OffPolicy, SACPolicy):
    """SAC's policy over the project's networks."""

    _defaults = {"log_std_init": -2.0}  # noqa: RUF012

    def make_actor(self, features_extractor: Any = None) -> SACActor:
        """Actor whose mean is the network, and whose spread another one."""
        actor = super().make_actor(features_extractor)
        actor.mu = self._flattened()
        spread = self._flattened(residual=None)
        actor.log_std = nn.Sequential(spread, _Shift(actor.log_std_init))  # type: ignore[assignment]
        return actor

    def make_critic(self, features_extractor: Any = None) -> ContinuousCritic:
        """Q-values of observation and action."""
        return self._with_q_networks(super().make_critic(features_extractor))


class RegionTD3Policy(_OffPolicy, TD3Policy):
    """TD3's policy over the project's networks."""

    def make_actor(self, features_extractor: Any = None) -> TD3Actor:
        """The network, through tanh."""
        actor = super().make_actor(features_extractor)
        actor.mu = nn.Sequential(self._flattened(), nn.Tanh())
        return actor

    def make_critic(self, features_extractor: Any = None) -> ContinuousCritic:
        """Q-values of observation and action."""
        return self._with_q_networks(super().make_critic(features_extractor))


class _Shift(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, values: Tensor) -> Tensor:
        return values + self.by


_ALGORITHMS: Mapping[str, tuple[type[BaseAlgorithm], type[Any]]] = {
    "ppo": (PPO, PPOPolicy),
    "sac": (SAC, RegionSACPolicy),
    "td3": (TD3, RegionTD3Policy),
}


def make_model(
    kind: str,
    envs: SB3VecEnv,
    network: Mapping[str, Any],
    *,
    weights: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    device: str = "cpu",
    **options: Any,
) -> BaseAlgorithm:
    """Model of stable-baselines3 that acts through one of the project's networks.

    Parameters
    ----------
    kind
        ``"ppo"``, ``"sac"`` or ``"td3"``.
    envs
        Where it learns.
    network
        As for :func:`~equiload.agents.learn.networks.make_network`.
    weights
        The actor's to begin with (a warm start). Default: untrained.
    options
        Of stable-baselines3's class; besides ``log_std_init`` (PPO, SAC), the policy's, and
        ``noise`` (TD3), the standard deviation of the exploring noise on actions.

    Raises
    ------
    DataError
        For a name or an option that is not known.
    """
    if kind not in _ALGORITHMS:
        raise DataError(f"the agent must be one of {', '.join(_ALGORITHMS)}, got {kind!r}")
    algorithm, policy = _ALGORITHMS[kind]
    core = envs.envs.core
    layout = Layout.of(core.observer, core.setting)
    known: dict[str, Any] = {"layout": layout, "network": at_scale(network, core.action_scale)}
    known["shape"] = core.action.shape
    if "log_std_init" in options:
        known["log_std_init"] = options.pop("log_std_init")
    if kind == "td3":
        spread = float(options.pop("noise", 0.1)) * np.ones(core.action_space.shape)
        options["action_noise"] = NormalActionNoise(np.zeros_like(spread), spread)
    try:
        model = algorithm(policy, envs, policy_kwargs=known, seed=seed, device=device, **options)
    except TypeError as error:
        raise DataError(f"{kind} does not take these options: {error}") from None
    if weights is not None:
        actor_network(model).load_state_dict(dict(weights))
        if isinstance(model, TD3):
            model.actor_target.load_state_dict(model.actor.state_dict())
    return model


def actor_network(model: BaseAlgorithm) -> Network:
    """The network that a model acts through."""
    if isinstance(model, PPO):
        flattened: Any = model.policy.mlp_extractor.actor
    elif isinstance(model, SAC):
        flattened = model.actor.mu
    else:
        flattened = model.actor.mu[0]  # type: ignore[attr-defined]
    network: Network = flattened.network
    return network
