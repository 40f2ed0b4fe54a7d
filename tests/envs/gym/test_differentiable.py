"""The differentiable simulator on fleets with more to decide than routing."""

import numpy as np
import pytest
import torch
from slots import balanced_problem

from equiload.agents import EGLB, EGLBOff, WithKnobs
from equiload.envs import DataError, rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import DifferentiableSimulator, GLBEnv, GLBVectorEnv
from equiload.testing.knobs import KNOBS


@pytest.mark.parametrize("action", ["shadow_prices", "residual"])
@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_environment_on_random_fleets(seed: int, action: str) -> None:
    rng = np.random.default_rng(seed)
    problem = balanced_problem(rng, [name for name in KNOBS if rng.random() < 0.6] or KNOBS[:1])
    env, simulator = (
        GLBEnv(instance=problem, action=action),
        DifferentiableSimulator(problem, action=action),
    )
    (observation, _), (state, seen) = env.reset(seed=seed), simulator.reset()
    gross = max(float(np.abs(problem.series.price).max() * problem.capacity.sum()), 1e-300)
    for t in range(problem.horizon):
        np.testing.assert_allclose(seen.numpy(), observation, rtol=1e-4, atol=1e-4)
        choice = rng.normal(size=env.action_space.shape)
        observation, *_, info = env.step(choice)
        state, seen = simulator.step(t, state, torch.tensor(choice))
        objective = float(state.objective(simulator.mu))
        assert abs(objective - info["objective"]) <= 1e-9 * max(gross, abs(info["objective"]))
    np.testing.assert_allclose(seen.numpy(), observation, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("action", ["shadow_prices", "residual", "routing"])
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_it_is_the_vector_environment_with_all_knobs(reachability: str, action: str) -> None:
    worlds = synthetic(7, horizon=24, batch=3, knobs="all", reachability=reachability)
    options = {"action": action, "features": ["place"]}
    envs = GLBVectorEnv(3, instance=worlds, **options)
    seen, _ = envs.reset(seed=3)
    simulator, rng = DifferentiableSimulator(envs.instance, **options), np.random.default_rng(0)
    state, observed = simulator.reset()
    for t in range(24):
        np.testing.assert_allclose(observed.numpy(), seen, rtol=1e-4, atol=1e-5)
        choice = rng.normal(size=envs.action_space.shape)
        seen, *_, info = envs.step(choice)
        state, observed = simulator.step(t, state, torch.tensor(choice))
        np.testing.assert_allclose(state.objective(simulator.mu), info["objective"], rtol=1e-9)
        np.testing.assert_allclose(state.footprint, info["footprint"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("action", ["shadow_prices", "residual", "routing"])
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_gradients_of_a_whole_episode(reachability: str, action: str) -> None:
    world = synthetic(4, horizon=24, reachability=reachability, knobs="all").window(0, 5)
    simulator = DifferentiableSimulator(world, action=action, temperature=20.0)
    shape = (simulator.horizon, *simulator.action_shape)
    actions = torch.tensor(np.random.default_rng(1).normal(size=shape) * 0.3, requires_grad=True)

    def objective(values: torch.Tensor) -> torch.Tensor:
        rows = iter(values)
        return simulator.episode(lambda _: next(rows)) / 1e3

    assert torch.autograd.gradcheck(objective, [actions], atol=1e-6, rtol=1e-4, fast_mode=True)
    (slope,) = torch.autograd.grad(objective(actions), [actions])
    matters = slope.abs().amax(0) > 0
    if action == "routing":  # but for pairs out of reach
        matters[: world.fleet.reachable.size][~world.fleet.reachable.ravel()] = True
    assert matters.all()


def test_what_tensors_do_not_play_is_one_sentence() -> None:
    world = synthetic("validation/0", horizon=12, knobs=["solar", "storage"])
    pairs = np.ones(world.fleet.reachable.shape)
    far = world.replace(fleet=world.fleet.replace(routing_cost=pairs))
    simulator = DifferentiableSimulator(far)
    nothing = torch.zeros(simulator.action_shape, dtype=torch.float64)
    assert torch.isfinite(simulator.episode(lambda _: nothing))
    simulator.temperature = 1.0
    with pytest.raises(DataError, match="a temperature needs a fleet without routing cost"):
        simulator.episode(lambda _: nothing)


@pytest.mark.slow
def test_descent_through_the_simulator_beats_rules_on_what_it_knows() -> None:
    """Open loop, one action a slot: from eGLB's weights and plain prices to below eGLB's rules."""
    day = synthetic("validation/3", horizon=12, regions=3, knobs="all")
    simulator = DifferentiableSimulator(day, action="residual")
    actions = torch.zeros((12, *simulator.action_shape), dtype=torch.float64)
    actions[:, 9:12], actions[:, 12:] = 0.3, -1.0  # work is done, servers go off
    actions.requires_grad_()

    def objective() -> torch.Tensor:
        slots = iter(actions)
        return simulator.episode(lambda _: next(slots))

    optimiser = torch.optim.Adam([actions], lr=0.1)
    for step in range(40):
        simulator.temperature = 60.0 * 0.05 ** (step / 64)
        optimiser.zero_grad()
        objective().backward()
        optimiser.step()
    simulator.temperature = 0.0
    reached = float(objective().detach())
    ruled = float(rollout(WithKnobs(EGLB()), day).objective)
    assert EGLBOff().solve(day).lower_bound < reached < 0.97 * ruled
