"""The transition: what a decision costs, and what it adds to the regions' footprints.

Pure and batched, and written against the array API: numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from equiload.envs.arrays import namespace, rows
from equiload.envs.knobs import operation as knobs
from equiload.envs.knobs.completion import serve
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.knobs.settlement import Bill, Brought, Done, Left, settle
from equiload.envs.series import Series
from equiload.envs.setting import Physics, Setting, Slot
from equiload.envs.typing import Array


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What is done in one slot.

    Parameters
    ----------
    load
        ``[..., N]``, MWh of server energy.
    routing
        ``[...]``, US$, what sending it costs.
    allocation
        ``[..., J, N]``, MWh from gateway to data center; none where only the loads are known.
    moved
        ``[...]``, MWh that an action had placed where there was no room; none: nothing.
    operation
        What is done beside routing. A policy may leave out of it what it likes.
    """

    load: Array
    routing: Array
    allocation: Array = None
    moved: Array = None
    operation: Operation | None = None

    @classmethod
    def of(
        cls, allocation: Array, routing_cost: Array | None, moved: Array | None = None
    ) -> Decision:
        """Decision for an allocation ``[..., J, N]``; known again only where routing costs."""
        load = allocation.sum(-2)
        if routing_cost is None:
            return cls(load, load[..., 0] * 0.0, None, moved)
        return cls(load, (allocation * routing_cost).sum((-1, -2)), allocation, moved)


