"""eGLB: the paper's online algorithm, dual mirror descent (paper, section 3, algorithm 1)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numba import njit

from equiload.envs import DataError, Setting, Slot, State
from equiload.envs.arrays import like, namespace
from equiload.envs.checking import checked
from equiload.envs.typing import Array, FloatArray, IntArray
from equiload.envs.validation import regular_array

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
    region would add per slot at full load, at the mean of the intensities seen so far. The same
    numbers then serve instances of any size and currency. An entropic step changes a multiplier by
    a factor of at most ``e²``, so that no freak slot throws it out of reach.

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
    The defaults come from ``equiload tune`` on training draws of the
    synthetic world, never from ``bloom10``.

    Examples
    --------
    >>> from equiload.agents import GLBCost
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> instance = synthetic(0, horizon=24)
    >>> eglb = EGLB()
    >>> bool(rollout(eglb, instance).objective < rollout(GLBCost(), instance).objective)
    True
    >>> eglb.multipliers.shape
    (2, 10)
    """

    @checked
    def __init__(
        self,
        *,
        step_size: float | FloatArray = 1.5,
        z_max: float | FloatArray = 1.0,
        mirror: Mirror = "entropic",
        schedule: Schedule = "constant",
    ) -> None:
        self.step_size = regular_array("step_size", step_size, np.float64)
        self.z_max = regular_array("z_max", z_max, np.float64)
        if not (np.isfinite(self.step_size).all() and (self.step_size > 0).all()):
            raise DataError(f"step_size must be positive, got {step_size}")
        if not (np.isfinite(self.z_max).all() and (self.z_max >= 0).all()):
            raise DataError(f"z_max must be at least 0, got {z_max}")
        self.mirror, self.schedule = mirror, schedule

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        fleet, batch = setting.fleet, setting.batch
        self._fleet, self._mu, self._horizon = fleet, setting.objective.mu, setting.horizon
        self._physics = setting.physics
        *_, K, R = setting.footprint_shape
        start = 0.0 if self.mirror == "euclidean" else 1.0 / R
        #: ``[..., K, R]``, the multipliers.
        self.multipliers = np.full(setting.footprint_shape, start)
        self._full_load = fleet.pue * fleet.capacity / R
        self._scale = np.zeros((math.prod(batch), K))  # summed over the slots seen
        self._last: tuple[Slot, FloatArray] | None = None  # what was there when last asked
        self._step = _each("step_size", self.step_size, batch)
        self._z_max = _each("z_max", self.z_max, batch)

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the allocation ``[..., J, N]`` and update the multipliers."""
        if not self._physics.plain(slot):  # then more than an allocation makes the footprint
            return self.dispatch(slot, self.price(slot, state))
        allocation = self.dispatch(slot, self.multipliers)
        self.update(slot, allocation)
        return allocation

    def loads(self, slot: Slot, _: State) -> FloatArray:
        """Return only the loads ``[..., N]`` of :meth:`act`, which is faster, and update as it."""
        unit = self.unit_cost(slot, self.multipliers)
        load = self._fleet.dispatch.loads(unit, slot.demand, slot.capacity)[0]
        self.update(slot, load[..., None, :])
        return load

    def price(self, slot: Slot, state: State) -> FloatArray:
        """The multipliers, moved by what the last slot has added to the state, whoever played.

        See :class:`~equiload.agents.ensemble.SlotPricer`.
        """
        if self._last is not None:
            before, footprint = self._last
            self.follow(before, state.footprint - footprint)
        self._last = slot, state.footprint
        return self.multipliers

    def dispatch(self, slot: Slot, multipliers: FloatArray) -> FloatArray:
        """Step 1 at multipliers ``[..., K, R]``: the cheapest allocation ``[..., J, N]``."""
        unit = self.unit_cost(slot, multipliers)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)

    def unit_cost(self, slot: Slot, multipliers: FloatArray) -> FloatArray:
        """``(p + Σ_k γ μ_k e_k)·PUE`` at multipliers ``[..., K, R]``: ``[..., N]``, US$/MWh."""
        fleet = self._fleet
        gamma = multipliers.reshape(-1, *multipliers.shape[-2:])
        price = slot.price.reshape(-1, slot.price.shape[-1])
        intensity = slot.intensity.reshape(-1, gamma.shape[1], price.shape[1])
        unit = np.empty(price.shape)
        _shadow_cost(price, intensity, gamma, self._mu, fleet.pue, fleet.region_of, unit)
        return unit.reshape(slot.price.shape)

    def update(self, slot: Slot, allocation: FloatArray) -> None:
        """Steps 2 and 3: move the multipliers by what was played in the slot."""
        fleet = self._fleet
        # Rows [B, ...] for the kernel; these are views, so the multipliers change in place.
        gamma = self.multipliers.reshape(-1, *self.multipliers.shape[-2:])
        rows = allocation.reshape(-1, *allocation.shape[-2:])
        intensity = slot.intensity.reshape(-1, gamma.shape[1], rows.shape[2])
        clock = self._horizon if self.schedule == "constant" else slot.index + 1
        _mirror_step(
            rows,
            fleet.pue,
            intensity,
            self._mu,
            fleet.region_of,
            self._full_load,
            self._step / math.sqrt(clock),
            self._z_max,
            slot.index + 1,
            self.mirror == "entropic",
            self._scale,
            gamma,
        )

    def follow(self, slot: Slot, footprint: Array) -> None:
        """Steps 2 and 3 by the footprint ``[..., K, R]`` that the slot added; tensors, too.

        The same as :meth:`update` up to rounding, and differentiable.
        """
        xp, batch = namespace(footprint), footprint.shape[:-2]
        mu, full_load, gamma = (
            like(array, footprint) for array in (self._mu, self._full_load, self.multipliers)
        )
        step, z_max = (
            like(option.reshape(*batch, 1, 1), footprint) for option in (self._step, self._z_max)
        )
        scale = like(self._scale, footprint).reshape(*batch, -1)
        intensity = slot.intensity
        if slot.onsite_intensity is not None:
            intensity = intensity + slot.onsite_intensity
        scale = scale + mu * (intensity * full_load).sum(-1)
        unit = (scale / (slot.index + 1))[..., None]
        heavy = xp.clip(gamma, 0.0, None).sum(-1)[..., None] > 1.0
        z = xp.where(heavy & (gamma > 0.0), z_max * unit, unit * 0.0)
        clock = self._horizon if self.schedule == "constant" else slot.index + 1
        some = xp.where(unit == 0.0, unit + 1.0, unit)
        move = step / math.sqrt(clock) * (mu[:, None] * footprint - z) / some
        move = xp.where(unit == 0.0, move * 0.0, move)
        if self.mirror == "entropic":
            gamma = xp.clip(gamma * xp.exp(xp.clip(move, -2.0, 2.0)), None, 1e6)
        else:
            gamma = gamma + move
        self.multipliers, self._scale = gamma, scale.reshape(-1, scale.shape[-1])


def _each(name: str, option: FloatArray, batch: tuple[int, ...]) -> FloatArray:
    """The option of every member of a batch, in a row."""
    try:
        return np.ascontiguousarray(np.broadcast_to(option, batch)).reshape(-1)
    except ValueError:
        raise DataError(f"{name} has shape {option.shape}, the batch {batch}") from None


# A slot costs about 20 numpy calls without these two, which is most of its time.


@njit(cache=True, nogil=True, error_model="numpy")
def _shadow_cost(
    price: FloatArray,
    intensity: FloatArray,
    gamma: FloatArray,
    mu: FloatArray,
    pue: FloatArray,
    region_of: IntArray,
    out: FloatArray,
) -> None:
    """``(p + Σ_k γ[k, r] μ_k e_k)·PUE`` for rows ``[B, N]``."""
    B, N = price.shape
    for b in range(B):
        for i in range(N):
            cost = price[b, i]
            for k in range(len(mu)):
                cost += gamma[b, k, region_of[i]] * mu[k] * intensity[b, k, i]
            out[b, i] = cost * pue[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _mirror_step(
    allocation: FloatArray,
    pue: FloatArray,
    intensity: FloatArray,
    mu: FloatArray,
    region_of: IntArray,
    full_load: FloatArray,
    step: FloatArray,
    z_max: FloatArray,
    slots: int,
    entropic: bool,
    scale: FloatArray,
    gamma: FloatArray,
) -> None:
    """Steps 2 and 3 for rows ``allocation [B, J, N]``; ``scale``, ``gamma [B, K, R]`` change."""
    B, K, R = gamma.shape
    _, J, N = allocation.shape
    used, drawn = np.empty(R), np.empty(N)
    for b in range(B):
        drawn[:] = 0.0
        for j in range(J):
            for i in range(N):
                drawn[i] += allocation[b, j, i] * pue[i]
        for k in range(K):
            used[:] = 0.0
            full = 0.0
            for i in range(N):
                used[region_of[i]] += mu[k] * intensity[b, k, i] * drawn[i]
                full += mu[k] * intensity[b, k, i] * full_load[i]
            scale[b, k] += full
            unit = scale[b, k] / slots
            if unit == 0.0:
                continue
            total = 0.0
            for r in range(R):
                total += max(gamma[b, k, r], 0.0)
            for r in range(R):
                z = z_max[b] * unit if total > 1.0 and gamma[b, k, r] > 0.0 else 0.0
                move = step[b] * (used[r] - z) / unit
                if entropic:
                    gamma[b, k, r] *= math.exp(min(max(move, -2.0), 2.0))
                    gamma[b, k, r] = min(gamma[b, k, r], 1e6)  # where all must go there anyway
                else:
                    gamma[b, k, r] += move
