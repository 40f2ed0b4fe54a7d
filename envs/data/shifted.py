"""``shifted``: draws of the synthetic world changed in ways that no training draw is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equiload.envs.data.draw import Draw
from equiload.envs.data.synthetic import synthetic
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance

KINDS = ("price", "outage", "carbon", "demand")


def shifted(kind: str, seed: int | str | Draw = 0, **options: Any) -> Instance:
    """A draw of :func:`synthetic`, shifted; the draw also chooses the data center it happens to.

    ========  ===================================================================================
    kind      what happens
    ========  ===================================================================================
    price     one data center's price is tripled
    outage    one data center is down for the middle half of the horizon; demand that the others
              in its gateways' reach cannot serve goes away
    carbon    intensities of the first footprint are mirrored in every slot: the cleanest data
              center becomes the dirtiest
    demand    demand is doubled, up to what the fleet can serve
    ========  ===================================================================================

    Parameters
    ----------
    kind
        See the table.
    seed, options
        As for :func:`synthetic`; one instance, no batch.

    Raises
    ------
    DataError
        For another kind, or a batch.
    """
    return shift(synthetic(seed, **options), kind, Draw.of(seed))


def shift(instance: Instance, kind: str, draw: Draw) -> Instance:
    """An instance changed as :func:`shifted` tells; ``draw`` chooses the data center."""
    if kind not in KINDS:
        raise DataError(f"the shift must be one of {', '.join(KINDS)}, got {kind!r}")
    if instance.batch:
        raise DataError("a shifted world is one instance, not a batch")
    trace, fleet, T = instance.trace, instance.fleet, instance.horizon
    chosen = int(np.random.default_rng([draw.index, 3]).integers(len(fleet.datacenters)))
    price, intensity, demand = trace.price.copy(), trace.intensity.copy(), trace.demand
    up = np.ones(price.shape) if trace.availability is None else trace.availability.copy()
    if kind == "price":
        price[:, chosen] *= 3.0
    elif kind == "outage":
        up[T // 4 : T - T // 4, chosen] = 0.0
    elif kind == "carbon":
        ends = intensity[0].max(-1, keepdims=True) + intensity[0].min(-1, keepdims=True)
        intensity[0] = ends - intensity[0]
    else:
        demand = 2.0 * demand
    demand = fleet.dispatch.clip(demand, fleet.capacity * up)
    changed = dataclasses.replace(
        trace,
        price=price,
        intensity=intensity,
        demand=demand,
        availability=up,
        provenance={**trace.provenance, "shifted": kind},
    )
    return instance.replace(trace=changed, name=f"{instance.name}, shifted ({kind})")
