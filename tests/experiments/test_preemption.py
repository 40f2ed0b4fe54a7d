"""The scheduler's warning."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from equiload.experiments.running.preemption import Preempted, preemption_warning


@pytest.mark.parametrize("name", ["SIGUSR2", "SIGTERM"])
def test_a_warning_waits_until_it_is_obeyed(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with preemption_warning() as warning:
        assert not warning
        warning.obey()  # of nothing
        os.kill(os.getpid(), number)
        assert warning  # and the program still runs
        with pytest.raises(Preempted, match=f"{name}; run it again to go on"):
            warning.obey()
        assert not warning
    assert signal.getsignal(number) == before


def test_a_scheduler_that_listens_is_handed_over_to() -> None:
    """As submitit does: its handler queues the job again and ends it."""

    def requeue(number: int, frame: object) -> None:
        raise SystemExit(number)

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with preemption_warning() as warning:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert warning
            with pytest.raises(SystemExit, match=str(int(signal.SIGUSR2))):
                warning.obey()
        assert signal.getsignal(signal.SIGUSR2) is requeue
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_announcements_let_the_job_go_on() -> None:
    """submitit only logs SIGTERM, the signal that counts comes after it."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with preemption_warning() as warning:
            os.kill(os.getpid(), signal.SIGTERM)
            warning.obey()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_thread_cannot_listen_and_goes_on() -> None:
    seen = []

    def work() -> None:
        with preemption_warning() as warning:
            seen.append(bool(warning))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
