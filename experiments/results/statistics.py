"""Statistics of many runs: what an algorithm's gap is, and how sure that is.

Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021), on
scipy. Scores are gaps to eGLB-Off: **lower is better**. They come in
strata, 1-D arrays of runs that are drawn alike: the seeds of one instance, or the draws of one
generator. Intervals are percentile intervals of a bootstrap that resamples within each stratum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, trim_mean

from equiload.envs import DataError
from equiload.envs.typing import FloatArray

#: Reduces an axis of an array of scores; given every stratum's scores, pooled.
Statistic = Callable[..., Any]

#: scipy's own default.
RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """A statistic, and the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: FloatArray, axis: int = -1) -> FloatArray:
    """Mean of the middle half of all runs (25 % trimmed from each end)."""
    middle: FloatArray = trim_mean(scores, 0.25, axis=axis)
    return middle


def interval(
    strata: Sequence[FloatArray],
    statistic: Statistic = interquartile_mean,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Statistic of the pooled strata with its stratified bootstrap interval.

    Parameters
    ----------
    strata
        Arrays ``[runs]`` of scores, two or more runs each.
    statistic
        Of an array's axis: :func:`interquartile_mean`, ``numpy.mean`` or your own.
    rng
        Source of the resampling.
    confidence
        Of the interval.
    resamples
        How many bootstrap samples.

    Raises
    ------
    DataError
        If a stratum has fewer than two runs.
    """

    def pooled(*samples: FloatArray, axis: int = -1) -> Any:
        return statistic(np.concatenate(samples, axis=axis), axis=axis)

    if not strata or min(len(sample) for sample in strata) < 2:
        raise DataError("an interval needs two runs or more in every stratum")
    ends = bootstrap(
        tuple(strata),
        pooled,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return Interval(float(pooled(*strata)), float(ends.low), float(ends.high))


def improvement(ours: Sequence[FloatArray], theirs: Sequence[FloatArray]) -> float:
    """Probability that a run of ours has the smaller gap, averaged over the strata.

    ``P(X < Y) + P(X = Y) / 2`` in each stratum, X of ours and Y of theirs drawn independently:
    Mann and Whitney's U over the number of pairs.
    """
    shares = [
        np.mean((x[:, None] < y) + (x[:, None] == y) / 2) for x, y in zip(ours, theirs, strict=True)
    ]
    return float(np.mean(shares))


def ends(
    rows: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[FloatArray, FloatArray]:
    """Ends ``[·]`` of percentile intervals, what belongs to one run being resampled together.

    ``rows [runs, ·]``; ``statistic`` makes ``[resamples, ·]`` of ``[resamples, runs, ·]``. The
    resampling is the same whenever it is done, so that it does not matter what a result stands by.
    """
    # scipy's paired bootstrap resamples alike, but its percentiles differ in the last bit.
    chosen = np.random.default_rng(0).integers(len(rows), size=(resamples, len(rows)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(rows[chosen]), [tail, 1 - tail], axis=0)
    return low, high


def performance_profile(strata: Sequence[FloatArray], thresholds: FloatArray) -> FloatArray:
    """``[thresholds]``: share of all runs whose gap is at most the threshold."""
    scores = np.sort(np.concatenate(list(strata)))
    share: FloatArray = np.searchsorted(scores, thresholds, side="right") / len(scores)
    return share


def summary(
    rows: pd.DataFrame,
    by: Sequence[str] = ("reachability", "algorithm"),
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Interquartile mean of the gap with its interval, for each group of collected rows.

    Every group is resampled from the same ``seed``, so that it does not matter what it stands by.

    The strata are the instances, of their seeds, where every instance has been run with two seeds
    or more; otherwise the instances are the runs of a single stratum. A group of a single run has
    no interval (NaN).
    """
    lines = []
    for key, group in rows.groupby(list(by), sort=False):
        strata = _strata(group)
        runs = np.concatenate(strata)
        if len(runs) > 1:
            rng = np.random.default_rng(seed)
            middle = interval(strata, rng=rng, confidence=confidence)
        else:
            middle = Interval(float(runs[0]), np.nan, np.nan)
        line = dict(zip(by, key, strict=True))
        lines.append({**line, "runs": len(runs), "mean": float(runs.mean()), **vars(middle)})
    return pd.DataFrame(lines)


def _strata(rows: pd.DataFrame) -> list[FloatArray]:
    instance = ["instance", "draw", "slots", "regions", "reachability"]
    parts = [part["gap"].to_numpy() for _, part in rows.groupby(instance, dropna=False)]
    return parts if min(len(part) for part in parts) > 1 else [rows["gap"].to_numpy()]
