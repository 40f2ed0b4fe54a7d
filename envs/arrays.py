"""Arrays of the problem, and tensors of the same: one code for both, against the array API."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from equiload.envs.typing import Array


def namespace(array: Array) -> Array:
    """Array-API namespace of an array; numpy's own at once, since small steps are many."""
    return np if isinstance(array, np.ndarray) else array_namespace(array)


def like(array: Array, other: Array) -> Array:
    """Return a numpy array of the problem's, in the kind, precision and device of ``other``."""
    if isinstance(other, np.ndarray | np.generic) or not isinstance(array, np.ndarray):
        return array
    copy = np.array(array)  # torch warns of arrays that are read-only
    return array_namespace(other).asarray(copy, dtype=other.dtype, device=other.device)
