"""``changed``: every change that an operator may make, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equiload.envs import DataError, InfeasibleError
from equiload.envs.data import changed, synthetic

WEEK = synthetic("validation/1", horizon=48)
FLEET, TRACE = WEEK.fleet, WEEK.trace
JAPAN = FLEET.datacenters.index("Japan")


def test_no_change_is_the_instance_itself() -> None:
    assert changed(WEEK, {}) is WEEK


def test_a_closed_data_center_serves_nothing_and_keeps_its_region() -> None:
    for stated in ("Japan", ["Japan"]):
        other = changed(WEEK, {"close": stated})
        assert other.capacity[:, JAPAN].max() == 0.0
        assert other.fleet.regions == FLEET.regions
        rest = np.arange(10) != JAPAN
        np.testing.assert_array_equal(other.capacity[:, rest], WEEK.capacity[:, rest])


def test_capacity_is_a_factor_or_an_amount() -> None:
    stated = {"Texas": "1.5x", "Japan": "20 MW", "Nevada": 3}
    capacity = changed(WEEK, {"capacity": stated}).fleet.capacity
    at = [FLEET.datacenters.index(name) for name in stated]
    np.testing.assert_allclose(capacity[at], [1.5 * FLEET.capacity[at[0]], 20.0, 3.0])
    quarter = WEEK.replace(trace=TRACE.replace(timestamps=_every(15)))
    assert changed(quarter, {"capacity": {"Japan": "20 MW"}}).fleet.capacity[JAPAN] == 5.0


def _every(minutes: int) -> Any:
    return TRACE.timestamps[0] + np.arange(48) * np.timedelta64(minutes, "m")


def test_demand_and_prices_are_factors_of_all_or_of_some() -> None:
    other = changed(WEEK, {"demand": "1.2x", "price": {"Japan": "3 ×"}})
    np.testing.assert_allclose(other.trace.demand, 1.2 * TRACE.demand)
    np.testing.assert_allclose(other.trace.price[:, JAPAN], 3 * TRACE.price[:, JAPAN])
    np.testing.assert_array_equal(other.trace.price[:, :JAPAN], TRACE.price[:, :JAPAN])
    some = changed(WEEK, {"demand": {"Japan": "0x"}}).trace.demand
    assert some[:, JAPAN].max() == 0.0
    np.testing.assert_array_equal(some[:, :JAPAN], TRACE.demand[:, :JAPAN])


def test_equity_weights_are_numbers_or_factors() -> None:
    weights = changed(WEEK, {"equity_weight": {"carbon": "2x", "water": 10}}).objective
    assert weights.equity_weight == {
        "carbon": 2 * WEEK.objective.equity_weight["carbon"],
        "water": 10.0,
    }


def test_a_battery_is_added_and_stands_in_the_place_of_the_sites_own() -> None:
    battery = {"energy": "4 MWh", "power": "1 MW", "wear": "5 US$/MWh"}
    added = changed(WEEK, {"storage": {"Japan": battery}})
    assert added.knobs == ("storage",)
    assert added.fleet.storage is not None
    assert added.fleet.storage.energy.tolist() == [4.0 if i == JAPAN else 0.0 for i in range(10)]
    equipped = synthetic("validation/1", horizon=48, knobs=["storage"])
    other = changed(equipped, {"storage": {"Japan": battery}}).fleet.storage
    own = equipped.fleet.storage
    assert other is not None
    assert own is not None
    assert (other.energy[JAPAN], other.wear[JAPAN], other.initial[JAPAN]) == (4.0, 5.0, 2.0)
    np.testing.assert_array_equal(np.delete(other.energy, JAPAN), np.delete(own.energy, JAPAN))
    np.testing.assert_array_equal(np.delete(other.wear, JAPAN), np.delete(own.wear, JAPAN))


def test_changes_are_told_in_the_provenance_and_the_original_is_as_it_was() -> None:
    before = TRACE.demand.copy()
    other = changed(WEEK, {"demand": "1.1x", "close": "Japan"})
    assert other.trace.provenance["changes"] == {"demand": 1.1, "close": ("Japan",)}
    np.testing.assert_array_equal(TRACE.demand, before)
    assert "changes" not in TRACE.provenance


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ({"clsoe": "Japan"}, "no change 'clsoe'; did you mean 'close'"),
        ({"close": "Japn"}, "no data center 'Japn'; did you mean 'Japan'"),
        ({"capacity": {"Japn": "2x"}}, "no data center 'Japn'"),
        ({"capacity": {"Japan": "lots"}}, "capacity of Japan: must be a number of MWh per slot"),
        ({"demand": 1.2}, "'demand': must be a factor, '1.2x' say, got 1.2"),
        ({"demand": "-1x"}, "must be a factor"),
        ({"demand": {"Japn": "2x"}}, "no gateway 'Japn'"),
        ({"price": {"Japan": "dear"}}, "'price.Japan': must be a factor"),
        ({"equity_weight": {"nox": "3"}}, "no data of the footprint 'nox'"),
        ({"equity_weight": {"carbon": "-3"}}, "weight of carbon must be a number of US"),
        ({"equity_weight": {"carbon": "much"}}, "or a factor, '2x' say, got 'much'"),
        ({"storage": {"Japn": {}}}, "no data center 'Japn'"),
        ({"storage": {"Japan": {"energy": "4 MWh"}}}, "storage of Japan: 'power' is missing"),
        ({"storage": {"Japan": {"energy": "4 MW", "power": "1 MW"}}}, "got '4 MW'"),
        (3, "changes must be a mapping of close, capacity"),
    ],
)
def test_what_is_no_change_is_refused_in_a_sentence(stated: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        changed(WEEK, stated)


def test_what_is_left_must_serve_the_demand() -> None:
    with pytest.raises(InfeasibleError, match=r"slot 0 \(.* UTC\): the gateways .* more than"):
        changed(WEEK, {"demand": "5x"})
