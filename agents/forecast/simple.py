"""Forecasts made of the past alone, and the perfect one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equiload.envs import DataError, Instance
from equiload.envs.checking import checked
from equiload.envs.forecast import History
from equiload.envs.series import Series
from equiload.envs.typing import Count, FloatArray, IntArray, Number, Positive


class Perfect:
    """The truth: not a forecast that anyone could make, since it is handed the instance.

    Parameters
    ----------
    instance
        The problem (or batch) that the forecasts will be about.
    """

    def __init__(self, instance: Instance) -> None:
        self._truth = instance.series

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        now = history.slots
        if now + slots > self._truth.slots:
            raise DataError(
                f"the perfect forecast knows {self._truth.slots} slots, "
                f"asked for {now} to {now + slots}"
            )
        return self._truth.map(lambda array: array[None, ..., now : now + slots, :])


class Persistence:
    """Everything stays as it is in the current slot."""

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        return history.seen.map(lambda array: np.repeat(array[None, ..., -1:, :], slots, axis=-2))


class SameHour:
    """What was seen at the same hour ``days`` ago (1: yesterday, 7: last week), over and over.

    An hour that lies before the first slot is replaced by the same hour of the first day; hours of
    day not seen yet by the mean so far. Capacities, which have no daily course, by theirs.
    """

    @checked
    def __init__(self, days: Count = 1) -> None:
        self.days = days

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        index = self._index(history, slots)
        known = (index < history.slots)[:, None]

        def repeated(past: FloatArray) -> FloatArray:
            mean = past.mean(-2, keepdims=True)
            again = np.take(past, np.minimum(index, history.slots - 1), axis=-2)
            return np.asarray(np.where(known, again, mean)[None])

        return replace(history.seen.map(repeated), capacity=_capacity(history, slots))

    def _index(self, history: History, slots: int) -> IntArray:
        day = history.slots_per_day
        period, lead = self.days * day, np.arange(slots)
        index: IntArray = history.slots + lead % period - period
        return np.where(index < 0, index % day, index)


class Climatology:
    """Mean of the same hour of the week so far, corrected to the level of the last hours.

    Few weeks have been seen, so the hour of the week is drawn towards the hour of the day, and that
    towards the mean, as if ``prior`` such values had been seen. The current slot's departure from
    it fades with lead time.

    Parameters
    ----------
    prior
        Weight of the coarser mean, in values seen.
    memory
        Hours in which the departure fades to 1/e.
    """

    @checked
    def __init__(self, *, prior: Positive = 0.5, memory: Positive = 24.0) -> None:
        self.prior, self.memory = prior, memory

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        day, now = history.slots_per_day, history.slots
        phase = np.arange(now - 1, now + slots) % (7 * day)
        of_day, of_week = _counter(now, day), _counter(now, 7 * day)
        lead = np.arange(1, slots + 1) * 24 / day
        fade = np.exp(-lead / self.memory)[:, None]

        def climate(past: FloatArray) -> FloatArray:
            daily = self._towards(past.mean(-2, keepdims=True), past, of_day)
            weekly = self._towards(np.concatenate([daily] * 7, axis=-2), past, of_week)
            course = weekly[..., phase, :]
            departure = past[..., -1:, :] - course[..., :1, :]
            return np.asarray((course[..., 1:, :] + departure * fade)[None])

        forecast = history.seen.map(climate)
        return replace(forecast, capacity=_capacity(history, slots)).physical()

    def _towards(self, coarse: FloatArray, past: FloatArray, counter: FloatArray) -> FloatArray:
        """Mean of each phase, drawn towards a coarser mean."""
        count = counter.sum(-1)[:, None]
        mean: FloatArray = (counter @ past + self.prior * coarse) / (count + self.prior)
        return mean


class PastDays:
    """Samples: every day to come is some day of the past, the same for all series and regions.

    Parameters
    ----------
    samples
        How many.
    seed
        Of the days chosen; the same history gives the same samples.
    """

    @checked
    def __init__(self, *, samples: Count = 8, seed: Number = 0) -> None:
        self.samples, self.seed = samples, seed

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        day, now = history.slots_per_day, history.slots
        whole = now // day
        if not whole:
            return SameHour().forecast(history, slots)
        rng = np.random.default_rng([self.seed, now])
        back = 1 + rng.integers(0, whole, (self.samples, -(-slots // day)))
        index = now - day * np.repeat(back, day, axis=1)[:, :slots] + np.arange(slots) % day
        past = history.seen.map(lambda array: np.stack([array[..., i, :] for i in index]))
        capacity = np.broadcast_to(_capacity(history, slots), past.capacity.shape)
        return replace(past, capacity=capacity)


def _capacity(history: History, slots: int) -> FloatArray:
    """Mean capacity so far: outages come and go without a daily course."""
    mean = history.seen.capacity.mean(-2, keepdims=True)
    return np.repeat(mean[None], slots, axis=-2)


def _counter(slots: int, length: int) -> FloatArray:
    """``[length, slots]``: 1 where a slot has that phase of a cycle."""
    phase = np.arange(slots) % length
    counter: FloatArray = (phase == np.arange(length)[:, None]).astype(np.float64)
    return counter
