"""What came of an episode: the numbers that every table and figure is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equiload.envs.errors import DataError
from equiload.envs.feasibility import check_allocation
from equiload.envs.instance import Instance
from equiload.envs.policy import Policy, Slot
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Loads of an episode and what follows from them.

    Parameters
    ----------
    instance
        The problem, or a batch of problems.
    load
        ``[..., T, N]``, MWh of server energy per slot.
    routing
        ``[..., T]``, US$ per slot that sending the requests cost.
    """

    instance: Instance
    load: FloatArray
    routing: FloatArray

    def __post_init__(self) -> None:
        # What was done is a record, not a draft.
        self.load.flags.writeable = self.routing.flags.writeable = False

    @cached_property
    def cost(self) -> FloatArray:
        """``[..., T]``, US$: energy and routing cost of each slot."""
        trace, fleet = self.instance.trace, self.instance.fleet
        cost: FloatArray = np.einsum("...tn,...tn->...t", trace.price * fleet.pue, self.load)
        return cost + self.routing

    @cached_property
    def energy_cost(self) -> FloatArray:
        """``[...]``, US$: energy and routing cost of the episode."""
        total: FloatArray = np.asarray(self.cost.sum(-1))
        return total

    @cached_property
    def footprint(self) -> FloatArray:
        """``[..., K, R]``: regional footprints ``S[k, r]`` of the episode (t, m³, …)."""
        fleet = self.instance.fleet
        drawn = self.load * fleet.pue
        by_datacenter = np.einsum("...ktn,...tn->...kn", self.instance.trace.intensity, drawn)
        footprint: FloatArray = by_datacenter @ fleet.membership
        return footprint

    @property
    def max_footprint(self) -> FloatArray:
        """``[..., K]``: the highest regional footprint."""
        highest: FloatArray = self.footprint.max(-1)
        return highest

    @property
    def mean_footprint(self) -> FloatArray:
        """``[..., K]``: the mean regional footprint."""
        mean: FloatArray = self.footprint.mean(-1)
        return mean

    @property
    def par(self) -> FloatArray:
        """``[..., K]``: peak-to-average ratio ``max_r S / mean_r S`` (1 where nothing is used)."""
        mean = self.mean_footprint
        ratio: FloatArray = np.where(
            mean > 0, self.max_footprint / np.where(mean > 0, mean, 1.0), 1.0
        )
        return ratio

    @property
    def objective(self) -> FloatArray:
        """``[...]``, US$: ``J``, energy and routing cost plus ``Σ_k μ_k max_r S[k, r]``."""
        objective: FloatArray = np.asarray(
            self.energy_cost + self.max_footprint @ self.instance.objective.mu
        )
        return objective

    @property
    def gross(self) -> FloatArray:
        """``[...]``, US$: the objective with every slot's cost taken positive; its scale."""
        gross: FloatArray = np.asarray(
            np.abs(self.cost).sum(-1) + self.max_footprint @ self.instance.objective.mu
        )
        return gross

    def cumulative_footprint(self) -> FloatArray:
        """``[..., K, T, R]``: regional footprints up to and including each slot."""
        trace, fleet = self.instance.trace, self.instance.fleet
        added = trace.intensity * (self.load * fleet.pue)[..., None, :, :]
        cumulative: FloatArray = np.cumsum(added @ fleet.membership, axis=-2)
        return cumulative

    def running_objective(self) -> FloatArray:
        """``[..., T]``, US$: the objective as it stands after each slot."""
        highest = self.cumulative_footprint().max(-1)
        running: FloatArray = np.cumsum(self.cost, axis=-1) + np.einsum(
            "k,...kt->...t", self.instance.objective.mu, highest
        )
        return running


def rollout(
    policy: Policy,
    instance: Instance,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Outcome:
    """Run an online policy over an instance (or a batch, in lock-step), slot by slot.

    ``track`` wraps the slots to show progress, as ``tqdm`` does.

    Raises
    ------
    InfeasibleError
        When the policy returns an allocation outside the feasible set; the message says where.
    """
    if not isinstance(policy, Policy):
        raise DataError(f"{type(policy).__name__} is no policy: it lacks reset or act")
    fleet, T = instance.fleet, instance.horizon
    load = np.empty(instance.trace.price.shape)
    routing = np.zeros((*instance.batch, T))
    policy.reset(fleet, instance.objective, T, instance.batch)
    for t in track(range(T)):
        slot = Slot.of(instance, t)
        allocation = np.asarray(policy.act(slot), dtype=np.float64)
        check_allocation(allocation, slot, fleet.reachable)
        load[..., t, :] = allocation.sum(-2)
        if fleet.routing_cost is not None:
            routing[..., t] = np.einsum("...jn,jn->...", allocation, fleet.routing_cost)
    return Outcome(instance=instance, load=load, routing=routing)
