"""What a run reads, for its record: data files, checkpoints, sources of the user's own.

Whoever opens such a file tells :func:`note_read`. What equiload ships is not noted: its version and
:func:`code` tell of that.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: Is told a path, as it was opened, and its digest.
Note = Callable[[str, str], None]
_note: ContextVar[Note | None] = ContextVar("note", default=None)
#: Sources of the user's own that this process has loaded, as they were when first seen.
_loaded: dict[Path, str] = {}
_PACKAGES = (
    *("equiload.envs", "equiload.robust", "equiload.agents", "equiload.testing"),
    *("equiload.experiments", "equiload.conf", "hydra_plugins.equiload_sweeper"),
)


@contextmanager
def noting(note: Note) -> Iterator[None]:
    """Pass on what is read while the block runs, and what sources have been loaded for it."""
    token = _note.set(note)
    try:
        note_sources()
        yield
        note_sources()
    finally:
        _note.reset(token)


def note_read(path: str | Path) -> None:
    """Say that results depend on a file, or on which files a pattern (``*``) means."""
    note, found = _note.get(), digest(path)
    if note is not None and found is not None and not _within(Path(path).absolute(), _packages()):
        note(str(path), found)


def note_sources() -> None:
    """Note the modules of the user's own: those that belong to no installed package."""
    note, here = _note.get(), Path.cwd()
    if note is None:
        return
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and _is_own(file):
            _loaded.setdefault(Path(file), digest(file) or "")
    for path, found in _loaded.items():
        note(str(path.relative_to(here) if path.is_relative_to(here) else path), found)


def digest(path: str | Path) -> str | None:
    """SHA-256 of a file; of a pattern, of the names that it means; none where there is nothing."""
    path = Path(path)
    if not path.is_file():
        names = sorted(glob.glob(str(path)))  # noqa: PTH207 - absolute, too
        return hashlib.sha256("\n".join(names).encode()).hexdigest() if names else None
    now = path.stat()
    return _hashed(path, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


@cache
def code() -> str:
    """Digest of equiload's own files, once a process."""
    told = hashlib.sha256()
    for package in _packages():
        for path in sorted(package.rglob("*.*")):
            if path.suffix in (".py", ".yaml", ".csv", ".json", ".safetensors"):
                told.update(f"{path.relative_to(package.parent)}\n".encode() + path.read_bytes())
    return told.hexdigest()


@cache
def _hashed(path: Path, *_: int) -> str:
    """A file is read once, as long as its size and times stay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _packages() -> tuple[Path, ...]:
    specs = [find_spec(name) for name in _PACKAGES]
    places = [spec.submodule_search_locations for spec in specs if spec is not None]
    return tuple(Path(place[0]) for place in places if place)


@cache
def _is_own(file: str) -> bool:
    path = Path(file)
    places = (Path(sys.executable).parent, Path(os.__file__).parent, *_packages())
    installed = {"site-packages", "dist-packages"}.intersection(path.parts)
    return not (installed or _within(path, places)) and path.is_file()


def _within(path: Path, places: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(place) for place in places)
