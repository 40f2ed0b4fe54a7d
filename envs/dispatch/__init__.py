"""Cheapest feasible allocation of one slot's demand: exact, batched, full or partial reachability.

Every algorithm of the project, the decomposition and the shadow-price action call it.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from equiload.envs.dispatch import kernels
from equiload.envs.errors import DataError, InfeasibleError, SolverError
from equiload.envs.typing import BoolArray, FloatArray, IntArray

# A greedy step costs as many sums as there are cuts (2 to the distinct reaches, at worst): beyond
# this many it is more than augmenting paths take.
_MOST_CUTS = 64


class Dispatch:
    """Solves ``argmin_y Σ_ji (c[i] + routing_cost[j, i])·y[j, i]`` over a slot's feasible set.

    The feasible set: ``Σ_i y[j, i] = demand[j]``, ``Σ_j y[j, i] <= capacity[i]``, ``y >= 0``,
    ``y[j, i] = 0`` where not reachable. Gateways with equal reachability and equal routing cost are
    one to the solver. Ties go to the data center with the lower index.

    Parameters
    ----------
    reachable
        ``[J, N]`` bool.
    routing_cost
        ``[J, N]``, US$ per MWh (or any other cost per unit sent), or none.

    Examples
    --------
    The western gateway may use the first data center alone, the eastern one both.

    >>> dispatch = Dispatch(np.array([[True, False], [True, True]]))
    >>> cost, demand, capacity = np.array([20.0, 30.0]), np.array([2.0, 3.0]), np.array([4.0, 4.0])
    >>> dispatch.loads(cost, demand, capacity)[0]
    array([4., 1.])
    >>> dispatch.allocation(cost, demand, capacity)
    array([[2., 0.],
           [2., 1.]])
    """

    def __init__(self, reachable: BoolArray, routing_cost: FloatArray | None = None) -> None:
        self.reachable = np.asarray(reachable, dtype=np.bool_)
        self.routing_cost = routing_cost
        if self.reachable.ndim != 2 or (
            routing_cost is not None and np.asarray(routing_cost).shape != self.reachable.shape
        ):
            raise DataError(
                "reachable and routing_cost must have one shape (gateways, data centers), "
                f"got {self.reachable.shape} and {np.asarray(routing_cost).shape}"
            )
        J = self.reachable.shape[0]
        rows = self.reachable.astype(np.float64)
        if routing_cost is not None:
            # The cost of a forbidden pair does not tell gateways apart.
            rows = np.hstack([rows, np.where(self.reachable, routing_cost, 0.0)])
        _, first, group_of = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        #: ``[J]``: the group of each gateway; equal gateways share one.
        self.group_of: IntArray = group_of.reshape(J)
        self._group_reachable = np.ascontiguousarray(self.reachable[first], dtype=np.float64)
        self._group_cost = (
            np.zeros(self._group_reachable.shape)
            if routing_cost is None
            else np.where(self.reachable, routing_cost, 0.0)[first]
        )
        #: ``[J, G]``: 1 where a gateway belongs to a group.
        self.grouping = np.eye(len(first))[self.group_of]
        # May every gateway use every data center, at no difference in routing cost?
        self._free = len(first) == 1 and bool(self.reachable.all())

    @property
    def groups(self) -> int:
        """Number of groups of equal gateways."""
        return len(self._group_reachable)

    def loads(
        self, unit_cost: FloatArray, demand: FloatArray, capacity: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Cheapest loads, and what routing them costs.

        Parameters
        ----------
        unit_cost
            ``[..., N]``, cost of a unit served by each data center.
        demand
            ``[..., J]``, servable; its leading axes are the last of ``unit_cost``'s, or none.
        capacity
            ``[..., N]``, likewise.

        Returns
        -------
        load : ``[..., N]``
        routing : ``[...]``, zero without routing cost

        Raises
        ------
        DataError
            Shapes that do not fit.
        InfeasibleError
            Demand that no allocation can serve.
        """
        cost, lead = self._fitting(unit_cost, demand, capacity)
        load, routing, cap = np.empty(cost.shape), np.zeros(len(cost)), _rows(capacity)[0]
        reach = self._group_reachable
        if self.routing_cost is not None:
            grouped, pair = _rows(self._by_group(demand))[0], self._group_cost
            short = kernels.transport_load(cost, pair, grouped, cap, reach, load, routing)
        elif self._free:
            short = kernels.fill(cost, _rows(demand)[0], cap, load)
        elif self.cuts is None:
            grouped = _rows(self._by_group(demand))[0]
            short = kernels.fill_reach(cost, grouped, cap, reach, load)
        else:
            offset = _rows(_combined(demand, self._cut_demand))[0]
            short = kernels.fill_cuts(cost, offset, cap, self.cuts[1], load)
        _check(short)
        return load.reshape(*lead, -1), routing.reshape(lead)

    def allocation(
        self, unit_cost: FloatArray, demand: FloatArray, capacity: FloatArray
    ) -> FloatArray:
        """Cheapest allocation ``[..., J, N]``; arguments as for :meth:`loads`.

        Equal gateways send equal shares of their demand to each data center.
        """
        if self._free:
            return self.split(self.loads(unit_cost, demand, capacity)[0], demand)
        cost, lead = self._fitting(unit_cost, demand, capacity)
        return self._ungroup(self._cheapest(cost, demand, capacity), demand, lead)

    def split(self, load: FloatArray, demand: FloatArray) -> FloatArray:
        """Allocation ``[..., J, N]`` with the given servable ``load [..., N]``.

        The cheapest one in routing cost. Where every gateway may use every data center and routing
        is free, each sends the same shares.
        """
        rows, lead = self._fitting(load, demand, load)
        if self._free:
            return self._ungroup(rows[:, None, :], demand, lead)
        # A hair of room keeps rounding in `load` from leaving the last crumb of demand unplaced.
        room = rows + 1e-13 * rows.sum(-1, keepdims=True)
        return self._ungroup(self._cheapest(np.zeros_like(rows), demand, room), demand, lead)

    def unserved(self, demand: FloatArray, capacity: FloatArray) -> FloatArray:
        """``[...]``: demand that no allocation can place (maximum flow), 0 where all is servable.

        Rounding leaves a value of the order of 1e-16 times the demand where all just fits.
        """
        rows, lead = _rows(self._by_group(demand))
        room = _rows(capacity)[0]
        shortage: FloatArray
        if self.cuts is not None:
            shortage = np.empty(len(rows))
            kernels.unserved(rows, room, *self.cuts, shortage)
            return shortage.reshape(lead)
        load = np.empty((len(rows), self.reachable.shape[1]))
        kernels.fill_reach(np.zeros_like(load), rows, room, self._group_reachable, load)
        shortage = np.maximum(rows.sum(-1) - load.sum(-1), 0.0).reshape(lead)
        return shortage

    def clip(self, demand: FloatArray, capacity: FloatArray) -> FloatArray:
        """``[..., J]``: the demand without what no allocation can place (maximum flow)."""
        demand = np.asarray(demand, dtype=np.float64)
        short = self.unserved(demand, capacity) > 1e-12 * demand.sum(-1)
        if not short.any():
            return demand
        grouped = self._by_group(demand[short])
        room = np.broadcast_to(capacity, (*demand.shape[:-1], self.reachable.shape[1]))[short]
        _, unserved, _ = self._flows(np.zeros(room.shape), grouped, room)
        share = np.zeros(grouped.shape)
        np.divide(grouped - unserved, grouped, out=share, where=grouped > 0)
        clipped = demand.copy()
        clipped[short] *= share[:, self.group_of]
        return clipped

    def bottleneck(self, demand: FloatArray, capacity: FloatArray) -> IntArray:
        """Gateways of the tightest cut of one slot: those that ask more than their reach can serve.

        ``demand [J]``, ``capacity [N]``.
        """
        grouped = self._by_group(demand)
        zeros = np.zeros((1, self.reachable.shape[1]))
        flow, unserved, _ = self._flows(zeros, grouped, capacity)
        reach = self._group_reachable > 0
        stuck = unserved[0] > 1e-12 * grouped.sum()
        while True:  # who else sends to the data centers that the stuck ones may use?
            contested = reach[stuck].any(0)
            more = stuck | (flow[0][:, contested] > 0).any(1)
            if (more == stuck).all():
                return np.flatnonzero(stuck[self.group_of] & (np.asarray(demand) > 0))
            stuck = more

    @cached_property
    def cuts(self) -> tuple[FloatArray, FloatArray] | None:
        """``offset [G, C]`` and ``member [C, N]`` of the rank function, if there are few cuts.

        One cut for each distinct union ``W`` of the groups' reaches: data centers in ``W`` count by
        their capacity, groups not confined to ``W`` by their demand.
        """
        reach = self._group_reachable > 0
        unions = {tuple(np.zeros(reach.shape[1], dtype=bool))}
        for row in reach:
            unions |= {tuple(np.array(u) | row) for u in unions}
            if len(unions) > _MOST_CUTS:
                return None
        member = np.array(sorted(unions))
        confined = ~(reach[:, None, :] & ~member[None, :, :]).any(-1)
        return np.ascontiguousarray(~confined, dtype=np.float64), member.astype(np.float64)

    def _fitting(
        self, per_datacenter: FloatArray, demand: FloatArray, capacity: FloatArray
    ) -> tuple[FloatArray, tuple[int, ...]]:
        """Rows of the first argument, once all three are known to fit each other."""
        J, N = self.reachable.shape
        rows, lead = _rows(per_datacenter)
        shapes = np.shape(demand), np.shape(capacity)
        if rows.shape[1] == N and shapes == ((*lead, J), (*lead, N)):
            return rows, lead
        fits = rows.shape[1] == N and (shapes[0][-1:], shapes[1][-1:]) == ((J,), (N,))
        if not (fits and all(s[:-1] == lead[len(lead) + 1 - len(s) :] for s in shapes)):
            raise DataError(
                f"expected costs or loads [..., {N}], demand [..., {J}] and capacity [..., {N}], "
                "with leading axes that are the last of the costs': got "
                f"{np.shape(per_datacenter)}, {shapes[0]} and {shapes[1]}"
            )
        return rows, lead

    def _cheapest(
        self, unit_cost: FloatArray, demand: FloatArray, capacity: FloatArray
    ) -> FloatArray:
        """Cheapest flow ``[B, G, N]`` that serves all, at the routing cost."""
        pair = None if self.routing_cost is None else self._group_cost
        flow, _, short = self._flows(unit_cost, self._by_group(demand), capacity, pair)
        _check(short)
        return flow

    @cached_property
    def _cut_demand(self) -> FloatArray:
        """``[J, C]``: 1 where a gateway's demand counts in a cut."""
        assert self.cuts is not None
        return self.grouping @ self.cuts[0]

    def _by_group(self, demand: FloatArray) -> FloatArray:
        return _combined(demand, self.grouping)

    def _ungroup(self, flow: FloatArray, demand: FloatArray, lead: tuple[int, ...]) -> FloatArray:
        B, _, N = flow.shape
        out = np.empty((B, len(self.group_of), N))
        kernels.spread(flow, _rows(demand)[0], self.group_of, out)
        return out.reshape(*lead, *out.shape[1:])

    def _flows(
        self,
        unit_cost: FloatArray,
        grouped: FloatArray,
        capacity: FloatArray,
        pair_cost: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, float]:
        """Cheapest flow ``[B, G, N]``, what it leaves unserved ``[B, G]``, and the worst share."""
        (B, N), G, reach = unit_cost.shape, self.groups, self._group_reachable
        flow, unserved = np.empty((B, G, N)), np.empty((B, G))
        demand, room = _rows(grouped)[0], _rows(capacity)[0]
        if pair_cost is None:
            short = kernels.assign(unit_cost, demand, room, reach, flow, unserved)
        else:
            short = kernels.transport(unit_cost, pair_cost, demand, room, reach, flow, unserved)
        return flow, unserved, short


def _check(short: float) -> None:
    """Raise what a kernel's result stands for: a share of demand, or NaN."""
    if math.isnan(short):
        raise SolverError(
            "costs differ by so many orders of magnitude that their differences are rounding: "
            "forbid pairs by reachability, not by a huge cost"
        )
    if short > kernels.UNSERVABLE:
        raise InfeasibleError(
            f"{short:.3g} of a slot's demand is more than the data centers in reach can serve"
        )


def _combined(array: FloatArray, matrix: FloatArray) -> FloatArray:
    """``[..., J] @ [J, C]``, each row the same in any batch."""
    rows, lead = _rows(array)
    out = np.empty((len(rows), matrix.shape[1]))
    kernels.combine(rows, matrix, out)
    return out.reshape(*lead, matrix.shape[1])


def _rows(array: FloatArray) -> tuple[FloatArray, tuple[int, ...]]:
    """``[..., M]`` as contiguous rows ``[B, M]``, and the leading axes."""
    array = np.asarray(array, dtype=np.float64)
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1])), array.shape[:-1]
