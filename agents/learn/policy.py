"""A trained network as an online policy, from a checkpoint or as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equiload.agents.learn.checkpoint import Checkpoint, load_checkpoint
from equiload.agents.learn.layout import Layout
from equiload.agents.learn.networks import Network, make_network, squashed
from equiload.envs import DataError, Setting, Slot, State
from equiload.envs.forecast import Forecaster
from equiload.envs.gym import AgentPolicy
from equiload.envs.gym.features import make_features
from equiload.envs.make import Trust
from equiload.envs.policy import allocation_of
from equiload.envs.typing import FloatArray

#: The policy that ships with the package, and its sibling that looks at forecasts.
DEFAULT, DEFAULT_WITH_FORECASTS = "default", "forecasts"


class LearnedPolicy:
    """Acts as a trained network says, on any fleet that the network can act on.

    Parameters
    ----------
    checkpoint
        A path, a :class:`~equiload.agents.learn.Checkpoint`, or the name of a policy that ships
        with the package: ``"default"`` or ``"forecasts"``.
    forecaster
        For a policy that was trained with forecasts.
    trust
        A checkpoint may name classes of its maker's own, as features, network or action. None is
        imported unless this is true, or holds the class itself.

    Raises
    ------
    DataError
        For a checkpoint that cannot be read, or does not fit: what it has and what was expected.

    Examples
    --------
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> from equiload.agents import GLBCost
    >>> instance = synthetic(0, horizon=24)
    >>> learned, cheapest = (rollout(p, instance).objective for p in (LearnedPolicy(), GLBCost()))
    >>> bool(learned < cheapest)
    True
    """

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint = DEFAULT,
        forecaster: Forecaster | None = None,
        *,
        trust: Trust = False,
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(shipped(checkpoint))
        self.checkpoint, self._trust = checkpoint, trust
        self._network: Network | None = None
        observation, action = checkpoint.observation, checkpoint.action
        self._agent = AgentPolicy(
            self._predict,
            action=action["kind"],
            action_scale=action["scale"],
            hold=action.get("hold", 1),
            price_scale=observation["price_scale"],
            features=make_features(observation["features"], forecaster, trust),
            levels=False,  # what the shipped learners were trained without
            trust=trust,
        )

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`; raises :class:`DataError` where it cannot act."""
        kinds = tuple(self.checkpoint.observation["kinds"])
        here = setting.objective.footprints
        if here != kinds:
            raise DataError(
                f"the policy was trained for the footprints {', '.join(kinds)} in this order, "
                f"the instance has {', '.join(here)}"
            )
        self._agent.reset(setting.without_knobs())
        layout = Layout.of(self._agent.observer, setting)
        if self._network is None:
            shape = self._agent.action_shape
            self._network = build_network(self.checkpoint, layout, shape, self._trust)
        self._network.bind(layout)

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]``; what there is beside routing gets its default."""
        return allocation_of(self._agent.act(slot, state))

    def price(self, slot: Slot, state: State) -> FloatArray:
        """Weights ``[..., K, R]``: see :class:`~equiload.agents.ensemble.SlotPricer`."""
        return self._agent.price(slot, state)

    @torch.no_grad()
    def _predict(self, observation: Any) -> FloatArray:
        assert self._network is not None
        raw: Tensor = self._network(torch.as_tensor(observation))
        how = self.checkpoint.action.get("squash", "none")
        action = squashed(raw, how, self._agent.reach)
        values: FloatArray = action.double().numpy()
        return values


def shipped(name: str | Path) -> str | Path:
    """Path of a policy that ships with the package; anything else is a path already."""
    if name in (DEFAULT, DEFAULT_WITH_FORECASTS):
        return Path(str(files("equiload.agents.learn") / "trained" / str(name)))
    return name


def build_network(
    checkpoint: Checkpoint, layout: Layout, shape: tuple[int, ...], trust: Trust = False
) -> Network:
    """The checkpoint's network, for observations of this layout and actions of this shape.

    Raises
    ------
    DataError
        Where the observation, the architecture or the weights do not fit, by name.
    """
    _same("observation", checkpoint.observation["blocks"], layout.signature)
    sizes = checkpoint.observation.get("sizes")
    if sizes is not None:
        _same("observation's size", sizes, layout.sizes)
    # Before memory is asked for: a layer has no more weights than there are.
    size, spec = sum(value.numel() for value in checkpoint.weights.values()), checkpoint.network
    width, layers = spec.get("hidden") or 1, max(spec.get("depth") or 1, 1)
    if "_target_" not in spec and (layers - 1) * width**2 + width > size:
        raise DataError(
            f"the checkpoint does not fit: a network of hidden={width}, depth={layers} has more "
            f"than the {size} weights that are stored"
        )
    network = make_network(layout, **{"shape": shape, **checkpoint.network}, trust=trust)
    fit_weights(network, checkpoint.weights)
    network.eval()
    return network


def fit_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights, or say by name which do not fit.

    Raises
    ------
    DataError
        For a name or a shape that the network has not.
    """
    own = {name: list(value.shape) for name, value in network.state_dict().items()}
    stored = {name: list(value.shape) for name, value in weights.items()}
    _same("weights", stored, own)
    network.load_state_dict(dict(weights))


def deepened(checkpoint: Checkpoint, depth: int) -> dict[str, Tensor]:
    """Weights of a network of so many residual layers that acts as the checkpoint's does.

    The layers that the checkpoint has not are silent: they add 0 until they are trained.
    """
    weights = dict(checkpoint.weights)
    layers = [re.fullmatch(r"(encoder\.\w+)\.0\.(\w+)", name) for name in checkpoint.weights]
    for layer in range(int(checkpoint.network.get("depth", depth)), depth):
        for match in filter(None, layers):
            silent = torch.zeros_like(checkpoint.weights[match[0]])
            weights[f"{match[1]}.{layer}.{match[2]}"] = silent
    return weights


def _same(what: str, stored: Any, here: Any) -> None:
    for name in [*stored, *here]:
        if stored.get(name) != here.get(name):
            raise DataError(
                f"the checkpoint does not fit: {what} {name!r} is {stored.get(name, 'absent')} "
                f"in the checkpoint and {here.get(name, 'absent')} here"
            )
