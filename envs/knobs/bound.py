"""Lower bounds on the offline optimum of a fleet with parts beside routing, by weak duality."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from equiload.envs.dynamics import Decision, State
from equiload.envs.instance import Fleet, Instance
from equiload.envs.knobs.market import Market, Work
from equiload.envs.knobs.operation import Levels, costs, draw, stored_by
from equiload.envs.knobs.prices import Prices, with_footprints
from equiload.envs.knobs.stack import LoadStack
from equiload.envs.knobs.storage import Storage
from equiload.envs.series import Series
from equiload.envs.setting import Setting
from equiload.envs.typing import Array, FloatArray

# Series with an axis of footprint kinds in front of time.
_BY_KIND = ("intensity", "onsite_intensity")

# Of the last few fleets: one that plans anew in every slot asks for as many bounds.
_market = lru_cache(maxsize=8)(Market)


def knob_bound(instance: Instance, prices: Prices, start: State | None = None) -> FloatArray:
    """Lower bound ``[...]`` on ``J`` of all that is feasible: every slot on its own, at prices.

    Weak duality. With ``θ`` of what is stored, ``π`` of what waits, ``φ`` of what is on:

    ``Σ_t min_slot { p·g + μw·(footprint) + κ·d − θ_t·(η_c·c − d/η_d) + (φ_t − φ_{t+1})·n +
    (L − π_t)·late − π_t·z + quality + routing } + Σ_t min_b (θ_t − θ_{t+1})·b +
    Σ_t [π_t·a_t + min_q (π_{t+1} − π_t)·q] − θ_1·b_0 − φ_1·n_0 + π_1·q_0``,

    where after the last slot ``b`` is worth what is saved in refilling. Weights are put on the
    simplex, ``φ`` between 0 and the cost of a start and ``π`` under that of giving up.

    Parameters
    ----------
    instance
        One problem or a batch.
    prices
        ``weights [..., K, R]``, and over time ``stored [..., T, N]``, ``waiting [..., T, C]``,
        ``on [..., T, N]``.
    start
        State before the first slot. Default: that of an episode.
    """
    fleet, mu, series = instance.fleet, instance.objective.mu, instance.series
    setting = Setting.of(instance)
    start = State.start(setting) if start is None else start
    levels = start.levels or Levels()
    weights = prices.weights / prices.weights.sum(-1, keepdims=True)
    value = np.einsum("k,...kr,...kr->...", mu, weights, start.footprint)

    def in_slots(name: str, array: FloatArray) -> FloatArray:
        return np.moveaxis(array, -3, -2) if name in _BY_KIND else array

    slots = Series(**{n: in_slots(n, a) for n, a in series.named().items()})
    most: tuple[Array, Array] = (0.0, 0.0)
    stored = None
    if fleet.storage is not None:
        stored, most = prices.stored, (fleet.storage.charge, fleet.storage.discharge)
        value = value + _of_stored(prices.stored, levels.stored, fleet.storage)
    hold: Array = 0.0
    if fleet.servers is not None:
        on = np.clip(prices.on, 0.0, fleet.servers.start_cost)
        hold = np.diff(on, axis=-2, append=0.0)
        value = value - (on[..., 0, :] * levels.on).sum(-1)
    work = None
    if fleet.training is not None:
        waits = np.minimum(prices.waiting, fleet.training.late_cost)
        least = np.minimum(np.diff(waits, axis=-2, append=0.0), 0.0)
        value = value + (waits * series.work + least * series.ceiling).sum((-1, -2))
        value = value + (waits[..., 0, :] * levels.waiting).sum(-1)
        room = np.repeat(2 * slots.capacity.sum(-1, keepdims=True), waits.shape[-1], axis=-1)
        nothing = np.zeros(room.shape)
        work = Work(room, room, waits, nothing, nothing)
    on = (hold, 0.0, np.inf)
    market = _market(fleet)
    paid = with_footprints(slots, weights[..., None, :, :], setting.physics)
    stack = market.stack(slots, paid, stored, most, on)
    # Who sends what would leave a hair of load where there is no need of any.
    decision = market.dispatch(stack, slots, work, sends=False)
    bound: FloatArray = value + _at_prices(decision, stack, slots, prices, fleet, work)
    return bound


def _of_stored(stored: FloatArray, before: FloatArray, storage: Storage) -> FloatArray:
    """US$ ``[...]``: the least that levels can be worth between the slots, ``θ [..., T, N]``."""
    links = np.minimum(-np.diff(stored, axis=-2), 0.0) * storage.energy
    unit = storage.refill_price / storage.charge_efficiency
    ends = np.stack([np.zeros_like(storage.energy), storage.initial, storage.energy])
    missing = unit * np.maximum(storage.initial - ends, 0.0)
    last = (stored[..., -1, None, :] * ends + missing).min(-2)
    least: FloatArray = links.sum((-1, -2)) + (last - stored[..., 0, :] * before).sum(-1)
    return least


def _at_prices(
    decision: Decision,
    stack: LoadStack,
    slots: Series,
    prices: Prices,
    fleet: Fleet,
    work: Work | None,
) -> FloatArray:
    """US$ ``[...]``: what decisions ``[..., T, ...]`` cost where all links have a price."""
    operation = decision.operation
    assert operation is not None
    drawn = draw(decision.load, operation.on, fleet)
    value = (stack["price"] * operation.grid + stack["onsite"] * drawn).sum(-1) + decision.routing
    # Starts are priced by the links, and nothing is given up.
    on_before, late = operation.on, None if work is None else np.zeros(work.amount.shape)
    value = value + sum(
        costs(replace(operation, late=late), slots.demand, on_before, fleet).values()
    )
    if fleet.storage is not None:
        value = value - (prices.stored * stored_by(operation, fleet)).sum(-1)
    if fleet.servers is not None:
        value = value - (stack["hold"] * operation.on).sum(-1)
    if work is not None:
        value = value - (work.waits * operation.work.sum(-1)).sum(-1)
    total: FloatArray = value.sum(-1)
    return total
