"""Blend: the largest certified step from the expert's allocation towards the advice.

Pure and batched, numpy or torch; ``α`` and the allocation are differentiable almost everywhere in
the advice and in everything else.
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

from equiload.envs.typing import Array
from equiload.robust.kernels import Ledger
from equiload.robust.safe import Rates, SafeSet, Step, like


class Blend(NamedTuple):
    """What is played: ``alpha [...]`` in [0, 1], ``allocation [..., J, N]``, the ledger after."""

    alpha: Array
    allocation: Array
    ledger: Ledger


def blend(
    safe: SafeSet, followed: Ledger, rates: Rates, expert: Array, advice: Array, expert_step: Step
) -> Blend:
    """Return ``y = y^π + α·(ỹ − y^π)`` with the largest ``α`` whose certificate holds.

    Where ``α = 1`` the advice is returned bit for bit, where ``α = 0`` the expert's allocation.

    Parameters
    ----------
    safe
        The condition.
    followed
        The ledger if the expert were followed in this slot (:meth:`SafeSet.follow`).
    rates
        The slot's.
    expert, advice
        ``[..., J, N]``, both feasible.
    expert_step
        What the expert's allocation costs (:meth:`SafeSet.step`).
    """
    xp = array_namespace(advice)
    towards = advice - expert
    step = safe.step(rates, towards)
    reached = safe.leave(followed, step)
    full = safe.certified(reached)
    if bool(xp.all(full)):
        return Blend(xp.ones_like(step.cost), advice, reached)
    alpha = largest_step(safe, followed, step, safe.margin(followed, expert_step, step))
    mixed = expert + alpha[..., None, None] * towards
    part = safe.leave(followed, safe.step(rates, mixed - expert))
    certified = safe.certified(part) & (alpha > 0)
    alpha = xp.where(full, xp.ones_like(alpha), xp.where(certified, alpha, alpha * 0.0))
    allocation = xp.where(certified[..., None, None], mixed, expert)
    allocation = xp.where(full[..., None, None], advice, allocation)
    ledger = safe.choose(full, reached, safe.choose(certified, part, followed))
    return Blend(alpha, allocation, ledger)


def largest_step(safe: SafeSet, followed: Ledger, step: Step, margin: Array) -> Array:
    """Return the largest ``α [...]`` in [0, 1] with ``φ(α) <= right − margin``, or 0.

    ``φ(α) = D + α·d + Σ_k μ_k max_r (Δ − h + α·b)`` is convex and piecewise linear. Newton's method
    from ``α = 1`` walks its lines leftward, and ends, after finitely many steps, on the root of the
    line that is active there. That last line alone carries the gradient, which is therefore the
    implicit one.
    """
    xp = array_namespace(step.cost)
    mu = like(safe.objective.mu, step.cost)
    height = followed.footprint - followed.head
    slope = step.footprint + step.footprint_error
    cost_slope = step.cost + step.cost_error
    goal = followed.right - margin
    alpha = xp.ones_like(step.cost)
    active = None
    for _ in range(height.shape[-1] * height.shape[-2] + 2):
        line = xp.argmax(height + alpha[..., None, None] * slope, axis=-1)[..., None]
        if active is not None and bool(xp.all(line == active)):
            break
        active = line
        start = followed.cost + _weighted(height, line, mu, xp)
        rise = cost_slope + _weighted(slope, line, mu, xp)
        over = start + alpha * rise > goal
        root = (goal - start) / xp.where(rise > 0, rise, xp.ones_like(rise))
        root = xp.where(rise > 0, root, xp.zeros_like(root))
        alpha = xp.where(over, root, alpha)
        alpha = xp.where(alpha > 0, alpha, xp.zeros_like(alpha))
    return alpha


def _weighted(lines: Array, line: Array, mu: Array, xp: Array) -> Array:
    return xp.sum(mu * xp.take_along_axis(lines, line, axis=-1)[..., 0], axis=-1)
