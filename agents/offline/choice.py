"""Which solver is quickest: measured, not derived."""

from __future__ import annotations

from typing import Literal

from equiload.envs import Instance

_MANY_COLUMNS = 20_000
_SMALL = 120  # slots times data centers
_FINE = 1e-8  # a relative gap that the linear program reaches, and the interior point may not


def choose(instance: Instance, tolerance: float) -> Literal["lp", "decomposition", "interior"]:
    """Name a solver of one instance, to a relative gap of ``tolerance``."""
    return _with_knobs(instance, tolerance) if instance.knobs else _routing(instance)


def _with_knobs(instance: Instance, tolerance: float) -> Literal["lp", "interior"]:
    """Where the two cross: docs/interior.md has the figures.

    The simplex method is no slower on little problems, and on those where work waits, everyone
    reaches everything, and that is all: such a linear program is all but a sorting of slots.
    """
    fleet = instance.fleet
    sorting = fleet.knobs == ("training",) and fleet.dispatch.groups == 1
    sorting = sorting and instance.trace.generation is None
    small = instance.horizon * len(fleet.datacenters) < _SMALL
    return "lp" if sorting or small or tolerance < _FINE else "interior"


def _routing(instance: Instance) -> Literal["lp", "decomposition"]:
    """Where the two cross: measured by ``tests/benchmarks/bench_offline.py``.

    The linear program grows with slots times groups of gateways, the decomposition's master with
    the number of regional footprints. Between several groups and many data centers the simplex
    method loses its way, however few the slots.
    """
    fleet = instance.fleet
    footprints = len(instance.objective.mu) * len(fleet.regions)
    groups = fleet.dispatch.groups
    size = instance.horizon * groups
    simple = groups == 1 or size * len(fleet.datacenters) <= _MANY_COLUMNS
    return "lp" if simple and size <= 20 * footprints else "decomposition"
