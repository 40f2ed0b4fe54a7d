"""The training distribution: what every draw must satisfy, and what seeds promise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import GLBCost
from equiload.envs import DataError, Instance, rollout
from equiload.envs.data import Draw, Ranges, Split, shifted, synthetic, world
from equiload.envs.data.draw import generators
from equiload.envs.data.regions import PAPER_REGIONS


def arrays(instance: Instance) -> list[np.ndarray]:
    trace = instance.trace
    found = [trace.price, trace.intensity, trace.demand, trace.timestamps]
    return found if trace.availability is None else [*found, trace.availability]


def assert_equal(a: Instance, b: Instance) -> None:
    for left, right in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_array_equal(left, right)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    split=st.sampled_from(Split),
    horizon=st.integers(1, 400),
    regions=st.integers(1, len(world())),
    sites=st.integers(1, 6),
    minutes=st.sampled_from([5, 15, 30, 60]),
    reachability=st.sampled_from(["full", "partial"]),
    batch=st.sampled_from([(), (1,), (2, 2)]),
    ranges=st.sampled_from(
        [
            {},
            {"outages": 10, "utilisation": 0.9},
            {"flash_crowds": 50, "volatility": 4, "fuel": 3},
            {"hydro": 0.3, "nuclear": 0, "fuel": -3},
            {"outages": 0, "correlation": 20000, "day": 365},
        ]
    ),
)
def test_every_draw_is_a_valid_instance(
    seed, split, horizon, regions, sites, minutes, reachability, batch, ranges
) -> None:
    # Instance itself refuses what is not finite, not regular or not servable.
    instance = synthetic(
        Draw(split, seed),
        horizon=horizon,
        batch=batch,
        reachability=reachability,
        regions=regions,
        sites=sites,
        slot_minutes=minutes,
        ranges=ranges,
    )
    trace, fleet = instance.trace, instance.fleet
    assert trace.price.shape == (*batch, horizon, regions * sites)
    assert (trace.intensity[..., 0, :, :] > 0).all()
    assert (trace.intensity[..., 0, :, :] < 1.0).all()
    assert (trace.intensity[..., 1, :, :] < 30.0).all()
    assert (np.abs(trace.price) < 30_000).all()
    assert np.bincount(fleet.region_of).tolist() == [sites] * regions
    step = np.diff(trace.timestamps, axis=-1)
    assert (step == np.timedelta64(minutes * 60, "s")).all()


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_same_seed_same_numbers_whatever_the_batch(seed: int, size: int) -> None:
    many = synthetic(seed, horizon=30, batch=size)
    assert_equal(many, synthetic(seed, horizon=30, batch=(size,)))
    assert_equal(many[0], synthetic(seed, horizon=30))
    fewer = synthetic(seed, horizon=30, batch=size - 1)
    assert_equal(many[: size - 1], fewer)


def test_chunks_do_not_change_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    from equiload.envs.data.synthetic import __dict__ as module

    whole = synthetic(5, horizon=50, batch=7)
    monkeypatch.setitem(module, "_CHUNK", 50 * 10 * 2)
    pieces = synthetic(5, horizon=50, batch=7)
    for left, right in zip(arrays(whole), arrays(pieces), strict=True):
        np.testing.assert_allclose(left.astype(float), right.astype(float), rtol=1e-9, atol=1e-9)


def test_splits_are_disjoint_and_test_is_asked_for_by_name() -> None:
    assert Draw.of(7) == Draw.train(7) == Draw.of("train/7")
    assert Draw.of("test/7") == Draw.test(7)
    seen = {}
    for split in Split:
        for index in range(40):
            for member in range(4):
                draw = Draw(split, index, member)
                first = tuple(draw.generator().integers(0, 2**63, 2))
                assert first not in seen, (draw, seen[first])
                seen[first] = draw


def test_streams_are_numpys_however_many() -> None:
    """Seeds are hashed by code of our own; an index beyond 32 bits goes numpy's way."""
    few = [Draw.test(i).of_member(m) for i in (0, 7, 2**31 - 1, 2**32 - 1) for m in (0, 3)]
    for draws in (few, [*few, Draw.train(2**40)]):
        for draw, rng in zip(draws, generators(draws), strict=True):
            key = (draw.split.value, draw.index, draw.member)
            sequence = np.random.SeedSequence(0x0E9011_0AD_0002, spawn_key=key)
            assert rng.bit_generator.state == np.random.PCG64(sequence).state


@pytest.mark.parametrize("seed", [-1, 1.5, True, "7", "train/-1", "holdout/3", None])
def test_a_seed_that_names_no_draw_is_refused(seed) -> None:
    with pytest.raises(DataError, match=r"seed|draw"):
        Draw.of(seed)


def test_the_default_fleet_is_the_papers() -> None:
    full, partial = synthetic(3), synthetic(3, reachability="partial")
    assert full.fleet.datacenters == PAPER_REGIONS
    assert full.fleet.full
    assert not partial.fleet.full
    assert full.horizon == 672
    assert full.objective.mu.tolist() == [1500.0, 60.0]
    np.testing.assert_array_equal(full.trace.price, partial.trace.price)


