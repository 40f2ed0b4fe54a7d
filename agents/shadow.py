"""Dispatch at given shadow prices: with eGLB-Off's duals it is optimal up to ties."""

from __future__ import annotations

import numpy as np

from equiload.envs import DataError, Fleet, Objective, Slot, shadow_cost
from equiload.envs.typing import FloatArray


class ShadowPrices:
    """Each slot: ``argmin_y Σ (p + Σ_k μ_k w[k, r] e_k)·x`` at fixed weights ``w``.

    Parameters
    ----------
    weights
        ``[..., K, R]``, at least 0; on the simplex over regions for a meaningful price. Leading
        axes, if any, are those of the episodes.
    """

    def __init__(self, weights: FloatArray) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise DataError("shadow-price weights must be finite and at least 0")

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...] = ()
    ) -> None:
        """See :class:`~equiload.envs.Policy`; raises :class:`DataError` for weights that misfit."""
        del horizon
        expected = (len(objective.footprints), len(fleet.regions))
        leading = self.weights.shape[:-2]
        if self.weights.shape[-2:] != expected or leading != batch[len(batch) - len(leading) :]:
            raise DataError(
                f"shadow-price weights have shape {self.weights.shape}, "
                f"expected [..., K, R] = {(*batch, *expected)}"
            )
        self._fleet, self._mu = fleet, objective.mu

    def act(self, slot: Slot) -> FloatArray:
        """Return the cheapest allocation ``[..., J, N]`` at the shadow prices."""
        unit = shadow_cost(slot.price, slot.intensity, self.weights, self._fleet, self._mu)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)
