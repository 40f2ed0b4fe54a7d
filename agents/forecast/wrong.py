"""Forecasts made wrong in a controlled way: each wraps another forecaster.

``size`` 0 leaves the wrapped forecast as it is; capacities are never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from equiload.envs import DataError
from equiload.envs.checking import checked
from equiload.envs.forecast import Forecaster, History
from equiload.envs.series import SERIES, Series
from equiload.envs.typing import FloatArray, Number, Positive, Share, Size


class Noisy:
    """Multiplies every series by ``exp(size·(1 − exp(−lead/memory))·z)``: noise that grows.

    ``z`` is standard normal, drawn for each data center or gateway and for each slot aimed at, with
    correlation ``exp(−lag/memory)``. It belongs to that slot: a forecast of it issued later errs in
    the same direction, and less. The same ``seed`` makes the same errors.

    Parameters
    ----------
    base
        The forecaster whose forecasts go wrong.
    size
        Standard deviation of the logarithm at long lead times.
    memory
        Hours.
    seed
        Of the noise.
    """

    @checked
    def __init__(
        self, base: Forecaster, *, size: Size, memory: Positive = 48.0, seed: Number = 0
    ) -> None:
        self.base, self.size, self.memory, self.seed = base, size, memory, seed

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        forecast = self.base.forecast(history, slots)
        per_hour = history.slots_per_day / 24
        lead = np.arange(1, slots + 1) / per_hour
        grown = self.size * -np.expm1(-lead / self.memory)[:, None]
        decay = np.exp(-1.0 / (self.memory * per_hour))

        def wrong(array: FloatArray, stream: int) -> FloatArray:
            rng = np.random.default_rng([self.seed, stream])
            width = (*array.shape[1:-2], array.shape[-1])
            # From the first slot on, so that a slot keeps its error whenever it is forecast.
            z = rng.standard_normal((history.slots + slots, *width))
            z[1:] *= np.sqrt(1 - decay**2)
            path = _autoregression(z, decay)[history.slots :]
            return array * np.exp(grown * np.moveaxis(path, 0, -2))

        known = ("capacity", "ceiling")
        streams = {name: SERIES.index(name) for name in forecast.named() if name not in known}
        return replace(
            forecast, **{name: wrong(getattr(forecast, name), n) for name, n in streams.items()}
        )


class Biased:
    """Prices and intensities of every data center off by a factor ``1 ± size``, for good.

    Which are over- and which underestimated is drawn with ``seed``, for each series anew.
    """

    @checked
    def __init__(self, base: Forecaster, *, size: Share, seed: Number = 0) -> None:
        self.base, self.size, self.seed = base, size, seed

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        forecast = self.base.forecast(history, slots)
        rng = np.random.default_rng(self.seed)
        K, _, N = forecast.intensity.shape[-3:]
        sign = rng.choice([-1.0, 1.0], (K + 1, 1, N))
        return replace(
            forecast,
            price=forecast.price * (1 + self.size * sign[0]),
            intensity=forecast.intensity * (1 + self.size * sign[1:]),
        )


class Delayed:
    """A forecast that comes late: what it says of a slot belongs ``size`` slots earlier."""

    @checked
    def __init__(self, base: Forecaster, *, size: Size) -> None:
        if size != int(size):
            raise DataError(f"a delay is a whole number of slots, got {size}")
        self.base, self.size = base, int(size)

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        forecast = self.base.forecast(history, slots)

        def late(past: FloatArray, after: FloatArray) -> FloatArray:
            # Before the first slot, it was as in the first slot.
            index = np.maximum(history.slots + np.arange(slots) - self.size, 0)
            past = np.broadcast_to(past, (*after.shape[:-2], *past.shape[-2:]))
            return np.concatenate([past, after], axis=-2)[..., index, :]

        return replace(history.seen.zip(forecast, late), capacity=forecast.capacity)


class Swapped:
    """Prices and intensities mixed up between data centers: ``(1 − size)·own + size·another's``.

    The others are a random cyclic order, drawn with ``seed``.
    """

    @checked
    def __init__(self, base: Forecaster, *, size: Share, seed: Number = 0) -> None:
        self.base, self.size, self.seed = base, size, seed

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        forecast = self.base.forecast(history, slots)
        order = np.random.default_rng(self.seed).permutation(forecast.price.shape[-1])
        other = np.empty_like(order)
        other[order] = np.roll(order, 1)
        return _between(forecast, lambda array: array[..., other], self.size)


class Adversarial:
    """Prices and intensities mirrored at the mean of the data centers.

    At ``size`` 1 the cheap and clean look dear and dirty, and the other way round; at 1/2 all look
    alike.
    """

    @checked
    def __init__(self, base: Forecaster, *, size: Share) -> None:
        self.base, self.size = base, size

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        forecast = self.base.forecast(history, slots)
        return _between(
            forecast, lambda array: 2 * array.mean(-1, keepdims=True) - array, self.size
        )


def _between(forecast: Series, change: Callable[[FloatArray], FloatArray], size: float) -> Series:
    """``(1 − size)·forecast + size·changed`` for prices and intensities, none of these below 0."""

    def mixed(array: FloatArray) -> FloatArray:
        return (1 - size) * array + size * change(array)

    price, intensity = mixed(forecast.price), mixed(forecast.intensity)
    return replace(forecast, price=price, intensity=intensity).physical()


def _autoregression(fresh: FloatArray, decay: float) -> FloatArray:
    """``x_t = decay·x_{t−1} + fresh_t`` along the first axis."""
    from scipy.signal import lfilter  # a third of a second, which few need

    path: FloatArray = lfilter([1.0], [1.0, -decay], fresh, axis=0)
    return path