def test_a_range_narrowed_to_a_point_fixes_it() -> None:
    instance = synthetic(2, batch=6, horizon=24, ranges={"year": 2021, "day": 200})
    assert set(instance.trace.timestamps[:, 0].astype("datetime64[D]").astype(str)) == {
        "2021-07-19"
    }
    calm = synthetic(2, ranges={"outages": 0})
    assert calm.trace.availability is None


def test_a_crisis_makes_europe_dear_and_a_drought_makes_norway_dear() -> None:
    options = {"horizon": 336, "batch": 8, "regions": ("Germany", "Texas", "Norway")}
    calm, crisis = (
        synthetic(1, **options, ranges={"fuel": f}).trace.price.mean((0, 1)) for f in (0, 2)
    )
    assert crisis[0] > 2.0 * calm[0]
    assert crisis[1] > 1.3 * calm[1]
    wet, dry = (
        synthetic(1, **options, ranges={"hydro": h}).trace.price.mean((0, 1)) for h in (1.2, 0.65)
    )
    assert dry[2] > 1.3 * wet[2]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": 2.5}, "horizon"),
        ({"batch": (2, 0)}, "batch"),
        ({"reachability": "some"}, "reachability"),
        ({"regions": ("Texas", "Atlantis")}, "Atlantis"),
        ({"regions": ("Texas", "Texas")}, "more than once"),
        ({"regions": 99}, "regions"),
        ({"regions": ()}, "region"),
        ({"sites": 0}, "sites"),
        ({"sites": (1, 2)}, "sites"),
        ({"slot_minutes": 7}, "slot_minutes"),
        ({"ranges": {"weather": 1}}, "weather"),
        ({"ranges": {"utilisation": (0.6, 0.5)}}, "utilisation"),
        ({"ranges": {"utilisation": 1.5}}, "utilisation"),
        ({"ranges": {"hydro": (1, 2, 3)}}, "hydro"),
        ({"ranges": {"fuel": float("nan")}}, "fuel"),
        ({"ranges": {"fuel": "high"}}, "fuel"),
    ],
)
def test_bad_options_get_a_sentence(options, match) -> None:
    with pytest.raises(DataError, match=match):
        synthetic(0, **{"horizon": 4, **options})


def test_ranges_by_yaml_and_by_python_agree() -> None:
    assert_equal(
        synthetic(4, horizon=24, ranges={"fuel": [0, 1], "year": 2020}),
        synthetic(4, horizon=24, ranges=Ranges(fuel=(0, 1), year=2020)),
    )
    assert {f.name for f in dataclasses.fields(Ranges)} == set(Ranges().__dict__)


@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("kind", ["price", "outage", "carbon", "demand"])
def test_shifts_change_what_they_say(kind: str, reachability: str) -> None:
    plain = synthetic("test/4", horizon=48, reachability=reachability).trace
    world = shifted(kind, "test/4", horizon=48, reachability=reachability)  # servable, or refused
    trace = world.trace
    tripled = (trace.price == 3 * plain.price) & (plain.price != 0)
    assert tripled.all(0).sum() == (1 if kind == "price" else 0)
    down = (world.capacity == 0).sum(0)
    assert sorted(down)[-2:] == ([0, 24] if kind == "outage" else [0, 0])
    order = np.argsort(plain.intensity[0], axis=-1), np.argsort(trace.intensity[0], axis=-1)
    assert (order[0] == (order[1][:, ::-1] if kind == "carbon" else order[1])).all()
    assert (trace.intensity[1] == plain.intensity[1]).all()
    more = trace.demand.sum() / plain.demand.sum()
    assert (1.3 < more <= 2.0) if kind == "demand" else (0.9 < more <= 1.0 + 1e-9)
    assert trace.provenance["shifted"] == kind


def test_unknown_shifts_are_refused() -> None:
    with pytest.raises(DataError, match="the shift must be one of price, outage, carbon, demand"):
        shifted("rain")
    with pytest.raises(DataError, match="not a batch"):
        shifted("price", batch=2, horizon=4)


def test_a_region_per_site() -> None:
    together = synthetic(0, horizon=4, regions=3, sites=2)
    apart = synthetic(0, horizon=4, regions=3, sites=2, region_per_site=True)
    assert apart.fleet.regions == apart.fleet.datacenters == together.fleet.datacenters
    np.testing.assert_array_equal(apart.trace.intensity, together.trace.intensity)
    footprints = [rollout(GLBCost(), instance).footprint for instance in (together, apart)]
    np.testing.assert_allclose(footprints[1].reshape(2, 3, 2).sum(-1), footprints[0])


def test_draws_side_by_side_are_the_draws_alone() -> None:
    together = synthetic([3, "test/4"], horizon=30, batch=2)
    assert together.batch == (2, 2)
    for n, seed in enumerate((3, "test/4")):
        alone = synthetic(seed, horizon=30, batch=2)
        for name in ("price", "intensity", "demand", "timestamps"):
            assert np.array_equal(getattr(together.trace[n], name), getattr(alone.trace, name))
