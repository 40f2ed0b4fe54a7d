"""How names stand in figures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl


@contextmanager
def lettering() -> Iterator[None]:
    """Draw names as names: no TeX between dollars, no warning for each letter a font lacks."""
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield
