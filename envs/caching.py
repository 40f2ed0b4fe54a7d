"""Compiled kernels are kept for the next process wherever numba finds a place for them.

That is the folder that ``NUMBA_CACHE_DIR`` names, else beside the sources, else in the home folder.
Where none of them can be written (a read-only container, an account without a home), each process
compiles anew.
"""

from __future__ import annotations

from numba import njit


def _kernel() -> None:
    """What numba is asked for a place for."""


try:
    njit(cache=True)(_kernel)
except RuntimeError:  # there is none, and the first kernel would end the import
    type(njit(_kernel)).enable_caching = lambda _kernel: None  # type: ignore[attr-defined]
