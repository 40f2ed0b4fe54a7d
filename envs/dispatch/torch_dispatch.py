"""The dispatch on torch tensors, on any device: exact, and softened so that costs have gradients.

Held equal to the compiled kernels by tests. Not imported by ``equiload.envs``: it needs torch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from equiload.envs.dispatch import Dispatch
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray, IntArray

# No temperature is lower than this share of the largest cost: rounding would swamp it. Nor is a
# Newton step taken where the slope is flatter than this: the level is anywhere between two costs.
_COLDEST = 1e-7
# Levels are bracketed to this share of the temperature before Newton's steps: near enough for two
# of them to end at rounding.
_PRECISION = 1e-4
_REACH = 40.0  # sigmoid(-40) is rounding


class TorchDispatch:
    """Loads ``[..., N]`` for unit costs, as :meth:`Dispatch.loads` has them, differentiable.

    At temperature 0 exact: piecewise constant in the unit cost, with the exact derivative in
    demand and capacity. At temperature ``τ > 0`` (US$ per MWh) the loads are

    ``argmin_x Σ_i c_i x_i + τ Σ_i M_i h(x_i / M_i)``,  ``h(s) = s ln s + (1 − s) ln(1 − s)``,

    over the same servable loads: smooth in costs, demand and capacity. As ``τ → 0`` they go to the
    exact ones, and cost at most ``τ ln 2 Σ M`` more. Every result serves the demand within
    capacity, to rounding. First derivatives only.

    Parameters
    ----------
    dispatch
        Reachability; a routing cost (or very many cuts) is exact only, and without derivatives.
    device, dtype
        Where the tensors live.
    temperature
        ``τ``, US$/MWh; may be changed later.
    alike
        Find the level of data centers of equal reach once: faster where many are alike.

    Examples
    --------
    >>> softened = TorchDispatch(Dispatch(np.ones((1, 2), dtype=bool)), temperature=5.0)
    >>> cost = torch.tensor([20.0, 30.0], dtype=torch.float64, requires_grad=True)
    >>> load, _ = softened.loads(cost, cost.new_tensor([4.0]), cost.new_tensor([4.0, 4.0]))
    >>> load.sum().backward()  # all demand is served, whatever the cost
    >>> cost.grad.abs().max() < 1e-12
    tensor(True)
    """

    def __init__(
        self,
        dispatch: Dispatch,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
        temperature: float = 0.0,
        alike: bool = False,
    ) -> None:
        self._dispatch, self.temperature = dispatch, temperature
        self._cuts: tuple[Tensor, Tensor, Tensor] | None = None
        if dispatch.cuts is not None and dispatch.routing_cost is None:
            offset, member = (torch.tensor(a, device=device, dtype=dtype) for a in dispatch.cuts)
            grouping = torch.tensor(dispatch.grouping, device=device, dtype=dtype)
            self._cuts = (grouping @ offset, member, 1.0 - member)
            own, level_of = _own_levels(dispatch.cuts[1], alike)
            self._levels = torch.tensor(own, device=device), torch.tensor(level_of, device=device)

    def loads(self, unit_cost: Tensor, demand: Tensor, capacity: Tensor) -> tuple[Tensor, Tensor]:
        """Cheapest loads ``[..., N]`` and what routing them costs ``[...]``.

        ``unit_cost [..., N]``, ``demand [..., J]`` servable, ``capacity [..., N]``: leading axes
        of equal shape.
        """
        temperature = self.temperature
        if not (math.isfinite(temperature) and temperature >= 0):
            raise DataError(f"the temperature must be at least 0, got {temperature}")
        if self._cuts is None:
            if temperature > 0:
                raise DataError(
                    "a temperature needs a fleet without routing cost and with few distinct "
                    "reaches: use temperature 0"
                )
            return self._compiled(unit_cost, demand, capacity)
        offset = demand @ self._cuts[0]
        if temperature == 0.0:
            loads = _greedy(unit_cost, offset, capacity, self._cuts[1])
        else:
            loads = _soft(unit_cost, offset, capacity, self._cuts[2], self._levels, temperature)
        return loads, torch.zeros_like(loads[..., 0])

    def _compiled(
        self, unit_cost: Tensor, demand: Tensor, capacity: Tensor
    ) -> tuple[Tensor, Tensor]:
        arrays = (a.detach().cpu().double().numpy() for a in (unit_cost, demand, capacity))
        loads, routing = (
            unit_cost.new_tensor(np.asarray(a)) for a in self._dispatch.loads(*arrays)
        )
        return loads, routing


def _greedy(cost: Tensor, offset: Tensor, capacity: Tensor, member: Tensor) -> Tensor:
    """The greedy rule for polymatroids (see ``kernels.fill_cuts``), one sort for all rows."""
    order = torch.argsort(cost, dim=-1, stable=True)
    room = torch.gather(capacity, -1, order)
    within = member.T[order]  # [..., N, C]
    rank = (offset[..., None, :] + torch.cumsum(within * room[..., None], dim=-2)).amin(-1)
    before = torch.cat([offset.amin(-1, keepdim=True), rank[..., :-1]], dim=-1)
    taken = torch.minimum(torch.clamp(rank - before, min=0.0), room)
    return torch.gather(taken, -1, torch.argsort(order, dim=-1))


def _soft(
    cost: Tensor,
    offset: Tensor,
    capacity: Tensor,
    outside: Tensor,
    levels: tuple[Tensor, Tensor],
    temperature: float,
) -> Tensor:
    """Separable convex minimisation over the polymatroid's base by rising levels.

    With ``x_i(ν) = M_i σ((ν − c_i)/τ)``, all loads rise with a common level ``ν`` until a set of
    data centers has taken all demand that can reach it (its cut is tight); those stay at that
    level and the others rise on. The cuts are found by bisection without gradients; one Newton
    step on the tight cuts' equations then carries the derivatives (implicit function theorem).
    """
    tau = torch.clamp(cost.detach().abs().amax(-1, keepdim=True) * _COLDEST, min=temperature)
    with torch.no_grad():
        level, cut = _bracketed(cost, offset, capacity, outside, levels[0], tau)
        level, cut = level[..., levels[1]], cut[..., levels[1]]
        same = (cut[..., :, None] == cut[..., None, :]).to(cost.dtype)
    total = _tight(offset, cut, outside, same)
    with torch.no_grad():
        for _ in range(2):  # the bracket is narrow: Newton's steps polish it to rounding
            level = _newton(level, cost, capacity, total, same, tau)
    level = _newton(level, cost, capacity, total, same, tau)
    loads = capacity * torch.sigmoid((level - cost) / tau)
    with torch.no_grad():  # what rounding leaves is spread within its cut, never past a limit
        missing = total - _sum(same, loads)
        room = torch.where(missing > 0, capacity - loads, loads)
        mend = missing * room / torch.clamp(_sum(same, room), min=1e-300)
        mend = torch.minimum(torch.maximum(mend, -loads), capacity - loads)
    return loads + mend


def _own_levels(member: FloatArray, alike: bool) -> tuple[IntArray, IntArray]:
    """Data centers ``[L]`` whose levels are sought, and whose of them each one's ``[N]`` is."""
    if alike or (len(member) == 2 and member.all(-1).any()):  # full: one level for all
        _, own, level_of = np.unique(member, axis=1, return_index=True, return_inverse=True)
        return own, level_of.ravel()
    each = np.arange(member.shape[1])
    return each, each


