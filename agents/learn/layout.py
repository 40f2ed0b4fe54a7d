"""Where a network finds what in an observation, and how data centers and gateways make regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiload.envs import Setting
from equiload.envs.gym import Observer
from equiload.envs.gym.features import Axis


@dataclass(frozen=True, eq=False)
class Layout:
    """What a network must know of the problem that it acts in.

    Parameters
    ----------
    blocks, axes
        Where each block of the flat observation lies, and whose its entries are
        (:class:`~equiload.envs.gym.Observer`).
    kinds
        ``K`` names of the footprint kinds.
    share
        ``[N, R]``: share of each data center in its region's capacity.
    capacity
        ``[R]``: power drawn at full load, relative to the mean region's.
    reach
        ``[J, R]``: share of each gateway's reachable capacity that lies in a region.
    peers
        ``[R, R]``: how much of what can reach a region could also go to another; rows sum to 1.
    """

    blocks: Mapping[str, slice]
    axes: Mapping[str, Axis]
    kinds: tuple[str, ...]
    share: Tensor
    capacity: Tensor
    reach: Tensor
    peers: Tensor

    @classmethod
    def of(cls, observer: Observer, setting: Setting) -> Layout:
        """Layout of a (reset) observer's flat observations in a setting."""
        fleet = setting.fleet
        size = fleet.capacity * fleet.pue + 1e-300
        member, total = fleet.membership, (size @ fleet.membership)
        reach = (fleet.reachable * size) @ member
        reach = reach / reach.sum(-1, keepdims=True)
        peers = reach.T @ reach + 1e-12 * np.eye(reach.shape[1])  # a region nobody reaches: itself

        def tensor(array: object) -> Tensor:
            return torch.tensor(array, dtype=torch.float32)

        return cls(
            dict(observer.blocks),
            dict(observer.axes),
            setting.objective.footprints,
            tensor(member * size[:, None] / total),
            tensor(total / total.mean()),
            tensor(reach),
            tensor(peers / peers.sum(-1, keepdims=True)),
        )

    @classmethod
    def of_env(cls, env: Any) -> Layout:
        """Layout of an environment's flat observations.

        Parameters
        ----------
        env
            Single, vectorised or stable-baselines3's, with whatever wrappers leave observations
            as they are.

        Examples
        --------
        >>> from equiload.envs.gym import GLBEnv
        >>> Layout.of_env(GLBEnv(horizon=24)).kinds
        ('carbon', 'water')
        """
        inner = getattr(env.unwrapped, "envs", env)  # of stable-baselines3
        first = inner[0] if isinstance(inner, list) else inner
        core = first.unwrapped.core
        return cls.of(core.observer, core.setting)

    @property
    def signature(self) -> dict[str, str]:
        """Whose entries each block holds: what two observations must share to be read alike."""
        return {name: str(axis) for name, axis in self.axes.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """Number of entries of each block."""
        return {name: cut.stop - cut.start for name, cut in self.blocks.items()}
