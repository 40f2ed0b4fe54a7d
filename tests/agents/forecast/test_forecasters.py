"""Forecasters: shapes, what they may see, what they say, and how wrong the wrong ones are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents.forecast import (
    Adversarial,
    Biased,
    Climatology,
    Delayed,
    History,
    Learned,
    Noisy,
    PastDays,
    Perfect,
    Persistence,
    Recorder,
    SameHour,
    Swapped,
    forecast_errors,
    mape,
    pinball,
    servable,
)
from equiload.envs import DataError, Instance, Slot
from equiload.envs.data import synthetic
from equiload.testing.strategies import instances

SIMPLE = [Persistence(), SameHour(), SameHour(7), Climatology(), PastDays(samples=3)]
WRONG = {
    "noise": lambda base, size: Noisy(base, size=size, seed=3),
    "bias": lambda base, size: Biased(base, size=size, seed=3),
    "delay": lambda base, size: Delayed(base, size=round(10 * size)),
    "swap": lambda base, size: Swapped(base, size=size, seed=3),
    "adversary": lambda base, size: Adversarial(base, size=size),
}
FIELDS = ("price", "intensity", "demand", "capacity")


def history_of(instance: Instance, slots: int) -> History:
    recorder = Recorder(instance.horizon)
    for t in range(slots):
        history = recorder.record(Slot.of(instance, t))
    return history


def periodic(days: int) -> Instance:
    """A world whose every day is like the first."""
    instance = synthetic(seed=0, horizon=24 * days)
    trace = instance.trace

    def repeat(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array[..., :24, :]] * days, axis=-2)

    return instance.replace(
        trace=type(trace)(
            price=repeat(trace.price),
            intensity=repeat(trace.intensity),
            demand=repeat(trace.demand),
            timestamps=trace.timestamps,
        )
    )


@settings(max_examples=40)
@given(instances(most_slots=40, batch=(2,)), st.sampled_from(SIMPLE), st.data())
def test_shapes_and_signs(instance: Instance, forecaster, data: st.DataObject) -> None:
    seen = data.draw(st.integers(1, instance.horizon))
    forecast = forecaster.forecast(history_of(instance, seen), 5)
    samples = 3 if isinstance(forecaster, PastDays) and seen >= 24 else 1
    trace = instance.trace
    for name, like in zip(
        FIELDS, (trace.price, trace.intensity, trace.demand, instance.capacity), strict=True
    ):
        array = getattr(forecast, name)
        assert array.shape == (samples, *like.shape[:-2], 5, like.shape[-1])
        assert np.isfinite(array).all()
        assert name == "price" or (array >= 0).all()


@settings(max_examples=25)
@given(instances(most_slots=40), st.sampled_from(SIMPLE), st.data())
def test_a_history_is_all_they_see(instance: Instance, forecaster, data: st.DataObject) -> None:
    """Forecasts made at a slot do not depend on what comes later, nor on forecasts in between."""
    seen = data.draw(st.integers(1, instance.horizon))
    recorder = Recorder(instance.horizon)
    for t in range(seen):
        history = recorder.record(Slot.of(instance, t))
    then = forecaster.forecast(history, 7)
    for t in range(seen, instance.horizon):
        recorder.record(Slot.of(instance, t))
    later = forecaster.forecast(history, 7)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(then, name), getattr(later, name))


@pytest.mark.parametrize("forecaster", [SameHour(), SameHour(7), PastDays()])
@pytest.mark.parametrize("seen", [24, 31, 200])
def test_what_repeats_is_foreseen(forecaster, seen: int) -> None:
    instance = periodic(14)
    forecast = forecaster.forecast(history_of(instance, seen), 100)
    np.testing.assert_array_equal(forecast.price[-1], instance.trace.price[seen : seen + 100])
    np.testing.assert_array_equal(
        forecast.intensity[0], instance.trace.intensity[:, seen : seen + 100]
    )


def test_same_hour_by_hand() -> None:
    instance = synthetic(seed=1, horizon=400)
    price = instance.trace.price
    yesterday = SameHour().forecast(history_of(instance, 300), 60).price[0]
    np.testing.assert_array_equal(yesterday[0], price[276])
    np.testing.assert_array_equal(yesterday[23], price[299])
    np.testing.assert_array_equal(yesterday[24], price[276])
    week = SameHour(7).forecast(history_of(instance, 300), 60).price[0]
    np.testing.assert_array_equal(week[59], price[300 - 168 + 59])
    # Last week lies before the first slot: the same hour of the first day stands in for it.
    short = SameHour(7).forecast(history_of(instance, 50), 10).price[0]
    np.testing.assert_array_equal(short[0], price[2])
    # An hour of day not seen yet.
    first = SameHour().forecast(history_of(instance, 5), 3).price[0]
    np.testing.assert_allclose(first, np.tile(price[:5].mean(0), (3, 1)))


def test_climatology_by_hand() -> None:
    """A constant series is foreseen as it is; a departure from the daily course fades."""
    course = Climatology(prior=1e-6, memory=12.0)
    instance = periodic(21)
    forecast = course.forecast(history_of(instance, 336), 100)
    np.testing.assert_allclose(forecast.price[0], instance.trace.price[336:436], rtol=1e-4)
    history = history_of(instance, 336)
    seen = history.seen
    price = seen.price.copy()
    price[-1] += 100.0
    pushed = History(replace(seen, price=price), history.timestamps)
    difference = course.forecast(pushed, 100).price[0] - forecast.price[0]
    # The hour was seen twice, so its mean moved by 50; the other 50 fade with 12 hours.
    np.testing.assert_allclose(difference[0], 50 * np.exp(-1 / 12), rtol=1e-3)
    np.testing.assert_allclose(difference[23], 50 * np.exp(-24 / 12), rtol=1e-3)


@pytest.mark.parametrize("kind", WRONG)
def test_without_error_nothing_is_wrong(kind: str) -> None:
    instance = synthetic(seed=2, horizon=72)
    forecast = WRONG[kind](Perfect(instance), 0.0).forecast(history_of(instance, 24), 48)
    np.testing.assert_allclose(forecast.price[0], instance.trace.price[24:], rtol=1e-12)
    np.testing.assert_allclose(forecast.demand[0], instance.trace.demand[24:], rtol=1e-12)


@pytest.mark.parametrize("kind", WRONG)
def test_larger_errors_are_larger(kind: str) -> None:
    instance = synthetic(seed=2, horizon=168)
    errors = [
        forecast_errors(WRONG[kind](Perfect(instance), size), instance)["carbon"]["mape"]
        for size in (0.0, 0.3, 1.0)
    ]
    assert errors[0] < 1e-12
    assert errors[0] < errors[1] < errors[2]


def test_noise_grows_with_lead_time_and_belongs_to_the_slot() -> None:
    instance = synthetic(seed=2, horizon=400)
    noisy = Noisy(Perfect(instance), size=0.5, seed=1)

    def error(seen: int) -> np.ndarray:
        forecast = noisy.forecast(history_of(instance, seen), 400 - seen)
        return np.log(forecast.intensity[0, 0] / instance.trace.intensity[0, seen:])

    early, late = error(24), error(100)
    assert np.abs(early[:3]).mean() < 0.3 * np.abs(early[100:]).mean()
    assert early[200:].std() == pytest.approx(0.5, rel=0.25)
    np.testing.assert_allclose(early[-1], late[-1], rtol=0.01)
    assert (np.sign(early[76:]) == np.sign(late)).all()


def test_mirrored_and_swapped_by_hand() -> None:
    instance = synthetic(seed=2, horizon=48)
    truth, history = instance.trace.price[24:], history_of(instance, 24)
    mirrored = Adversarial(Perfect(instance), size=1.0).forecast(history, 24).price[0]
    assert (mirrored.argmin(-1) == truth.argmax(-1)).all()
    swapped = Swapped(Perfect(instance), size=1.0).forecast(history, 24).price[0]
    np.testing.assert_array_equal(np.sort(swapped), np.sort(truth))
    assert not (swapped == truth).all(0).any()
    late = Delayed(Perfect(instance), size=5).forecast(history, 24).price[0]
    np.testing.assert_array_equal(late, instance.trace.price[19:43])


@settings(max_examples=60)
@given(instances(), st.floats(0.1, 20))
def test_forecast_demand_is_made_servable(instance: Instance, factor: float) -> None:
    dispatch, trace = instance.fleet.dispatch, instance.trace
    asked = trace.demand * factor
    series = servable(instance.fleet, replace(instance.series, demand=asked))
    instance.replace(trace=type(trace)(**{**vars_of(trace), "demand": series.demand}))
    assert (series.demand <= asked).all()
    fine = dispatch.unserved(asked, instance.capacity) <= 1e-12 * asked.sum(-1)
    np.testing.assert_array_equal(series.demand[fine], asked[fine])
    served = asked.sum(-1) - dispatch.unserved(asked, instance.capacity)
    np.testing.assert_allclose(series.demand.sum(-1), served, atol=1e-9 * (1 + asked.sum()))


def vars_of(trace) -> dict:
    return {name: getattr(trace, name) for name in type(trace).__dataclass_fields__}


def test_metrics() -> None:
    truth = np.array([1.0, -1.0, 2.0])
    assert mape(truth, truth) == 0
    assert mape(truth + 0.5, truth) == pytest.approx(1.5 / 4)
    assert pinball((truth + 0.5)[None], truth) == pytest.approx(0.5 * mape(truth + 0.5, truth))
    spread = truth + np.linspace(-1, 1, 21)[:, None]
    sure = pinball(spread[10:11] + 1.0, truth)
    assert pinball(spread, truth) < sure
    assert mape(np.zeros(2), np.zeros(2)) == 0


@pytest.mark.slow
def test_learned_is_the_nearest_on_draws_it_was_not_fitted_on() -> None:
    learned = Learned(draws=8)
    mean = {}
    for forecaster in (learned, Persistence(), SameHour(), SameHour(7)):
        errors = [
            forecast_errors(forecaster, synthetic(seed=f"validation/{d}", horizon=300), every=50)
            for d in range(3)
        ]
        mean[forecaster] = np.mean([e["price"]["mape"] for e in errors])
    assert min(mean, key=mean.get) is learned
    again = Learned(draws=8)
    history = history_of(synthetic(seed="validation/3", horizon=100), 50)
    np.testing.assert_array_equal(
        again.forecast(history, 9).price, learned.forecast(history, 9).price
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SameHour(0),
        lambda: Climatology(prior=0),
        lambda: PastDays(samples=0),
        lambda: Noisy(Persistence(), size=-1),
        lambda: Noisy(Persistence(), size=1, memory=0),
        lambda: Biased(Persistence(), size=1.5),
        lambda: Delayed(Persistence(), size=1.5),
        lambda: Swapped(Persistence(), size=float("nan")),
        lambda: Learned(draws=0),
    ],
)
def test_options_are_checked(wrong) -> None:
    with pytest.raises(DataError):
        wrong()


def test_the_perfect_forecast_knows_no_more_than_its_instance() -> None:
    instance = synthetic(seed=2, horizon=48)
    with pytest.raises(DataError, match="knows 48 slots, asked for 24 to 49"):
        Perfect(instance).forecast(history_of(instance, 24), 25)
