"""The market on tensors: equal to the compiled one, possible at every temperature, gradients."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from slots import drawn_case, drawn_slot, size_of, worth

from equiload.envs import DataError, Instance, Setting, Slot
from equiload.envs.data import synthetic
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels, complete, limits
from equiload.envs.knobs.prices import Prices
from equiload.envs.knobs.torch_market import TorchMarket


def tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def named(record: Any) -> dict[str, Any]:
    """What there is of prices, levels or an operation, by name."""
    every = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: value for name, value in every.items() if value is not None}


def in_tensors(record: Any) -> Any:
    return type(record)(**{name: tensor(value) for name, value in named(record).items()})


def slots_at(instance: Instance, at: list[int]) -> Slot:
    """Slots of one problem as a batch ``[B]``; the clock is the first one's."""
    taken = instance.series.map(lambda array: np.moveaxis(array[..., at, :], -2, 0))
    return Slot.at(taken, at[0], instance.trace.timestamps[at[0]])


def drawn_slots(rng: np.random.Generator, count: int) -> tuple[Instance, Slot, Prices, Levels]:
    """``count`` random slots of one random problem with random parts, prices and levels."""
    instance, *_ = drawn_case(rng)
    drawn = [drawn_slot(rng, instance) for _ in range(count)]
    at, prices, levels = (list(column) for column in zip(*drawn, strict=True))

    def together(records: list[Any]) -> Any:
        names = named(records[0])
        return type(records[0])(**{n: np.stack([getattr(r, n) for r in records]) for n in names})

    return instance, slots_at(instance, at), together(prices), together(levels)


def test_what_is_not_said_is_completed_as_by_the_kernel() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        instance, slot, prices, levels = drawn_slots(rng, 3)
        fleet, setting = instance.fleet, Setting.of(instance)
        best = Market(fleet).clear(slot, prices, levels, setting.physics)
        less = best.operation.map(lambda array: array * rng.random(array.shape))
        wanted = replace(best.operation, on=None, late=None, generation=None)
        if fleet.storage is not None:
            charge = np.minimum(less.charge, limits(levels.stored, fleet)[0])
            wanted = replace(wanted, charge=charge, discharge=0.0 * charge)
        if fleet.training is not None and rng.random() < 0.5:
            wanted = replace(wanted, work=less.work)
        done = complete(best.allocation, wanted, slot, levels, fleet)
        again = complete(
            tensor(best.allocation),
            in_tensors(wanted),
            Slot.at(slot.map(tensor), slot.index, slot.timestamp),
            in_tensors(levels),
            fleet.to(tensor),
        )
        atol = 1e-12 * size_of(instance)
        assert named(done).keys() == named(again).keys()
        for name, array in named(done).items():
            np.testing.assert_allclose(array, named(again)[name], atol=atol, err_msg=name)


@pytest.mark.parametrize("seed", range(2))
def test_exact_decisions_are_the_kernels(seed: int) -> None:
    compare(np.random.default_rng(seed), fleets=50)


@pytest.mark.slow
def test_exact_decisions_are_the_kernels_ten_thousand_times() -> None:
    compare(np.random.default_rng(2), fleets=500)


def compare(rng: np.random.Generator, fleets: int) -> None:
    """Twenty slots of each fleet, at once."""
    for number in range(fleets):
        instance, slot, prices, levels = drawn_slots(rng, 20)
        fleet, physics = instance.fleet, Setting.of(instance).physics
        expected = Market(fleet).clear(slot, prices, levels, physics)
        inputs = (in_tensors(prices), in_tensors(levels), on_tensors := physics.to(tensor))
        found = TorchMarket(fleet, on_tensors).clear(in_slot(slot), *inputs)
        size, done = size_of(instance), named(found.operation)
        np.testing.assert_allclose(found.load.numpy(), expected.load, atol=1e-9 * size)
        # Costs of both signs may cancel: then only what float64 holds of the terms is alike.
        pairs = 0.0 if fleet.routing_cost is None else np.abs(fleet.routing_cost).max()
        atol = 1e-9 + 4 * np.finfo(np.float64).eps * size * pairs
        np.testing.assert_allclose(found.routing.numpy(), expected.routing, rtol=1e-9, atol=atol)
        assert done.keys() == named(expected.operation).keys()
        for name, value in named(expected.operation).items():
            room: Any = 1e-9 * size
            exact = value.sum(-1, keepdims=True) if name == "work" else value
            beyond = abs(done[name].numpy() - exact)
            if name == "on":  # so much more of it may idle for so much less load
                room = room / np.where(fleet.servers.idle > 0, fleet.servers.idle, 1.0)
            assert (beyond <= room).all(), (number, name, instance.knobs)


def in_slot(slot: Slot) -> Slot:
    return Slot.at(slot.map(tensor), slot.index, slot.timestamp)


