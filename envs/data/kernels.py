"""Recurrences over time and supply curves, compiled: a third of a draw's time without them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from equiload.envs.typing import FloatArray


@njit(cache=True, nogil=True, error_model="numpy")
def autoregress(path: FloatArray, decay: float) -> None:
    """``y_t = decay·y_{t−1} + e_t`` along the middle axis of ``path [B, T, M]``, in place."""
    for b in range(path.shape[0]):
        for t in range(1, path.shape[1]):
            for m in range(path.shape[2]):
                path[b, t, m] += decay * path[b, t - 1, m]


@njit(cache=True, nogil=True, error_model="numpy")
def fade(path: FloatArray, decay: float) -> None:
    """``y_t = max(y_t, decay·y_{t−1})`` along the middle axis of ``path [B, T, M]``, in place."""
    for b in range(path.shape[0]):
        for t in range(1, path.shape[1]):
            for m in range(path.shape[2]):
                path[b, t, m] = max(path[b, t, m], decay * path[b, t - 1, m])


@njit(cache=True, nogil=True, error_model="numpy")
def interpolate(nodes: FloatArray, every: int, out: FloatArray) -> None:
    """Read ``out [B, T, M]`` between ``nodes [B, C, M]``, one node ``every`` slots, linearly."""
    for b in range(out.shape[0]):
        for t in range(out.shape[1]):
            k, weight = t // every, (t % every) / every
            for m in range(out.shape[2]):
                left = nodes[b, k, m]
                out[b, t, m] = left + weight * (nodes[b, k + 1, m] - left)


@njit(cache=True, nogil=True, error_model="numpy")
def climb(demand: FloatArray, capacity: FloatArray, value: FloatArray, out: FloatArray) -> None:
    """Values ``out [V, B, T, R]`` of piecewise linear curves at ``demand [B, T, R]``.

    They are ``value [V, B, R, P]`` at the breakpoints ``capacity [B, R, P]``.
    """
    B, T, R = demand.shape
    series, last = len(value), capacity.shape[2] - 1
    step, rise, level = np.empty(last), np.empty((last, series)), np.empty((last + 1, series))
    for b in range(B):
        for r in range(R):
            begin = capacity[b, r]
            level[0] = value[:, b, r, 0]
            for k in range(last):
                step[k] = max(begin[k + 1] - begin[k], 1e-9)
                for v in range(series):
                    rise[k, v] = value[v, b, r, k + 1] - value[v, b, r, k]
                    level[k + 1, v] = level[k, v] + rise[k, v]
            for t in range(T):
                asked, k = demand[b, t, r], 0
                while k < last and asked - begin[k] >= step[k]:
                    k += 1
                for v in range(series):
                    out[v, b, t, r] = level[k, v]
                while k < last and asked > begin[k]:
                    filled = min((asked - begin[k]) / step[k], 1.0)
                    for v in range(series):
                        out[v, b, t, r] += rise[k, v] * filled
                    k += 1


@njit(cache=True, nogil=True, error_model="numpy")
def offer(
    low: FloatArray, high: FloatArray, capacity: FloatArray, ends: FloatArray, out: FloatArray
) -> None:
    """``out [M, P, F]``: of blocks ``[M, F]``, what is offered from ``low`` to ``high``, by price.

    ``ends [M, P]`` are the prices.
    """
    for m in range(out.shape[0]):
        for p in range(out.shape[1]):
            for f in range(out.shape[2]):
                width = max(high[m, f] - low[m, f], 1e-9)
                share = min(max((ends[m, p] - low[m, f]) / width, 0.0), 1.0)
                out[m, p, f] = share * capacity[m, f]


@njit(cache=True, nogil=True, error_model="numpy")
def blend(
    prints: FloatArray,
    running: FloatArray,
    load: FloatArray,
    sun: FloatArray,
    blow: FloatArray,
    base: FloatArray,
    renewable: FloatArray,
    own: FloatArray,
    imported: FloatArray,
) -> None:
    """Footprints of what is consumed, in place of ``prints [K, B, T, R]`` of what climbs the curve.

    Adds ``running [K, F, B, R]``, what runs whatever the price, of output ``base [B, R]``, and sun
    and wind ``[B, T, R]`` at ``renewable [K, 2]``; the share ``own [R]`` of the ``load [B, T, R]``
    is the mix of these, the rest ``imported [K, R]``.
    """
    K, B, T, R = prints.shape
    for b in range(B):
        for t in range(T):
            for r in range(R):
                bright, windy = sun[b, t, r], blow[b, t, r]
                share = own[r] / max(load[b, t, r], base[b, r] + bright + windy)
                for k in range(K):
                    total = prints[k, b, t, r]
                    for f in range(running.shape[1]):
                        total += running[k, f, b, r]
                    total += renewable[k, 0] * bright + renewable[k, 1] * windy
                    prints[k, b, t, r] = total * share + imported[k, r]


@njit(cache=True, nogil=True, error_model="numpy")
def _hashed(
    value: np.uint64, mask: np.uint64, multiplier: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """One word of 32 bits hashed, and the next word's mask."""
    low, after = np.uint64(0xFFFFFFFF), mask * multiplier & np.uint64(0xFFFFFFFF)
    value = (value ^ mask) * after & low
    return value ^ value >> np.uint64(16), after


@njit(cache=True, nogil=True, error_model="numpy")
def seed_states(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``generate_state(4, np.uint64)`` of numpy's ``SeedSequence`` of each row's words ``[B, W]``.

    Its hash (O'Neill's ``seed_seq_fe``) is fixed for good; a test holds the two equal.
    """
    first, second = np.uint64(0x931E8875), np.uint64(0x58F38DED)
    left, right = np.uint64(0xCA01F9DD), np.uint64(0x4973F715)
    pool, out = np.empty(4, np.uint64), np.zeros((len(words), 4), np.uint64)
    for b in range(len(words)):
        mask = np.uint64(0x43B0D7E5)
        for i in range(4):
            pool[i], mask = _hashed(words[b, i], mask, first)
        for i in range(words.shape[1]):
            for j in range(4):
                if i != j:
                    value, mask = _hashed(pool[i] if i < 4 else words[b, i], mask, first)
                    mixed = left * pool[j] - right * value & np.uint64(0xFFFFFFFF)
                    pool[j] = mixed ^ mixed >> np.uint64(16)
        mask = np.uint64(0x8B51F9DD)
        for i in range(8):
            value, mask = _hashed(pool[i % 4], mask, second)
            out[b, i // 2] |= value << np.uint64(32 * (i % 2))
    return out
