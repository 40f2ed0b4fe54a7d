"""Shadow prices of all that couples the slots of a problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.envs.arrays import namespace, rows
from equiload.envs.knobs import kernels
from equiload.envs.series import Series
from equiload.envs.setting import Physics, Slot
from equiload.envs.typing import Array, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """At these a slot is on its own; none where the fleet has no such part.

    Parameters
    ----------
    weights
        ``[..., K, R]``, ``w`` on the simplex over regions: ``μ_k·w[k, r]`` is what a unit of
        footprint costs.
    stored
        ``[..., N]``, ``θ``, US$ per MWh in a battery after the slot.
    waiting
        ``[..., C]``, ``π``, US$ per MWh of training work that waits after the slot: what it is
        worth to have done it.
    on
        ``[..., N]``, ``φ``, US$ per MWh per slot of capacity that is on before the slot, from 0 to
        the cost of a start.
    """

    weights: Array
    stored: Array = None
    waiting: Array = None
    on: Array = None


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What a MWh costs in a slot, its footprints at the equity prices included.

    Parameters
    ----------
    grid
        ``[..., N]``, US$ per MWh taken from the grid.
    onsite
        ``[..., N]``, US$ per MWh drawn, whatever its source; 0 where sites have no footprint.
    marginal
        ``[..., 1]``, US$ per MWh of load where the last of the slot's demand and arriving work
        finds room, by the merit order of the data centers.
    """

    grid: FloatArray
    onsite: Array
    marginal: FloatArray

    @classmethod
    def of(cls, slot: Slot, weights: FloatArray, physics: Physics) -> Costs:
        """Costs at ``weights [..., K, R]``."""
        grid, onsite = with_footprints(slot, weights, physics)
        unit = (grid + onsite) * physics.pue
        asked = slot.demand.sum(-1, keepdims=True)
        if slot.work is not None:
            asked = asked + slot.work.sum(-1, keepdims=True)
        return cls(grid, onsite, _last_served(unit, slot.capacity, asked))


def _last_served(unit: Array, capacity: Array, asked: Array) -> Array:
    """US$/MWh ``[..., 1]`` where the last of what is ``asked [..., 1]`` finds room."""
    if isinstance(unit, np.ndarray):
        lead, N, cost = unit.shape[:-1], unit.shape[-1], np.empty((*unit.shape[:-1], 1))
        room, wanted = rows(capacity, lead, N), rows(asked, lead, 1)
        kernels.last_served(rows(unit, lead, N), room, wanted, cost.reshape(-1, 1))
        return cost
    xp = namespace(unit)
    capacity = xp.broadcast_to(capacity, unit.shape)
    order = xp.argsort(unit, axis=-1)
    room = xp.cumsum(xp.take_along_axis(capacity, order, axis=-1), axis=-1)
    last = xp.minimum((room < asked).sum(-1, keepdims=True), unit.shape[-1] - 1)
    return xp.take_along_axis(unit, xp.take_along_axis(order, last, axis=-1), axis=-1)


def with_footprints(
    slot: Series, weights: FloatArray, physics: Physics
) -> tuple[FloatArray, Array]:
    """US$ per MWh from the grid, and per MWh drawn whatever its source, ``[..., N]`` each.

    With what their footprints cost at ``weights [..., K, R]``; the second is 0 where sites have no
    footprint of their own.
    """
    per_unit = physics.mu[:, None] * physics.by_datacenter(weights)
    grid: FloatArray = slot.price + _footprints(per_unit, slot.intensity)
    if slot.onsite_intensity is None:
        return grid, 0.0
    return grid, _footprints(per_unit, slot.onsite_intensity)


def _footprints(per_unit: Array, intensity: Array) -> Array:
    """US$/MWh ``[..., N]`` of footprints ``[..., K, N]`` at so much per unit."""
    if isinstance(intensity, np.ndarray) and per_unit.shape == intensity.shape:
        *lead, K, N = intensity.shape
        cost = np.empty((*lead, N))
        kernels.weigh(
            per_unit.reshape(-1, K, N), rows(intensity, tuple(lead), K, N), cost.reshape(-1, N)
        )
        return cost
    return (per_unit * intensity).sum(-2)
