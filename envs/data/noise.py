"""Stationary noise over batches: autoregressions, rare events that fade, nodes read in between.

Everything is a deterministic function of standard normal numbers, with time on axis 1.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from equiload.envs.data import kernels
from equiload.envs.typing import FloatArray


def autoregression(normal: FloatArray, memory: float) -> FloatArray:
    """AR(1) of unit variance from ``normal [B, T, ...]``, correlation ``exp(−lag/memory)``."""
    decay = math.exp(-1.0 / memory)
    fresh = math.sqrt(1.0 - decay * decay)
    path = np.multiply(normal, fresh, order="C")
    path[:, 0] /= fresh
    kernels.autoregress(path.reshape(*path.shape[:2], -1), decay)
    return path


def pulses(normal: FloatArray, rate: FloatArray | float, memory: float) -> FloatArray:
    """Rare events that fade: ``y_t = max(y_{t−1}·exp(−1/memory), e_t)``.

    An event comes with probability ``rate`` a step; its size is exponential with mean 1. Both are
    read off ``normal [B, T, ...]``: the event is an exceedance, the size how far it goes.
    """
    rate = np.asarray(rate, dtype=np.float64)
    event = normal > -ndtri(rate)
    size = np.zeros(normal.shape)
    size[event] = np.log(np.broadcast_to(rate, normal.shape)[event]) - log_ndtr(-normal[event])
    if not event.any():
        return size
    decay = math.exp(-1.0 / memory)
    kernels.fade(size.reshape(*size.shape[:2], -1), decay)
    return size


def between(nodes: FloatArray, every: int, slots: int) -> FloatArray:
    """Values at ``slots`` slots from ``nodes [B, C, ...]``, one node ``every`` slots, linearly."""
    out = np.empty((len(nodes), slots, *nodes.shape[2:]))
    kernels.interpolate(nodes, every, out)
    return out


def uniform(normal: FloatArray, low: FloatArray | float, high: FloatArray | float) -> FloatArray:
    """Numbers between ``low`` and ``high``, uniform, from normal ones."""
    return np.asarray(low + (high - low) * ndtr(normal))
