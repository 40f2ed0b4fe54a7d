"""Random slots of random problems with random parts, prices and levels; what decisions cost."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from equiload.envs import Instance, Objective, Slot
from equiload.envs.dynamics import Decision
from equiload.envs.knobs.operation import Levels, complete, costs, draw, stored_by
from equiload.envs.knobs.prices import Prices
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import random_problems


def worth(decision: Decision, instance: Instance, t: int, prices: Prices, levels: Levels) -> float:
    """What a decision costs at prices, in slot ``t``, once it is known to be possible."""
    fleet, mu, slot = instance.fleet, instance.objective.mu, Slot.of(instance, t)
    done = complete(decision.allocation, decision.operation, slot, levels, fleet)
    sent = decision.allocation.sum(-1)
    expected = slot.demand if done.saved is None else slot.demand - done.saved
    np.testing.assert_allclose(sent, expected, atol=1e-9 * max(slot.demand.max(), 1e-300))
    load = decision.allocation.sum(-2) + (0.0 if done.work is None else done.work.sum(-2))
    np.testing.assert_allclose(done.grid, decision.operation.grid, atol=1e-9 * size_of(instance))
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


def size_of(instance: Instance) -> float:
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
    instance = balanced_problem(rng, [name for name in KNOBS if rng.random() < 0.6])
    return instance, *drawn_slot(rng, instance)


def drawn_slot(rng: np.random.Generator, instance: Instance) -> tuple[int, Prices, Levels]:
    """A slot of a problem, with random prices and levels."""
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
    return t, prices, levels


def balanced_problem(rng: np.random.Generator, knobs: Sequence[str]) -> Instance:
    """A random problem with random parts, whose footprints cost about as much as its energy."""
    instance = random_problems(rng, 1)[0]
    trace = instance.trace
    money = float(np.abs(trace.price).mean())
    mean = trace.intensity.mean((-1, -2))
    weights = np.divide(money * rng.uniform(0, 2), mean, out=np.zeros(len(mean)), where=mean > 0)
    kinds = dict(zip(trace.footprints, weights, strict=True))
    fleet, pairs = instance.fleet, instance.fleet.routing_cost
    if pairs is not None:
        fleet = fleet.replace(routing_cost=pairs * (money / 5))
    balanced = instance.replace(fleet=fleet, objective=Objective(equity_weight=kinds))
    return with_random_knobs(rng, balanced, knobs)
