"""Progress bars: on a terminal only, and on standard error, so that output can be piped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from equiload.experiments.results.comparison import Track


class Bars:
    """One bar per piece of work; silent where standard error is no terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def track(self, label: str) -> Track:
        """Return a wrapper that shows an iterable's progress under ``label``."""
        task = self._progress.add_task(escape(label), total=None)

        def tracked(slots: Iterable[int]) -> Iterator[int]:
            return iter(self._progress.track(slots, task_id=task))

        return tracked

    def step(self, label: str, total: int) -> Iterator[None]:
        """Advance a bar of ``total`` steps by one at each ``next``; it never ends by itself."""
        task = self._progress.add_task(label, total=total)
        while True:
            self._progress.advance(task)
            yield


@contextmanager
def bars() -> Iterator[Bars]:
    """Show progress while the block runs."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield Bars(progress)
