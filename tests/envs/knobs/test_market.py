"""A slot cleared by the merit order is a slot solved as a linear program."""

import numpy as np
import pytest
from scipy.optimize import linprog
from slots import drawn_case, size_of, worth

from equiload.envs import Fleet, Instance, Setting, Slot
from equiload.envs.data import synthetic
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels, stored_by
from equiload.envs.knobs.prices import Prices


class SlotProgram:
    """The linear program of one slot at shadow prices, written out variable by variable."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.bounds: list[tuple[float, float | None]] = []
        self.equal: list[tuple[dict[int, float], float]] = []
        self.below: list[tuple[dict[int, float], float]] = []

    def variable(self, cost: float, most: float | None = None) -> int:
        self.cost.append(cost)
        self.bounds.append((0.0, most))
        return len(self.cost) - 1

    def solve(self) -> float:
        def rows(kind: list[tuple[dict[int, float], float]]) -> tuple[np.ndarray, np.ndarray]:
            matrix = np.zeros((len(kind), len(self.cost)))
            for r, (row, _) in enumerate(kind):
                for column, value in row.items():
                    matrix[r, column] += value
            return matrix, np.array([right for _, right in kind])

        # In units in which the numbers are near 1: the solver's tolerances are absolute.
        cost = np.array(self.cost)
        money = np.abs(cost).max() or 1.0
        (below, most), (equal, right) = rows(self.below), rows(self.equal)
        size = max(most.max(), right.max(), 1e-300)
        bounds = [(0.0, None if high is None else high / size) for _, high in self.bounds]
        result = linprog(cost / money, below, most / size, equal, right / size, bounds)
        assert result.status == 0, result.message
        return float(result.fun) * money * size


def program(instance: Instance, t: int, prices: Prices, levels: Levels) -> float:
    """Least cost of slot ``t`` of one problem at prices, from the levels before it."""
    fleet, mu = instance.fleet, instance.objective.mu
    slot = Slot.of(instance, t)
    N, J = len(fleet.datacenters), len(fleet.gateways)
    per_unit = mu[:, None] * prices.weights[:, fleet.region_of]
    price = slot.price + (per_unit * slot.intensity).sum(0)
    onsite = np.zeros(N)
    if slot.onsite_intensity is not None:
        onsite = (per_unit * slot.onsite_intensity).sum(0)
    lp = SlotProgram()
    pairs = np.zeros((J, N)) if fleet.routing_cost is None else fleet.routing_cost
    serving: list[list[int]] = [[] for _ in range(N)]  # variables of each data center's load
    for j in range(J):
        row = {}
        for i in np.flatnonzero(fleet.reachable[j]):
            row[y := lp.variable(pairs[j, i])] = 1.0
            serving[i].append(y)
        if fleet.models is not None:
            room, unit = fleet.models.room(slot.demand), fleet.models.unit_cost
            for h in range(room.shape[-1]):
                row[lp.variable(unit[j, h], room[j, h])] = 1.0
        lp.equal.append((row, slot.demand[j]))
    if fleet.training is not None:
        for c, reach in enumerate(fleet.training.reach(N)):
            row = {lp.variable(prices.waiting[c], slot.ceiling[c]): 1.0}
            row[lp.variable(fleet.training.late_cost[c])] = 1.0
            for i in np.flatnonzero(reach):
                row[z := lp.variable(0.0)] = 1.0
                serving[i].append(z)
            lp.equal.append((row, levels.waiting[c] + slot.work[c]))
    for i in range(N):
        load = dict.fromkeys(serving[i], 1.0)
        lp.below.append((load, slot.capacity[i]))
        idle, drawn = 0.0, {}
        if fleet.servers is not None:
            idle = fleet.servers.idle[i]
            n = lp.variable(-prices.on[i], slot.capacity[i])
            up = lp.variable(fleet.servers.start_cost[i])
            lp.below.append(({**load, n: -1.0}, 0.0))
            lp.below.append(({n: 1.0, up: -1.0}, levels.on[i]))
            drawn[n] = fleet.pue[i] * idle
        drawn |= dict.fromkeys(serving[i], fleet.pue[i] * (1 - idle))
        for column, amount in drawn.items():
            lp.cost[column] += onsite[i] * amount
        balance = {column: -amount for column, amount in drawn.items()}
        balance[lp.variable(price[i])] = 1.0
        if slot.generation is not None:
            balance[lp.variable(0.0, slot.generation[i])] = 1.0
        if fleet.storage is not None:
            store, level = fleet.storage, levels.stored[i]
            into, out = store.charge_efficiency[i], store.discharge_efficiency[i]
            theta = prices.stored[i]
            most = min(store.charge[i], (store.energy[i] - level) / into)
            balance[lp.variable(-theta * into, most)] = -1.0
            most = min(store.discharge[i], level * out)
            balance[lp.variable(store.wear[i] + theta / out, most)] = 1.0
        lp.equal.append((balance, 0.0))
    return lp.solve()


def value(instance: Instance, t: int, prices: Prices, levels: Levels) -> float:
    """What the market's decision costs in the same terms, once it is known to be possible."""
    physics = Setting.of(instance).physics
    decision = Market(instance.fleet).clear(Slot.of(instance, t), prices, levels, physics)
    return worth(decision, instance, t, prices, levels)


