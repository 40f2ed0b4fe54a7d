"""What the generator adds when an instance asks for knobs."""

import numpy as np
import pytest

from equiload.envs import DataError
from equiload.envs.data import RecordedSource, SyntheticSource, synthetic
from equiload.envs.data.equipment import KNOBS, Equipment, jobs, knobs_of

WEEK = {"horizon": 168}
RANGES = {
    "knobs": "all",
    "equipment": {"storage_hours": [1.0, 9.0], "solar_peak": (0.1, 0.4), "training": [0.1, 0.3]},
}


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
        ({"knobs": 5}, "knobs must be a text or a list of texts, got 5"),
        ({"knobs": "all", "equipment": [1, 2]}, "equipment must be a mapping of sizes, got"),
        (
            {"knobs": "all", "equipment": {"deadline_hours": []}},
            "'deadline_hours' must be",
        ),
        ({"knobs": "all", "equipment": {"idel": 0.1}}, "there is no equipment 'idel'"),
        ({"knobs": "all", "equipment": {"idle": 1.5}}, "idle"),
        ({"knobs": "all", "equipment": {"model_energy": [1.0, 0.5]}}, "models.energy must have"),
        ({"knobs": "all", "equipment": {"idle": [0.1, 0.2, 0.3]}}, "a number or two ends"),
        ({"knobs": "all", "equipment": {"wear": [20, 5]}}, "'wear' must lie above 0, the low one"),
        ({"knobs": "all", "equipment": {"wear": [0, 5]}}, "'wear' must lie above 0, the low one"),
        ({"knobs": "all", "equipment": {"idle": [0.5, 1.5]}}, "'idle' must be at most 1, got 1.5"),
        ({"seed": [0, 1], **RANGES}, "share one fleet, and equipment 'solar_peak' would differ"),
        ({"seed": [0, 1], "knobs": "random"}, "share one fleet, and knobs would differ"),
    ],
)
def test_what_there_is_not_is_refused_in_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(DataError) as refusal:
        synthetic(**{"seed": 0, "horizon": 3} | options)
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


def test_sizes_are_drawn_anew_for_each_draw() -> None:
    drawn = [synthetic(seed, horizon=4, **RANGES) for seed in range(200)]
    hours = np.array([d.fleet.storage.energy[0] / d.fleet.storage.charge[0] for d in drawn])
    assert 1.0 < hours.min() < 1.1
    assert 8.0 < hours.max() < 9.0
    assert np.median(hours) == pytest.approx(3.0, rel=0.15)  # log-uniform
    # As if its sizes had been stated, number for number.
    stated = drawn[7].trace.provenance["equipment"]
    assert stated["storage_hours"] == pytest.approx(hours[7])
    again = synthetic(7, horizon=4, knobs="all", equipment=stated)
    assert again.fleet.same_as(drawn[7].fleet)
    for name, array in again.series.named().items():
        assert np.array_equal(getattr(drawn[7].series, name), array), name
    # A range more changes no other size; members of a batch share them.
    more = RANGES["equipment"] | {"idle": [0.1, 0.6]}
    batch = synthetic(7, horizon=4, batch=3, knobs="all", equipment=more)
    assert np.array_equal(batch.fleet.storage.energy, drawn[7].fleet.storage.energy)
    assert np.array_equal(batch[0].trace.generation, drawn[7].trace.generation)
    assert batch[0].fleet.servers.idle[0] != 0.35


def test_knobs_at_random_are_some_of_them() -> None:
    chosen = [synthetic(seed, horizon=2, knobs="random") for seed in range(40)]
    named = [c.trace.provenance.get("knobs", ()) for c in chosen]
    assert {len(names) for names in named} >= {1, 2, 3, 4}
    assert synthetic(11, horizon=2, knobs=named[11]).knobs == chosen[11].knobs


def test_only_the_generator_draws_sizes() -> None:
    plain = synthetic(0, horizon=40)
    with pytest.raises(DataError, match="equipment 'solar_peak' is a range, and only the generat"):
        RecordedSource(plain, **RANGES)
    with pytest.raises(DataError, match="random knobs differ from draw to draw: only the generat"):
        RecordedSource(plain, knobs="random")
