"""Threads share work; results do not depend on them."""

import threading

import numpy as np
import pytest

from equiload.agents.offline import Decomposition
from equiload.envs import DataError
from equiload.envs.data import synthetic
from equiload.envs.gym import vector
from equiload.envs.threads import side_by_side, threads


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() >= 1
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        with pytest.raises(DataError, match="OMP_NUM_THREADS must be a whole number from 1"):
            threads()


def test_order_is_kept_and_work_within_work_is_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    def outer(item: int) -> tuple[int, set[str]]:
        names = side_by_side(lambda _: threading.current_thread().name, range(4))
        return item, {*names, threading.current_thread().name}

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    shared = side_by_side(outer, range(6))
    assert [item for item, _ in shared] == list(range(6))
    assert all(len(names) == 1 for _, names in shared)
    assert threading.current_thread().name not in set.union(*(names for _, names in shared))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert side_by_side(outer, [7]) == [(7, {threading.current_thread().name})]


def test_what_a_thread_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(item: int) -> None:
        raise DataError(f"item {item}")

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(DataError, match="item 0"):
        side_by_side(fail, range(3))


def test_numbers_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = synthetic(0, horizon=700, regions=10, sites=4, reachability="partial")
    instance = drawn.replace(fleet=drawn.fleet.replace(regions=None, region_of=None))
    monkeypatch.setattr(vector, "_SHARD", 3)
    loads, observations = [], []
    for count in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        loads.append(Decomposition(tolerance=1e-4).solve(instance).outcome.load)
        envs = vector.GLBVectorEnv(
            8, instance=lambda rng, batch: synthetic(int(rng.integers(9)), horizon=5, batch=batch)
        )
        envs.reset(seed=0)
        observations.append(envs.step(np.full(envs.action_space.shape, 0.3))[0])
    for load, observation in zip(loads[1:], observations[1:], strict=True):
        np.testing.assert_array_equal(load, loads[0])
        np.testing.assert_array_equal(observation, observations[0])
