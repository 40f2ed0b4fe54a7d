"""Was what is done possible, and what does it cost? Worked out here, from raw numbers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equiload.agents import Solution
from equiload.envs import Instance, Objective, Outcome, State
from equiload.envs.knobs.operation import Levels
from equiload.envs.typing import FloatArray


def close(one: float, other: float, solution: Solution, tolerance: float = 1e-6) -> bool:
    """Do two objectives agree, relative to the gross cost?"""
    return abs(one - other) <= tolerance * scale(solution)


def scale(solution: Solution) -> float:
    """The gross cost; or, where sun serves all, a little of what it would cost to buy all."""
    instance = solution.outcome.instance
    bought = np.abs(instance.trace.price) * instance.capacity * instance.fleet.pue
    return max(float(solution.outcome.gross), 1e-3 * float(bought.sum()), 1e-9)


def audited(
    outcome: Outcome,
    allocation: Callable[[int], FloatArray],
    start: State | None = None,
    ceiling: FloatArray | None = None,
) -> float:
    """``J`` of what is done, once all conditions hold; ``allocation(t) [J, N]`` of the requests.

    ``start`` and ``ceiling`` as the solvers take them; by default those of an episode.
    """
    instance, operation = outcome.instance, outcome.operation
    fleet, trace = instance.fleet, instance.trace
    T, N = trace.price.shape
    levels = Levels() if start is None else start.levels
    slack = 1e-9 * (1 + fleet.capacity.sum() * fleet.pue.max())
    load, cost = outcome.load, outcome.routing.sum()
    assert operation is not None
    inference = load
    if fleet.training is not None:
        work, late, waits = operation.work, operation.late, np.zeros(trace.work.shape[1])
        waits = waits if start is None else levels.waiting
        assert work.min(initial=0) >= 0
        assert late.min(initial=0) >= 0
        assert not work[:, ~fleet.training.reach(N)].any()
        for t in range(T):
            waits = waits + trace.work[t] - work[t].sum(-1) - late[t]
            recent = np.array([trace.work[max(t - h + 1, 0) : t + 1, c].sum() if h else 0.0
                               for c, h in enumerate(fleet.training.deadline)])  # fmt: skip
            assert (waits >= -slack).all()
            may_wait = recent if t < T - 1 else 0.0
            assert (waits <= (may_wait if ceiling is None else ceiling[t]) + slack).all()
        cost += (late * fleet.training.late_cost).sum()
        inference = load - work.sum(1)
    asked = trace.demand
    if fleet.models is not None:
        saved, (width, unit_loss) = operation.saved, fleet.models.steps
        asked = asked - saved
        for t, j in np.ndindex(saved.shape):
            assert -slack <= saved[t, j]
            left = saved[t, j]
            for step, loss in zip(width, unit_loss, strict=True):
                taken = min(left, trace.demand[t, j] * fleet.models.share[j] * step)
                cost += taken * loss * fleet.models.worth[j]
                left -= taken
            assert left <= slack
    for t in range(T):  # is inference what some routing within reach can bring there?
        assert inference[t].sum() == pytest.approx(asked[t].sum(), abs=slack)
        sent = allocation(t)
        assert sent.sum(0) == pytest.approx(inference[t], abs=slack)
        assert sent.sum(1) == pytest.approx(asked[t], abs=slack)
        assert sent.min() >= -slack
        assert not sent[~fleet.reachable].any()
    assert load.min() >= 0
    assert (load <= instance.capacity + slack).all()
    drawn = load * fleet.pue
    if fleet.servers is not None:
        idle, on = fleet.servers.idle, operation.on
        before = fleet.capacity if start is None else levels.on
        assert (load <= on + slack).all()
        assert (on <= instance.capacity + slack).all()
        drawn = fleet.pue * (idle * on + (1 - idle) * load)
        for t in range(T):
            cost += np.maximum(on[t] - before, 0) @ fleet.servers.start_cost
            before = on[t]
    taken = operation.grid.copy()
    if trace.generation is not None:
        assert operation.generation.min() >= 0
        assert (operation.generation <= trace.generation + slack).all()
        taken += operation.generation
    if fleet.storage is not None:
        battery, charge, discharge = fleet.storage, operation.charge, operation.discharge
        assert min(charge.min(), discharge.min()) >= 0
        assert (charge <= battery.charge + slack).all()
        assert (discharge <= battery.discharge + slack).all()
        assert (discharge <= drawn + charge + slack).all()
        stored = battery.initial if start is None else levels.stored
        for t in range(T):
            stored = stored + battery.charge_efficiency * charge[t]
            stored = stored - discharge[t] / battery.discharge_efficiency
            assert (stored >= -slack).all()
            assert (stored <= battery.energy + slack).all()
        missing = np.maximum(battery.initial - stored, 0)
        cost += (discharge * battery.wear).sum()
        cost += (missing * battery.refill_price / battery.charge_efficiency).sum()
        taken += discharge - charge
    assert operation.grid.min() >= 0
    np.testing.assert_allclose(taken, drawn, atol=slack)
    cost += (trace.price * operation.grid).sum()
    for k, weight in enumerate(instance.objective.mu):
        used = trace.intensity[k] * operation.grid
        if trace.onsite_intensity is not None:
            used = used + trace.onsite_intensity[k] * drawn
        by_region = np.zeros(len(fleet.regions)) if start is None else start.footprint[k].copy()
        np.add.at(by_region, fleet.region_of, used.sum(0))
        cost += weight * by_region.max()
    return float(cost)


def in_other_units(instance: Instance, load: float, money: float, footprint: float) -> Instance:
    """The same problem, where ``load`` is 1 MWh, ``money`` 1 US$/MWh, and ``footprint`` 1 t/MWh."""
    fleet, trace, weights = instance.fleet, instance.trace, instance.objective.equity_weight

    def times(unit: float, thing: Any, *names: str) -> Any:
        if thing is None:
            return None
        fields = {n: getattr(thing, n) for n in names}
        return dataclasses.replace(
            thing, **{n: None if v is None else unit * v for n, v in fields.items()}
        )

    storage = times(load, fleet.storage, "energy", "charge", "discharge", "initial")
    changed = dataclasses.replace(
        times(load, times(money, fleet, "routing_cost"), "capacity"),
        storage=times(money, storage, "wear", "refill_price"),
        servers=times(money, fleet.servers, "start_cost"),
        models=times(money, fleet.models, "worth"),
        training=times(money, fleet.training, "late_cost"),
    )
    series = times(load, times(money, trace, "price"), "demand", "generation", "work")
    return Instance(
        fleet=changed,
        trace=times(footprint, series, "intensity", "onsite_intensity"),
        objective=Objective(equity_weight={k: w * money / footprint for k, w in weights.items()}),
    )
