"""What a run reads, for its record: data files, checkpoints, sources of the user's own.

Whoever opens such a file tells :func:`note_read`. What equiload ships is not noted: its version and
:func:`code` tell of that.
"""

from __future__ import annotations

import ast
import glob
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

#: Is told a path, as it was opened, and its digest.
Note = Callable[[str, str], None]
#: Whom to tell, and the import paths that the run has named.
_noting: ContextVar[tuple[Note, list[str]] | None] = ContextVar("noting", default=None)
#: Sources of the user's own that this process has loaded, as they were when first seen.
_loaded: dict[str, str] = {}
_PACKAGES = (
    *("equiload.envs", "equiload.robust", "equiload.agents", "equiload.testing"),
    *("equiload.experiments", "equiload.conf", "hydra_plugins.equiload_sweeper"),
)


@contextmanager
def noting(note: Note) -> Iterator[None]:
    """Pass on what is read while the block runs."""
    named: list[str] = []
    token = _noting.set((note, named))
    try:
        yield
        for target in named:  # once more, for what they imported late
            note_sources(target)
    finally:
        _noting.reset(token)


def note_read(path: str | Path) -> None:
    """Say that results depend on a file, or on which files a pattern (``*``) means."""
    noted = _noting.get()
    if noted is None or _within(Path(path).absolute(), _packages()):
        return
    found = digest(path)
    if found is not None:
        noted[0](str(path), found)


def note_sources(target: str) -> None:
    """Say that results depend on an import path: on modules of the user's own, and their imports.

    These belong to no installed package, whose version would tell.
    """
    noted, seen, here = _noting.get(), set[str](), Path.cwd()
    if noted is None:
        return
    if target not in noted[1]:
        noted[1].append(target)
    waiting = [target]
    while waiting:
        name = waiting.pop()
        waiting += [name.rpartition(".")[0]] if "." in name else []
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is None or not isinstance(file, str) or file in seen or not _is_own(file):
            continue
        seen.add(file)
        path = Path(file)
        found = _loaded.setdefault(file, digest(path) or "")
        noted[0](str(path.relative_to(here) if path.is_relative_to(here) else path), found)
        waiting += _imports(file, module.__package__ or "") if path.suffix == ".py" else []


@cache
def _imports(file: str, package: str) -> list[str]:
    """Import paths of all that a source imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(Path(file).read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found += [f"{base}.{alias.name}" for alias in node.names]
    return found


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
