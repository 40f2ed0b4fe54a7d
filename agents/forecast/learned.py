"""A learned forecast: the simple ones, weighed by ridge regression on training draws."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from equiload.agents.forecast.simple import Climatology, Persistence, SameHour
from equiload.envs import Instance, Slot
from equiload.envs.checking import checked
from equiload.envs.data import Draw, synthetic
from equiload.envs.forecast import Forecaster, History, Recorder
from equiload.envs.series import Series
from equiload.envs.typing import Count, FloatArray, IntArray, Positive

# Lead times in hours at which coefficients are fitted, each up to its end and after the one before.
_LEADS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 10**6)
# How much has been seen, in hours, likewise: with little history other experts are to be trusted.
_SEEN = (1, 6, 24, 72, 168, 10**6)
_FIELDS = ("price", "intensity", "demand")


class Learned:
    """Stacked regression (Breiman 1996): ridge weights of simple forecasts, by lead and history.

    The inputs are persistence, same hour yesterday and last week, climatology, the mean so far and
    the mean of all data centers so far; all are relative to a region's mean so far, so that the
    weights fit any currency. They are fitted on training draws of the synthetic world (never on
    ``bloom10``) when the first forecast is made, in about a second.

    Parameters
    ----------
    draws
        Training draws to fit on.
    penalty
        Of the ridge regression.
    """

    _experts: tuple[Forecaster, ...] = (Persistence(), SameHour(1), SameHour(7), Climatology())

    @checked
    def __init__(self, *, draws: Count = 24, penalty: Positive = 1.0) -> None:
        self.draws, self.penalty = draws, penalty

    def forecast(self, history: History, slots: int) -> Series:
        """See :class:`~equiload.agents.forecast.Forecaster`."""
        hours = 24 / history.slots_per_day
        stage = int(np.searchsorted(_SEEN, history.slots * hours))
        lead = np.searchsorted(_LEADS, np.arange(1, slots + 1) * hours)
        inputs, capacity = self._inputs(history, slots)
        price, intensity, demand = (
            np.einsum("...hni,hi->...hn", stacked, self._weights[f, stage, lead]) * scale
            for f, (stacked, scale) in enumerate(inputs)
        )
        return Series(price[None], intensity[None], demand[None], capacity).physical()

    def _inputs(
        self, history: History, slots: int
    ) -> tuple[list[tuple[FloatArray, FloatArray]], FloatArray]:
        """For each field the relative inputs ``[..., H, N, inputs]`` and the scale; capacities."""
        forecasts = [expert.forecast(history, slots) for expert in self._experts]
        inputs = []
        for field in _FIELDS:
            past = getattr(history.seen, field)
            mean = past.mean(-2, keepdims=True)
            scale = np.abs(past).mean(-2, keepdims=True)
            experts = [getattr(forecast, field)[0] for forecast in forecasts]
            everywhere = mean.mean(-1, keepdims=True)
            columns = np.broadcast_arrays(*experts, mean, everywhere)
            safe = np.where(scale > 0, scale, 1.0)
            inputs.append((np.stack(columns, axis=-1) / safe[..., None], safe))
        return inputs, forecasts[-1].capacity

    @cached_property
    def _weights(self) -> FloatArray:
        """``[fields, history, lead, inputs]``."""
        from sklearn.linear_model import Ridge  # most of a second, which few need

        instances = [synthetic(Draw.train(10_000 + d), horizon=504) for d in range(self.draws)]
        width = len(self._experts) + 2
        weights = np.zeros((len(_FIELDS), len(_SEEN), len(_LEADS), width))
        for s, first in enumerate((1, *_SEEN[:-1])):
            moments = np.unique([first, (first + min(_SEEN[s], 336)) // 2])
            rows = [self._examples(instance, moments) for instance in instances]
            for f in range(len(_FIELDS)):
                inputs, target, lead = (
                    np.concatenate([row[f][part] for row in rows]) for part in range(3)
                )
                for h in range(len(_LEADS)):
                    chosen = lead == h
                    ridge = Ridge(alpha=self.penalty, fit_intercept=False)
                    weights[f, s, h] = ridge.fit(inputs[chosen], target[chosen]).coef_
        return weights

    def _examples(
        self, instance: Instance, moments: IntArray
    ) -> list[tuple[FloatArray, FloatArray, IntArray]]:
        """For each field inputs ``[examples, inputs]``, target and bucket of the lead time."""
        recorder, trace = Recorder(instance.horizon), instance.trace
        examples: list[list[tuple[FloatArray, FloatArray, IntArray]]] = [[] for _ in _FIELDS]
        for t in range(int(moments.max())):
            history = recorder.record(Slot.of(instance, t))
            if history.slots not in moments:
                continue
            slots = min(instance.horizon - history.slots, 240)
            lead = np.searchsorted(_LEADS, np.arange(1, slots + 1))
            for f, (stacked, scale) in enumerate(self._inputs(history, slots)[0]):
                after = getattr(trace, _FIELDS[f])[..., history.slots : history.slots + slots, :]
                target = after / scale
                bucket = np.broadcast_to(lead[:, None], target.shape)
                rows = stacked.reshape(-1, stacked.shape[-1])
                examples[f].append((rows, target.ravel(), bucket.ravel()))
        return [
            tuple(np.concatenate(parts) for parts in zip(*field, strict=True))  # type: ignore[misc]
            for field in examples
        ]
