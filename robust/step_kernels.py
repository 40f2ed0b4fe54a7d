"""From the way back toward the advice as far as it is safe, compiled, a problem at a time."""

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray, IntArray
from equiload.robust.level_tuples import Curve, Judged, Parts

_EPS = float(np.finfo(np.float64).eps)
# Newton's method passes each kink once at most, and few of them; an uncertified end is no harm.
_MOST_STEPS = 60


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _along(here: float, there: float, alpha: float) -> tuple[float, float]:
    """A number between the two, and its slope."""
    return here + alpha * (there - here), there - here


@njit(cache=True, nogil=True, error_model="numpy")
def goals(
    costs: FloatArray,
    footprint: FloatArray,
    head: FloatArray,
    right: FloatArray,
    mu: FloatArray,
    terms: int,
    here: Curve,
    there: Judged,
    left: FloatArray,
    goal: FloatArray,
) -> None:
    """``goal [B]``, US$: what a mixture may come to, less what its rounding may add.

    Of the expert's ``costs [3, B]`` and ``footprint [2, B, K, R]``; ``there`` is where the advice
    leads, ``left [B]`` its left side.
    """
    _, B, K, R = footprint.shape
    for b in range(B):
        size = costs[2, b]
        for k in range(K):
            top = -np.inf
            for r in range(R):
                top = max(top, footprint[0, b, k, r] + head[b, k, r])
            size += top * mu[k]
        size = size + right[b] + here.size[b] + there.curve.size[b]
        waits = there.need[b] - left[b]
        goal[b] = right[b] - waits - 4 * terms * _EPS * size


@njit(cache=True, nogil=True, error_model="numpy")
def largest_steps(
    here: Curve,
    there: Curve,
    unit: FloatArray,
    missing: FloatArray,
    surplus: FloatArray,
    first: int,
    region_of: IntArray,
    mu: FloatArray,
    head: FloatArray,
    goal: FloatArray,
    alpha: FloatArray,
) -> None:
    """``alpha [B]``: the largest share in [0, 1] whose left side is at most ``goal [B]``, or 0.

    Newton's method from 1 on the convex, piecewise linear left side: each of its lines lies below
    it, so no step goes past the root. ``alpha`` is what it is where it is 1 at first.

    The curve at 0 is ``here``, at 1 ``there``; ``unit [M]`` US$ per unit of a kink, ``missing
    [K, N]`` footprint of those from ``first`` on, ``surplus [C, K, R]`` of what waits longer than
    the expert's, less beyond what can be done.
    """
    (K, R), N = head.shape[1:], len(region_of)
    height, climb = np.empty((K, R)), np.empty((K, R))
    for b in range(len(alpha)):
        if alpha[b] == 1.0:
            continue
        share = 1.0
        for _ in range(_MOST_STEPS):
            value, rise = _along(here.line[b], there.line[b], share)
            for k in range(K):
                for r in range(R):
                    ends = here.footprint[b, k, r], there.footprint[b, k, r]
                    at, slope = _along(ends[0], ends[1], share)
                    height[k, r], climb[k, r] = at - head[b, k, r], slope
            for m in range(len(unit)):
                at, slope = _along(here.kinks[b, m], there.kinks[b, m], share)
                if at > 0.0:
                    value += unit[m] * at
                    rise += unit[m] * slope
            for i in range(N):  # what batteries lack
                at, slope = _along(here.kinks[b, first + i], there.kinks[b, first + i], share)
                if at > 0.0:
                    for k in range(K):
                        height[k, region_of[i]] += missing[k, i] * at
                        climb[k, region_of[i]] += missing[k, i] * slope
            for c in range(len(surplus)):  # of what waits longer, what can be done in time
                for side, sign in ((1, 1.0), (3, -1.0)):
                    m = first + 3 * N + 4 * c + side
                    at, slope = _along(here.kinks[b, m], there.kinks[b, m], share)
                    if at > 0.0:
                        for k in range(K):
                            for r in range(R):
                                height[k, r] += sign * surplus[c, k, r] * at
                                climb[k, r] += sign * surplus[c, k, r] * slope
            for k in range(K):
                top = height[k].argmax()
                value += mu[k] * height[k, top]
                rise += mu[k] * climb[k, top]
            if value <= goal[b]:
                break
            step = max(share - (value - goal[b]) / rise, 0.0) if rise > 0.0 else 0.0
            if step == share:
                break
            share = step
        alpha[b] = share


@njit(cache=True, nogil=True, error_model="numpy")
def _between(alpha: FloatArray, here: FloatArray, there: FloatArray, mixed: FloatArray) -> None:
    """The same of one part, whatever its shape."""
    B = len(alpha)
    begin, end, between = here.reshape(B, -1), there.reshape(B, -1), mixed.reshape(B, -1)
    for b in range(B):
        share = alpha[b]
        for m in range(begin.shape[1]):
            value = begin[b, m] + share * (end[b, m] - begin[b, m])
            between[b, m] = end[b, m] if share == 1.0 else value


@njit(cache=True, nogil=True, error_model="numpy")
def mix(alpha: FloatArray, here: Parts, there: Parts, mixed: Parts) -> None:
    """``mixed``: from ``here``, the share ``alpha [B]`` of the way; all of it is there."""
    _between(alpha, here.allocation, there.allocation, mixed.allocation)
    _between(alpha, here.work, there.work, mixed.work)
    _between(alpha, here.late, there.late, mixed.late)
    _between(alpha, here.saved, there.saved, mixed.saved)
    _between(alpha, here.on, there.on, mixed.on)
    _between(alpha, here.charge, there.charge, mixed.charge)
    _between(alpha, here.discharge, there.discharge, mixed.discharge)
    _between(alpha, here.generation, there.generation, mixed.generation)
