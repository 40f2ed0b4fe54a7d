"""Demand of the generator: what users ask of each gateway, and what the data centers can serve."""

from __future__ import annotations

import numpy as np

from equiload.envs.data.clock import week_shape
from equiload.envs.data.noise import autoregression, between, pulses
from equiload.envs.typing import FloatArray, IntArray

# Requests at each local hour, relative to their mean: low at night, high over the working day and
# the evening (Wikimedia's hourly page views; Azure's public traces of language-model requests).
# fmt: off
_WEEKDAY = (
    0.74, 0.64, 0.57, 0.54, 0.54, 0.58, 0.68, 0.83, 0.99, 1.13, 1.22, 1.25,
    1.24, 1.26, 1.28, 1.28, 1.26, 1.22, 1.17, 1.17, 1.18, 1.16, 1.07, 0.91,
)
# fmt: on
_WEEKEND = 0.86
#: No gateway asks for more than this share of its own region's capacity.
MOST = 0.96
_LEAST = 0.05


def request_shape(minutes: int) -> FloatArray:
    """``[W]``: requests over the slots of a local week, relative to their mean."""
    return week_shape(_WEEKDAY, _WEEKEND, minutes)


def requests(
    normal: FloatArray,
    crowd: FloatArray,
    week_slot: IntArray,
    *,
    minutes: int,
    utilisation: FloatArray,
    growth: FloatArray,
    crowds: FloatArray,
    volatility: FloatArray,
) -> FloatArray:
    """Demand ``[B, T, J]`` of each gateway as a share of its region's capacity.

    Parameters
    ----------
    normal, crowd
        ``[B, T, J]``: standard normal numbers of the noise, and of flash crowds.
    week_slot
        ``[B, T, J]``: slot of the gateway's local week.
    minutes
        Length of a slot.
    utilisation, growth, crowds, volatility
        ``[B]``: mean share, growth per week, flash crowds per gateway and week, scale of the noise.
    """
    per_hour = 60 / minutes
    week = request_shape(minutes)
    slots = len(week)
    spread = 0.06 * volatility[:, None, None]
    level = np.exp(spread * autoregression(normal, 8.0 * per_hour))
    surge = pulses(crowd, (crowds / slots)[:, None, None], 3.0 * per_hour)
    weeks = (np.arange(normal.shape[1]) - normal.shape[1] / 2) / slots
    level *= 1.0 + growth[:, None, None] * weeks[:, None]
    level += 0.25 * surge
    return np.asarray(np.clip(utilisation[:, None, None] * week[week_slot] * level, _LEAST, MOST))


def outages(
    normal: FloatArray, rate: FloatArray, every: int, slots: int, node_hours: float
) -> FloatArray:
    """Share ``[B, T, N]`` of each data center that is up.

    ``normal [B, C, N]`` are nodes, ``rate [B]`` outages per data center and week. An outage takes
    a good third of the capacity on average and is mended with a time constant of ten hours.
    """
    per_node = rate * node_hours / (7 * 24)
    lost = pulses(normal, per_node[:, None, None], 10.0 / node_hours)
    return 1.0 - np.minimum(0.35 * between(lost, every, slots), 0.9)
