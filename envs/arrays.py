"""Arrays of the problem, and tensors of the same: one code for both, against the array API."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace

from equiload.envs.typing import Array, FloatArray

_FLOAT = np.dtype(np.float64)


def namespace(array: Array) -> Array:
    """Array-API namespace of an array; numpy's own at once, since small steps are many."""
    return np if isinstance(array, np.ndarray) else array_namespace(array)


def like(array: Array, other: Array) -> Array:
    """Return a numpy array of the problem's, in the kind, precision and device of ``other``."""
    if isinstance(other, np.ndarray | np.generic) or not isinstance(array, np.ndarray):
        return array
    copy = np.array(array)  # torch warns of arrays that are read-only
    return array_namespace(other).asarray(copy, dtype=other.dtype, device=other.device)


def rows(array: Array, lead: tuple[int, ...], *shape: int) -> FloatArray:
    """``[B, *shape]`` of an array ``[*lead, *shape]``, or of one spread over it; 0 of none.

    The array itself, where a kernel may have it: they are compiled anew for read-only ones.
    """
    whole = lead + shape
    if array is None:
        array = np.zeros(whole)
    elif not (
        isinstance(array, np.ndarray)
        and array.shape == whole
        and array.dtype is _FLOAT
        and array.flags.carray
    ):
        spread, array = array, np.empty(whole)
        array[...] = spread
    flat: FloatArray = array if len(lead) == 1 else array.reshape(math.prod(lead), *shape)
    return flat


def batched(array: Array, lead: tuple[int, ...]) -> Array:
    """``[*lead, more]`` of ``[B, more]``: :func:`rows` undone."""
    return array if len(lead) == 1 else array.reshape((*lead, *array.shape[1:]))
