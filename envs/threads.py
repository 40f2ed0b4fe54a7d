"""Threads: compiled kernels release the interpreter lock, so large work is shared among cores.

One setting governs them, the one that governs numeric libraries: the environment variable
``OMP_NUM_THREADS``; without it, the cores that this process may use. Jobs of a sweep that run side
by side have it at 1. No result depends on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from joblib import cpu_count

from equiload.envs.validation import stated

_T = TypeVar("_T")
_Item = TypeVar("_Item")

_worker = threading.local()


def threads() -> int:
    """How many threads work side by side.

    Raises
    ------
    DataError
        If ``OMP_NUM_THREADS`` is no whole number from 1, or list of such.
    """
    return stated("OMP_NUM_THREADS") or int(cpu_count())


def side_by_side(
    work: Callable[[_Item], _T],
    items: Iterable[_Item],
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[_T]:
    """``[work(item) for item in items]``, shared among threads; within one of them, serially.

    ``track`` wraps the numbers of the results to show progress, as ``tqdm`` does.
    """
    todo = list(items)
    alone = len(todo) <= 1 or getattr(_worker, "busy", False)  # counting cores reads files
    count = 1 if alone else min(threads(), len(todo))
    done = map(work, todo) if count <= 1 else _pool(count).map(work, todo)
    return [next(done) for _ in track(range(len(todo)))]


# Kept from call to call, where joblib's takes 10 ms to begin (65 µs here): a step of the vector
# environment takes less.
@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="equiload", initializer=_begin)


def _begin() -> None:
    _worker.busy = True


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)
