"""Lower bounds on the offline optimum, by weak duality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.envs.dynamics import State
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance
from equiload.envs.outcome import Outcome
from equiload.envs.setting import Setting
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, eq=False)
class DualBound:
    """The dual function at shadow prices ``weights``: a lower bound on ``J`` of every allocation.

    Parameters
    ----------
    value
        ``[...]``, US$.
    weights
        ``[..., K, R]``, on the simplex over regions for each kind.
    outcome
        The dispatch that attains it.
    """

    value: FloatArray
    weights: FloatArray
    outcome: Outcome


def dual_bound(instance: Instance, weights: FloatArray, *, start: State | None = None) -> DualBound:
    """Evaluate ``L(w) = Σ_t min_y Σ_i (p + Σ_k μ_k w[k, r] e[k, t, i])·x[t, i] <= min J``.

    Since ``max_r S >= Σ_r w_r S_r`` for ``w`` on the simplex. Costs ``T`` independent dispatches.
    What has been emitted before the first slot adds ``Σ_k μ_k w_k·S_k``.

    Parameters
    ----------
    instance
        One problem or a batch.
    weights
        ``[..., K, R]``, not negative, each row summing to 1. Axes before the instance's batch try
        many weights at once.
    start
        State before the first slot: the maximum counts its footprints beside the instance's own.

    Raises
    ------
    DataError
        If the weights are not on the simplex.

    Examples
    --------
    >>> from equiload.agents import GLBCost
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> week = synthetic(0, horizon=168)
    >>> bound = dual_bound(week, np.full((2, 10), 0.1))
    >>> bool(bound.value <= rollout(GLBCost(), week).objective)
    True
    """
    Setting.of(instance).require_plain("this bound")
    trace, fleet, mu = instance.trace, instance.fleet, instance.objective.mu
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim < 2 or weights.shape[-2:] != (len(mu), len(fleet.regions)):
        raise DataError(
            f"shadow-price weights have shape {weights.shape}, "
            f"expected [..., {len(mu)} kinds, {len(fleet.regions)} regions]"
        )
    if not ((weights >= 0).all() and (np.abs(weights.sum(-1) - 1.0) <= 1e-9).all()):
        raise DataError("shadow-price weights must be at least 0 and sum to 1 over the regions")
    weights = weights / weights.sum(-1, keepdims=True)
    lead = np.broadcast_shapes(weights.shape[:-2], instance.batch)
    unit = np.broadcast_to(trace.price, (*lead, *trace.price.shape[-2:])).copy()
    for k in range(len(mu)):  # kind by kind: a year of 100 data centers fits in memory
        unit += (mu[k] * weights[..., None, k, fleet.region_of]) * trace.intensity[..., k, :, :]
    unit *= fleet.pue
    load, routing = fleet.dispatch.loads(unit, trace.demand, instance.capacity)
    value = np.einsum("...tn,...tn->...", unit, load) + routing.sum(-1)
    if start is not None:
        value = value + np.einsum("k,...kr,...kr->...", mu, weights, start.footprint)
    outcome = Outcome(instance=instance, load=load, routing=routing)
    return DualBound(np.asarray(value), weights, outcome)
