"""Progress bars: on a terminal only, and on standard error, so that output can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

#: Wraps an iterable of slots to show progress, as ``tqdm`` does.
Track = Callable[[Iterable[int]], Iterable[int]]


def bars() -> Progress:
    """One bar per piece of work while the block runs; silent where nobody watches."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def tracker(progress: Progress, label: str) -> Track:
    """A wrapper of slots; its bar shows at once, for what takes long before its first slot."""
    return partial(progress.track, task_id=progress.add_task(escape(label), total=None))
