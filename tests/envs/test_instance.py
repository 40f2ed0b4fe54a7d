"""What instances refuse, and in which words."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equiload.envs import DataError, Fleet, InfeasibleError, Instance, Objective, Slot, Trace
from equiload.testing.strategies import instances

HOURS = np.datetime64("2024-01-01T00", "s") + np.arange(3) * np.timedelta64(1, "h")
FLEET = {"datacenters": ("a", "b"), "gateways": ("x",), "capacity": [1.0, 1.0]}
TRACE = {
    "price": np.ones((3, 2)),
    "intensity": np.ones((2, 3, 2)),
    "demand": np.ones((3, 1)),
    "timestamps": HOURS,
}
OBJECTIVE = Objective(equity_weight={"carbon": 1.0, "water": 1.0})


def nan_at(shape: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    array = np.ones(shape)
    array[place] = np.nan
    return array


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"datacenters": ("a", "a")}, "data center 'a' is named more than once"),
        ({"gateways": ()}, "at least one gateway is needed"),
        ({"gateways": "xyz"}, "the gateway names must be a sequence of texts, got 'xyz'"),
        ({"gateways": ("a\n",)}, "needs a name that can be printed, got 'a\\n'"),
        ({"region_of": []}, "region_of must hold whole numbers"),
        ({"region_of": [0, [1]]}, "region_of must hold numbers in a regular array"),
        ({"capacity": [1e300, 1]}, "capacity[0] is 1e+300, expected a finite number"),
        ({"capacity": [1.0]}, "capacity must have shape (2,), got (1,)"),
        ({"capacity": [1.0, -2.0]}, "capacity[1] is -2.0, expected a finite number of at least 0"),
        ({"capacity": ["one", 2]}, "capacity must hold numbers"),
        ({"pue": [1.0, 0.5]}, "pue[1] is 0.5, expected a finite number of at least 1"),
        ({"reachable": [[1, 2]]}, "reachable must hold only 0 and 1"),
        ({"region_of": [0, 2]}, "leave no region empty"),
        ({"region_of": [0.0, 1.0]}, "region_of must hold whole numbers"),
        ({"regions": ("north",)}, "region_of does not say which is whose"),
        ({"routing_cost": [[np.inf, 0]]}, "routing_cost[0, 0] is inf"),
        ({"distance": [[-1, 0]]}, "distance[0, 0] is -1.0"),
    ],
)
def test_fleet_refuses(changes: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        Fleet(**FLEET | changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"price": [[1, 2], [3]]}, "price must hold numbers in a regular array"),
        ({"price": np.ones((0, 2))}, "expected at least one of each axis"),
        ({"price": nan_at((3, 2), (1, 0))}, "price[1, 0] is nan, expected a finite number"),
        ({"intensity": np.ones((1, 3, 2))}, "intensity must have shape (2, 3, 2), got (1, 3, 2)"),
        ({"intensity": -np.ones((2, 3, 2))}, "intensity[0, 0, 0] is -1.0"),
        ({"demand": nan_at((3, 1), (2, 0))}, "demand[2, 0] is nan"),
        ({"demand": np.ones(3)}, "demand [..., T, J]"),
        ({"timestamps": HOURS[:2]}, "timestamps must have shape (3,), got (2,)"),
        ({"timestamps": HOURS[[0, 1, 1]]}, "is followed by 2024-01-01T01:00:00, expected a step"),
        ({"timestamps": HOURS[::-1]}, "timestamps must increase"),
        ({"timestamps": np.arange(3)}, "timestamps must be datetime64 in UTC"),
        ({"timestamps": [np.datetime64("NaT")] * 3}, "not a time"),
        ({"availability": np.full((3, 2), 1.5)}, "availability[0, 0] is 1.5"),
        ({"footprints": ("carbon", "carbon")}, "footprint 'carbon' is named more than once"),
    ],
)
def test_trace_refuses(changes: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        Trace(**TRACE | changes)


def test_a_view_of_what_may_change_is_copied() -> None:
    price = np.ones((1, 2))
    trace = Trace(**TRACE | {"price": np.broadcast_to(price, (3, 2))})
    price[:] = np.nan
    assert (trace.price == 1).all()


@pytest.mark.parametrize("weight", ["heavy", None, [1, 2]])
def test_objective_refuses_what_is_no_number(weight: object) -> None:
    with pytest.raises(DataError, match="equity_weight must map footprint kinds to numbers"):
        Objective(equity_weight={"carbon": weight})


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_objective_refuses(weight: float) -> None:
    with pytest.raises(
        DataError, match=r"weight of carbon is .*, expected a finite number of at least"
    ):
        Objective(equity_weight={"carbon": weight})


def with_number(name: str, number: float) -> object:
    """Make what holds the number with that name."""
    if name == "equity_weight":
        return Objective(equity_weight={"carbon": number})
    kind, others = (Trace, TRACE) if name in ("price", "intensity", "demand") else (Fleet, FLEET)
    shapes = {"routing_cost": (1, 2), "distance": (1, 2), "location": (2, 2)}
    array = np.ones(shapes.get(name) or np.shape(others[name]))
    array.flat[0] = number
    return kind(**others | {name: array})


NAMES = ["price", "intensity", "demand", "capacity", "routing_cost", "distance", "equity_weight"]
SIZES = st.floats(0, allow_nan=False, allow_infinity=False)


@given(st.sampled_from(NAMES), SIZES | SIZES.map(lambda x: x * 1e-300) | st.just(1e-50))
def test_every_number_is_0_or_of_a_size_that_products_keep(name: str, number: float) -> None:
    if number == 0 or 1e-50 <= number <= 1e50:
        with_number(name, number)
        return
    with pytest.raises(DataError) as caught:
        with_number(name, number)
    assert f" is {number}, expected a finite number" in str(caught.value)
    assert str(caught.value).endswith("that is 0 or from 1e-50 to 1e+50 in size")
    assert name.split("_")[-1] in str(caught.value)


def test_instance_refuses_parts_that_misfit() -> None:
    fleet, trace = Fleet(**FLEET), Trace(**TRACE)
    with pytest.raises(DataError, match="the objective weighs carbon"):
        Instance(fleet=fleet, trace=trace, objective=Objective(equity_weight={"carbon": 1}))
    wide = Trace(**TRACE | {"demand": np.ones((3, 2))})
    with pytest.raises(DataError, match="2 data centers and 2 gateways, the fleet 2 and 1"):
        Instance(fleet=fleet, trace=wide, objective=OBJECTIVE)


def test_demand_beyond_reach_names_slot_gateways_and_amount() -> None:
    fleet = Fleet(
        datacenters=("a", "b"),
        gateways=("x", "y", "z"),
        capacity=[1.0, 9.0],
        reachable=[[1, 0], [1, 0], [1, 1]],
    )
    demand = np.full((3, 3), 0.4)
    demand[1] = [0.7, 0.8, 0.1]
    with pytest.raises(InfeasibleError) as raised:
        Instance(fleet=fleet, trace=Trace(**TRACE | {"demand": demand}), objective=OBJECTIVE)
    assert str(raised.value) == (
        "slot 1 (2024-01-01T01:00:00 UTC): the gateways x, y ask for 1.5 MWh, "
        "0.5 MWh more than the data centers in their reach can serve"
    )


def test_the_objective_takes_the_order_of_the_trace() -> None:
    swapped = Objective(equity_weight={"water": 2.0, "carbon": 3.0})
    instance = Instance(fleet=Fleet(**FLEET), trace=Trace(**TRACE), objective=swapped)
    assert instance.objective.mu.tolist() == [3.0, 2.0]


def test_what_was_passed_in_can_change_without_harm() -> None:
    price = np.ones((3, 2))
    trace = Trace(**TRACE | {"price": price})
    price[:] = np.nan
    assert (trace.price == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        trace.price[0, 0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.price = price


@given(instances(batch=(2,)), st.data())
def test_windows_and_batches_keep_the_numbers(instance: Instance, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, instance.horizon - 1))
    length = data.draw(st.integers(1, instance.horizon - start))
    part = instance[1].window(start, length)
    cut = slice(start, start + length)
    np.testing.assert_array_equal(part.trace.price, instance.trace.price[1, cut])
    np.testing.assert_array_equal(part.trace.intensity, instance.trace.intensity[1, :, cut])
    np.testing.assert_array_equal(part.trace.timestamps, instance.trace.timestamps[1, cut])
    np.testing.assert_array_equal(part.capacity, instance.capacity[1, cut])
    again = Trace.stack([instance[0].trace, instance[1].trace])
    np.testing.assert_array_equal(again.demand, instance.trace.demand)
    with pytest.raises(DataError, match="are not within the trace's"):
        instance.window(start, instance.horizon + 1)


@given(instances(batch=(2,)), st.data())
def test_a_slot_holds_nothing_of_other_slots(instance: Instance, data: st.DataObject) -> None:
    t = data.draw(st.integers(0, instance.horizon - 1))
    slot = Slot.of(instance, t)
    for array in (slot.timestamp, slot.price, slot.intensity, slot.demand, slot.capacity):
        assert array.base is None
    np.testing.assert_array_equal(slot.price, instance.trace.price[:, t])
    np.testing.assert_array_equal(slot.intensity, instance.trace.intensity[:, :, t])
