"""What the generator adds when an instance asks for knobs."""

import numpy as np
import pytest

from equiload.envs import DataError
from equiload.envs.data import RecordedSource, SyntheticSource, synthetic
from equiload.envs.data.equipment import KNOBS, Equipment, jobs, knobs_of

WEEK = {"horizon": 168}


def test_knobs_change_no_other_number() -> None:
    plain, knobs = (synthetic("validation/2", **WEEK, knobs=k) for k in (None, "all"))
    assert plain.knobs == ()
    assert knobs.knobs == (
        *("storage", "servers", "models", "training"),
        *("generation", "onsite_intensity"),
    )
    assert np.array_equal(plain.trace.price, knobs.trace.price)
    together = knobs.trace.intensity + knobs.trace.onsite_intensity
    np.testing.assert_allclose(together, plain.trace.intensity, rtol=1e-12)
    np.testing.assert_allclose(knobs.trace.demand, 0.7 * plain.trace.demand, rtol=1e-12)
    assert (knobs.trace.onsite_intensity[0] == 0).all()  # no carbon on the site


def test_a_draw_is_the_same_alone_and_in_a_batch() -> None:
    several = synthetic(["test/1", "test/4"], horizon=48, knobs="all")
    alone = synthetic("test/4", horizon=48, knobs="all")
    for name, array in alone.series.named().items():
        assert np.array_equal(getattr(several[1].series, name), array), name


def test_panels_give_nothing_at_night_and_as_much_as_panels_give() -> None:
    year = synthetic("train/7", horizon=8760, knobs="solar", equipment={"solar_peak": 1.0})
    given = year.trace.generation
    assert 0.3 < (given == 0).mean() < 0.6
    factors = given.mean(0)
    assert (factors > 0.08).all()
    assert (factors < 0.27).all()
    assert given.max() <= 1.2
    # By its own clock the sun stands highest around noon.
    hours = (year.trace.timestamps.astype("M8[h]").astype(int)[:, None]) + np.round(
        year.fleet.location[:, 1] / 15
    ).astype(int)
    for i in range(given.shape[1]):
        by_hour = [given[hours[:, i] % 24 == h, i].mean() for h in range(24)]
        assert 10 <= int(np.argmax(by_hour)) <= 14


def test_jobs_are_as_large_as_in_real_clusters() -> None:
    rng, mean = np.random.default_rng(0), np.full(20_000, 2.0)
    one = Equipment(jobs_per_hour=1e-3, deadline_hours=(24.0,))
    sizes = jobs(rng, mean, one, 1.0)[:, 0]
    sizes = np.sort(jobs(rng, np.ones(3_000_000), one, 1.0)[:, 0])
    sizes = sizes[sizes > 0]
    largest = sizes[-len(sizes) // 10 :].sum() / sizes.sum()
    assert 0.7 < largest < 0.86  # a tenth holds 82 % where none is cut
    many = jobs(rng, mean, Equipment(), 1.0)
    assert many.shape == (20_000, 3)
    assert many.sum(-1).mean() == pytest.approx(2.0, rel=0.03)


def test_work_is_its_share_of_demand() -> None:
    options = {"horizon": 672, "batch": 20, "knobs": ["training"], "equipment": {"training": 0.4}}
    trace = synthetic("train/9", **options).trace
    work, demand = trace.work.sum((-1, -2)), trace.demand.sum((-1, -2))
    assert (work / (work + demand)).mean() == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"knobs": "wind"}, "there is no knob 'wind'"),
        ({"knobs": ["solar", "batteries"]}, "there is no knob 'batteries'"),
        ({"knobs": "all", "equipment": {"idel": 0.1}}, "there is no equipment 'idel'"),
        ({"knobs": "all", "equipment": {"idle": 1.5}}, "idle"),
        ({"knobs": "all", "equipment": {"model_energy": [1.0, 0.5]}}, "models.energy must have"),
    ],
)
def test_what_there_is_not_is_refused_in_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(DataError) as refusal:
        synthetic(0, horizon=3, **options)
    assert sentence in str(refusal.value)


def test_sizes_follow_the_clock() -> None:
    hour, quarter = (
        synthetic(0, horizon=8, slot_minutes=minutes, knobs="all").fleet for minutes in (60, 15)
    )
    # MWh are MWh, and what is per slot is a quarter.
    assert np.allclose(hour.storage.energy, quarter.storage.energy)
    assert np.allclose(hour.storage.charge, 4 * quarter.storage.charge)
    assert np.array_equal(4 * hour.training.deadline, quarter.training.deadline)
    assert np.allclose(4 * hour.servers.start_cost, quarter.servers.start_cost)


def test_a_source_draws_them() -> None:
    source = SyntheticSource(horizon=24, knobs=["storage", "models"])
    assert source.draw("test/0").knobs == ("storage", "models", "onsite_intensity")
    assert source.provenance["knobs"] == ["storage", "models"]
    assert knobs_of("all") == KNOBS


def test_a_recorded_trace_is_equipped() -> None:
    plain = synthetic("train/3", horizon=400)
    source = RecordedSource(plain, knobs="all", equipment={"training": 0.4, "solar_peak": 0.5})
    trace = source.instance().trace
    assert source.instance().fleet.knobs == ("storage", "servers", "models", "training")
    assert np.array_equal(trace.price, plain.trace.price)
    assert np.array_equal(trace.intensity, plain.trace.intensity)
    np.testing.assert_allclose(trace.demand, 0.6 * plain.trace.demand)
    np.testing.assert_allclose(trace.work.sum(-1), 0.4 * plain.trace.demand.sum(-1))
    assert trace.generation.max() <= 0.5 * 0.75 * 1.2
    # The same sun as the generator's, in which its own clouds stand.
    cloudy = synthetic("train/3", horizon=400, knobs="solar", equipment={"solar_peak": 0.5})
    dark = cloudy.trace.generation == 0
    assert np.array_equal(dark, trace.generation == 0)
    assert (cloudy.trace.generation <= trace.generation / 0.75 + 1e-9).all()
    assert source.draw("test/0", horizon=24).knobs == source.instance().knobs


def test_what_a_trace_has_already_is_not_added() -> None:
    with_sun = synthetic(0, horizon=3, knobs="solar")
    with pytest.raises(DataError, match="synthetic has solar of its own, so there is none to add"):
        RecordedSource(with_sun, knobs=["storage", "solar"]).instance()
    nowhere = with_sun.fleet.replace(location=None)
    plain = synthetic(0, horizon=3).replace(fleet=nowhere)
    with pytest.raises(DataError, match="solar panels need a location"):
        RecordedSource(plain, knobs="solar").instance()
