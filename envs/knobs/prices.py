"""Shadow prices of all that couples the slots of a problem."""

from __future__ import annotations

from dataclasses import dataclass

from equiload.envs.typing import Array


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
