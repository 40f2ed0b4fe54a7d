"""Stress on a recorded trace: those of the generator's ranges that can happen to given data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from equiload.envs.data.noise import pulses
from equiload.envs.data.ranges import Ranges
from equiload.envs.data.requests import outages
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance
from equiload.envs.typing import FloatArray

#: What can happen to a trace whose weather, prices and seasons are given.
HONOURED = ("outages", "flash_crowds", "utilisation")
_WEEK = 7 * 24 * 60  # minutes
_NODE_MINUTES = 3 * 60  # as of the generator


def recorded_ranges(name: str, options: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Low and high ends of the ranges asked for, none that a recorded trace cannot honour.

    Raises
    ------
    DataError
        For other ranges: they change what the generator draws, and a recorded trace has it.
    """
    if not options:
        return {}
    ranges = Ranges.of(options)
    others = [str(kind) for kind in options if kind not in HONOURED]
    if others:
        raise DataError(
            f"{name}: {', '.join(others)} {'change' if len(others) > 1 else 'changes'} what the "
            "generator draws, and a recorded trace has weather, prices and seasons of its own; of "
            f"the ranges it can take {', '.join(HONOURED)}"
        )
    return {kind: ranges.ends(kind) for kind in options}


def disturbed(
    instance: Instance,
    ranges: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
    minutes: float,
) -> Instance:
    """The instance with outages, flash crowds and another mean utilisation, drawn from ``rng``.

    ``minutes`` is the length of a slot. Demand is cut to what can be served; outages that would
    leave some unserved wait, as in the generator.
    """
    if not ranges:
        return instance
    trace, fleet = instance.trace, instance.fleet
    # One number for each range in a fixed order, so that none depends on which others are given.
    chosen = {kind: rng.uniform(*ranges.get(kind, (0.0, 0.0))) for kind in HONOURED}
    demand, capacity = trace.demand, instance.capacity
    if "utilisation" in ranges:
        share = demand.sum() / capacity.sum()
        demand = demand * (chosen["utilisation"] / share if share > 0 else 1.0)
    if "flash_crowds" in ranges:
        rate = min(chosen["flash_crowds"] * minutes / _WEEK, 0.99)
        surge = pulses(rng.standard_normal((1, *demand.shape)), rate, 3 * 60 / minutes)[0]
        demand = demand * (1.0 + 0.25 * surge)
    demand = fleet.dispatch.clip(demand, capacity)
    up = trace.availability
    if "outages" in ranges:
        up = _with_outages(instance, demand, chosen["outages"], rng, minutes)
    changed = dataclasses.replace(
        trace,
        demand=demand,
        availability=up,
        provenance={**trace.provenance, "ranges": dict(ranges)},
    )
    return instance.replace(trace=changed)


def _with_outages(
    instance: Instance, demand: FloatArray, rate: float, rng: np.random.Generator, minutes: float
) -> FloatArray:
    """Share ``[T, N]`` of each data center that is up, where all of the demand can be served."""
    every = max(1, round(_NODE_MINUTES / minutes))
    slots, sites = instance.horizon, len(instance.fleet.datacenters)
    node_hours = every * minutes / 60
    normal = rng.standard_normal((1, math.ceil(slots / every) + 1, sites))
    rate = min(rate, 0.99 * _WEEK / 60 / node_hours)
    before = instance.trace.availability
    before = np.ones((slots, sites)) if before is None else before
    up = before * outages(normal, np.array([rate]), every, slots, node_hours)[0]
    short = instance.fleet.dispatch.unserved(demand, instance.fleet.capacity * up) > 1e-12
    up[short] = before[short]
    return np.asarray(up)
