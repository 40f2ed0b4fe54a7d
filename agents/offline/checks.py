"""What no plan can begin with, in a sentence: the one place where all offline solvers ask.

An instance has checked itself that every slot's demand can be served, and training work can be
given up: from levels that can be, there is always a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equiload.envs import DataError, Fleet, InfeasibleError, Instance, State
from equiload.envs.feasibility import TOLERANCE
from equiload.envs.knobs.operation import Levels
from equiload.envs.typing import FloatArray
from equiload.envs.validation import regular_array


def check_problem(
    instance: Instance, start: State | None = None, ceiling: FloatArray | None = None
) -> None:
    """Refuse a batch, a ``start`` that cannot be, and a ``ceiling [T, C]`` that cannot be.

    Raises
    ------
    DataError
        For a batch, arrays of another shape, and levels of which the start says nothing.
    InfeasibleError
        For amounts out of their bounds: with the slot, the data center or the class.
    """
    if instance.batch:
        raise DataError(
            "eGLB-Off solves one instance at a time: index the batch first, or call solve_all"
        )
    fleet = instance.fleet
    classes = () if fleet.training is None else fleet.training.classes
    if start is not None:
        footprint = {"footprint {}": instance.trace.footprints, "region {}": fleet.regions}
        _check("start.footprint", start.footprint, footprint, scale=0.0)
        _check_levels(start.levels, fleet)
    if ceiling is not None:
        slots = {"slot {}": range(instance.horizon), "training class {}": classes}
        _check("ceiling", ceiling, slots, scale=float(fleet.capacity.sum()))


def _check_levels(levels: Levels | None, fleet: Fleet) -> None:
    parts: dict[str, tuple[dict[str, Sequence[str]], FloatArray | float]] = {}
    if fleet.storage is not None:
        parts["stored"] = {"data center {}": fleet.datacenters}, fleet.storage.energy
    if fleet.training is not None:
        parts["waiting"] = {"training class {}": fleet.training.classes}, np.inf
    if fleet.servers is not None:
        parts["on"] = {"data center {}": fleet.datacenters}, np.inf
    for name, (axes, most) in parts.items():
        values = getattr(levels, name, None)
        if values is None:
            raise DataError(f"start.levels says nothing of {name}, which this fleet has")
        _check(f"start.levels.{name}", values, axes, most, scale=float(fleet.capacity.sum()))


def _check(
    name: str,
    values: Any,
    axes: Mapping[str, Sequence[Any]],
    most: FloatArray | float = np.inf,
    *,
    scale: float,
) -> None:
    """Are ``values`` finite, from 0 to ``most``, but for rounding of amounts of a ``scale``?"""
    array, shape = regular_array(name, values, np.float64), tuple(map(len, axes.values()))
    if array.shape != shape:
        raise DataError(f"{name} must have shape {shape}, got {array.shape}")
    rounding = TOLERANCE * np.abs(array).max(initial=scale, where=np.isfinite(array))
    good = np.isfinite(array) & (array >= -rounding) & (array <= most + rounding)
    if good.all():
        return
    place = tuple(int(i) for i in np.argwhere(~good)[0])
    where = ", ".join(
        said.format(names[i]) for (said, names), i in zip(axes.items(), place, strict=True)
    )
    bound = np.broadcast_to(most, shape)[place]
    upper = "" if np.isinf(bound) else f" and at most {bound:.6g}"
    raise InfeasibleError(
        f"{where}: {name} is {array[place]:.6g}, expected a finite amount of at least 0{upper}"
    )