@pytest.mark.parametrize("temperature", [1e-9, 1e-3, 1.0])
def test_soft_decisions_are_possible_and_near_the_best(temperature: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        instance, t, prices, levels = drawn_case(rng)
        if instance.fleet.routing_cost is not None:
            continue
        fleet, slot = instance.fleet, Slot.of(instance, t)
        physics = Setting.of(instance).physics
        money = float(np.abs(instance.series.price).mean()) or 1.0
        market = TorchMarket(fleet, moved := physics.to(tensor), temperature=temperature * money)
        soft = market.clear(in_slot(slot), in_tensors(prices), in_tensors(levels), moved)
        exact = Market(fleet)
        operation = type(soft.operation)(**{n: v.numpy() for n, v in named(soft.operation).items()})
        left = slot.demand - (0.0 if operation.saved is None else operation.saved)
        if operation.work is not None:
            left = np.concatenate([left, operation.work[:, 0]])
        sends = exact._rows.split(soft.load.numpy(), left)
        J = len(fleet.gateways)
        if operation.work is not None:
            operation = replace(operation, work=sends[J:])
        played = replace(soft, allocation=sends[:J], operation=operation)
        best = exact.clear(slot, prices, levels, physics)
        ours, least = (worth(d, instance, t, prices, levels) for d in (played, best))
        size = size_of(instance) * (len(fleet.datacenters) + 1)
        assert -1e-9 <= (ours - least) / (size * money) <= temperature + 1e-9


@pytest.mark.parametrize(
    ("reachability", "knobs"),
    [*(("full", part) for part in ("storage", "servers", "training", "all")), ("partial", "all")],
)
def test_gradients_in_prices_levels_and_demand(reachability: str, knobs: str) -> None:
    instance = synthetic(2, horizon=24, regions=4, knobs=knobs, reachability=reachability)
    market, slot, physics, rng = softened(instance, 8)
    fleet = physics.fleet

    def some(like: torch.Tensor) -> torch.Tensor:
        return like * tensor(rng.uniform(0.2, 0.8, like.shape))

    given = {"weights": tensor(rng.dirichlet(np.ones(4), size=2)), "demand": slot.demand}
    if fleet.storage is not None:
        given |= {"stored": 40 + some(slot.price), "level": some(fleet.storage.energy)}
    if fleet.training is not None:
        given |= {"waiting": 40 + some(0 * slot.work + 50), "queue": some(slot.ceiling)}
    if fleet.servers is not None:
        given |= {"on": some(fleet.servers.start_cost), "before": some(slot.capacity)}

    def decided(*values: torch.Tensor) -> torch.Tensor:
        now = dict(zip(given, values, strict=True))
        levels = Levels(now.get("level"), now.get("queue"), now.get("before"))
        worths = {name: now.get(name) for name in ("stored", "waiting", "on")}
        here = replace(slot, demand=now["demand"])
        decision = market.clear(here, Prices(now["weights"], **worths), levels, physics)
        done = named(decision.operation).values()
        return torch.cat([decision.load, *(value.ravel() for value in done)])

    inputs = [value.clone().requires_grad_() for value in given.values()]
    assert torch.autograd.gradcheck(decided, inputs, eps=1e-5, atol=1e-5, rtol=1e-4)


def softened(instance: Instance, t: int) -> tuple[TorchMarket, Slot, Any, np.random.Generator]:
    physics = Setting.of(instance).physics.to(tensor)
    market = TorchMarket(instance.fleet, physics, temperature=8.0)
    return market, in_slot(Slot.of(instance, t)), physics, np.random.default_rng(3)


def test_single_precision_is_kept_and_near() -> None:
    instance = synthetic("validation/2", horizon=24, knobs="all")
    found = {}
    for dtype in (torch.float32, torch.float64):
        convert: Callable[[Any], torch.Tensor] = lambda a: torch.tensor(a, dtype=dtype)  # noqa: B023, E731
        physics = Setting.of(instance).physics.to(convert)
        market = TorchMarket(instance.fleet, physics, temperature=5.0)
        slot = Slot.of(instance, 3)
        levels = Levels.start(instance.fleet, ()).map(convert)
        prices = Prices(torch.full((2, 10), 0.1, dtype=dtype), stored=torch.full((10,), 50.0))
        taken = Slot.at(slot.map(convert), 3, slot.timestamp)
        found[dtype] = market.clear(taken, prices, levels, physics).operation
        assert found[dtype].grid.dtype == dtype
    for name, value in named(found[torch.float64]).items():
        near = named(found[torch.float32])[name].double()
        torch.testing.assert_close(near, value, atol=1e-4, rtol=1e-3)


def test_in_single_precision_work_waits_rather_than_be_given_up() -> None:
    instance = synthetic("validation/2", horizon=24, knobs="training")
    convert: Callable[[Any], torch.Tensor] = lambda a: torch.tensor(a, dtype=torch.float32)  # noqa: E731
    physics = Setting.of(instance).physics.to(convert)
    slot = Slot.of(instance, 3)
    tight = slot.map(convert)
    full = tight.capacity * tight.demand.sum() / tight.capacity.sum()  # no room for work
    taken = replace(Slot.at(tight, 3, slot.timestamp), capacity=full * 1.001)
    levels = Levels.start(instance.fleet, ()).map(convert)
    prices = Prices(torch.full((2, 10), 0.1))
    done = TorchMarket(instance.fleet, physics).clear(taken, prices, levels, physics).operation
    assert taken.work.sum() > 0.1
    assert done.late.abs().max() < 1e-5


def test_a_temperature_with_routing_cost_is_refused() -> None:
    instance = synthetic("validation/2", horizon=24, knobs="storage")
    pairs = np.ones(instance.fleet.reachable.shape)
    instance = instance.replace(fleet=instance.fleet.replace(routing_cost=pairs))
    market, slot, physics, _ = softened(instance, 0)
    levels = in_tensors(Levels.start(instance.fleet, ()))
    with pytest.raises(DataError, match="a temperature needs a fleet without routing cost"):
        market.clear(slot, Prices(torch.full((2, 10), 0.1).double()), levels, physics)
