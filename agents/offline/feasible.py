"""What a solver found within its tolerances, put into the feasible set to the last digit."""

from __future__ import annotations

import numpy as np

from equiload.envs import Fleet, Instance
from equiload.envs.dispatch import Dispatch
from equiload.envs.knobs.operation import Levels, Operation, draw
from equiload.envs.typing import FloatArray, IntArray


def serving(flow: FloatArray, group: IntArray, demand: FloatArray) -> FloatArray:
    """Flows ``[M]``, each one of a ``group [M]``, that add up to the groups' ``demand [D]``."""
    flow = np.maximum(flow, 0.0)
    placed = _totals(flow, group, demand)
    crumbs = (placed == 0) & (demand > 0)  # too little for the solver to see
    if crumbs.any():
        flow = np.where(crumbs[group], 1.0, flow)
        placed = _totals(flow, group, demand)
    factor = np.divide(demand, placed, out=np.zeros_like(placed), where=placed > 0)
    served: FloatArray = flow * factor[group]
    return served


def _totals(flow: FloatArray, group: IntArray, like: FloatArray) -> FloatArray:
    placed = np.zeros(like.shape)
    np.add.at(placed, group, flow)
    return placed


def paced(
    done: FloatArray, late: FloatArray, instance: Instance, waiting: FloatArray, ceiling: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Work done and given up ``[T, C]``, no more than there is, with no more waiting than may."""
    assert instance.trace.work is not None
    done, late = np.maximum(done, 0.0), late.copy()
    for t, arrived in enumerate(instance.trace.work):
        due = waiting + arrived
        done[t] = np.minimum(done[t], due)
        left = due - done[t]
        late[t] = np.clip(late[t], np.maximum(left - ceiling[t], 0.0), left)
        waiting = left - late[t]
    return done, late


def fitting(
    allocation: FloatArray, work: FloatArray | None, capacity: FloatArray, fleet: Fleet
) -> tuple[FloatArray, FloatArray | None]:
    """One slot's ``[J, N]`` and training work ``[C, N]``, where they exceed ``capacity [N]``.

    Requests go where there is room, and if there is none, where work would have been done.
    """
    inference = allocation.sum(0)
    trained = np.zeros(capacity.shape) if work is None else work.sum(0)
    if (inference + trained <= capacity).all():
        return allocation, work
    keeps = np.minimum(inference, capacity)
    free = np.maximum(capacity - inference - trained, 0.0)
    rooms = np.concatenate([keeps, free, capacity - keeps - free])
    routing = fleet.routing_cost
    dearer = 1.0 if routing is None else 1.0 + float(np.ptp(routing))
    tiers = Dispatch(np.tile(fleet.reachable, 3), None if routing is None else np.tile(routing, 3))
    unit = np.repeat([0.0, dearer, 2.0 * dearer], len(capacity))
    placed = tiers.allocation(unit, allocation.sum(1), rooms)
    allocation = placed.reshape(len(placed), 3, -1).sum(1)
    if work is not None:
        room = np.maximum(capacity - allocation.sum(0), 0.0)
        share = np.divide(room, trained, out=np.ones_like(room), where=trained > 0)
        work = work * np.minimum(share, 1.0)
    return allocation, work


def operated(load: FloatArray, wanted: Operation, instance: Instance, start: Levels) -> Operation:
    """All that is done beside routing for loads ``[T, N]``, training work among them."""
    fleet, on, charge, discharge, generation = instance.fleet, wanted.on, None, None, None
    if fleet.servers is not None:
        on = np.maximum(np.minimum(on, instance.capacity), load)
    drawn = needed = draw(load, on, fleet)
    if fleet.storage is not None:
        charge, discharge = _charging(wanted, drawn, fleet, start.stored)
        needed = drawn + charge - discharge
    if instance.trace.generation is not None:
        most = np.minimum(instance.trace.generation, np.maximum(needed, 0.0))
        generation = np.clip(wanted.generation, 0.0, most)
        needed = needed - generation
    grid = np.maximum(needed, 0.0)
    return Operation(
        wanted.work, wanted.late, wanted.saved, on, charge, discharge, generation, grid
    )


def _charging(
    wanted: Operation, drawn: FloatArray, fleet: Fleet, stored: FloatArray
) -> tuple[FloatArray, FloatArray]:
    battery = fleet.storage
    assert battery is not None
    charge = np.clip(wanted.charge, 0.0, battery.charge)
    discharge = np.clip(wanted.discharge, 0.0, battery.discharge)
    gain, loss = battery.charge_efficiency, battery.discharge_efficiency
    for t in range(len(drawn)):
        most = np.maximum(battery.energy - stored + discharge[t] / loss, 0.0) / gain
        charge[t] = np.minimum(charge[t], most)
        held = stored + gain * charge[t]
        discharge[t] = np.minimum(discharge[t], np.minimum(held * loss, drawn[t] + charge[t]))
        stored = np.clip(held - discharge[t] / loss, 0.0, battery.energy)
    return charge, discharge
