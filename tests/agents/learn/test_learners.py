"""Each learner finds a known optimum, and learns the same twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from equiload.agents import EGLB
from equiload.agents.learn import (
    HindsightLearner,
    HindsightOptions,
    Layout,
    SyntheticStream,
    actor_network,
    make_model,
    make_network,
)
from equiload.agents.learn.hindsight import _size
from equiload.agents.learn.networks import squashed
from equiload.envs import DataError, Fleet, Instance, Objective, Setting, Trace, rollout
from equiload.envs.gym import (
    AgentPolicy,
    DifferentiableSimulator,
    Observer,
    SB3VecEnv,
)
from equiload.robust import EnvironmentLayer

T = 12


def toy(batch: tuple[int, ...] = ()) -> Instance:
    """Two data centers, a cheap dirty one and a dear clean one; all load must go to the latter.

    A unit costs 1 + 1.5 (energy and equity) in the first and 2 in the second, so J = 2 T at best;
    at equal shadow prices (1.75 against 2) it goes to the first, and J = 2.5 T.
    """
    flat = np.ones((*batch, T, 1))
    return Instance(
        fleet=Fleet(datacenters=["dirty", "clean"], gateways=["all"], capacity=[1.0, 1.0]),
        trace=Trace(
            price=flat * [100.0, 200.0],
            intensity=(flat * [1.0, 0.0])[..., None, :, :],
            demand=flat,
            footprints=["carbon"],
            timestamps=np.broadcast_to(
                np.datetime64("2024-01-01", "s") + 3600 * np.arange(T), (*batch, T)
            ),
        ),
        objective=Objective(equity_weight={"carbon": 150.0}),
    )


def layout_of(instance: Instance) -> Layout:
    observer = Observer()
    observer.reset(Setting.of(instance))
    return Layout.of(observer, Setting.of(instance))


def bind(network: Any, simulator: DifferentiableSimulator) -> None:
    network.bind(Layout.of(simulator.observer, simulator.setting))


def learner(
    stream: Any, network: Any = None, layer: Any = None, **options: Any
) -> HindsightLearner:
    torch.manual_seed(0)
    network = network or make_network(layout_of(stream(0)), hidden=8, depth=1)
    return HindsightLearner(network, stream, HindsightOptions(**options), bind=bind, layer=layer)


def objective(network: Any, how: str = "none") -> float:
    @torch.no_grad()
    def act(observation: np.ndarray) -> np.ndarray:
        return squashed(network(torch.as_tensor(observation)), how).numpy()

    network.bind(layout_of(toy()))
    return float(rollout(AgentPolicy(act), toy()).objective)


def test_the_toy_is_what_it_says() -> None:
    assert objective(make_network(layout_of(toy()))) == pytest.approx(250.0 * T)


@pytest.mark.parametrize("target", ["own", "offline"])
def test_the_hindsight_learner_finds_the_optimum(target: str) -> None:
    trained = learner(lambda step: toy((4,)), steps=120, learning_rate=0.02, target=target)
    for _ in range(120):
        trained.step()
    assert objective(trained.average) == pytest.approx(200.0 * T)


def test_ppo_finds_the_optimum() -> None:
    envs = SB3VecEnv(8, instance=toy((8,)), reward="percent", action="residual", seed=0)
    network = {"kind": "regions", "hidden": 8, "depth": 1}
    options = {"n_steps": T, "batch_size": 8 * T, "learning_rate": 0.01, "gamma": 0.5}
    model = make_model(envs, network, seed=0, **options)
    model.learn(40 * 8 * T)
    trained = actor_network(model)
    trained.bind(Layout.of_env(envs))

    @torch.no_grad()
    def act(observation: np.ndarray) -> np.ndarray:
        return trained(torch.as_tensor(observation)).numpy()

    played = rollout(AgentPolicy(act, action="residual"), toy((8,)))
    np.testing.assert_allclose(played.objective, 200.0 * T)


def test_equal_seeds_learn_the_same() -> None:
    stream = SyntheticStream(batch=3, horizons=[12, 24], regions=4, moved=0.5, reweighted=0.5)
    found = []
    for _ in range(2):
        trained = learner(stream, steps=4)
        told = [trained.step() for _ in range(4)]
        found.append((told, torch.cat([p.flatten() for p in trained.average.parameters()])))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_streams_are_functions_of_the_step() -> None:
    stream = SyntheticStream(batch=2, horizons=[12, 24], regions=5, elsewhere=0.5, moved=0.5)
    for step in range(6):
        first, again = stream(step), stream(step)
        np.testing.assert_array_equal(first.trace.price, again.trace.price)
        assert first.fleet.datacenters == again.fleet.datacenters
        assert first.trace.provenance["draw"].startswith("train/")
    assert len({stream(step).fleet.datacenters for step in range(12)}) > 2
    assert {stream(step).horizon for step in range(12)} == {12, 24}
    with pytest.raises(DataError, match="'elsewhere' must be at most 1"):
        SyntheticStream(elsewhere=2.0)


def gradient_of(trained: HindsightLearner) -> torch.Tensor:
    """Of the first step, read off Adam's first moment (a tenth of it)."""
    trained.step()
    moments = [trained.optimizer.state[p]["exp_avg"] for p in trained.network.parameters()]
    return 10 * torch.cat([m.flatten() for m in moments])


