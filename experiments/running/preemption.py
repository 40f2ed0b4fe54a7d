"""The scheduler's warning: save, and go on after the job is queued again.

A batch system that is about to take a job's machine away sends a signal first (SIGUSR2 through
submitit, SIGTERM elsewhere). A program that runs long looks at the warning where its state is
whole::

    with preemption_warning() as warning:
        for step in range(start, steps):
            update()
            if warning:
                save(step)
                warning.obey()

Run again, it finds its folder as it left it: a job's folder is named by its configuration.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = ("SIGUSR2", "SIGTERM")


class Preempted(Exception):  # noqa: N818 - not an error: the job goes on when it is run again
    """The job has saved its state and ended early, on its scheduler's warning."""


class Warned:
    """Whether a warning has come; true from then on until it is obeyed."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self._signal is not None

    def obey(self) -> None:
        """Hand over to who listened before (submitit queues the job again and ends it).

        Raises
        ------
        Preempted
            If nobody did.
        """
        number, self._signal = self._signal, None
        if number is None:
            return
        handler = self._before.get(number)
        if callable(handler):
            handler(number, None)  # returns where the signal only announces another
        else:
            raise Preempted(f"ended early on {signal.Signals(number).name}; run it again to go on")

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._signal = number


@contextmanager
def preemption_warning() -> Iterator[Warned]:
    """Turn a scheduler's signal into a flag while the block runs (in the main thread only)."""
    warned = Warned()
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        warned._before = {n: signal.signal(n, warned._note) for n in numbers}  # noqa: SLF001
    try:
        yield warned
    finally:
        for number, handler in warned._before.items():  # noqa: SLF001
            signal.signal(number, handler)
