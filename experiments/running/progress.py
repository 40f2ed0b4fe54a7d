"""Progress bars: on a terminal only, and on standard error, so that output can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

#: Wraps an iterable of slots to show progress, as ``tqdm`` does.
Track = Callable[[Iterable[int]], Iterable[int]]


class Bar:
    """A bar of so many steps."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self) -> None:
        """Count one step as done."""
        self._progress.advance(self._task)


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

    def bar(self, label: str, total: int, *, initial: int = 0) -> Bar:
        """Show a bar of ``total`` steps, of which ``initial`` are done already."""
        return Bar(self._progress, self._progress.add_task(label, total=total, completed=initial))


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
