"""How wrong a forecaster is on an instance."""

from __future__ import annotations

import numpy as np

from equiload.envs import Instance, Slot
from equiload.envs.forecast import Forecaster, Recorder
from equiload.envs.typing import FloatArray


def mape(forecast: FloatArray, truth: FloatArray) -> float:
    """``Σ |forecast − truth| / Σ |truth|``: the weighted form, since prices cross zero."""
    scale = float(np.abs(truth).sum())
    wrong = float(np.abs(forecast - truth).sum())
    return wrong / scale if scale else float(wrong > 0)


def pinball(
    samples: FloatArray, truth: FloatArray, quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
) -> float:
    """Mean pinball loss of the samples' quantiles, relative to the mean of ``|truth|``.

    ``samples [S, ...]``, ``truth [...]``. For a point forecast it is half the weighted MAPE, if the
    quantiles are symmetric.
    """
    losses = []
    for level, value in zip(quantiles, np.quantile(samples, quantiles, axis=0), strict=True):
        under = truth - value
        losses.append(np.maximum(level * under, (level - 1) * under).mean())
    scale = float(np.abs(truth).mean())
    return float(np.mean(losses)) / scale if scale else float(np.mean(losses))


def forecast_errors(
    forecaster: Forecaster, instance: Instance, *, every: int = 24
) -> dict[str, dict[str, float]]:
    """``{"price": {"mape", "pinball"}, "carbon": …, "demand": …}`` over an instance.

    A forecast of all that is left is made every ``every`` slots, from the end of the first such
    stretch on; the mean is over forecasts.
    """
    recorder, trace = Recorder(instance.horizon), instance.trace
    by_name: dict[str, list[tuple[float, float]]] = {}
    for t in range(instance.horizon - 1):
        history = recorder.record(Slot.of(instance, t))
        if (t + 1) % every:
            continue
        forecast = forecaster.forecast(history, instance.horizon - t - 1)
        rest = instance.series.map(lambda array, now=t + 1: array[..., now:, :])  # type: ignore[misc]
        pairs = {"price": (forecast.price, rest.price), "demand": (forecast.demand, rest.demand)}
        for k, kind in enumerate(trace.footprints):
            pairs[kind] = (forecast.intensity[..., k, :, :], rest.intensity[..., k, :, :])
        for name, (samples, real) in pairs.items():
            scores = (mape(samples.mean(0), real), pinball(samples, real))
            by_name.setdefault(name, []).append(scores)
    return {
        name: dict(zip(("mape", "pinball"), np.mean(scores, axis=0).tolist(), strict=True))
        for name, scores in by_name.items()
    }
