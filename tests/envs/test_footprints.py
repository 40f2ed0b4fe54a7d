"""Kinds of footprint are rows of a table: the generator draws whichever it is asked for."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equiload.envs import DataError, footprints
from equiload.envs.data import SyntheticSource, shifted, synthetic, world
from equiload.envs.data.derived import mix_footprints
from equiload.envs.data.grid import typical_mix
from equiload.envs.data.regions import PAPER_EQUITY_WEIGHT
from equiload.envs.footprints import FOOTPRINTS, FUELS, Footprint, in_order, title_of, unit_of

PAPER = {"carbon": 1500.0, "water": 60.0}
WORLDS = [
    {},
    {"regions": 20, "sites": 3, "reachability": "partial", "horizon": 100},
    {"region_per_site": True, "sites": 2, "slot_minutes": 15, "horizon": 200},
    {"batch": 3, "horizon": 168, "ranges": {"outages": 5, "fuel": 2, "hydro": 0.4}},
]


@pytest.fixture
def particles(monkeypatch: pytest.MonkeyPatch) -> Footprint:
    """A kind that nobody has heard of, one row: what coal emits, a thousandth of its carbon."""
    coal = {fuel: 0.82e-3 * (fuel == "coal") for fuel in FUELS}
    row = Footprint(unit="kg", equity_weight=100.0, factors=coal, bounds=(0.0, 1.0))
    monkeypatch.setitem(footprints._ROWS, "particles", row)
    return row


def test_the_default_is_the_papers_two_kinds() -> None:
    instance = synthetic(0, horizon=3)
    assert instance.trace.footprints == ("carbon", "water")
    assert dict(instance.objective.equity_weight) == dict(PAPER_EQUITY_WEIGHT) == PAPER


@pytest.mark.parametrize("options", WORLDS)
def test_a_further_kind_changes_no_other_number(options) -> None:
    before, after = (synthetic(7, equity_weight=w, **options) for w in (PAPER, {"nox": 9, **PAPER}))
    assert after.trace.footprints == ("carbon", "water", "nox")
    assert after.objective.mu.tolist() == [1500.0, 60.0, 9.0]
    for name in ("price", "demand", "timestamps", "availability"):
        left, right = (getattr(instance.trace, name) for instance in (before, after))
        np.testing.assert_array_equal(left, right)
    # Matrix products may round differently with more columns.
    np.testing.assert_allclose(
        after.trace.intensity[..., :2, :, :], before.trace.intensity, rtol=1e-13
    )


@given(
    st.lists(st.sampled_from(["carbon", "water", "nox"]), min_size=1, max_size=3, unique=True),
    st.integers(0, 1000),
)
def test_exactly_the_kinds_that_are_weighed_are_drawn(kinds, seed: int) -> None:
    instance = synthetic(seed, horizon=5, equity_weight=dict.fromkeys(kinds, 2.0))
    every = synthetic(seed, horizon=5, equity_weight=dict.fromkeys(["carbon", "water", "nox"], 1))
    assert instance.trace.footprints == in_order(tuple(kinds))
    for kind, values in zip(instance.trace.footprints, instance.trace.intensity, strict=True):
        row = every.trace.footprints.index(kind)
        np.testing.assert_allclose(values, every.trace.intensity[row], rtol=1e-12)


def test_nox_has_the_level_of_what_runs_and_no_cooling() -> None:
    names = tuple(world())
    trace = synthetic(
        9, batch=24, regions=len(names), equity_weight={"nox": 10}, ranges={"outages": 0}
    ).trace
    assert trace.units == ("kg",)
    for r, region in enumerate(world().values()):
        (mix,) = typical_mix(region, ["nox"])
        assert trace.intensity[:, 0, :, r].mean() == pytest.approx(mix, abs=0.12), region.name
    low, high = FOOTPRINTS["nox"].plausible
    middle = np.median(trace.intensity[:, 0], axis=(0, 1))
    assert (middle >= low).all()
    assert (middle <= high).all()
    factors = FOOTPRINTS["nox"].factors.values()
    assert trace.intensity.min() >= min(factors)
    assert trace.intensity.max() <= max(factors)


def test_one_row_is_a_kind(particles: Footprint) -> None:
    source = SyntheticSource(3, horizon=50, regions=("Germany", "France")).weighed(
        {"particles": particles.equity_weight}
    )
    instance = source.instance()
    assert instance.trace.footprints == ("carbon", "water", "particles")
    assert instance.trace.units == ("t", "m³", "kg")
    assert unit_of("particles") == "kg"
    carbon, _, dust = instance.trace.intensity
    assert (dust > 0).any()
    assert (dust <= 1e-3 * carbon).all()  # all of it is coal's, and coal has carbon besides
    only = synthetic(3, horizon=50, regions=("Norway",), equity_weight={"particles": 1})
    assert only.trace.intensity.max() < dust.max()


def test_a_kind_that_cools_or_evaporates_does_so_by_its_row(monkeypatch) -> None:
    water = FOOTPRINTS["water"]
    for name, changes in (("towers", {"evaporates": False}), ("grid", {"cooling": False})):
        monkeypatch.setitem(footprints._ROWS, name, dataclasses.replace(water, **changes))
    weights = {"water": 1, "towers": 1, "grid": 1}
    trace = synthetic(1, horizon=48, regions=("Norway", "India"), equity_weight=weights).trace
    both, dry, grid = trace.intensity
    assert (both >= grid).all()
    assert (both[:, 1] > grid[:, 1]).all()  # towers drink in India
    assert (both[:, 0] < 0.6 * dry[:, 0]).all()  # Norway's reservoirs lie in cool, moist air


@pytest.mark.parametrize("kind", ["sulphur", "noise"])
def test_a_kind_without_factors_gets_a_sentence(kind: str, monkeypatch) -> None:
    monkeypatch.setitem(footprints._ROWS, "noise", Footprint(unit="dB"))
    expected = (
        rf"cannot draw the footprint '{kind}': it knows factors by fuel of carbon, water, nox"
    )
    with pytest.raises(DataError, match=expected):
        synthetic(0, horizon=4, equity_weight={"carbon": 1, kind: 1})
    with pytest.raises(DataError, match=expected):
        SyntheticSource(0).weighed({kind: 1.0})


def test_factors_are_of_every_fuel_or_none() -> None:
    with pytest.raises(DataError, match="got factors for coal, peat"):
        Footprint(unit="t", factors={"coal": 1.0, "peat": 2.0})


def test_a_mix_gives_every_kind_that_has_factors(particles: Footprint) -> None:
    mix = {"coal": np.array([1.0, 3.0]), "wind": np.array([1.0, 0.0]), "gas": np.array([0.0, -1.0])}
    found = mix_footprints(mix, ["nox", "noise", "particles", "carbon"])
    assert list(found) == ["nox", "particles", "carbon"]
    for kind, values in found.items():
        factors = FOOTPRINTS[kind].factors
        expected = [(factors["coal"] + factors["wind"]) / 2, factors["coal"]]
        np.testing.assert_allclose(values, expected, rtol=1e-14)
    with pytest.raises(DataError, match="'peat'"):
        mix_footprints({"peat": np.ones(2)}, ["nox"])
    with pytest.raises(DataError, match="slot 1"):
        mix_footprints({"coal": np.array([1.0, 0.0])}, ["nox"])


def test_a_shifted_world_has_its_kinds() -> None:
    options = {"horizon": 24, "equity_weight": {"water": 60, "nox": 10}}
    before, after = synthetic(0, **options), shifted("carbon", 0, **options)
    assert after.trace.footprints == ("water", "nox")
    assert not np.array_equal(after.trace.intensity[0], before.trace.intensity[0])  # the first
    np.testing.assert_array_equal(after.trace.intensity[1], before.trace.intensity[1])


def test_the_documentation_states_the_rows() -> None:
    text = (Path(__file__).parents[2] / "docs" / "worlds.md").read_text(encoding="utf-8")
    for kind, row in FOOTPRINTS.items():
        cells = (f"{title_of(kind)}, {row.unit}", *(f"{row.factors[fuel]:g}" for fuel in FUELS))
        assert f"| {' | '.join(cells)} |" in text, kind


def test_rows_are_complete() -> None:
    for kind, row in FOOTPRINTS.items():
        low, high = row.bounds
        assert low <= row.plausible[0] < row.plausible[1] <= high, kind
        for factor in row.factors.values():
            assert low <= factor <= high, kind
        assert row.near > 1, kind
        assert row.equity_weight > 0, kind
        assert math.isfinite(row.outlier), kind
