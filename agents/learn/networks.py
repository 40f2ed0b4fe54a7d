"""Networks from observations to actions: one shared by all regions, and a plain one to compare.

Regions are exchangeable: numbering them otherwise must only renumber the answer. The network of
:class:`RegionNetwork` knows it, and its parameters do not depend on how many regions, data centers
or gateways there are (DeepSets, Zaheer et al. 2017; attention, Lee et al. 2019).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from equiload.agents.learn.layout import Layout
from equiload.envs import DataError
from equiload.envs.checking import checked
from equiload.envs.gym.features import ACTION_SCALE
from equiload.envs.make import Trust, label_of, make
from equiload.envs.typing import Count, Number

Context = Literal["pool", "attention"]

# Headroom beyond so many times what is left of the episode makes no difference.
_PLENTY = 5.0
# Of what is left: the last slots of a long episode are not told apart further.
_LITTLE = 0.02


class RegionEncoder(nn.Module):
    """Observations ``[..., F]`` to a code ``[..., R, hidden]`` of each region.

    Each region's row holds its features (data centers averaged by capacity, gateways by what they
    can reach there), the common ones, and what follows from them: per kind the *headroom*, how far
    the region is below the highest one relative to what it would add at full load until the end.
    Then ``depth`` residual layers that mix each row with the mean and the maximum of all rows, and
    with the mean of its peers, which the same gateways reach (``pool``), or of the rows that one
    attention head finds (``attention``).
    """

    @checked
    def __init__(
        self, layout: Layout, *, hidden: Count = 64, depth: Number = 2, context: Context = "pool"
    ) -> None:
        super().__init__()
        self.context, self.hidden = context, hidden
        axes = list(layout.axes.values())
        own = sum(axis != "common" for axis in axes) + 3 * len(layout.kinds)
        common = sum(layout.sizes[name] for name in _common(layout))
        self.input = nn.Linear(own + common + 2, hidden)
        self.own = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.peers = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in range(depth))
        self.all = nn.ModuleList(nn.Linear(2 * hidden, hidden, bias=False) for _ in range(depth))
        self.bind(layout)

    def bind(self, layout: Layout) -> None:
        """Read observations of this layout from now on: another fleet, the same features."""
        self.layout = layout
        device = self.input.weight.device
        self._share, self._capacity, self._reach, self._peers = (
            part.to(device) for part in (layout.share, layout.capacity, layout.reach, layout.peers)
        )

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        code = functional.silu(self.input(self._rows(observation)))
        for own, peers, everyone in zip(self.own, self.peers, self.all, strict=True):
            pooled = torch.cat([code.mean(-2, keepdim=True), code.amax(-2, keepdim=True)], -1)
            near = self._near(code, peers(code))
            code = code + functional.silu(own(code) + near + everyone(pooled))
        return code

    def _near(self, code: Tensor, messages: Tensor) -> Tensor:
        """What each row is told by the rows near it: its peers, or those it attends to."""
        if self.context == "pool":
            return self._peers @ messages
        return functional.scaled_dot_product_attention(code, code, messages)

    def _rows(self, observation: Tensor) -> Tensor:
        """``[..., R, features]``."""
        layout = self.layout
        block = {name: observation[..., cut] for name, cut in layout.blocks.items()}
        to_region = {"datacenter": self._share, "gateway": self._reach}
        region = {
            name: block[name] if axis == "region" else block[name] @ to_region[axis]
            for name, axis in layout.axes.items()
            if axis != "common"
        }
        remaining = block["time"][..., -1:]
        rows = list(region.values())
        for kind in layout.kinds:
            rows += self._derived(
                region[f"cumulative_{kind}"], region[f"mean_intensity_{kind}"], remaining
            )
        demand = block["demand"].mean(-1, keepdim=True)
        common = [block[name] for name in _common(layout)]
        shared = torch.cat([*common, demand, torch.log(remaining + 0.01)], -1)[..., None, :]
        own = torch.stack(rows, -1)
        return torch.cat([own, shared.expand(*own.shape[:-1], -1)], -1)

    def _derived(self, cumulative: Tensor, intensity: Tensor, remaining: Tensor) -> list[Tensor]:
        """Headroom, departure from the mean, and relative intensity, ``[..., R]`` each."""
        full = intensity * self._capacity * torch.clamp(remaining, min=_LITTLE) + 1e-6
        below = cumulative.amax(-1, keepdim=True) - cumulative
        apart = cumulative - cumulative.mean(-1, keepdim=True)
        return [
            torch.clamp(below / full, max=_PLENTY),
            torch.clamp(apart / full.mean(-1, keepdim=True), -_PLENTY, _PLENTY),
            intensity / (intensity.mean(-1, keepdim=True) + 1e-9),
        ]


class RegionNetwork(nn.Module):
    """Observations ``[..., F]`` to shadow-price actions ``[..., K, R]``, the same for any region.

    Untrained it answers 0: equal weights, or ``residual`` times the expert's action, which
    must then be observed (:class:`~equiload.envs.gym.features.ExpertPrices`).
    """

    def __init__(
        self,
        layout: Layout,
        *,
        hidden: Count = 64,
        depth: Number = 2,
        context: Context = "pool",
        residual: float | bool = 0.0,
    ) -> None:
        super().__init__()
        self.residual = _residual(layout, residual)
        self.encoder = RegionEncoder(layout, hidden=hidden, depth=depth, context=context)
        self.head = _silent(nn.Linear(hidden, len(layout.kinds)))

    @property
    def layout(self) -> Layout:
        """Of the observations that it reads now."""
        return self.encoder.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """``(K, R)`` of the fleet that it acts on now."""
        return len(self.layout.kinds), self.layout.share.shape[1]

    def bind(self, layout: Layout) -> None:
        """Act on another fleet; the observation must hold the same features."""
        self.encoder.bind(layout)

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        action: Tensor = self.head(self.encoder(observation)).transpose(-1, -2)
        if not self.residual:
            return action
        return action + self.residual * expert_action(self.layout, observation)


class FlatNetwork(nn.Module):
    """A plain multilayer perceptron from ``[..., F]`` to actions ``[..., *shape]``, to compare.

    It belongs to one fleet: its inputs are numbered. ``residual`` as for :class:`RegionNetwork`.
    """

    one_fleet = True

    @checked
    def __init__(
        self,
        layout: Layout,
        *,
        hidden: Count = 64,
        depth: Number = 2,
        shape: tuple[int, ...] | None = None,
        residual: float | bool = 0.0,
    ) -> None:
        super().__init__()
        self.residual, self.hidden = _residual(layout, residual), hidden
        self.layout = layout
        prices = len(layout.kinds), layout.share.shape[1]
        self.shape = tuple(shape or prices)
        if residual and self.shape != prices:
            raise DataError("a residual network acts on shadow prices: leave out network.residual")
        size = max(cut.stop for cut in layout.blocks.values())
        widths = [size, *[hidden] * depth]
        steps: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            steps += [nn.Linear(before, after), nn.SiLU()]
        self.body = nn.Sequential(*steps)
        self.head = _silent(nn.Linear(widths[-1], math.prod(self.shape)))

    def bind(self, layout: Layout) -> None:
        """Refuse any fleet with other numbers of anything."""
        if layout.sizes != self.layout.sizes:
            raise DataError(
                "a flat network acts only on fleets of the size it was made for: "
                "train one here, or use the network shared by all regions"
            )
        self.layout = layout

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        action: Tensor = self.head(self.body(observation)).unflatten(-1, self.shape)
        if not self.residual:
            return action
        return action + self.residual * expert_action(self.layout, observation)


#: One of your own is a module with their ``layout``, ``bind`` and (if no other fleet will do)
#: ``one_fleet``, made of a :class:`Layout` and its arguments; ``shape`` among them is the action's.
Network: TypeAlias = RegionNetwork | FlatNetwork


def make_network(
    layout: Layout, *, shape: tuple[int, ...] | None = None, trust: Trust = True, **spec: Any
) -> Network:
    """New network for actions of a ``shape`` (none: shadow prices), of ``kind`` or ``_target_``.

    Raises
    ------
    DataError
        For a name or arguments that are not known, and actions that it has none of.
    """
    spec = spec if "_target_" in spec else {"kind": "regions", **spec}
    wanted = tuple(shape or (len(layout.kinds), layout.share.shape[1]))
    network: Network = make("network", spec, layout, like=nn.Module, trust=trust, shape=wanted)
    acts = tuple(getattr(network, "shape", wanted))
    if acts != wanted:
        raise DataError(
            f"the network {label_of(spec)} gives actions of shape {acts}, expected {wanted}: "
            "use network=flat, or one of your own"
        )
    return network


def at_scale(network: Mapping[str, Any], action_scale: float) -> dict[str, Any]:
    """The arguments of a network at another scale of actions: ``residual`` is of prices."""
    residual = network.get("residual")
    if not residual:
        return dict(network)
    return {**network, "residual": float(residual) * (ACTION_SCALE / action_scale)}


def expert_action(layout: Layout, observation: Tensor) -> Tensor:
    """Action ``[..., K, R]`` that repeats the observed expert's shadow prices.

    That is at the default scale; at another it takes ``ACTION_SCALE / action_scale`` times this
    (:func:`at_scale`).
    """
    blocks = [observation[..., layout.blocks[f"expert_{kind}"]] for kind in layout.kinds]
    return torch.stack(blocks, -2)


def squashed(action: Tensor, how: str, reach: float = 1.0) -> Tensor:
    """What is made of a network's output: nothing, ``clip`` (to ``reach``) or ``tanh``."""
    if how == "none":
        return action
    if how == "clip":
        return torch.clamp(action, -reach, reach)
    if how == "tanh":
        return torch.tanh(action)
    raise DataError(f"squash must be none, clip or tanh, got {how!r}")


def _residual(layout: Layout, residual: float) -> float:
    missing = [kind for kind in layout.kinds if f"expert_{kind}" not in layout.blocks]
    if residual and missing:
        raise DataError(
            f"a residual network needs the observation to hold expert_{missing[0]}: "
            "add the feature ExpertPrices"
        )
    return float(residual)


def _common(layout: Layout) -> list[str]:
    return [name for name, axis in layout.axes.items() if axis == "common"]


def _silent(head: nn.Linear) -> nn.Linear:
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
