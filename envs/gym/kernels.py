"""Observation (a quarter of the array operations' time: docs tell) and softmax, compiled."""

import math

import numpy as np
from numba import njit

from equiload.envs.typing import FloatArray, IntArray


@njit(cache=True, nogil=True, error_model="numpy")
def highest(rows: FloatArray, out: FloatArray) -> None:
    """The highest number of each row ``[B, R]`` -> ``out [B]``."""
    for b in range(len(rows)):
        most = rows[b, 0]
        for r in range(1, rows.shape[1]):
            most = max(most, rows[b, r])
        out[b] = most


@njit(cache=True, nogil=True, error_model="numpy")
def shares(rows: FloatArray) -> None:
    """Divide each row ``[B, R]`` by its sum, in place.

    It adds in the order of numpy, eight numbers side by side, so that episodes stay what they are.
    """
    R = rows.shape[1]
    part = np.empty(8)
    for b in range(len(rows)):
        row, done = rows[b], R - R % 8
        total = 0.0
        if done:
            part[:] = row[:8]
            for r in range(8, done):
                part[r % 8] += row[r]
            total = (part[0] + part[1]) + (part[2] + part[3])
            total += (part[4] + part[5]) + (part[6] + part[7])
        for r in range(done, R):
            total += row[r]
        for r in range(R):
            row[r] /= total


@njit(cache=True, nogil=True, error_model="numpy")
def features(
    price: FloatArray,
    intensity: FloatArray,
    capacity: FloatArray,
    demand: FloatArray,
    footprint: FloatArray,
    seconds: IntArray,
    clock: FloatArray,
    sums: FloatArray,
    scale: FloatArray,
    slots: float,
    share_left: float,
    limit: float,
    out: FloatArray,
) -> None:
    """Features of ``B`` episodes, as :class:`~equiload.envs.gym.Observer` lists them.

    ``price [B, N]``, ``intensity [B, K·N]``, ``capacity [B, N]``, ``demand [B, J]``,
    ``footprint [B, K, R]``, ``seconds [B]`` since 1970, ``clock [2, 2]`` their angles' speed
    and phase; adds to ``sums [B, (1 + K)·N]``; ``scale [F]`` -> ``out [B, F]``.
    """
    B, N = price.shape
    width, J = sums.shape[1], demand.shape[1]
    K, R = footprint.shape[1], footprint.shape[2]
    for b in range(B):
        row = out[b]
        mean = width + N
        for i in range(width):
            value = price[b, i] if i < N else intensity[b, i - N]
            sums[b, i] += value
            row[i] = value * scale[i]
            row[mean + i] = sums[b, i] / slots * scale[mean + i]
        for i in range(N):
            row[width + i] = capacity[b, i] * scale[width + i]
        at = mean + width
        for k in range(K):
            highest = 0.0
            for r in range(R):
                highest = max(highest, footprint[b, k, r])
            for r in range(R):
                row[at] = footprint[b, k, r] * scale[at]
                row[at + K * R] = footprint[b, k, r] / (highest + 1e-300)
                at += 1
        at += K * R
        for j in range(J):
            row[at + j] = demand[b, j] * scale[at + j]
        at += J
        for i in range(2):
            angle = seconds[b] * clock[0, i] + clock[1, i]
            row[at + i], row[at + 2 + i] = math.sin(angle), math.cos(angle)
        row[at + 4] = share_left
        for f in range(at):
            row[f] = min(max(row[f], np.float32(-limit)), np.float32(limit))
