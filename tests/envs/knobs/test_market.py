"""A slot cleared by the merit order is a slot solved as a linear program."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from equiload.envs import Instance, Objective, Setting, Slot
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels, complete, costs, draw, stored_by
from equiload.envs.knobs.prices import Prices
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import random_problems


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
    fleet, mu, slot = instance.fleet, instance.objective.mu, Slot.of(instance, t)
    setting = Setting.of(instance)
    decision = Market(fleet).clear(slot, prices, levels, setting.physics)
    done = complete(decision.allocation, decision.operation, slot, levels, fleet)
    sent = decision.allocation.sum(-1)
    expected = slot.demand if done.saved is None else slot.demand - done.saved
    np.testing.assert_allclose(sent, expected, atol=1e-9 * max(slot.demand.max(), 1e-300))
    load = decision.allocation.sum(-2) + (0.0 if done.work is None else done.work.sum(-2))
    np.testing.assert_allclose(done.grid, decision.operation.grid, atol=1e-9 * _size(instance))
    per_unit = mu[:, None] * prices.weights[:, fleet.region_of]
    total = ((slot.price + (per_unit * slot.intensity).sum(0)) * done.grid).sum()
    if slot.onsite_intensity is not None:
        drawn = draw(load, done.on, fleet)
        total += ((per_unit * slot.onsite_intensity).sum(0) * drawn).sum()
    if fleet.routing_cost is not None:
        total += (decision.allocation * fleet.routing_cost).sum()
    total += sum(costs(done, slot.demand, levels.on, fleet).values())
    if fleet.storage is not None:
        total -= (prices.stored * stored_by(done, fleet)).sum()
    if fleet.servers is not None:
        total -= (prices.on * done.on).sum()
    if fleet.training is not None:
        waits = levels.waiting + slot.work - done.work.sum(-1) - done.late
        total += (prices.waiting * waits).sum()
    return float(total)


def _size(instance: Instance) -> float:
    """MWh: of the order of what may be done in a slot."""
    fleet, work = instance.fleet, instance.trace.work
    sizes = [1e-300, float((fleet.capacity * fleet.pue).max())]
    if fleet.storage is not None:
        sizes.append(float(fleet.storage.energy.max()))
    if work is not None:
        sizes.append(float(work.max()))
    return max(sizes)


def drawn_case(rng: np.random.Generator) -> tuple[Instance, int, Prices, Levels]:
    """A random slot of a random problem with a random subset of parts, prices and levels."""
    knobs = [name for name in KNOBS if rng.random() < 0.6]
    instance = with_random_knobs(rng, _balanced(rng, random_problems(rng, 1)[0]), knobs)
    fleet, series = instance.fleet, instance.series
    N, R, t = len(fleet.datacenters), len(fleet.regions), int(rng.integers(instance.horizon))
    money = float(np.abs(series.price).mean()) or 1.0
    weights = rng.dirichlet(np.ones(R), size=len(instance.objective.mu))
    # Prices that tie with the grid's, now and then, and worths of stored energy below 0.
    theta = np.where(rng.random(N) < 0.2, series.price[t], money * rng.uniform(-1, 3, N))
    prices, levels = Prices(weights), Levels()
    if fleet.storage is not None:
        level = fleet.storage.energy * rng.choice([0.0, rng.random(), 1.0], N)
        prices, levels = replace(prices, stored=theta), replace(levels, stored=level)
    if fleet.servers is not None:
        hold = fleet.servers.start_cost * rng.choice([0.0, rng.random(), 1.0], N)
        on = fleet.capacity * rng.choice([0.0, rng.random(), 1.0], N)
        prices, levels = replace(prices, on=hold), replace(levels, on=on)
    if fleet.training is not None:
        waiting = series.ceiling[t - 1] * rng.random() if t else 0.0 * series.ceiling[0]
        pi = fleet.training.late_cost * rng.uniform(0, 1.2, len(fleet.training.classes))
        prices, levels = replace(prices, waiting=pi), replace(levels, waiting=waiting)
    return instance, t, prices, levels


def _balanced(rng: np.random.Generator, instance: Instance) -> Instance:
    """The problem with equity weights at which footprints cost about as much as energy."""
    trace = instance.trace
    money = float(np.abs(trace.price).mean())
    mean = trace.intensity.mean((-1, -2))
    weights = np.divide(money * rng.uniform(0, 2), mean, out=np.zeros(len(mean)), where=mean > 0)
    kinds = dict(zip(trace.footprints, weights, strict=True))
    fleet, pairs = instance.fleet, instance.fleet.routing_cost
    if pairs is not None:
        fleet = fleet.replace(routing_cost=pairs * (money / 5))
    return instance.replace(fleet=fleet, objective=Objective(equity_weight=kinds))


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
        scale = max(abs(least), money * _size(instance))
        assert abs(ours - least) <= 1e-6 * scale, (number, instance.knobs, ours, least)
