"""A problem as the linear program sees it: scaled, and with equal senders as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equiload.agents.offline.checks import check_problem
from equiload.agents.offline.scaling import normalised, normalised_start
from equiload.envs import Instance, State
from equiload.envs.dispatch import Dispatch
from equiload.envs.knobs.operation import Levels
from equiload.envs.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Senders:
    """Who sends loads: groups of gateways and training classes that reach the same alike.

    Parameters
    ----------
    group_of
        ``[J + C]``: the group of each gateway, then of each class.
    reachable, routing
        ``[G, N]``: which data centers a group may use, and US$ per MWh that sending there costs.
    saver_of
        ``[J]``: of a group, gateways whose quality has one worth save demand together.
    """

    group_of: IntArray
    reachable: BoolArray
    routing: FloatArray
    saver_of: IntArray

    @classmethod
    def of(cls, instance: Instance, aggregate: bool) -> Senders:
        """Group equal ones, or put each in a group of its own."""
        fleet = instance.fleet
        J, N = fleet.reachable.shape
        reach = fleet.reachable
        routing = np.zeros((J, N)) if fleet.routing_cost is None else fleet.routing_cost
        dispatch = fleet.dispatch
        if fleet.training is not None:  # work costs nothing to send
            more = fleet.training.reach(N)
            reach, routing = np.vstack([reach, more]), np.vstack([routing, np.zeros(more.shape)])
            dispatch = Dispatch(reach, None if fleet.routing_cost is None else routing)
        group_of = dispatch.group_of if aggregate else np.arange(len(reach))
        worth = np.zeros(J) if fleet.models is None else fleet.models.worth
        alike = np.column_stack([group_of[:J], worth])
        saver_of = np.unique(alike, axis=0, return_inverse=True)[1].reshape(J)
        first = np.unique(group_of, return_index=True)[1]
        return cls(group_of, reach[first], routing[first], saver_of)

    def by_group(self, of_each: FloatArray, first: int = 0) -> FloatArray:
        """``[..., G]``: sums over each group's members, of ``[..., M]`` from ``first`` on."""
        members = self.group_of[first : first + of_each.shape[-1]]
        total: FloatArray = of_each @ np.eye(len(self.reachable))[members]
        return total


@dataclass(frozen=True, eq=False)
class Problem:
    """What the rows are about.

    Parameters
    ----------
    instance
        In units of ``load`` MWh and ``money`` US$/MWh: such that its numbers are near 1, or 1.
    load, money
        Those units.
    senders
        Who sends.
    start
        What the first slot begins with, in these units.
    ceiling
        ``[T, C]``: work that may wait after each slot, in these units.
    """

    instance: Instance
    load: float
    money: float
    senders: Senders
    start: State
    ceiling: FloatArray

    @classmethod
    def of(
        cls,
        instance: Instance,
        *,
        aggregate: bool = True,
        start: State | None = None,
        ceiling: FloatArray | None = None,
    ) -> Problem:
        """Scale an instance, and group its senders.

        Raises
        ------
        DataError, InfeasibleError
            See :func:`~equiload.agents.offline.checks.check_problem`.
        """
        check_problem(instance, start, ceiling)
        scaled, load, money = normalised(instance)
        before = normalised_start(instance, load, start)
        if ceiling is not None:
            ceiling = ceiling / load
        senders = Senders.of(scaled, aggregate)
        return cls(scaled, load, money, senders, before, _ceiling(scaled, ceiling))

    @classmethod
    def unscaled(
        cls, instance: Instance, *, start: State | None = None, ceiling: FloatArray | None = None
    ) -> Problem:
        """An instance as it is, for a solver with units of its own; equal senders as one.

        Raises
        ------
        DataError, InfeasibleError
            See :func:`~equiload.agents.offline.checks.check_problem`.
        """
        check_problem(instance, start, ceiling)
        shape = len(instance.objective.mu), len(instance.fleet.regions)
        before = np.zeros(shape) if start is None else start.footprint
        levels = None if start is None else start.levels
        state = State(0.0, before, levels or Levels.start(instance.fleet, ()))
        senders = Senders.of(instance, aggregate=True)
        return cls(instance, 1.0, 1.0, senders, state, _ceiling(instance, ceiling))

    @property
    def levels(self) -> Levels:
        """Before the first slot."""
        assert self.start.levels is not None
        return self.start.levels


def _ceiling(instance: Instance, ceiling: FloatArray | None) -> FloatArray:
    """``[T, C]``: of the instance's own arrivals, if no other is given."""
    if ceiling is None:
        ceiling = instance.series.ceiling
    return np.zeros((instance.horizon, 0)) if ceiling is None else ceiling
