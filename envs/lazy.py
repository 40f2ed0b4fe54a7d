"""Packages whose names load on first use, from the one list that type checkers read too."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazily(package: str, file: str) -> tuple[list[str], Callable[[str], Any]]:
    """``__all__`` and ``__getattr__`` of a package whose imports stand under ``TYPE_CHECKING``."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    imports = [line for block in tree.body if isinstance(block, ast.If) for line in block.body]
    home = {
        alias.name: str(line.module)
        for line in imports
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return sorted(home), load
