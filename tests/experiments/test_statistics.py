"""Statistics against hand-computed cases, the published algorithm, and their own promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from equiload.envs import DataError
from equiload.experiments.results.statistics import (
    improvement,
    interquartile_mean,
    interval,
    performance_profile,
    summary,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean(np.array([8.0, 1, 2, 3, 4, 5, 6, 700])) == 4.5  # of 3, 4, 5, 6
    # Ten runs: two are cut at each end, as the published package (scipy's trim_mean) does.
    assert interquartile_mean(np.array([-99.0, 0, 1, 2, 3, 4, 5, 6, 7, 99])) == 3.5
    batch = np.stack([np.arange(1.0, 9), np.arange(11.0, 19)])
    np.testing.assert_array_equal(interquartile_mean(batch), [4.5, 14.5])


def test_strata_are_resampled_apart() -> None:
    """Within its stratum no score varies here, so nothing does; pooled, the mean would."""
    zeros, ones = np.zeros(5), np.ones(5)
    found = interval([zeros, ones], np.mean, rng=rng())
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    pooled = interval([np.concatenate([zeros, ones])], np.mean, rng=rng())
    assert pooled.low < 0.3
    assert pooled.high > 0.7


def test_interval_is_the_published_algorithm() -> None:
    """Agarwal et al.: redraw each task's runs, recompute, take percentiles."""
    scores = rng().gamma(2.0, size=(10, 4)) + np.arange(4)  # runs × tasks
    found = interval(list(scores.T), rng=rng(), resamples=20_000)
    other = np.random.default_rng(1)
    choice = other.integers(10, size=(20_000, 10, 4))
    redrawn = np.take_along_axis(scores[None], choice, axis=1).reshape(20_000, -1)
    low, high = np.percentile(interquartile_mean(redrawn), [2.5, 97.5])
    assert found.value == interquartile_mean(scores.ravel())
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_interval_covers_as_often_as_it_says() -> None:
    source = rng()
    inside = 0
    for _ in range(300):
        strata = [source.normal(loc=loc, size=20) for loc in (0.0, 3.0)]
        found = interval(strata, np.mean, rng=source, confidence=0.9, resamples=400)
        inside += found.low <= 1.5 <= found.high
    assert 0.84 <= inside / 300 <= 0.94  # 0.9, less what a bootstrap of 20 lacks


def test_the_same_generator_gives_the_same_interval() -> None:
    scores = [rng().normal(size=9)]
    assert interval(scores, rng=rng()) == interval(scores, rng=rng())


def test_improvement_by_hand_and_by_mann_whitney() -> None:
    assert improvement([np.array([1.0, 2])], [np.array([2.0, 3])]) == 3.5 / 4
    source = rng()
    x, y = source.integers(6, size=12) * 1.0, source.integers(6, size=9) * 1.0  # with ties
    pairs = mannwhitneyu(y, x).statistic  # how many y > x, ties half
    assert improvement([x], [y]) == pytest.approx(pairs / (12 * 9))
    assert improvement([x], [y]) + improvement([y], [x]) == pytest.approx(1)
    both = improvement([x, np.zeros(2)], [y, np.ones(2)])
    assert both == pytest.approx((pairs / 108 + 1) / 2)


def test_profile_by_hand() -> None:
    strata = [np.array([0.0, 0.1]), np.array([0.1, 0.4])]
    thresholds = np.array([-1.0, 0.0, 0.1, 0.3, 0.4])
    np.testing.assert_array_equal(performance_profile(strata, thresholds), [0, 0.25, 0.75, 0.75, 1])


def test_an_interval_needs_two_runs() -> None:
    with pytest.raises(DataError, match="two runs or more"):
        interval([np.zeros(3), np.zeros(1)], rng=rng())
    with pytest.raises(DataError, match="two runs or more"):
        interval([], rng=rng())


def collected(seeds: int) -> pd.DataFrame:
    source = rng()
    return pd.DataFrame(
        {
            "algorithm": name,
            "instance": "synthetic",
            "draw": f"test/{draw}",
            "seed": seed,
            "slots": 24,
            "regions": 10,
            "reachability": "full",
            "gap": draw + source.normal() / 100 + (name == "b"),
        }
        for name in ("a", "b")
        for draw in range(4)
        for seed in range(seeds)
    )


def test_summary_takes_instances_for_strata_where_they_have_seeds() -> None:
    many = summary(collected(5))
    assert many["algorithm"].tolist() == ["a", "b"]
    assert many["runs"].tolist() == [20, 20]
    np.testing.assert_allclose(many["value"], [1.5, 2.5], atol=0.05)
    assert (many["high"] - many["low"]).max() < 0.1  # draws differ by 1, but are not resampled
    one = summary(collected(1))
    assert (one["high"] - one["low"]).min() > 0.5  # now they are all there is to resample
    alone = summary(collected(5).query("algorithm == 'b'"))
    assert alone.iloc[0].to_dict() == many.iloc[1].to_dict()
    single = summary(collected(1).iloc[:1])
    assert np.isnan(single["low"]).all()
