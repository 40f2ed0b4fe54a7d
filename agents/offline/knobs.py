"""Variables and rows that each knob adds to the linear program: one function each, and `KNOBS`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.agents.offline.problem import Problem
from equiload.agents.offline.program import Program, Terms


@dataclass
class Sums:
    """What several knobs add to.

    Parameters
    ----------
    served
        ``[T, G]``: what is sent and saved, less the work done; equals the demand.
    load
        ``[T, N]``: inference and training.
    on
        ``[T, N]``: capacity that is on; none where all is always on and idles for nothing.
    supply
        ``[T, N]``: what the site takes from elsewhere than the grid; none where there is nothing.
    """

    served: Terms
    load: Terms
    on: Terms | None = None
    supply: Terms | None = None

    def supplied(self, terms: Terms) -> None:
        """Add to ``supply``."""
        self.supply = terms if self.supply is None else self.supply + terms


def models(program: Program, problem: Problem, sums: Sums) -> None:
    """``0 <= saved <= room``, for each step down the hull; it counts as served."""
    fleet, saver_of = problem.instance.fleet, problem.senders.saver_of
    assert fleet.models is not None
    room = np.moveaxis(fleet.models.room(problem.instance.trace.demand), 1, 2)  # [T, steps, J]
    first = np.unique(saver_of, return_index=True)[1]
    shape = (*room.shape[:2], len(first))
    room = room @ np.eye(len(first))[saver_of]
    saved = program.variables("saved", shape, upper=room, cost=fleet.models.unit_cost[first].T)
    t, group = np.arange(len(room))[:, None, None], problem.senders.group_of[first]
    places = np.broadcast_to(t * len(problem.senders.reachable) + group, shape)
    sums.served += saved.at(places)


def training(program: Program, problem: Problem, sums: Sums) -> None:
    """``waiting_t = waiting_{t−1} + arrived_t − done_t − late_t``, at most what may wait."""
    instance, senders = problem.instance, problem.senders
    assert instance.fleet.training is not None
    assert instance.trace.work is not None
    arrived = instance.trace.work.copy()
    arrived[0] += problem.levels.waiting
    T, C = shape = arrived.shape
    done = program.variables("done", shape)
    late = program.variables("late", shape, cost=instance.fleet.training.late_cost)
    waiting = program.variables("waiting", shape, upper=problem.ceiling)
    balance = waiting - waiting.a_slot_later(T, C) + done + late
    program.rows("waiting", shape, balance, lower=arrived, upper=arrived)
    group = senders.group_of[len(instance.fleet.gateways) :]
    sums.served -= done.at(np.arange(T)[:, None] * len(senders.reachable) + group)


def servers(program: Program, problem: Problem, sums: Sums) -> None:
    """``started_t >= on_t − on_{t−1}``; what is on bounds the load, and draws power."""
    instance = problem.instance
    assert instance.fleet.servers is not None
    T, N = shape = instance.trace.price.shape
    on = program.variables("on", shape, upper=instance.capacity)
    started = program.variables("started", shape, cost=instance.fleet.servers.start_cost)
    before = np.zeros(shape)
    before[0] = problem.levels.on
    program.rows("on", shape, started - on + on.a_slot_later(T, N), lower=-before)
    sums.on = on


def storage(program: Program, problem: Problem, sums: Sums) -> None:
    """``stored_t = stored_{t−1} + η_c·charge_t − discharge_t / η_d``, refilled at the end."""
    battery = problem.instance.fleet.storage
    assert battery is not None
    T, N = shape = problem.instance.trace.price.shape
    charge = program.variables("charge", shape, upper=battery.charge)
    discharge = program.variables("discharge", shape, upper=battery.discharge, cost=battery.wear)
    stored = program.variables("stored", shape, upper=battery.energy)
    gained = charge.times(np.tile(battery.charge_efficiency, T))
    gained -= discharge.times(np.tile(1.0 / battery.discharge_efficiency, T))
    before = np.zeros(shape)
    before[0] = problem.levels.stored
    change = stored - stored.a_slot_later(T, N) - gained
    program.rows("stored", shape, change, lower=before, upper=before)
    unit = battery.refill_price / battery.charge_efficiency
    missing = program.variables("missing", (N,), cost=unit)
    last = np.full(shape, -1)
    last[-1] = np.arange(N)
    program.rows("refill", (N,), missing + stored.at(last), lower=battery.initial)
    sums.supplied(discharge - charge)


def generation(program: Program, problem: Problem, sums: Sums) -> None:
    """``0 <= used <= what there is``."""
    series = problem.instance.trace.generation
    assert series is not None
    sums.supplied(program.variables("generation", series.shape, upper=series))


#: By name, as in ``Instance.knobs``; the on-site footprint is in the rows of the footprints.
KNOBS = {
    "models": models,
    "training": training,
    "servers": servers,
    "storage": storage,
    "generation": generation,
}
