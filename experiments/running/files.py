"""Writing results: whole files or none."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from equiload.envs.errors import DataError

#: Version of the layout of each record that programs write.
SCHEMAS = {"results.json": 1, "evaluation.json": 1, "predictions.json": 1, "robustness.json": 1}
_PACKAGES = ("equiload", "numpy", "scipy", "numba", "highspy", "cvxpy", "torch", "gymnasium")


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
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
        draft = Path(name)
        try:
            yield draft
            draft.chmod(0o644)
            draft.replace(path)
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
    """Return JSON, numpy's numbers and arrays and read-only mappings included."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    return text + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write dictionaries as CSV with a header; where a row lacks a key, its cell is empty."""
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    return {"python": python_version(), **{name: version(name) for name in _PACKAGES}}
