"""The dispatch on tensors: equal to the compiled one, feasible at every temperature, gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.envs import DataError, Dispatch, Instance, check_allocation
from equiload.envs.dispatch.torch_dispatch import TorchDispatch
from equiload.envs.policy import Slot
from equiload.testing.strategies import instances

SEEDS = st.integers(0, 2**32 - 1)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(np.asarray(a), dtype=torch.float64) for a in arrays]


@settings(max_examples=200)
@given(instances(most_datacenters=6, most_gateways=5), SEEDS)
def test_exact_loads_are_the_kernels(instance: Instance, seed: int) -> None:
    trace = instance.trace
    unit = np.random.default_rng(seed).normal(size=trace.price.shape)
    load, routing = instance.fleet.dispatch.loads(unit, trace.demand, instance.capacity)
    dispatch = TorchDispatch(instance.fleet.dispatch)
    found, paid = dispatch.loads(*tensors(unit, trace.demand, instance.capacity))
    np.testing.assert_allclose(found.numpy(), load, atol=1e-12)
    np.testing.assert_allclose(paid.numpy(), routing, atol=1e-12)


@settings(max_examples=300)
@given(
    instances(most_datacenters=6, most_gateways=5, routing=False),
    SEEDS,
    st.sampled_from([1e-12, 1e-6, 1e-2, 1.0, 1e3]),
)
def test_soft_loads_are_servable_and_near_the_cheapest(
    instance: Instance, seed: int, temperature: float
) -> None:
    trace, fleet = instance.trace, instance.fleet
    unit = np.random.default_rng(seed).choice(
        [np.random.default_rng(seed).normal(size=trace.price.shape), trace.price]
    )
    dispatch = TorchDispatch(fleet.dispatch, temperature=temperature)
    soft, _ = dispatch.loads(*tensors(unit, trace.demand, instance.capacity))
    load = soft.numpy()
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        check_allocation(fleet.dispatch.split(load[t], slot.demand), slot, fleet.reachable)
        exact, _ = fleet.dispatch.loads(unit[t], slot.demand, slot.capacity)
        excess = unit[t] @ (load[t] - exact)
        tau = max(temperature, 1e-7 * np.abs(unit[t]).max())
        allowed = tau * np.log(2) * slot.capacity.sum()
        rounding = 1e-9 * (1 + np.abs(unit[t]).max() * slot.demand.sum())
        assert -rounding <= excess <= allowed + rounding


def test_soft_loads_minimise_the_stated_objective() -> None:
    """No feasible direction between two data centers lowers the regularised cost."""
    rng = np.random.default_rng(3)
    reachable = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=bool)
    capacity, demand, tau = rng.uniform(1, 2, 4), np.array([1.6, 0.3, 1.2]), 0.3
    cost = np.array([2.0, -1.0, 0.5, 1.0])
    dispatch = Dispatch(reachable)
    soft, _ = TorchDispatch(dispatch, temperature=tau).loads(*tensors(cost, demand, capacity))

    def value(x: np.ndarray) -> float:
        s = np.clip(x / capacity, 1e-15, 1 - 1e-15)
        return float(cost @ x + tau * (capacity * (s * np.log(s) + (1 - s) * np.log1p(-s))).sum())

    best = value(soft.numpy())
    for _ in range(300):  # random servable loads, and points on the way to them
        other, _ = dispatch.loads(rng.normal(size=4), demand, capacity)
        for step in (1e-4, 1e-2, 0.3, 1.0):
            assert value(soft.numpy() + step * (other - soft.numpy())) >= best - 1e-12


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_gradients_of_the_soft_dispatch(full: bool, temperature: float) -> None:
    rng = np.random.default_rng(5)
    reachable = np.ones((3, 4)) if full else [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    mask = np.array(reachable, dtype=bool)
    dispatch = TorchDispatch(Dispatch(mask), temperature=temperature)
    cost, demand, capacity = tensors(
        rng.normal(size=(5, 4)), rng.uniform(0.2, 0.9, (5, 3)), rng.uniform(0.9, 1.5, (5, 4))
    )
    inputs = [a.requires_grad_() for a in (cost, demand, capacity)]
    assert torch.autograd.gradcheck(lambda c, d, m: dispatch.loads(c, d, m)[0], inputs, atol=1e-6)


def test_gradients_of_the_exact_dispatch_in_demand_and_capacity() -> None:
    rng = np.random.default_rng(6)
    dispatch = TorchDispatch(Dispatch(np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)))
    cost, demand, capacity = tensors(
        rng.normal(size=(6, 3)), rng.uniform(0.2, 0.9, (6, 2)), rng.uniform(0.9, 1.5, (6, 3))
    )
    inputs = [demand.requires_grad_(), capacity.requires_grad_()]
    assert torch.autograd.gradcheck(lambda d, m: dispatch.loads(cost, d, m)[0], inputs)


def test_a_temperature_with_routing_cost_is_refused() -> None:
    dispatch = TorchDispatch(Dispatch(np.ones((2, 2), dtype=bool), np.array([[0.0, 1], [1, 0]])))
    ones = torch.ones(2, dtype=torch.float64)
    dispatch.temperature = 1.0
    with pytest.raises(DataError, match="routing cost"):
        dispatch.loads(ones, ones / 2, ones)
    dispatch.temperature = float("nan")
    with pytest.raises(DataError, match="temperature"):
        dispatch.loads(ones, ones / 2, ones)
