"""How far one may go from the way back toward the advice, compiled, a problem at a time."""

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray, IntArray

# Newton's method passes each kink once at most, and few of them; an uncertified end is no harm.
_MOST_STEPS = 60


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _along(here: float, there: float, alpha: float) -> tuple[float, float]:
    """A number between the two, and its slope."""
    return here + alpha * (there - here), there - here


@njit(cache=True, nogil=True, error_model="numpy")
def largest_steps(
    lines: FloatArray,
    kinks: FloatArray,
    footprints: FloatArray,
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

    ``lines [2, B]`` US$, ``kinks [2, B, M]`` and ``footprints [2, B, K, R]`` at 0 and at 1;
    ``unit [M]`` US$ per unit of a kink, ``missing [K, N]`` footprint of those from ``first`` on,
    ``surplus [C, K, R]`` of what waits longer than the expert's, less beyond what can be done.
    """
    (K, R), N = head.shape[1:], len(region_of)
    height, climb = np.empty((K, R)), np.empty((K, R))
    for b in range(len(alpha)):
        if alpha[b] == 1.0:
            continue
        share = 1.0
        for _ in range(_MOST_STEPS):
            value, rise = _along(lines[0, b], lines[1, b], share)
            for k in range(K):
                for r in range(R):
                    at, slope = _along(footprints[0, b, k, r], footprints[1, b, k, r], share)
                    height[k, r], climb[k, r] = at - head[b, k, r], slope
            for m in range(len(unit)):
                at, slope = _along(kinks[0, b, m], kinks[1, b, m], share)
                if at > 0.0:
                    value += unit[m] * at
                    rise += unit[m] * slope
                    i = m - first
                    if 0 <= i < N:
                        for k in range(K):
                            height[k, region_of[i]] += missing[k, i] * at
                            climb[k, region_of[i]] += missing[k, i] * slope
                    # Of what waits longer, footprints of what can be done in time.
                    c, side = (i - 3 * N) // 4, (i - 3 * N) % 4
                    if c >= 0 and side % 2:
                        sign = 1.0 if side == 1 else -1.0
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
def mix(alpha: FloatArray, here: FloatArray, there: FloatArray, mixed: FloatArray) -> None:
    """``mixed [B, ...]``: from ``here``, the share ``alpha [B]`` of the way; all of it is there."""
    for b in range(len(alpha)):
        if alpha[b] == 1.0:
            mixed[b] = there[b]
        else:
            mixed[b] = here[b] + alpha[b] * (there[b] - here[b])
