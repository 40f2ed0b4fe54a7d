"""Routing splits made feasible: overflow goes to where there is room, the rest stays."""

from __future__ import annotations

import numpy as np

from equiload.envs.arrays import namespace
from equiload.envs.dispatch import kernels as paths
from equiload.envs.gym import kernels
from equiload.envs.setting import Physics
from equiload.envs.typing import Array, BoolArray, FloatArray

# Rounds of proportional moves before paths are searched: each leaves less to be placed, and has
# gradients, which the paths have not. With full reachability one is exact.
_ROUNDS = 4
# A remainder below this share of the demand is rounding.
_CRUMB = 1e-12


def feasible_routing(wanted: Array, demand: Array, capacity: Array, physics: Physics) -> Array:
    """Feasible allocation near ``wanted [..., J, N]``, which serves ``demand [..., J]`` in reach.

    A data center over capacity keeps the same share of everything sent to it; each gateway spreads
    what it gets back over the data centers in its reach in proportion to their room. With full
    reachability that is exact at once. Otherwise it is repeated, and what still finds no room
    (other gateways must make way for it) is placed along shortest augmenting paths. An allocation
    within capacity comes back as it was. Differentiable almost everywhere on torch tensors, but
    for the last step, whose change counts as constant.
    """
    return fitted(wanted, demand, capacity, physics.reachable, full=physics.full)


def fitted(wanted: Array, demand: Array, capacity: Array, reachable: Array, *, full: bool) -> Array:
    """The same for any rows and columns; where not all finds room, as much of it as can be.

    ``reachable`` holds 1 and 0; ``full``: is everything reachable?
    """
    xp = namespace(wanted)
    allocation, remaining = _within(wanted, capacity, xp)
    crumb = _CRUMB * xp.sum(demand, axis=-1)[..., None]  # room that is no more is none
    for _ in range(1 if full else _ROUNDS):
        if not bool((remaining > 0).any()):
            return allocation
        room = xp.clip(capacity - xp.sum(allocation, axis=-2), 0.0, None)
        offer = reachable * room[..., None, :]
        total = xp.sum(offer, axis=-1)
        share = offer / xp.where(total > crumb, total, 1.0)[..., None]
        placed = xp.where(total > crumb, remaining, 0.0)
        allocation, returned = _within(allocation + placed[..., None] * share, capacity, xp)
        remaining = remaining - placed + returned
    if isinstance(wanted, np.ndarray):
        return _complete(allocation, remaining, demand, capacity, reachable)
    tensors = allocation, remaining, demand, capacity, reachable
    complete = _complete(*(tensor.detach().cpu().double().numpy() for tensor in tensors))
    return allocation + (allocation.new_tensor(complete) - allocation).detach()


def _within(allocation: Array, capacity: Array, xp: Array) -> tuple[Array, Array]:
    """Scale down what exceeds capacity; return that, and what each gateway gets back."""
    load = xp.sum(allocation, axis=-2)
    over = load > capacity
    share = xp.where(over, capacity / xp.where(over, load, 1.0), 1.0)
    within = allocation * share[..., None, :]
    return within, xp.sum(allocation * (1.0 - share)[..., None, :], axis=-1)


def _complete(
    allocation: FloatArray,
    remaining: FloatArray,
    demand: FloatArray,
    capacity: FloatArray,
    reachable: FloatArray | BoolArray,
) -> FloatArray:
    """Place what is ``remaining`` along augmenting paths, where that is no mere rounding."""
    stuck = remaining.sum(-1) > _CRUMB * demand.sum(-1)
    if not stuck.any():
        return allocation
    allocation = allocation.copy()
    flow, unserved = np.ascontiguousarray(allocation[stuck]), np.ascontiguousarray(remaining[stuck])
    room = np.maximum(capacity[stuck] - flow.sum(-2), 0.0)
    paths.augment(flow, unserved, room, reachable.astype(np.float64))
    allocation[stuck] = flow
    return allocation


def softmax(logits: Array) -> Array:
    """Softmax over the last axis."""
    if isinstance(logits, np.ndarray):
        rows = np.ascontiguousarray(logits.reshape(-1, logits.shape[-1]))
        most = np.empty((len(rows), 1))
        kernels.highest(rows, most[:, 0])
        weights = np.exp(rows - most)
        kernels.shares(weights)
        return weights.reshape(logits.shape)
    xp = namespace(logits)
    shifted = xp.exp(logits - xp.max(logits, axis=-1)[..., None])
    return shifted / shifted.sum(-1)[..., None]
