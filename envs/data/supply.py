"""Supply curves: blocks of capacity that each offer evenly between two prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.envs.data import kernels
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SupplyCurve:
    """Piecewise linear curves of cumulative capacity, one per problem and region.

    Parameters
    ----------
    capacity
        ``[B, R, P]``: capacity offered up to each breakpoint, ascending.
    value
        ``[V, B, R, P]``: price at each breakpoint, then the footprints of what runs up to there.
    """

    capacity: FloatArray
    value: FloatArray

    @classmethod
    def of_blocks(
        cls, low: FloatArray, high: FloatArray, capacity: FloatArray, footprint: FloatArray
    ) -> SupplyCurve:
        """Merge blocks ``[B, R, F]`` that offer ``capacity`` evenly from ``low`` to ``high``.

        ``footprint [V - 1, F]`` per MWh, or ``[R, V - 1, F]``. Breakpoints are the blocks' ends in
        order of price.
        """
        ends = np.sort(np.concatenate([low, high], axis=-1), axis=-1)
        offered = np.empty((*ends.shape, low.shape[-1]))
        low, high, size, by_price = (
            a.reshape(-1, a.shape[-1]) for a in (low, high, capacity, ends)
        )
        kernels.offer(low, high, size, by_price, offered.reshape(-1, *offered.shape[-2:]))
        prints = np.moveaxis(offered @ np.swapaxes(footprint, -1, -2), -1, 0)
        return cls(offered.sum(-1), np.concatenate([ends[None], prints]))

    def climb(self, demand: FloatArray) -> FloatArray:
        """``[V, B, T, R]``: price and footprints where the curve meets ``demand [B, T, R]``.

        Below its foot and beyond its top the curve's ends hold.
        """
        result = np.empty((len(self.value), *demand.shape))
        kernels.climb(demand, self.capacity, self.value, result)
        return result