def lively(instance: Instance) -> Any:
    torch.manual_seed(1)
    network = make_network(layout_of(instance), hidden=8, depth=1)
    with torch.no_grad():
        network.head.weight.normal_(0, 0.3)
    return network


def test_in_one_slot_the_gradient_is_that_of_the_objective() -> None:
    """A single slot leaves nothing out, and the same region always has the highest footprint."""
    instance, heat = toy((4,)).window(0, 1), 9.0
    options = {"share": 1.0, "smoothing": 1e-6, "clip": 1e9, "temperature": (heat, heat)}
    of_learner = gradient_of(learner(lambda step: instance, lively(instance), steps=10, **options))
    network = lively(instance)
    simulator = DifferentiableSimulator(instance, dtype=torch.float32, temperature=heat)
    state, observation = simulator.reset()
    bind(network, simulator)
    state, _ = simulator.step(0, state, network(observation))
    size = torch.as_tensor(_size(instance), dtype=torch.float32)
    (state.objective(simulator.mu) / size).mean().backward()
    whole = torch.cat([p.grad.flatten() for p in network.parameters()])
    assert whole.abs().max() > 1e-4
    torch.testing.assert_close(of_learner, whole, rtol=1e-3, atol=1e-6)


def test_training_through_the_layer_costs_what_the_layer_plays() -> None:
    """With ρ = 0 and B = 0 at the first slot only the expert's objective is possible at first."""
    stream = SyntheticStream(batch=4, horizons=[24], reachability=["full"], regions=5)
    instance = stream(0)
    free = learner(stream, lively(instance), steps=10)
    held = learner(
        stream, lively(instance), layer=lambda: EnvironmentLayer(EGLB(), rho=0.02), steps=10
    )
    expert = rollout(EGLB(), instance).objective
    unwrapped, wrapped = free.step()["objective"], held.step()["objective"]
    limit = float((1.02 * expert / _size(instance)).mean())
    assert unwrapped > limit  # the untrained network breaks the bound on its own
    assert wrapped <= limit + 1e-5


def test_bad_options_are_refused() -> None:
    for options, message in (
        ({"steps": 0}, "'steps' must be at least 1, got 0"),
        ({"share": 1.5}, "'share' must be at most 1, got 1.5"),
        ({"target": "best"}, "'target' must be 'own' or 'offline'"),
    ):
        with pytest.raises(DataError, match=message):
            HindsightOptions(**options)  # type: ignore[arg-type]
    envs = SB3VecEnv(2, instance=toy((2,)))
    with pytest.raises(DataError, match="ppo does not take these options"):
        make_model(envs, {}, learning_speed=3)
