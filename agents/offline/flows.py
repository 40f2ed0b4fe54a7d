"""The linear program's variables of load, and its answer read back as an outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.agents.offline.feasible import operated, paced, serving
from equiload.agents.offline.problem import Problem
from equiload.agents.offline.program import Answer
from equiload.envs import Instance, Outcome, State
from equiload.envs.knobs.operation import Operation
from equiload.envs.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Flows:
    """One variable per slot, group of senders and data center that the group may use."""

    slot: IntArray
    group: IntArray
    datacenter: IntArray
    datacenters: int  # N: there may be one that nobody uses

    @classmethod
    def of(cls, problem: Problem) -> Flows:
        """In the order of slots, groups and data centers."""
        group, datacenter = np.nonzero(problem.senders.reachable)
        T, N = problem.instance.trace.price.shape
        slot = np.repeat(np.arange(T), len(group))
        return cls(slot, np.tile(group, T), np.tile(datacenter, T), N)

    def by_datacenter(self, loads: FloatArray) -> FloatArray:
        """``[T, N]``: loads of all senders."""
        load = np.zeros((int(self.slot[-1]) + 1, self.datacenters))
        np.add.at(load, (self.slot, self.datacenter), loads)
        return load

    def shares(self, loads: FloatArray, demand: FloatArray) -> FloatArray:
        """``[T, G, N]``: of a group's ``demand [T, G]``, what goes to each data center."""
        shares = np.zeros((*demand.shape, self.datacenters))
        sent = demand[self.slot, self.group]
        part = np.divide(loads, sent, out=np.zeros_like(loads), where=sent > 0)
        shares[self.slot, self.group, self.datacenter] = part
        return shares


def outcome_of(
    instance: Instance, problem: Problem, flows: Flows, answer: Answer, start: State | None
) -> Outcome:
    """What the program's answer does, feasible to the last digit, in the instance's units."""
    senders, values, unit = problem.senders, answer.values, problem.load
    t, g, i = flows.slot, flows.group, flows.datacenter
    saved = _saved(values["saved"], problem) if "saved" in values else None
    asked = problem.instance.trace.demand
    inference = demand = senders.by_group(asked if saved is None else asked - saved)
    done = late = work = None
    if "done" in values:
        waiting, ceiling = problem.levels.waiting, problem.ceiling
        done, late = paced(values["done"], values["late"], problem.instance, waiting, ceiling)
        demand = inference + senders.by_group(done, len(instance.fleet.gateways))
    group = t * demand.shape[1] + g
    loads = serving(values["loads"], group, demand.ravel())
    if done is not None:
        classes = senders.group_of[len(instance.fleet.gateways) :]
        work = done[..., None] * flows.shares(loads, demand)[:, classes]
    operation = None
    if instance.knobs:
        wanted = {n: values.get(n) for n in ("on", "charge", "discharge", "generation")}
        wanted |= {"work": work, "late": late, "saved": saved}
        load = flows.by_datacenter(loads)
        operation = operated(load, Operation(**wanted), problem.instance, problem.levels)
        operation = operation.map(lambda amounts: unit * amounts)
    loads = unit * loads
    load = flows.by_datacenter(loads)
    if done is not None:  # training costs nothing to send
        part = np.divide(inference, demand, out=np.zeros_like(demand), where=demand > 0)
        loads = loads * part[t, g]
    routing = np.zeros(instance.horizon)
    np.add.at(routing, t, loads * (problem.money * senders.routing[g, i]))
    return Outcome(
        instance=instance,
        load=load,
        routing=routing,
        grid=None if operation is None else operation.grid,
        operation=operation,
        start=None if start is None else start.levels,
    )


def _saved(by_saver: FloatArray, problem: Problem) -> FloatArray:
    """``[T, J]``: each gateway saves by its room, of ``by_saver [T, H, Q]``."""
    fleet, saver_of = problem.instance.fleet, problem.senders.saver_of
    assert fleet.models is not None
    demand = problem.instance.trace.demand
    room: FloatArray = fleet.models.room(demand)  # [T, J, H]
    can = np.moveaxis(room, 1, 2)
    total = (can @ np.eye(by_saver.shape[-1])[saver_of])[..., saver_of]
    share = np.divide(can, total, out=np.zeros_like(can), where=total > 0)
    saved: FloatArray = (np.clip(by_saver[..., saver_of], 0.0, total) * share).sum(1)
    most: FloatArray = room.sum(-1)
    return np.minimum(saved, most)