def _bracketed(
    cost: Tensor, offset: Tensor, capacity: Tensor, outside: Tensor, own: Tensor, tau: Tensor
) -> tuple[Tensor, Tensor]:
    """Levels of the data centers ``own [..., L]``, and the cuts ``[..., L]`` that hold them."""
    low = (cost.amin(-1, keepdim=True) - _REACH * tau).expand(*cost.shape[:-1], len(own)).clone()
    high = (cost.amax(-1, keepdim=True) + _REACH * tau).expand_as(low).clone()
    everything = int(outside.sum(-1).argmax())
    cut = torch.full_like(low, everything, dtype=torch.long)
    width = ((high - low) / tau).amax() / _PRECISION if low.numel() else torch.ones(())
    for _ in range(math.ceil(math.log2(max(float(width), 2.0)))):
        middle = (low + high) / 2
        loads = capacity[..., None, :] * torch.sigmoid(
            (middle[..., None] - cost[..., None, :]) / tau[..., None]
        )
        tightest = (loads @ outside.T - offset[..., None, :]).argmax(-1)
        held = outside[tightest, own] > 0
        cut = torch.where(held, tightest, cut)
        high, low = torch.where(held, middle, high), torch.where(held, low, middle)
    return (low + high) / 2, cut


def _tight(offset: Tensor, cut: Tensor, outside: Tensor, same: Tensor) -> Tensor:
    """Demand ``[..., N]`` that the data centers held by the same cut share."""
    bound = torch.gather(offset, -1, cut)
    inner = outside[cut] * (1.0 - same)  # [..., N, N]: inside the cut, held by a tighter one
    return bound - (inner * bound[..., None, :]).amax(-1)


def _newton(
    level: Tensor, cost: Tensor, capacity: Tensor, total: Tensor, same: Tensor, tau: Tensor
) -> Tensor:
    share = torch.sigmoid((level - cost) / tau)
    slope = _sum(same, (capacity * share * (1.0 - share) / tau).detach())
    step = (total - _sum(same, capacity * share)) / torch.where(slope > 0, slope, 1.0)
    return level + torch.where(slope * tau > _COLDEST * capacity.sum(-1, keepdim=True), step, 0.0)


def _sum(same: Tensor, values: Tensor) -> Tensor:
    return (same @ values[..., None])[..., 0]
