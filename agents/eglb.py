"""eGLB: the paper's online algorithm, dual mirror descent (paper, section 3, algorithm 1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from equiload.envs import DataError, Fleet, Objective, Slot, shadow_cost, slot_cost
from equiload.envs.typing import FloatArray

Mirror = Literal["euclidean", "entropic"]
Schedule = Literal["constant", "inverse_sqrt"]


class EGLB:
    """Dual mirror descent on the price of each region's share of the footprints.

    Multipliers ``γ[k, r]`` price the coupling ``Σ_t μ_k e x <= Σ_t z``. Each slot:

    1. dispatch ``argmin_y Σ (p + Σ_k γ μ_k e_k)·x``;
    2. auxiliary ``z = argmin_{0 <= z <= z_max} max_r z_r − Σ_r γ_r z_r``: ``z_max`` where
       ``γ > 0`` if ``Σ_r max(γ, 0) > 1``, else 0;
    3. mirror step along ``g = μ_k e x − z``: ``γ + η g`` (Euclidean, from 0) or ``γ·exp(η g)``
       (entropic, from ``1 / R``).

    ``η`` and ``z_max`` are given without units: they are scaled by the equity cost that an average
    region would add per slot at full load and the first slot's intensities, which is known when the
    first decision is due. The same numbers then serve instances of any size and currency.

    Parameters
    ----------
    step_size
        ``η·√T`` (constant schedule) or ``η_t·√t`` (inverse_sqrt), in units of that scale. A number,
        or an array that broadcasts against the batch (to try many at once).
    z_max
        Bound on ``z``, in units of that scale; likewise.
    mirror
        ``"euclidean"`` or ``"entropic"``.
    schedule
        ``"constant"``: ``η ∝ 1/√T``; ``"inverse_sqrt"``: ``η_t ∝ 1/√t``.

    Notes
    -----
    The defaults come from ``python -m equiload.experiments.tune`` on training draws of the
    synthetic world, never from ``bloom10``.
    """

    def __init__(
        self,
        *,
        step_size: float | FloatArray = 1.0,
        z_max: float | FloatArray = 1.0,
        mirror: Mirror = "euclidean",
        schedule: Schedule = "constant",
    ) -> None:
        if mirror not in ("euclidean", "entropic"):
            raise DataError(f"mirror must be 'euclidean' or 'entropic', got {mirror!r}")
        if schedule not in ("constant", "inverse_sqrt"):
            raise DataError(f"schedule must be 'constant' or 'inverse_sqrt', got {schedule!r}")
        if not (np.isfinite(step_size).all() and np.all(np.asarray(step_size) > 0)):
            raise DataError(f"step_size must be positive, got {step_size}")
        if not (np.isfinite(z_max).all() and np.all(np.asarray(z_max) >= 0)):
            raise DataError(f"z_max must be at least 0, got {z_max}")
        self.step_size = np.asarray(step_size, dtype=np.float64)[..., None]
        self.z_max = np.asarray(z_max, dtype=np.float64)[..., None]
        self.mirror, self.schedule = mirror, schedule

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...] = ()
    ) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet, self._mu, self._horizon = fleet, objective.mu, horizon
        K, R = len(objective.footprints), len(fleet.regions)
        start = 0.0 if self.mirror == "euclidean" else 1.0 / R
        #: ``[..., K, R]``, the multipliers.
        self.multipliers = np.full((*batch, K, R), start)
        self._full_load = fleet.pue * fleet.capacity / R
        self._scale = np.zeros((*batch, K))

    def act(self, slot: Slot) -> FloatArray:
        """Return the allocation ``[..., J, N]`` and update the multipliers."""
        gamma, fleet = self.multipliers, self._fleet
        unit = shadow_cost(slot.price, slot.intensity, gamma, fleet, self._mu)
        allocation = fleet.dispatch.allocation(unit, slot.demand, slot.capacity)
        used = slot_cost(slot.price, slot.intensity, allocation.sum(-2), fleet).footprint
        # The first intensities that are not zero set the scale.
        seen = self._mu * (slot.intensity @ self._full_load)
        scale = self._scale = np.where(self._scale > 0, self._scale, seen)
        inverse = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
        crowded = np.maximum(gamma, 0.0).sum(-1, keepdims=True) > 1.0
        z = np.where(crowded & (gamma > 0), (self.z_max * scale)[..., None], 0.0)
        clock = self._horizon if self.schedule == "constant" else slot.index + 1
        step = (self.step_size * inverse / np.sqrt(clock))[..., None]
        move = step * (self._mu[:, None] * used - z)
        self.multipliers = gamma + move if self.mirror == "euclidean" else gamma * np.exp(move)
        return allocation
