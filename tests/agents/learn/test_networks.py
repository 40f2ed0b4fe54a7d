"""Networks: equivariant, of any size, and the expert's where they say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from equiload.agents import EGLB
from equiload.agents.learn import FlatNetwork, Layout, RegionNetwork, make_network
from equiload.agents.learn.networks import at_scale, squashed
from equiload.agents.learn.sb3 import RegionExtractor, RegionPolicy
from equiload.envs import DataError, Instance, Setting, Slot, State
from equiload.envs.data import synthetic
from equiload.envs.gym import GLBEnv, GLBVectorEnv, Observer, SB3VecEnv
from equiload.envs.gym.features import make_features
from equiload.testing.strategies import instances

FEATURES = ("recent_past", "place", "slots_left", "expert_prices")


def layout_of(instance: Instance, features: tuple[str, ...] = FEATURES) -> tuple[Layout, Observer]:
    observer = Observer(features=make_features(features))
    observer.reset(Setting.of(instance))
    return Layout.of(observer, Setting.of(instance)), observer


def lively(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same network with every parameter drawn anew, heads included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return network


def answer(network: RegionNetwork, instance: Instance) -> np.ndarray:
    layout, observer = layout_of(instance)
    network.bind(layout)
    K, R = len(instance.objective.mu), len(instance.fleet.regions)
    footprint = np.linspace(0.0, 3.0, R) * np.arange(1, K + 1)[:, None]
    # The footprint follows the region's name, not its number.
    order = np.argsort(np.argsort(instance.fleet.regions))
    seen = observer.observe(Slot.of(instance, 0), State(np.zeros(()), footprint[:, order]))
    with torch.no_grad():
        return network(torch.as_tensor(seen)).numpy()


def renumbered(instance: Instance, order: np.ndarray) -> Instance:
    fleet, trace = instance.fleet, instance.trace
    assert fleet.one_region_each
    names = tuple(fleet.datacenters[i] for i in order)
    return instance.replace(
        fleet=fleet.replace(
            datacenters=names,
            regions=names,
            region_of=np.arange(len(order)),
            capacity=fleet.capacity[order],
            reachable=fleet.reachable[:, order],
            pue=fleet.pue[order],
            distance=None,
            location=fleet.location[order],
        ),
        trace=trace.__class__(
            price=trace.price[:, order],
            intensity=trace.intensity[..., order],
            demand=trace.demand,
            timestamps=trace.timestamps,
            availability=None if trace.availability is None else trace.availability[:, order],
        ),
    )


@pytest.mark.parametrize("context", ["pool", "attention"])
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_renumbering_regions_renumbers_the_answer(context: str, reachability: str) -> None:
    world = synthetic(3, horizon=4, reachability=reachability)
    layout, _ = layout_of(world)
    network = lively(make_network(layout, hidden=16, context=context))
    order = np.random.default_rng(0).permutation(10)
    mine, theirs = answer(network, world), answer(network, renumbered(world, order))
    assert np.ptp(mine) > 0.1
    np.testing.assert_allclose(theirs, mine[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("regions", [2, 5, 20])
@pytest.mark.parametrize("sites", [1, 3])
def test_one_network_for_any_fleet(regions: int, sites: int) -> None:
    layout, _ = layout_of(synthetic(0, horizon=4))
    network = lively(make_network(layout, hidden=16))
    answered = answer(network, synthetic(1, horizon=4, regions=regions, sites=sites))
    assert answered.shape == (2, regions)
    assert np.isfinite(answered).all()


@settings(max_examples=50, deadline=None)
@given(instances(), st.integers(0, 9))
def test_answers_are_finite_on_odd_problems(instance: Instance, seed: int) -> None:
    network = lively(make_network(layout_of(instance)[0], hidden=8), seed)
    assert np.isfinite(answer(network, instance)).all()


@pytest.mark.parametrize("scale", [1.0, 4.0, 16.0])
@pytest.mark.parametrize("kind", ["regions", "flat"])
def test_untrained_it_says_what_the_expert_would(kind: str, scale: float) -> None:
    world = synthetic(2, horizon=6)
    layout, observer = layout_of(world)
    network = make_network(layout, **at_scale({"kind": kind, "residual": True}, scale))
    expert, nothing = EGLB(), State.start(Setting.of(world))
    expert.reset(Setting.of(world))
    for t in range(6):
        seen = torch.as_tensor(observer.observe(Slot.of(world, t), nothing))
        weights = torch.softmax(scale * network(seen).detach(), -1).numpy()
        gamma = expert.multipliers / expert.multipliers.sum(-1, keepdims=True)
        np.testing.assert_allclose(weights, gamma, rtol=1e-4)
        expert.act(Slot.of(world, t), nothing)
    assert np.ptp(gamma) > 1e-3
    assert not make_network(layout, kind=kind)(seen).any()


def test_the_flat_network_belongs_to_one_fleet() -> None:
    network = make_network(layout_of(synthetic(0, horizon=4))[0], kind="flat")
    assert isinstance(network, FlatNetwork)
    network.bind(layout_of(synthetic(1, horizon=4))[0])
    with pytest.raises(DataError, match="flat network acts only on fleets of the size"):
        network.bind(layout_of(synthetic(1, horizon=4, regions=5))[0])


def test_a_region_policy_does_not_care_how_regions_are_numbered() -> None:
    envs = SB3VecEnv(2, horizon=4, action="residual", seed=0)
    layout = Layout.of_env(envs)
    policy = RegionPolicy(
        envs.observation_space,
        envs.action_space,
        lambda _: 0.0,
        layout=layout,
        network={"hidden": 8, "depth": 1},
    )
    lively(policy)
    envs.reset()
    for _ in range(3):
        seen = torch.as_tensor(envs.step(np.ones((2, 20)))[0])
    order = torch.as_tensor(np.random.default_rng(1).permutation(10))
    moved = seen.clone()
    for cut in layout.blocks.values():
        if cut.stop - cut.start == 10:
            moved[:, cut] = seen[:, cut][:, order]
    actions, values, _ = policy(seen, deterministic=True)
    renumbered, same, _ = policy(moved, deterministic=True)
    by_region = actions.unflatten(-1, (2, 10))
    torch.testing.assert_close(renumbered.unflatten(-1, (2, 10)), by_region[..., order])
    torch.testing.assert_close(same, values)
    assert by_region.std(-1).min() > 1e-3
    assert values.std() > 1e-4


def test_an_extractor_gives_the_codes_of_the_encoder() -> None:
    envs = SB3VecEnv(2, horizon=4, seed=0)
    layout = Layout.of_env(envs)
    extractor = RegionExtractor(envs.observation_space, layout, hidden=8, depth=1)
    seen = torch.as_tensor(envs.reset())
    assert extractor.features_dim == 80
    codes = extractor(seen).unflatten(-1, (10, 8))
    torch.testing.assert_close(codes, extractor.encoder(seen))
    assert codes.std(-2).min() > 1e-4


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: GLBEnv(horizon=4),
        lambda: gymnasium.wrappers.RecordEpisodeStatistics(GLBEnv(horizon=4)),
        lambda: GLBVectorEnv(2, horizon=4),
        lambda: VecNormalize(SB3VecEnv(2, horizon=4), norm_obs=False),
        lambda: DummyVecEnv([lambda: GLBEnv(horizon=4)] * 2),
    ],
)
def test_every_environment_has_a_layout(wrap: Callable[[], Any]) -> None:
    assert Layout.of_env(wrap()).sizes == Layout.of_env(GLBEnv(horizon=4)).sizes


def test_wrong_options_are_named() -> None:
    layout, _ = layout_of(synthetic(0, horizon=4), ())
    with pytest.raises(DataError, match="one of regions, flat or a _target_, got 'mlp'"):
        make_network(layout, kind="mlp")
    with pytest.raises(
        DataError,
        match=r"network regions: .* argument 'heads'",
    ):
        make_network(layout, heads=3)
    with pytest.raises(DataError, match="needs the observation to hold expert_carbon"):
        make_network(layout, residual=1.0)
    with pytest.raises(DataError, match="'context' must be 'pool' or 'attention'"):
        make_network(layout, context="max")
    with pytest.raises(
        DataError,
        match=r"feature must be one of .*forecast or a _target_, got 'weather'",
    ):
        make_features(["weather"])
    with pytest.raises(DataError, match="missing a required argument: 'forecaster'"):
        make_features(["forecast"])
    with pytest.raises(DataError, match="squash must be none, clip or tanh"):
        squashed(torch.zeros(1), "relu")