@pytest.mark.parametrize("seed", range(4))
def test_the_merit_order_is_the_linear_program(seed: int) -> None:
    _compare(np.random.default_rng(seed), slots=100)


@pytest.mark.slow
def test_the_merit_order_is_the_linear_program_ten_thousand_times() -> None:
    _compare(np.random.default_rng(4), slots=10_000)


def _compare(rng: np.random.Generator, slots: int) -> None:
    for number in range(slots):
        instance, t, prices, levels = drawn_case(rng)
        least, ours = (f(instance, t, prices, levels) for f in (program, value))
        money = float(np.abs(instance.series.price).mean()) or 1.0
        scale = max(abs(least), money * size_of(instance))
        assert abs(ours - least) <= 1e-6 * scale, (number, instance.knobs, ours, least)


def test_what_has_no_price_does_nothing_that_it_need_not() -> None:
    day = synthetic(1, horizon=24, regions=3, knobs="all")
    slot, levels = Slot.of(day, 0), Levels.start(day.fleet, ())
    prices, physics = Prices(np.full((2, 3), 1 / 3)), Setting.of(day).physics
    decision = Market(day.fleet).clear(slot, prices, levels, physics)
    done = decision.operation
    assert done is not None
    assert (done.charge == 0).all()
    assert (done.discharge == 0).all()
    assert (done.on == decision.load).all()
    # Work is done as soon as it fits, and here all of it does.
    np.testing.assert_allclose(done.work.sum(-1), slot.work, rtol=1e-9)


def test_sending_may_cost_nothing_but_in_a_hair_of_room() -> None:
    fleet = Fleet(
        datacenters=["a", "b", "c"],
        gateways=["u", "v"],
        capacity=[1.0, 1.0, 1.0],
        reachable=[[0, 1, 1], [1, 0, 1]],
        routing_cost=[[10.1, -0.4, 0.0], [0.0, -4.5, -0.3]],
    )
    load, demand = np.array([0.8, 0.0, 0.2]), np.array([0.2, 0.8])
    sends = Market(fleet).sent(load, demand, demand)[1]
    np.testing.assert_allclose(sends, [[0.0, 0.0, 0.2], [0.8, 0.0, 0.0]], atol=1e-11)


def test_levels_after_the_slot_lie_between_those_that_are_asked_for() -> None:
    day = synthetic(1, horizon=24, regions=3, knobs="storage")
    slot, levels = Slot.of(day, 0), Levels.start(day.fleet, ())
    physics, storage = Setting.of(day).physics, day.fleet.storage
    assert storage is not None
    for theta in (-1e3, 1e4):  # it would empty the batteries, or fill them
        prices = Prices(np.full((2, 3), 1 / 3), stored=np.full(3, theta))
        near = 0.999 * levels.stored, 1.001 * levels.stored
        done = Market(day.fleet).clear(slot, prices, levels, physics, near).operation
        assert done is not None
        level = levels.stored + stored_by(done, day.fleet)
        np.testing.assert_allclose(level, near[0] if theta < 0 else near[1], rtol=1e-9)
