"""Cost of the layer: a blended batch of slots, a projected slot, a step, a pass of gradients."""

import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from equiload.agents import EGLB, WithKnobs
from equiload.envs import Fleet, Objective, Setting, Slot
from equiload.envs.data import synthetic
from equiload.envs.gym import DifferentiableSimulator, GLBVectorEnv
from equiload.robust import Bounds, EnvironmentLayer, Projector, SafeSet, blend


def problem(batch: tuple[int, ...], rho: float):
    rng = np.random.default_rng(0)
    N = 10
    fleet = Fleet(
        datacenters=tuple(f"dc{i}" for i in range(N)),
        gateways=tuple(f"gw{j}" for j in range(N)),
        capacity=np.ones(N),
    )
    objective = Objective(equity_weight={"carbon": 1500.0, "water": 60.0})
    safe = SafeSet(Setting(fleet, objective, 10, batch), rho=rho)
    price, intensity = rng.uniform(10, 90, (*batch, N)), rng.uniform(0, 1, (*batch, 2, N))
    demand = rng.uniform(0.3, 0.7, (*batch, N))
    slot = Slot(
        price,
        intensity,
        demand,
        np.ones((*batch, N)),
        index=0,
        timestamp=np.datetime64("2024-01-01"),
    )
    expert, advice = (
        fleet.dispatch.allocation(rng.normal(size=(*batch, N)), demand, slot.capacity)
        for _ in range(2)
    )
    return safe.turn(None, slot, expert), advice


@pytest.mark.parametrize("batch", [1, 64, 1024])
def test_blend(benchmark: BenchmarkFixture, batch: int) -> None:
    benchmark.group = "Robust layer: a slot"
    benchmark.extra_info["row"] = f"blend, batch of {batch}"
    played = benchmark(blend, *problem((batch,), 0.05))
    benchmark.extra_info["rows a second"] = batch / benchmark.stats.stats.median
    assert ((played.alpha >= 0) & (played.alpha <= 1)).all()


def test_project_a_slot(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "Robust layer: a slot"
    benchmark.extra_info["row"] = "project"
    turn, advice = problem((), 0.01)
    project = Projector(turn.safe).project
    benchmark(project, turn.followed, turn.rates, turn.slot.demand, turn.expert, advice)
    assert benchmark.stats.stats.median < 2e-3


class Timed(EGLB):
    """eGLB that counts its own seconds."""

    seconds = 0.0

    def loads(self, slot, state):
        began = time.perf_counter()
        load = super().loads(slot, state)
        self.seconds += time.perf_counter() - began
        return load


@pytest.mark.parametrize("action", ["shadow_prices", "routing"])
@pytest.mark.parametrize("reachability", ["full", "partial"])
@pytest.mark.parametrize("count", [1024, 16384])
def test_share_of_the_environment(
    benchmark: BenchmarkFixture, count: int, reachability: str, action: str
) -> None:
    """What the layer adds to a step, without and with its expert; plain steps in between.

    ``extra_info``: shares of the plain step's median. Random actions, new in every slot.
    """
    benchmark.group = "Robust layer: what it adds to a step, as a share of the plain step"
    benchmark.extra_info["row"] = f"batch of {count}, {reachability}, {action}"
    world = synthetic(0, horizon=336, batch=4, reachability=reachability)
    options = {"instance": world, "horizon": 168, "action": action}
    plain = GLBVectorEnv(count, **options)
    layered = GLBVectorEnv(count, layer=EnvironmentLayer(Timed(), rho=0.1), **options)
    layers = [core.layer for _, core in layered.shards]
    actions = np.random.default_rng(0).uniform(-1, 1, (8, *plain.action_space.shape))
    plain.reset(seed=0)
    layered.reset(seed=0)
    times: dict[str, list[float]] = {"plain": [], "layered": [], "expert": []}
    alphas = []

    def both(t: int) -> None:
        before = sum(layer.expert.seconds for layer in layers)
        moments = [time.perf_counter()]
        plain.step(actions[t % 8])
        moments.append(time.perf_counter())
        *_, info = layered.step(actions[t % 8])
        moments.append(time.perf_counter())
        times["plain"].append(moments[1] - moments[0])
        times["layered"].append(moments[2] - moments[1])
        cores = min(len(layers), 2)  # shards run side by side
        seconds = sum(layer.expert.seconds for layer in layers) - before
        times["expert"].append(seconds / cores)
        alphas.append(info["alpha"].mean())

    slots = iter(range(10_000))
    benchmark.pedantic(lambda: both(next(slots)), rounds=60, warmup_rounds=3)
    typical = {name: float(np.median(values[3:])) for name, values in times.items()}
    added = typical["layered"] - typical["plain"]
    benchmark.extra_info["plain, microseconds an episode"] = 1e6 * typical["plain"] / count
    benchmark.extra_info["layer and expert"] = added / typical["plain"]
    benchmark.extra_info["layer alone"] = (added - typical["expert"]) / typical["plain"]
    benchmark.extra_info["mean alpha"] = float(np.mean(alphas))
    assert added > 0


@pytest.mark.parametrize("action", ["shadow_prices", "routing"])
@pytest.mark.parametrize("knobs", [None, "all"])
def test_a_pass_through_the_simulator(
    benchmark: BenchmarkFixture, knobs: str | None, action: str
) -> None:
    """Forward and backward, 64 episodes of 24 slots; passes without the layer in between.

    ``extra_info``: processor seconds of the medians.
    """
    benchmark.group = "Robust layer: forward and backward through the simulator"
    benchmark.extra_info["row"] = f"{action}, knobs: {knobs or 'none'}"
    worlds = synthetic(7, horizon=24, batch=64, knobs=knobs or [])
    expert = WithKnobs(EGLB()) if knobs else EGLB()
    layer = EnvironmentLayer(expert, rho=0.1, bounds=Bounds.of(worlds))
    options = {"action": action, "temperature": 20.0}
    plain = DifferentiableSimulator(worlds, **options)
    layered = DifferentiableSimulator(worlds, layer=layer, **options)
    shape = (24, *plain.action_shape)
    actions = torch.tensor(np.random.default_rng(0).normal(size=shape) * 0.5, requires_grad=True)
    times: dict[str, list[float]] = {"plain": [], "layered": []}

    def both() -> None:
        for name, simulator in (("plain", plain), ("layered", layered)):
            slots, began = iter(actions), time.process_time()
            simulator.episode(lambda _, slots=slots: next(slots)).sum().backward()
            times[name].append(time.process_time() - began)

    benchmark.pedantic(both, rounds=11, warmup_rounds=1)
    typical = {name: float(np.median(values[1:])) for name, values in times.items()}
    benchmark.extra_info |= typical
    assert typical["plain"] < typical["layered"]
