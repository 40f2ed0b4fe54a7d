"""A problem in units in which its numbers are near 1, since solvers' tolerances are absolute."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from equiload.envs import Fleet, Instance, Objective, State, Trace
from equiload.envs.knobs.operation import Levels
from equiload.envs.typing import FloatArray
from equiload.envs.validation import LARGEST, SMALLEST


def normalised(instance: Instance) -> tuple[Instance, float, float]:
    """Return the problem in units in which its numbers are near 1, with those of load and price.

    Loads of the solution are in units of so many MWh, prices and routing costs of so many US$/MWh;
    the simplex weights are the same.
    """
    fleet, trace = instance.fleet, instance.trace
    load = max(float(trace.demand.max()), _largest(trace.work)) or 1.0
    highest = _highest(trace)
    weight, footprint = instance.objective.mu * highest, np.where(highest > 0, highest, 1.0)
    money = max(float(np.abs(trace.price).max()), _largest(fleet.routing_cost), float(weight.max()))
    money = money or 1.0
    scaled = instance.replace(
        fleet=_fleet(fleet, load, money),
        trace=trace.replace(
            price=_in_range(trace.price / money),
            intensity=_in_range(trace.intensity / footprint[:, None, None]),
            demand=_in_range(trace.demand / load),
            generation=_divided(trace.generation, load),
            onsite_intensity=_divided(trace.onsite_intensity, footprint[:, None, None]),
            work=_divided(trace.work, load),
        ),
        objective=Objective(
            equity_weight=dict(zip(trace.footprints, _in_range(weight / money), strict=True))
        ),
    )
    return scaled, load, money


def normalised_start(instance: Instance, load: float, start: State | None) -> State:
    """State before the first slot in the units of the scaled problem; by default nothing yet.

    The footprints of a kind that is never used add a constant, which is left out.
    """
    fleet = instance.fleet
    levels = Levels.start(fleet, ())
    if start is None:
        before = np.zeros((len(instance.objective.mu), len(fleet.regions)))
    else:
        peak = load * _highest(instance.trace)[:, None]
        before = np.zeros(start.footprint.shape)
        np.divide(start.footprint, peak, out=before, where=peak > 0)
        levels = start.levels or levels
    parts = {f.name: getattr(levels, f.name) for f in dataclasses.fields(levels)}
    scaled = {name: _divided(values, load) for name, values in parts.items()}
    return State(0.0, before, Levels(**scaled))


def _fleet(fleet: Fleet, load: float, money: float) -> Fleet:
    changes: dict[str, Any] = {}
    if fleet.storage is not None:
        changes["storage"] = _part(
            fleet.storage,
            dict.fromkeys(("energy", "charge", "discharge", "initial"), load)
            | dict.fromkeys(("wear", "refill_price"), money),
        )
    if fleet.servers is not None:
        changes["servers"] = _part(fleet.servers, {"start_cost": money})
    if fleet.models is not None:
        changes["models"] = _part(fleet.models, {"worth": money})
    if fleet.training is not None:
        changes["training"] = _part(fleet.training, {"late_cost": money})
    return fleet.replace(
        capacity=_in_range(fleet.capacity / load),
        routing_cost=_divided(fleet.routing_cost, money),
        **changes,
    )


def _part(part: Any, units: dict[str, float]) -> Any:
    """A part of a fleet with some fields in other units."""
    scaled = {name: _in_range(getattr(part, name) / unit) for name, unit in units.items()}
    return dataclasses.replace(part, **scaled)


def _highest(trace: Trace) -> FloatArray:
    """``[K]``: the highest intensity of each kind."""
    highest: FloatArray = trace.intensity.max(axis=(-1, -2))
    if trace.onsite_intensity is None:
        return highest
    onsite: FloatArray = trace.onsite_intensity.max(axis=(-1, -2))
    return np.maximum(highest, onsite)


def _largest(values: FloatArray | None) -> float:
    return 0.0 if values is None else float(np.abs(values).max())


def _divided(values: FloatArray | None, unit: float | FloatArray) -> FloatArray | None:
    return None if values is None else _in_range(values / unit)


def _in_range(values: FloatArray) -> FloatArray:
    """As an instance's numbers may be: what is too small beside 1 to matter is 0."""
    return np.minimum(np.where(np.abs(values) < SMALLEST, 0.0, values), LARGEST)
