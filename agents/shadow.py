"""Dispatch at given shadow prices: with eGLB-Off's duals it is optimal up to ties."""

from __future__ import annotations

import numpy as np

from equiload.envs import DataError, Setting, Slot, State, shadow_cost
from equiload.envs.typing import FloatArray


class ShadowPrices:
    """Each slot: ``argmin_y Σ (p + Σ_k μ_k w[k, r] e_k)·x`` at fixed weights ``w``.

    Parameters
    ----------
    weights
        ``[..., K, R]``, at least 0; on the simplex over regions for a meaningful price. Leading
        axes, if any, are those of the episodes.

    Examples
    --------
    At eGLB-Off's duals its own loads cost as little as any, but where two data centers cost the
    same, one of them is taken whole:

    >>> from equiload.agents import EGLBOff
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> instance = synthetic(0, horizon=24)
    >>> solution = EGLBOff().solve(instance)
    >>> outcome = rollout(ShadowPrices(solution.weights), instance)
    >>> bool(solution.objective <= outcome.objective <= 1.05 * solution.objective)
    True
    """

    def __init__(self, weights: FloatArray) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise DataError("shadow-price weights must be finite and at least 0")

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`; raises :class:`DataError` for weights that misfit."""
        expected, ndim = setting.footprint_shape, self.weights.ndim
        if ndim < 2 or self.weights.shape != expected[len(expected) - ndim :]:
            raise DataError(
                f"shadow-price weights have shape {self.weights.shape}, "
                f"expected [..., K, R] = {expected}"
            )
        self._fleet, self._physics = setting.fleet, setting.physics

    def price(self, _: Slot, state: State) -> FloatArray:
        """The weights ``[..., K, R]``: see :class:`~equiload.agents.ensemble.SlotPricer`."""
        del state
        return self.weights

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return the cheapest allocation ``[..., J, N]`` at the shadow prices."""
        unit = shadow_cost(slot, self.weights, self._physics)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)
