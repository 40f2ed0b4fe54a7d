"""``Recorded``: loads that are known already, played."""

from __future__ import annotations

import numpy as np
import pytest

from equiload.agents import GLBCost, Recorded
from equiload.envs import DataError, rollout
from equiload.envs.data import synthetic


@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_what_a_policy_did_is_done_again(reachability: str) -> None:
    week = synthetic("validation/1", horizon=48, reachability=reachability)
    before = rollout(GLBCost(), week)
    again = rollout(Recorded(before.load), week)
    np.testing.assert_allclose(again.load, before.load, atol=1e-9)
    assert again.objective == pytest.approx(before.objective, rel=1e-9)
    rounded = rollout(Recorded(before.load.round(3)), week)  # feasible, or it would raise
    assert np.abs(rounded.load - before.load).max() < 0.01
    np.testing.assert_allclose(rounded.load.sum(-1), week.trace.demand.sum(-1), rtol=1e-12)


def test_routing_is_the_cheapest_that_gives_the_loads() -> None:
    day = synthetic("validation/1", horizon=6)
    cost = np.abs(np.subtract.outer(np.arange(10.0), np.arange(10.0)))
    day = day.replace(fleet=day.fleet.replace(routing_cost=cost))
    before = rollout(GLBCost(), day)
    again = rollout(Recorded(before.load), day)
    np.testing.assert_allclose(again.load, before.load, atol=1e-9)
    np.testing.assert_allclose(again.routing, before.routing, rtol=1e-9)


def test_with_equipment_what_is_beside_routing_is_left_to_its_defaults() -> None:
    day = synthetic("validation/1", horizon=6, knobs=["storage", "servers"])
    before = rollout(GLBCost(), day)
    assert rollout(Recorded(before.load), day).objective == pytest.approx(before.objective)


def test_what_is_no_allocation_is_refused_with_its_slot() -> None:
    day = synthetic("validation/1", horizon=6, reachability="partial")
    load = rollout(GLBCost(), day).load
    site, stamp = day.fleet.datacenters[3], day.trace.timestamps[2]
    more = load.copy()
    more[2, 3] += 0.2
    with pytest.raises(DataError, match=rf"slot 2 \({stamp} UTC\): the recorded loads sum to"):
        rollout(Recorded(more), day)
    heaped = load.copy()
    heaped[2] = np.eye(10)[3] * load[2].sum()
    with pytest.raises(DataError, match=f"slot 2 .* the recorded load of {site} is .* capacity 1"):
        rollout(Recorded(heaped), day)
    free = rollout(GLBCost(), day.with_full_reachability()).load
    with pytest.raises(DataError, match=r"slot 0 .* cannot reach where the recorded loads are"):
        rollout(Recorded(free), day)
    with pytest.raises(DataError, match="one episode, not of a batch"):
        rollout(Recorded(load), synthetic(0, horizon=6, batch=2))
