"""The transition: what an allocation costs, and what it adds to the regions' footprints.

Pure and batched, and written against the array API: numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

from equiload.envs.instance import Fleet
from equiload.envs.typing import Array


class SlotCost(NamedTuple):
    """What one slot adds.

    ``energy [...]`` US$, ``routing [...]`` US$, ``footprint [..., K, R]`` t, m³, ….
    """

    energy: Array
    routing: Array
    footprint: Array


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Running totals: cost ``[...]`` in US$ and cumulative footprint ``[..., K, R]``."""

    cost: Array
    footprint: Array

    def objective(self, mu: Array) -> Array:
        """Return ``[...]``, US$: the objective so far, ``F + Σ_k μ_k max_r S[k, r]``."""
        xp = namespace(self.footprint)
        return self.cost + xp.sum(mu * xp.max(self.footprint, axis=-1), axis=-1)


def slot_cost(
    price: Array, intensity: Array, load: Array, fleet: Fleet, routing: Array | float = 0.0
) -> SlotCost:
    """Cost and footprint of serving ``load [..., N]`` at ``price [..., N]``, ``intensity``.

    ``intensity`` has shape ``[..., K, N]``; ``routing [...]`` is what sending it cost.
    """
    xp = namespace(load)
    energy = load * _like(fleet.pue, load, xp)
    footprint = intensity * energy[..., None, :]
    if not fleet.one_region_each:
        footprint = footprint @ _like(fleet.membership, load, xp)
    cost = xp.vecdot(price, energy)
    return SlotCost(cost, cost * 0.0 + routing, footprint)


def shadow_cost(price: Array, intensity: Array, weights: Array, fleet: Fleet, mu: Array) -> Array:
    """Cost ``[..., N]`` of a unit of load at shadow prices: ``(p + Σ_k μ_k w[k, r] e[k])·PUE``.

    ``price [..., N]`` US$/MWh, ``intensity [..., K, N]``, ``weights [..., K, R]``, ``mu [K]``.
    """
    xp = namespace(price)
    if not fleet.one_region_each:
        weights = weights @ _like(fleet.membership.T, price, xp)
    weighted = (mu[:, None] * weights * intensity).sum(-2)
    return (price + weighted) * _like(fleet.pue, price, xp)


def namespace(array: Array) -> Array:
    """Array-API namespace of an array; numpy's own at once, since small steps are many."""
    return np if isinstance(array, np.ndarray) else array_namespace(array)


def transition(state: State, cost: SlotCost) -> State:
    """State after a slot."""
    return State(state.cost + cost.energy + cost.routing, state.footprint + cost.footprint)


def _like(array: Array, other: Array, xp: Array) -> Array:
    if isinstance(other, type(array)):
        return array
    return xp.asarray(array.copy(), dtype=other.dtype, device=other.device)  # frozen, it is
