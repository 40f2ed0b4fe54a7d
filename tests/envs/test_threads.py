"""Threads share work; results do not depend on them."""

import threading

import numpy as np
import pytest

from equiload.agents.offline import Decomposition
from equiload.envs import DataError
from equiload.envs.data import synthetic
from equiload.envs.gym import vector
from equiload.envs.threads import side_by_side, threads


@pytest.mark.parametrize(
    ("stated", "count"),
    [("3", 3), (" 4 ", 4), ("2,1", 2), ("2 , 1", 2), ("08", 8), ("\t5\n", 5), ("999999", 999999)],
)
def test_the_setting(stated: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert threads() == count


@pytest.mark.parametrize("stated", [None, "", "  "])
def test_no_setting(stated: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = threads()
    if stated is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert threads() == cores >= 1


WRONG = [
    "0",
    "two",
    "-1",
    "1.5",
    "+4",
    "2,",
    ",2",
    "2,x",
    "2;1",
    "1e3",
    "٤",
    "0x4",
    "9" * 400,
    "\x1b[2J",
]


@pytest.mark.parametrize("stated", [*WRONG, "\x1b[2J"])
def test_a_setting_that_is_none(stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    with pytest.raises(DataError, match="OMP_NUM_THREADS must be a whole number from 1") as caught:
        threads()
    assert str(caught.value).isprintable()


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
