"""Blend: the largest certified step from the expert's allocation towards the advice.

Pure and batched, numpy or torch; ``α`` and the allocation are differentiable almost everywhere in
the advice and in everything else.
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

from equiload.envs.arrays import like
from equiload.envs.typing import Array
from equiload.robust.kernels import Ledger
from equiload.robust.safe import Effect, SafeSet, Turn


class Blend(NamedTuple):
    """What is played: ``alpha [...]`` in [0, 1], ``allocation [..., J, N]``, the ledger after."""

    alpha: Array
    allocation: Array
    ledger: Ledger


def blend(turn: Turn, advice: Array) -> Blend:
    """Return ``y = y^π + α·(ỹ − y^π)`` with the largest ``α`` whose certificate holds.

    Where ``α = 1`` the advice is returned bit for bit, where ``α = 0`` the expert's allocation.

    Parameters
    ----------
    turn
        The slot and what the expert does in it (:meth:`~equiload.robust.SafeSet.turn`).
    advice
        ``[..., J, N]``, feasible as the expert's is.

    Examples
    --------
    Two data centers at 1 and 2 US$/MWh, and an expert that plays the cheap one:

    >>> import numpy as np
    >>> from equiload.envs import Fleet, Objective, Setting, Slot
    >>> fleet = Fleet(datacenters=("a", "b"), gateways=("g",), capacity=np.ones(2))
    >>> safe = SafeSet(Setting(fleet, Objective(equity_weight={"carbon": 0.0}), 1), rho=0.25)
    >>> series = (np.array([1.0, 2.0]), np.zeros((1, 2)), np.ones(1), np.ones(2))
    >>> slot = Slot(*series, index=0, timestamp=None)
    >>> turn = safe.turn(None, slot, expert=np.array([[1.0, 0.0]]))
    >>> played = blend(turn, advice=np.array([[0.0, 1.0]]))
    >>> round(float(played.alpha), 6), played.allocation.round(6)
    (0.25, array([[0.75, 0.25]]))
    """
    safe, followed, expert = turn.safe, turn.followed, turn.expert
    xp = array_namespace(advice)
    towards = advice - expert
    change = safe.effect(turn.rates, towards)
    reached = safe.leave(followed, change)
    full = safe.certified(reached)
    if bool(xp.all(full)):
        return Blend(xp.ones_like(change.cost), advice, reached)
    alpha = largest_step(safe, followed, change, safe.margin(followed, turn.effect, change))
    mixed = expert + alpha[..., None, None] * towards
    _, part = turn.departure(mixed)
    certified = safe.certified(part) & (alpha > 0)
    alpha = xp.where(full, xp.ones_like(alpha), xp.where(certified, alpha, alpha * 0.0))
    allocation = xp.where(certified[..., None, None], mixed, expert)
    allocation = xp.where(full[..., None, None], advice, allocation)
    ledger = safe.choose(full, reached, safe.choose(certified, part, followed))
    return Blend(alpha, allocation, ledger)


def largest_step(safe: SafeSet, followed: Ledger, change: Effect, margin: Array) -> Array:
    """Return the largest ``α [...]`` in [0, 1] with ``φ(α) <= right − margin``, or 0.

    ``φ(α) = D + α·d + Σ_k μ_k max_r (Δ − h + α·b)`` is convex and piecewise linear. Newton's method
    from ``α = 1`` walks its lines leftward, and ends, after finitely many steps, on the root of the
    line that is active there. That last line alone carries the gradient, which is therefore the
    implicit one.
    """
    xp = array_namespace(change.cost)
    mu = like(safe.setting.objective.mu, change.cost)
    height = followed.footprint - followed.head
    slope = change.footprint + change.footprint_error
    cost_slope = change.cost + change.cost_error
    goal = followed.right - margin
    alpha = xp.ones_like(change.cost)
    active = None
    for _ in range(height.shape[-1] * height.shape[-2] + 2):
        line = xp.argmax(height + alpha[..., None, None] * slope, axis=-1)[..., None]
        if active is not None and bool(xp.all(line == active)):
            break
        active = line
        start = followed.cost + _weighted(height, line, mu, xp)
        rise = cost_slope + _weighted(slope, line, mu, xp)
        over = start + alpha * rise > goal
        # Where there is room, the line rises: the root lies between 0 and the last.
        room = xp.where(over & (goal > start), goal - start, xp.zeros_like(goal))
        root = room / xp.where(rise > 0, rise, xp.ones_like(rise))
        alpha = xp.where(over, root, alpha)
    return alpha


def _weighted(lines: Array, line: Array, mu: Array, xp: Array) -> Array:
    return xp.sum(mu * xp.take_along_axis(lines, line, axis=-1)[..., 0], axis=-1)
