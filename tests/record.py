"""Record what every algorithm does, to hold a rebuilding of the house against it bit for bit.

``python tests/record.py before.json`` at one commit, ``python tests/record.py after.json
before.json`` at another, on the same machine: it names what is no longer the same, and ends with 1.
Numbers are compared as bytes, so a test cannot hold them: other machines round otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.envs import Fleet, Instance, Objective, Policy, Trace, rollout
from equiload.envs.data import Bloom10Source, Draw, synthetic
from equiload.envs.gym import (
    DifferentiableSimulator,
    GLBEnv,
    GLBVectorEnv,
    HindsightDual,
    Relative,
)
from equiload.envs.gym.features import (
    ExpertPrices,
    ForecastMeans,
    Place,
    RecentPast,
    SlotsLeft,
)
from equiload.envs.make import registered
from equiload.experiments.running import config
from equiload.robust import EnvironmentLayer, RobustPolicy, footprint_bound

TRACE = Path(__file__).parents[2] / "shared" / "data" / "bloom-10dc"
#: Of what programs write, what another run of the same commit may write otherwise.
VOLATILE = ("seconds", "versions", "config", "hash", "commit", "folder", "path", "time", "date")


def digest(*arrays: Any) -> str:
    """Hash of the bytes of arrays."""
    whole = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        whole.update(repr((values.dtype.str, values.shape)).encode() + values.tobytes())
    return whole.hexdigest()[:16]


def shared_regions() -> Instance:
    """Seven data centers in three regions, outages, a routing cost and three kinds."""
    rng = np.random.default_rng(5)
    T, N, J, K = 40, 7, 4, 3
    fleet = Fleet(
        datacenters=tuple(f"d{i}" for i in range(N)),
        gateways=tuple(f"g{j}" for j in range(J)),
        regions=("a", "b", "c"),
        region_of=np.array([0, 1, 2, 0, 1, 2, 0]),
        capacity=rng.uniform(0.5, 2.0, N),
        pue=rng.uniform(1.0, 1.5, N),
        routing_cost=rng.uniform(0.0, 5.0, (J, N)),
        distance=rng.uniform(0.0, 5000.0, (J, N)),
    )
    start = np.datetime64("2024-03-01T00:00:00")
    trace = Trace(
        price=rng.normal(40.0, 40.0, (T, N)),
        intensity=rng.uniform(0.0, 1.0, (K, T, N)),
        demand=rng.uniform(0.0, 0.6, (T, J)),
        timestamps=start + np.arange(T) * np.timedelta64(3600, "s"),
        footprints=("carbon", "water", "nox"),
        availability=rng.uniform(0.7, 1.0, (T, N)),
    )
    weights = {"carbon": 1500.0, "water": 60.0, "nox": 10.0}
    return Instance(fleet=fleet, trace=trace, objective=Objective(equity_weight=weights))


def instances() -> dict[str, Instance]:
    """One of each kind."""
    draw = synthetic(Draw.test(3), horizon=72)
    costly = draw.fleet.replace(routing_cost=np.random.default_rng(1).uniform(0, 4, (10, 10)))
    known = {
        "full": draw,
        "partial": synthetic(Draw.test(4), horizon=72, reachability="partial"),
        "routing": draw.window(0, 30).replace(fleet=costly),
        "shared": shared_regions(),
        "quarters": synthetic(Draw.test(5), horizon=96, slot_minutes=15),
        "one region": synthetic(Draw.test(6), horizon=30, regions=1),
        "batch": synthetic(Draw.test(7), horizon=30, batch=(3,), reachability="partial"),
    }
    if TRACE.is_dir():
        for name in ("full", "partial"):
            known[f"bloom10 {name}"] = Bloom10Source(TRACE).instance(reachability=name)
    return known


def algorithms() -> dict[str, Any]:
    """Every algorithm that the configuration knows, and some whose options it does not use."""
    config.register()
    names = sorted(registered("algorithm"))
    with initialize_config_module("equiload.conf", version_base="1.3"):
        composed = compose("evaluate", overrides=[f"algorithm=[{','.join(names)}]"])
    rows: dict[str, Any] = {
        key: lambda node=row.agent: instantiate(node) for key, row in composed.algorithms.items()
    }
    rows["eglb euclidean"] = lambda: EGLB(mirror="euclidean", schedule="inverse_sqrt")
    for method in ("blend", "project", "switch", "fixed"):
        rows[f"robust {method}"] = lambda method=method: RobustPolicy(
            GLBCost(), EGLB(), rho=0.02, method=method
        )
    return rows


def play(make: Callable[[], Any], instance: Instance) -> str:
    """What an algorithm does on an instance, or why it cannot."""
    agent = make()
    try:
        if not isinstance(agent, Policy):
            if instance.batch:
                return "one at a time"
            solution = agent.solve(instance)
            outcome, more = solution.outcome, [solution.weights, solution.lower_bound]
        else:
            outcome = rollout(agent, instance)
            more = []
            if hasattr(agent, "certificate"):
                held = agent.certificate()
                more = [held.left, held.right, held.alpha, held.excess, held.allowed, held.expert]
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return digest(outcome.load, outcome.routing, outcome.footprint, outcome.objective, *more)


def environments() -> Iterable[tuple[str, str]]:
    """Observations, rewards and infos under fixed actions."""
    worlds = instances()
    batch = synthetic(Draw.train(9), horizon=40, batch=(4,), reachability="partial")

    def every_feature() -> list[Any]:
        from equiload.agents.forecast import SameHour

        expert = ExpertPrices(EGLB())
        return [expert, ForecastMeans(SameHour()), RecentPast(), SlotsLeft(), Place()]

    def duals(instance: Instance) -> Any:
        return EGLBOff().solve(instance).weights

    cases: dict[str, dict[str, Any]] = {
        "plain": {"instance": batch},
        "windows": {"instance": worlds["full"], "horizon": 24},
        "generated": {"instance": "synthetic", "horizon": 24, "reachability": "partial"},
        "routing": {"instance": worlds["routing"], "action": "routing"},
        "routing free": {"instance": batch, "action": "routing"},
        "shared": {"instance": worlds["shared"], "reward": "terminal"},
        "features": {"instance": batch, "features": every_feature()},
        "relative": {"instance": batch, "reward": lambda: Relative(EGLB())},
        "hindsight": {"instance": batch, "reward": lambda: HindsightDual(duals)},
        "layer": {"instance": batch, "layer": lambda: EnvironmentLayer(EGLB(), rho=0.05)},
        "layer bound": {
            "instance": batch,
            "layer": lambda: EnvironmentLayer(
                EGLB(),
                rho=0.02,
                allowance=10.0,
                footprint_bound=footprint_bound(
                    batch.fleet, batch.trace.intensity.max(axis=(0, -2))
                ),
            ),
        },
        "layer shared": {
            "instance": worlds["shared"],
            "action": "routing",
            "layer": lambda: EnvironmentLayer(GLBCost(), rho=0.05),
        },
    }
    for name, options in cases.items():
        for count in (1, 5):
            made = {k: v() if callable(v) and k != "instance" else v for k, v in options.items()}
            yield f"{name} × {count}", _episode(count, made)


def _episode(count: int, options: dict[str, Any]) -> str:
    env: Any = GLBEnv(**options) if count == 1 else GLBVectorEnv(count, **options)
    rng = np.random.default_rng(3)
    observation, info = env.reset(seed=11)
    parts = [observation, *(np.asarray(info[k]) for k in sorted(info))]
    done = False
    while not done:
        action = rng.normal(size=env.action_space.shape)
        observation, reward, ended, _, info = env.step(action)
        parts += [observation, reward, *(np.asarray(info[k]) for k in sorted(info))]
        done = bool(np.all(ended))
    return digest(*parts)


def simulators() -> Iterable[tuple[str, str]]:
    """Objectives and gradients."""
    batch = synthetic(Draw.train(9), horizon=24, batch=(3,), reachability="partial")
    costly = instances()["routing"]
    features = [RecentPast(), ExpertPrices(EGLB())]
    cases: dict[str, dict[str, Any]] = {
        "exact": {"instance": batch},
        "soft": {"instance": batch, "temperature": 5.0, "features": features},
        "float32": {"instance": batch, "temperature": 5.0, "dtype": torch.float32},
        "routing": {"instance": costly, "action": "routing"},
        "routing free": {"instance": batch, "action": "routing"},
        "layer": {
            "instance": batch,
            "temperature": 5.0,
            "layer": EnvironmentLayer(EGLB(), rho=0.05),
        },
    }
    for name, options in cases.items():
        simulator = DifferentiableSimulator(**options)
        torch.manual_seed(0)
        _, first = simulator.reset()
        shape = simulator.action_shape[len(simulator.batch) :]
        network = torch.nn.Linear(first.shape[-1], int(np.prod(shape)), dtype=first.dtype)
        actor = torch.nn.Sequential(network, torch.nn.Unflatten(-1, shape))
        objective = simulator.episode(actor)
        if objective.requires_grad:  # exact dispatch is piecewise constant
            objective.mean().backward()
        grads = [p.grad.numpy() for p in network.parameters() if p.grad is not None]
        yield name, digest(objective.detach().numpy(), *grads)


PROGRAMS: dict[str, list[str]] = {
    "benchmark": ["benchmark", "instance.horizon=24", "figures=false", "report=false"],
    "evaluate": ["evaluate", "instance.horizon=24", "draws=2"],
    "predictions": ["predictions", "instance.horizon=24", "draws=2", "figures=false"],
    "robustness": [
        "robustness", "instance.horizon=24", "rho=[0.02,0.1]", "rounds=3", "figures=false",
    ],
    "scenarios": [
        "scenarios", "instance.horizon=24", "report=false",
        f"file={Path(__file__).parent / 'experiments' / 'less.yaml'}",
    ],
    "campaign": ["robustness", "campaign=adversarial", "episodes=200"],
    "tune": ["tune", "draws=2", "horizons=[24]", "step_size=[1.0,2.0]", "z_max=[1.0]"],
    "hindsight": ["train", "agent.options.steps=3"],
    "hindsight through": [
        "train", "agent.options.steps=2", "robust=through", "features=[expert_prices,place]",
    ],
    "flat": ["train", "agent.options.steps=2", "network.kind=flat"],
    "ppo": ["train", "agent=ppo", "agent.episodes=4", "agent.options.batch_size=16"],
}  # fmt: skip
TRAIN = [
    "validation.draws=3", "validation.horizon=24", "problems.horizons=[24]", "problems.batch=4",
    "evaluate_every=1", "network.hidden=8",
]  # fmt: skip


def programs() -> Iterable[tuple[str, str]]:
    """The numbers that programs write."""
    for name, command in PROGRAMS.items():
        more = TRAIN if command[0] == "train" else []
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [_front_door(), *command, *more, f"hydra.run.dir={folder}"],
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # sums in one order
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                yield name, f"status {done.returncode}: {done.stderr[-300:]}"
                continue
            said = re.findall(r"(\d+ episodes, .*slack \S+)", done.stdout)[-1:]
            yield name, " ".join(said) or _written(Path(folder))


def _front_door() -> str:
    return str(Path(sys.executable).with_name("equiload"))


def _written(folder: Path) -> str:
    """Hash of the numbers in a run's tables and weights, whatever the columns are called."""
    numbers: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.name == "results.parquet":
            table = pq.read_table(path).to_pylist()
            numbers += [_steady(row) for row in table]
        elif path.name == "progress.csv":
            import csv

            with path.open() as file:
                numbers += [_steady(row) for row in csv.DictReader(file)]
        elif path.name == "tune.json":
            numbers.append(path.read_text())
        elif path.suffix == ".safetensors" and "checkpoint" not in path.parts:
            from safetensors.numpy import load_file

            numbers += [f"{k} {digest(v)}" for k, v in sorted(load_file(path).items())]
        elif path.name == "training.pt":  # earlier: training.safetensors, tensors by number
            numbered = enumerate(_tensors(torch.load(path, weights_only=True)))
            numbers += sorted(f"{k} {digest(v)}" for k, v in numbered)
    assert numbers, sorted(path.name for path in folder.rglob("*"))
    return hashlib.sha256("\n".join(numbers).encode()).hexdigest()[:16]


