"""Writing results: whole files or none."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from equiload.envs.errors import DataError

#: Version of the layout of each record that programs write.
SCHEMAS = {
    "results.json": 2,
    "evaluation.json": 1,
    "predictions.json": 1,
    "robustness.json": 1,
    "scenarios.json": 1,
}
#: How the names of files begin that are being written; what a killed run leaves of them.
DRAFT = ".equiload-"
#: What this process wrote, in order.
written: list[Path] = []
#: Is told each path before anything is written there, and may refuse it.
writing: ContextVar[Callable[[Path], None] | None] = ContextVar("writing", default=None)
#: Help of commands that can do without :func:`inert`.
RAW = "leave texts that spreadsheets take for formulas as they are in CSV"
_PACKAGES = ("equiload", "numpy", "scipy", "numba", "highspy", "cvxpy", "torch", "gymnasium")


def existing_folder(path: Path) -> Path:
    """The same path.

    Raises
    ------
    DataError
        Where there is no folder.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not a folder")
    return path


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Write ``path`` here: what the system refuses (a full disk, say) becomes a ``DataError``."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes ``path`` when the block ends without an error.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    if note := writing.get():
        note(path)
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=DRAFT, suffix=path.suffix)
        os.close(handle)
        draft = Path(name)
        try:
            yield draft
            draft.chmod(0o644)
            draft.replace(path)
            written.append(path)
        finally:
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity are refused (``ValueError``), they are not JSON."""
    write_text(path, json_text(content))


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write what a program found as JSON, with the layout's version and those of the software."""
    write_json(path, {"schema": SCHEMAS[path.name], **content, "versions": versions()})


def json_text(content: Any) -> str:
    """Return JSON, numpy's numbers and arrays, records and read-only mappings included."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    return text + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if is_dataclass(value):
        return vars(value)
    return dict(value) if isinstance(value, Mapping) else str(value)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], *, raw: bool = False) -> None:
    """Write dictionaries as CSV with a header; where a row lacks a key, its cell is empty.

    Texts are :func:`inert`, unless ``raw``.
    """
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.writer(text, lineterminator="\r\n")  # so that cells with either are quoted
    for line in [dict(zip(names, names, strict=True)), *rows]:
        cells = [line.get(name) for name in names]
        writer.writerow(cells if raw else map(inert, cells))
    write_text(path, text.getvalue().replace("\r\n", "\n"))


def inert(cell: Any) -> Any:
    """A cell that no spreadsheet runs: a text that begins as a formula does is led by a ``'``.

    OWASP's rule against CSV injection. Numbers, also those written as a text, stay what they are.
    """
    if not isinstance(cell, str) or not cell.startswith(tuple("=+-@\t\r\n")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


@cache
def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    return {"python": python_version(), **{name: version(name) for name in _PACKAGES}}
