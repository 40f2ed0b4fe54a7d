"""The networks of this package inside stable-baselines3: an encoder, a policy, a model of PPO."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import Space
from stable_baselines3 import PPO
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from equiload.agents.learn.layout import Layout
from equiload.agents.learn.networks import (
    FlatNetwork,
    Network,
    RegionEncoder,
    at_scale,
    make_network,
)
from equiload.envs import DataError
from equiload.envs.gym import SB3VecEnv


class RegionExtractor(BaseFeaturesExtractor):
    """A ``features_extractor_class``: one encoder shared by all regions, for any algorithm.

    Its output ``[B, R · hidden]`` holds the code of each region, one after the other. What follows
    it, ``net_arch``, no longer knows that regions are exchangeable: :class:`RegionPolicy` does.

    Parameters
    ----------
    observation_space
        Flat observations; stable-baselines3 hands it over.
    layout
        Of the environment: :meth:`Layout.of_env(env) <Layout.of_env>`.
    options
        Of :class:`~equiload.agents.learn.RegionEncoder`.

    Examples
    --------
    >>> from equiload.envs.gym import SB3VecEnv
    >>> envs = SB3VecEnv(2, horizon=24, action="residual")
    >>> encoder = {"layout": Layout.of_env(envs), "hidden": 16}
    >>> policy = {"features_extractor_class": RegionExtractor, "features_extractor_kwargs": encoder}
    >>> PPO("MlpPolicy", envs, policy_kwargs=policy).policy.features_dim
    160
    """

    def __init__(self, observation_space: Space[Any], layout: Layout, **options: Any) -> None:
        encoder = RegionEncoder(layout, **options)
        super().__init__(observation_space, layout.share.shape[1] * encoder.hidden)
        self.encoder = encoder

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        code: Tensor = self.encoder(observation)
        return code.flatten(-2)


class RegionPolicy(ActorCriticPolicy):
    """An actor and a critic that share one network between all regions, for PPO and A2C.

    Renumbering the regions renumbers the actions and leaves the value as it is, and no parameter
    depends on how many there are: ``model.get_parameters()`` of one fleet fit another's model.

    Parameters
    ----------
    args, kwargs
        Of stable-baselines3's class, but for ``net_arch``, which the network stands for.
    layout
        Of the environment: :meth:`Layout.of_env(env) <Layout.of_env>`.
    network
        As for :func:`~equiload.agents.learn.make_network`. Default: regions, their defaults.
    shape
        Of one action. Default: shadow prices, or an expert's residual.

    Examples
    --------
    >>> from equiload.envs.gym import SB3VecEnv
    >>> envs = SB3VecEnv(2, horizon=24, action="residual")
    >>> options = {"layout": Layout.of_env(envs), "network": {"hidden": 48, "depth": 1}}
    >>> model = PPO(RegionPolicy, envs, n_steps=24, batch_size=48, policy_kwargs=options)
    """

    def __init__(
        self,
        *args: Any,
        layout: Layout,
        network: Mapping[str, Any] | None = None,
        shape: tuple[int, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        self._layout, self._network = layout, dict(network or {})
        self._shape = shape or (len(layout.kinds), layout.share.shape[1])
        super().__init__(*args, **{"ortho_init": False, **kwargs, "net_arch": []})

    def _build_mlp_extractor(self) -> None:
        actor = make_network(self._layout, shape=self._shape, **self._network)
        self.mlp_extractor = _Bodies(actor, _Critic(self._layout, self._network))  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()  # the actor's output is the mean already
        # By footprint kind: regions explore alike.
        self.log_std = nn.Parameter(torch.full(self._shape[:1], float(self.log_std_init)))
        make: Any = self.optimizer_class
        self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        spread = self.log_std.repeat_interleave(math.prod(self._shape[1:]))
        return self.action_dist.proba_distribution(latent_pi, spread)


class _Critic(nn.Module):
    """Observations ``[..., F]`` to a code ``[..., H]``, made like the actor.

    Regions share one encoder and their codes are averaged, or it is a perceptron.
    """

    def __init__(self, layout: Layout, network: Mapping[str, Any]) -> None:
        super().__init__()
        # Beside an actor of the user's own stands a perceptron.
        self.regional = "_target_" not in network and network.get("kind", "regions") == "regions"
        names = ("hidden", "depth", "context") if self.regional else ("hidden", "depth")
        options = {k: network[k] for k in names if network.get(k) is not None}
        made = RegionEncoder(layout, **options) if self.regional else FlatNetwork(layout, **options)
        self.width = made.hidden
        self.body: nn.Module = made if isinstance(made, RegionEncoder) else made.body

    def forward(self, observation: Tensor) -> Tensor:
        code: Tensor = self.body(observation)
        return code.mean(-2) if self.regional else code


class _Bodies(nn.Module):
    """In place of stable-baselines3's extractor: the actor gives actions, the critic a code."""

    def __init__(self, actor: Network, critic: _Critic) -> None:
        super().__init__()
        self.actor, self.critic = actor, critic
        self.latent_dim_pi, self.latent_dim_vf = math.prod(actor.shape), critic.width

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        action: Tensor = self.actor(features)
        return action.flatten(-2)

    def forward_critic(self, features: Tensor) -> Tensor:
        code: Tensor = self.critic(features)
        return code


def make_model(
    envs: SB3VecEnv,
    network: Mapping[str, Any],
    *,
    weights: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    device: str = "cpu",
    **options: Any,
) -> PPO:
    """PPO of stable-baselines3 that acts through one of the project's networks.

    Parameters
    ----------
    envs
        Where it learns.
    network
        As for :func:`~equiload.agents.learn.networks.make_network`.
    weights
        The actor's to begin with (a warm start). Default: untrained.
    options
        Of stable-baselines3's class, and ``log_std_init``, the policy's.

    Raises
    ------
    DataError
        For an option that is not known.
    """
    core = envs.envs.core
    made_of: dict[str, Any] = {
        "layout": Layout.of_env(envs),
        "network": at_scale(network, core.action_scale),
        "shape": core.action.shape,
    }
    if "log_std_init" in options:
        made_of["log_std_init"] = options.pop("log_std_init")
    try:
        # Rollouts of any length have last batches of any size, which does no harm.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You have specified a mini-batch size")
            model = PPO(
                RegionPolicy, envs, policy_kwargs=made_of, seed=seed, device=device, **options
            )
    except TypeError as error:
        raise DataError(f"ppo does not take these options: {error}") from None
    if weights is not None:
        actor_network(model).load_state_dict(dict(weights))
    return model


def actor_network(model: PPO) -> Network:
    """The network that a model acts through."""
    bodies: Any = model.policy.mlp_extractor
    network: Network = bodies.actor
    return network
