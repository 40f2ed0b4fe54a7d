"""PyPSA's optimum of random small problems beside eGLB-Off's: one line each, `ours theirs gross`.

What PyPSA has components for: panels, batteries, work that waits, smaller models, full reach; the
equity term and what refilling costs are added to its model. test_offline_knobs.py runs it.
"""

import sys
from dataclasses import replace

import numpy as np
import pypsa

from equiload.agents import EGLBOff
from equiload.envs import Instance, Trace
from equiload.envs.data import synthetic
from equiload.testing.knobs import with_random_knobs

KNOBS = ("storage", "models", "training", "generation")


def problem(seed: int) -> Instance:
    rng = np.random.default_rng(seed)
    drawn = synthetic(f"train/{seed}", horizon=8, sites=4, regions=3)
    chosen = [name for name in KNOBS if rng.random() < 0.7]
    trace: Trace = drawn.trace
    # Now and then below 0.
    price = np.where(rng.random(trace.price.shape) < 0.1, -trace.price, trace.price)
    found = with_random_knobs(rng, drawn.replace(trace=trace.replace(price=price)), chosen)
    if found.fleet.training is None:
        return found
    everywhere = replace(found.fleet.training, reachable=None)
    return found.replace(fleet=found.fleet.replace(training=everywhere))


def theirs(instance: Instance) -> float:
    """``J`` by PyPSA; energy in MWh per slot of an hour."""
    fleet, trace = instance.fleet, instance.trace
    n = pypsa.Network()
    n.set_snapshots(range(instance.horizon))
    n.add("Bus", "compute")
    n.add("Load", "demand", bus="compute", p_set=trace.demand.sum(-1))
    for i, name in enumerate(fleet.datacenters):
        n.add("Bus", name)
        n.add("Generator", f"grid {name}", bus=name, p_nom=1e3, marginal_cost=trace.price[:, i])
        n.add("Link", f"load {name}", bus0=name, bus1="compute", efficiency=1 / fleet.pue[i],
              p_nom=fleet.capacity[i] * fleet.pue[i],
              p_max_pu=instance.capacity[:, i] / max(fleet.capacity[i], 1e-300))  # fmt: skip
        if trace.generation is not None:
            sun = trace.generation[:, i]
            n.add("Generator", f"sun {name}", bus=name, p_nom=1.0, p_max_pu=sun)
        if fleet.storage is not None:
            add_battery(n, instance, i)
    if fleet.models is not None:
        room, unit = fleet.models.room(trace.demand), fleet.models.unit_cost
        for j, h in np.ndindex(unit.shape):
            n.add("Generator", f"saved {j} {h}", bus="compute", p_nom=1.0,
                  p_max_pu=room[:, j, h], marginal_cost=unit[j, h])  # fmt: skip
    if fleet.training is not None:
        for c, name in enumerate(fleet.training.classes):
            add_work(n, instance, c, name)
    n.optimize.create_model()
    add_equity(n, instance)
    if fleet.storage is not None:
        add_refill(n, instance)
    status, condition = n.optimize.solve_model(solver_name="highs", log_to_console=False)
    assert status == "ok", condition
    return float(n.model.objective.value)


def add_battery(n: pypsa.Network, instance: Instance, i: int) -> None:
    """A store with a link into it and one out of it; see `add_refill`."""
    battery, name = instance.fleet.storage, instance.fleet.datacenters[i]
    into, out = battery.charge_efficiency[i], battery.discharge_efficiency[i]
    store = f"battery {name}"
    n.add("Bus", store)
    n.add("Link", f"charge {name}", bus0=name, bus1=store, p_nom=battery.charge[i], efficiency=into)
    n.add("Link", f"discharge {name}", bus0=store, bus1=name, p_nom=battery.discharge[i] / out,
          efficiency=out, marginal_cost=battery.wear[i] * out)  # fmt: skip
    n.add("Store", store, bus=store, e_nom=battery.energy[i], e_initial=battery.initial[i])


def add_work(n: pypsa.Network, instance: Instance, c: int, name: str) -> None:
    """What waits is a store below 0."""
    n.add("Bus", name)
    n.add("Load", name, bus=name, p_set=instance.trace.work[:, c])
    n.add("Link", f"done {name}", bus0="compute", bus1=name, p_nom=1e3)
    n.add("Generator", f"late {name}", bus=name, p_nom=1e3,
          marginal_cost=instance.fleet.training.late_cost[c])  # fmt: skip
    n.add("Store", name, bus=name, e_nom=1.0, e_min_pu=-instance.series.ceiling[:, c], e_max_pu=0.0)


def add_equity(n: pypsa.Network, instance: Instance) -> None:
    fleet, trace = instance.fleet, instance.trace
    power = n.model["Generator-p"]
    for k, kind in enumerate(trace.footprints):
        highest = n.model.add_variables(lower=0, name=f"highest {kind}")
        for r, region in enumerate(fleet.regions):
            used = sum(
                (power.sel(name=f"grid {fleet.datacenters[i]}") * trace.intensity[k, :, i]).sum()
                for i in np.flatnonzero(fleet.region_of == r)
            )
            n.model.add_constraints(used - highest <= 0, name=f"{kind} of {region}")
        n.model.objective += instance.objective.mu[k] * highest


def add_refill(n: pypsa.Network, instance: Instance) -> None:
    """What is missing of the initial charge after the last slot, bought."""
    battery, last = instance.fleet.storage, instance.horizon - 1
    for i, name in enumerate(instance.fleet.datacenters):
        missing = n.model.add_variables(lower=0, name=f"missing {name}")
        level = n.model["Store-e"].sel(name=f"battery {name}", snapshot=last)
        n.model.add_constraints(level + missing >= battery.initial[i], name=f"refill {name}")
        n.model.objective += battery.refill_price[i] / battery.charge_efficiency[i] * missing


for seed in range(int(sys.argv[1])):
    instance = problem(seed)
    solution = EGLBOff().solve(instance)
    print(solution.objective, theirs(instance), float(solution.outcome.gross))