class SlotCost(NamedTuple):
    """What one slot adds.

    ``grid [..., N]`` MWh taken from the grid, ``energy [...]`` US$, ``routing [...]`` US$,
    ``footprint [..., K, R]`` t, m³, …; ``other [...]`` US$, wear, starts, late work, quality and
    what is missing of the initial charge; ``levels`` after the slot, where there are any.
    """

    grid: Array
    energy: Array
    routing: Array
    footprint: Array
    other: Array = 0.0
    levels: Levels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What has come of an episode so far; whoever drives it owns it, and hands it to the policy.

    ``cost [...]`` in US$, cumulative ``footprint [..., K, R]``, and ``levels``: what is stored,
    waiting and on, of a fleet that has such parts.
    """

    cost: Array
    footprint: Array
    levels: Levels | None = None

    @classmethod
    def start(cls, setting: Setting) -> State:
        """State before the first slot."""
        levels = Levels.start(setting.fleet, setting.batch) if setting.fleet.knobs else None
        return cls(np.zeros(setting.batch), np.zeros(setting.footprint_shape), levels)

    def objective(self, mu: Array) -> Array:
        """Return ``[...]``, US$: the objective so far, ``F + Σ_k μ_k max_r S[k, r]``."""
        xp = namespace(self.footprint)
        return self.cost + xp.sum(mu * xp.max(self.footprint, axis=-1), axis=-1)


def operated(
    allocation: Array,
    wanted: Operation | None,
    slot: Slot,
    levels: Levels | None,
    physics: Physics,
    moved: Array | None = None,
) -> Decision:
    """Decision of an ``allocation [..., J, N]`` and what is ``wanted`` beside routing.

    What is not said gets its default (:class:`~equiload.envs.knobs.operation.Operation`).

    Raises
    ------
    InfeasibleError
        For what is not possible from the ``levels`` before the slot.
    """
    done = knobs.complete(
        allocation, wanted or Operation(), slot, levels or Levels(), physics.fleet
    )
    return decided(allocation, done, physics, moved)


def decided(
    allocation: Array, operation: Operation, physics: Physics, moved: Array | None = None
) -> Decision:
    """Decision of an ``allocation [..., J, N]`` and all that is done beside routing."""
    load = _load(allocation, operation)
    routing = load[..., 0] * 0.0
    if physics.routing_cost is not None:
        routing = (allocation * physics.routing_cost).sum((-1, -2))
    return Decision(load, routing, allocation, moved, operation)


def _load(allocation: Array, operation: Operation) -> Array:
    """``[..., N]``: what an allocation and work come to."""
    work = operation.work
    if not isinstance(allocation, np.ndarray):
        load = allocation.sum(-2)
        return load if work is None else load + work.sum(-2)
    *lead, J, N = allocation.shape
    load, C = np.empty((*lead, N)), 0 if work is None else work.shape[-2]
    served = rows(allocation, tuple(lead), J, N), rows(work, tuple(lead), C, N)
    serve(*served, load.reshape(-1, N))
    return load


def slot_cost(
    slot: Slot, decision: Decision, physics: Physics, levels: Levels | None = None
) -> SlotCost:
    """Cost and footprint of a decision.

    All that a load needs comes from the grid, PUE times it; but where there is more to decide than
    routing, what the decision's operation says does, from the ``levels`` before the slot.
    """
    if decision.operation is not None:
        return _operated(slot, decision, decision.operation, physics, levels or Levels())
    grid = decision.load * physics.pue
    footprint = physics.by_region(slot.intensity * grid[..., None, :])
    return SlotCost(grid, namespace(grid).vecdot(slot.price, grid), decision.routing, footprint)


def _operated(
    slot: Slot, decision: Decision, operation: Operation, physics: Physics, levels: Levels
) -> SlotCost:
    fleet, grid = physics.fleet, operation.grid
    if isinstance(grid, np.ndarray):
        return _settled(slot, decision, operation, physics, levels)
    used = slot.intensity * grid[..., None, :]
    if slot.onsite_intensity is not None:
        drawn = knobs.draw(decision.load, operation.on, fleet)
        used = used + slot.onsite_intensity * drawn[..., None, :]
    other = sum(knobs.costs(operation, slot.demand, levels.on, fleet).values())
    left = knobs.after(levels, operation, slot, fleet)
    if fleet.storage is not None and slot.index == physics.last:
        other = other + knobs.refill(left.stored, fleet)
    energy = namespace(grid).vecdot(slot.price, grid)
    return SlotCost(grid, energy, decision.routing, physics.by_region(used), other, left)


def _settled(
    slot: Slot, decision: Decision, operation: Operation, physics: Physics, levels: Levels
) -> SlotCost:
    """The same of numpy arrays."""
    fleet, lead = physics.fleet, decision.load.shape[:-1]
    J, N = fleet.reachable.shape
    equipment, tariff = fleet.equipment, fleet.tariff
    K, C = len(physics.mu), len(tariff.late)
    onsite = slot.onsite_intensity
    brought = Brought(
        price=rows(slot.price, lead, N),
        intensity=rows(slot.intensity, lead, K, N),
        onsite=rows(onsite, lead, 0 if onsite is None else K, N),
        demand=rows(slot.demand, lead, J),
        work=rows(slot.work, lead, C),
        ceiling=rows(slot.ceiling, lead, C),
    )
    before = Left(
        rows(levels.stored, lead, N), rows(levels.waiting, lead, C), rows(levels.on, lead, N)
    )
    work = operation.work
    done = Done(
        load=rows(decision.load, lead, N),
        work=rows(work, lead, C, N if work is None else work.shape[-1]),
        late=rows(operation.late, lead, C),
        saved=rows(operation.saved, lead, J),
        **{n: rows(getattr(operation, n), lead, N) for n in ("on", "charge", "discharge", "grid")},
    )
    stored, waiting = np.empty((*lead, N)), np.empty((*lead, C))
    energy, other, used = np.empty(lead), np.empty(lead), np.empty((*lead, K, N))
    after = Left(stored.reshape(-1, N), rows(waiting, lead, C), before.on)
    settle(
        equipment,
        tariff,
        brought,
        before,
        done,
        after,
        Bill(energy.reshape(-1), other.reshape(-1), used.reshape(-1, K, N)),
    )
    left = Levels(
        None if fleet.storage is None else stored,
        None if fleet.training is None else waiting,
        operation.on,
    )
    if fleet.storage is not None and slot.index == physics.last:
        other = other + knobs.refill(left.stored, fleet)
    footprint = physics.by_region(used)
    return SlotCost(operation.grid, energy, decision.routing, footprint, other, left)


def shadow_cost(series: Series, weights: Array, physics: Physics) -> Array:
    """Cost ``[..., N]`` of a unit of load at shadow prices: ``(p + Σ_k μ_k w[k, r] e[k])·PUE``.

    Of a slot, or of series with slots in front; ``weights [..., K, R]``.
    """
    weighted = (physics.mu[:, None] * physics.by_datacenter(weights) * series.intensity).sum(-2)
    return (series.price + weighted) * physics.pue


def transition(state: State, cost: SlotCost) -> State:
    """State after a slot."""
    spent = state.cost + cost.energy + cost.routing
    if cost.levels is not None:
        spent = spent + cost.other
    return State(spent, state.footprint + cost.footprint, cost.levels)
