"""Steps per second of the environments, against Gymnasium's CartPole in the same run.

The last lines of the output are the tables of docs/environment.md.
"""

import sys
import time
from collections.abc import Callable, Iterator

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from equiload.agents import EGLB, WithKnobs
from equiload.envs import Decision, Instance, Setting, shadow_cost, slot_cost, transition
from equiload.envs.data import synthetic
from equiload.envs.gym import (
    ENVIRONMENT,
    RESIDUAL_ENVIRONMENT,
    DifferentiableSimulator,
    GLBVectorEnv,
    SB3VecEnv,
)
from equiload.envs.gym.core import Core
from equiload.robust import Bounds, EnvironmentLayer

HORIZON = 168
SIZES = (64, 1024, 16384)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
LARGE = (131_072, 1_048_576)  # on a GPU as well, as far as its memory goes
CALLS = 200  # of a single environment in one timing

_rates: dict[str, float] = {}
_shares: dict[str, float] = {}


@pytest.fixture(scope="module", params=["full", "partial"])
def world(request: pytest.FixtureRequest) -> Instance:
    """Four worlds of ten data centers; each episode is a window of one."""
    instance = synthetic(0, horizon=336, batch=4, reachability=request.param)
    return instance.replace(name=request.param)


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print everything measured, with ratios to CartPole, at the end."""
    yield
    lines = [""]
    base = _rates.get("CartPole-v1, unwrapped", float("nan"))
    lines += [f"{k:58s} {v:12,.0f} steps/s {v / base:7.2f}" for k, v in _rates.items()]
    lines += [f"{k:58s} {v:12.3f}" for k, v in _shares.items()]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write("\n".join(lines) + "\n")


def measure(benchmark, name: str, call: Callable[[], object], steps: int) -> None:
    benchmark.group = "Environment, 10 × 10, steps of one episode"
    call()
    benchmark.pedantic(call, rounds=7, iterations=max(1, 4096 // steps), warmup_rounds=1)
    rate = steps / benchmark.stats.stats.median
    _rates[name] = benchmark.extra_info["steps a second"] = rate
    base = _rates.get("CartPole-v1, unwrapped", float("nan"))
    benchmark.extra_info |= {"row": name, "× CartPole": rate / base}


def loop(env: gym.Env, action: object) -> Callable[[], None]:
    env.reset(seed=0)

    def call() -> None:
        for _ in range(CALLS):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return call


def test_cartpole(benchmark) -> None:
    env = gym.make("CartPole-v1").unwrapped
    measure(benchmark, "CartPole-v1, unwrapped", loop(env, 1), CALLS)


@pytest.mark.parametrize("action", ["shadow_prices", "routing"])
def test_single(benchmark, world: Instance, action: str) -> None:
    env = gym.make(ENVIRONMENT, instance=world, horizon=HORIZON, action=action).unwrapped
    call = loop(env, env.action_space.sample())
    measure(benchmark, f"single, {action}, {world.name}", call, CALLS)


@pytest.mark.parametrize("action", ["shadow_prices", "routing"])
@pytest.mark.parametrize("count", SIZES)
def test_batched(benchmark, world: Instance, count: int, action: str) -> None:
    options = {"instance": world, "horizon": HORIZON, "action": action}
    envs = gym.make_vec(ENVIRONMENT, num_envs=count, **options)
    envs.reset(seed=0)
    actions = envs.action_space.sample()
    name = f"batch of {count}, {action}, {world.name}, numpy"
    measure(benchmark, name, lambda: envs.step(actions), count)


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("knobs", [None, "all"])
def test_knobs(benchmark, knobs: str | None, layered: bool) -> None:
    """With nothing and with everything beside routing, bare and in the layer."""
    world = synthetic(0, horizon=2 * HORIZON, batch=4, knobs=knobs)
    options: dict[str, object] = {"instance": world, "horizon": HORIZON}
    if layered:
        expert, bounds = (WithKnobs(EGLB()), Bounds.of(world)) if knobs else (EGLB(), None)
        options["layer"] = EnvironmentLayer(expert, rho=0.1, bounds=bounds)
    envs = GLBVectorEnv(64, **options)
    envs.reset(seed=0)
    actions = envs.action_space.sample()
    name = f"batch of 64, shadow_prices, full, {knobs or 'no'} knobs{', layer' if layered else ''}"
    measure(benchmark, name, lambda: envs.step(actions), 64)


@pytest.mark.parametrize("horizon", [24, 168])
@pytest.mark.parametrize("count", [1, 64])
@pytest.mark.parametrize("name", [ENVIRONMENT, RESIDUAL_ENVIRONMENT])
def test_as_they_come(benchmark, name: str, count: int, horizon: int) -> None:
    """The ids with their defaults and no pool: worlds are drawn, resets are among the steps."""
    envs = gym.make_vec(name, num_envs=count, horizon=horizon)
    rounds = 2 * max(1, 1024 // horizon)  # episodes: all that is drawn ahead is played

    def call() -> None:
        for _ in range(rounds * (envs.unwrapped.core.steps + 1)):
            envs.step(actions)

    envs.reset(seed=0)
    actions = envs.action_space.sample()
    call()
    benchmark.group = "Environments as they come, 10 x 10, episodes with their resets"
    benchmark.pedantic(call, rounds=3)
    steps = count * rounds * envs.unwrapped.core.steps
    benchmark.extra_info |= {"row": f"{name}, {count}, {horizon} slots"}
    benchmark.extra_info["steps a second"] = steps / benchmark.stats.stats.median


@pytest.mark.parametrize("temperature", [0.0, 10.0])
@pytest.mark.parametrize(
    ("device", "count"),
    [(device, n) for device in DEVICES for n in (*SIZES, *(LARGE if device == "cuda" else ()))],
)
def test_torch(benchmark, world: Instance, device: str, count: int, temperature: float) -> None:
    """The differentiable simulator, without gradients: observations, dispatch and transition."""
    few = world.window(0, 2)
    batch = few[np.arange(count) % 4]
    soft = f"soft at {temperature:g} US$/MWh" if temperature else "exact"
    kind = "torch" if device == "cpu" else f"torch on {torch.cuda.get_device_name()}"
    try:
        simulator = DifferentiableSimulator(batch, temperature=temperature, device=device)
        action = torch.rand(simulator.action_shape, dtype=torch.float64, device=device)
        state, _ = simulator.reset()

        @torch.no_grad()
        def call() -> None:
            simulator.observer.reset(Setting(few.fleet, few.objective, 2, (count,)))
            simulator.step(0, state, action)
            if device == "cuda":
                torch.cuda.synchronize()

        name = f"batch of {count}, shadow_prices, {world.name}, {kind}, {soft}"
        measure(benchmark, name, call, count)
    except torch.cuda.OutOfMemoryError:
        pytest.skip(f"{count} episodes are too many for the GPU's memory")


@pytest.mark.parametrize("count", [1, 1024])
def test_shares(benchmark, world: Instance, count: int) -> None:
    """Where a step's time goes, on one core."""
    core = Core(count, instance=world, horizon=HORIZON)
    core.reset([np.random.default_rng(b) for b in range(count)])
    action = np.random.default_rng(0).uniform(-1, 1, (count, *core.action.shape))
    slot, fleet, physics = core.episodes.slot(0), core.setting.fleet, core.setting.physics
    weights = core.action.weights(action)
    unit = shadow_cost(slot, weights, physics)
    load, routing = fleet.dispatch.loads(unit, slot.demand, slot.capacity)
    out = np.empty((count, core.observer.size), np.float32)

    def dynamics() -> None:
        transition(core.state, slot_cost(slot, Decision(load, routing), physics))

    def step() -> None:
        if core.t == HORIZON:
            core.t = 0
        core.step(action, out)

    def weigh() -> None:
        shadow_cost(slot, core.action.weights(action), physics)

    parts = {
        "step": step,
        "dispatch": lambda: fleet.dispatch.loads(unit, slot.demand, slot.capacity),
        "shadow prices": weigh,
        "dynamics": dynamics,
        "slot": lambda: core.episodes.slot(1),
        "observation": lambda: core.observer.observe(slot, core.state, out),
    }
    seconds = {name: typical(part) for name, part in parts.items()}
    benchmark.group = "One step of a core, one thread"
    benchmark.pedantic(step, rounds=5, warmup_rounds=1)
    benchmark.extra_info["row"] = f"batch of {count}, {world.name}"
    for name in parts:
        share = seconds[name] / seconds["step"]
        if name != "step":
            benchmark.extra_info[f"share: {name}"] = share
        _shares[f"share of a step, batch of {count}, {world.name}: {name}"] = share


def typical(part: Callable[[], object]) -> float:
    times = []
    for _ in range(200):
        began = time.perf_counter()
        part()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def test_ppo(benchmark, world: Instance) -> None:
    """Share of PPO's time (its defaults) that the environment takes."""
    envs = SB3VecEnv(8, seed=0, instance=world, horizon=HORIZON)
    spent = 0.0
    inner = envs.step_wait

    def timed():
        nonlocal spent
        began = time.perf_counter()
        result = inner()
        spent += time.perf_counter() - began
        return result

    envs.step_wait = timed
    model = PPO("MlpPolicy", envs, seed=0, device="cpu")
    benchmark.group = "PPO over 8 environments: share of its time in them"
    benchmark.extra_info["row"] = world.name
    benchmark.pedantic(lambda: model.learn(8 * 2048), rounds=1)
    name = f"share of PPO's time in the environment, {world.name}"
    _shares[name] = benchmark.extra_info["share"] = spent / benchmark.stats.stats.median