def _tensors(nest: Any) -> Iterable[Any]:
    if isinstance(nest, torch.Tensor):
        yield nest.numpy()
    elif isinstance(nest, dict | list):
        for part in nest.values() if isinstance(nest, dict) else nest:
            yield from _tensors(part)


def _steady(row: Mapping[str, Any]) -> str:
    return repr(
        sorted(
            (k, v)
            for k, v in row.items()
            if isinstance(v, str | int | float) and not any(word in k for word in VOLATILE)
        )
    )


def record() -> dict[str, str]:
    """Everything, by name."""
    found = {}
    for where, instance in instances().items():
        for name, make in algorithms().items():
            found[f"{name} on {where}"] = play(make, instance)
    for title, cases in (("env", environments), ("sim", simulators), ("program", programs)):
        for name, value in cases():
            found[f"{title}: {name}"] = value
    return found


if __name__ == "__main__":
    target, *before = map(Path, sys.argv[1:])
    recorded = record()
    target.write_text(json.dumps(recorded, indent=1, ensure_ascii=False))
    if before:
        known = json.loads(before[0].read_text())
        differ = [name for name in {**known, **recorded} if known.get(name) != recorded.get(name)]
        for name in differ:
            print(f"{name}: {known.get(name)} -> {recorded.get(name)}")
        print(f"{len(recorded)} recorded, {len(differ)} differ")
        sys.exit(bool(differ))
