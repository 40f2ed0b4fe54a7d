"""What instances check at the door: names, shapes, numbers, clocks. Each refusal is a sentence."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, TypeVar

import numpy as np
from numba import njit

from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, FloatArray, IntArray, TimeArray

_A = TypeVar("_A", bound="np.ndarray[Any, Any]")
_T = TypeVar("_T")

#: Size of a number that is not 0: products of a few neither overflow nor underflow, so that a
#: certificate can bound them exactly (docs/robustness.md).
SMALLEST, LARGEST = 1e-50, 1e50


def set_fields(target: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in values.items():
        object.__setattr__(target, name, value)


def in_arrays(part: _T, convert: Callable[[FloatArray], Any]) -> _T:
    """Copy of a frozen dataclass with its numbers in other arrays, tensors, say."""
    other = copy(part)
    for name, value in vars(part).items():
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            set_fields(other, **{name: convert(value)})
    return other


def frozen(array: _A) -> _A:
    """Make an array read-only."""
    array.flags.writeable = False
    return array


def stated(variable: str) -> int | None:
    """The whole number from 1 that an environment variable states; none where it is empty.

    Of a list (``OMP_NUM_THREADS=4,2``, for nested regions) it is the first.

    Raises
    ------
    DataError
        If it states anything else.
    """
    text = os.environ.get(variable, "").strip()
    numbers = [number.strip() for number in text.split(",")]
    if text and not all(re.fullmatch("0*[1-9][0-9]{0,5}", number) for number in numbers):
        raise DataError(f"{variable} must be a whole number from 1 to 999999, got {text[:60]!r}")
    return int(numbers[0]) if text else None


def names_of(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple: at least one, printable, none twice."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"the {kind} names must be a sequence of texts, got {names!r}")
    names = tuple(str(name) for name in names)
    if not names:
        raise DataError(f"at least one {kind} is needed")
    for name, count in Counter(names).items():
        if not name.strip() or not name.isprintable():
            raise DataError(f"a {kind} needs a name that can be printed, got {name!r}")
        if count > 1:
            raise DataError(f"{kind} {name!r} is named more than once")
    return names


def integers(values: Any) -> IntArray:
    """Read-only whole numbers of ``region_of``."""
    array = regular_array("region_of", values)
    if array.size == 0 or array.dtype.kind not in "iu":
        raise DataError(f"region_of must hold whole numbers, got {array.dtype}")
    return frozen(array.astype(np.int64))


def booleans(name: str, values: Any, shape: tuple[int, ...]) -> BoolArray:
    """Read-only ``array`` of 0 and 1."""
    array = regular_array(name, values)
    if array.shape != shape:
        raise DataError(f"{name} must have shape {shape}, got {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise DataError(f"{name} must hold only 0 and 1")
    return frozen(array.astype(np.bool_))


def numbers(
    name: str,
    values: Any,
    shape: tuple[int, ...],
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
) -> FloatArray:
    """Read-only finite numbers within bounds; copied unless nobody can change them.

    None is below :data:`SMALLEST` (unless it is 0) or above :data:`LARGEST` in size.
    """
    array = regular_array(name, values, np.float64)
    if not frozen_throughout(array):
        array = array.copy()
    if array.shape != shape:
        raise DataError(f"{name} must have shape {shape}, got {array.shape}")
    if not _all_within(array.ravel(), minimum, maximum, SMALLEST, LARGEST):
        size, inside = np.abs(array), (array >= minimum) & (array <= maximum)
        good = inside & (size <= LARGEST) & ((size >= SMALLEST) | (size == 0))
        place = tuple(int(i) for i in np.argwhere(~good)[0])
        bounds = "" if np.isinf(minimum) else f" of at least {minimum:g}"
        bounds += "" if np.isinf(maximum) else f" and at most {maximum:g}"
        if inside[place]:
            bounds += f" that is 0 or from {SMALLEST:g} to {LARGEST:g} in size"
        where = list(place) if place else ""
        raise DataError(f"{name}{where} is {array[place]}, expected a finite number{bounds}")
    return frozen(array)


def each(name: str, values: Any, count: int, **bounds: float) -> FloatArray:
    """Read-only finite numbers within bounds, ``[count]``; one number stands for all."""
    array = regular_array(name, values, np.float64)
    return numbers(name, np.full(count, array) if array.ndim == 0 else array, (count,), **bounds)


# Every series of every draw passes here: the array operations would be a tenth of its time.
@njit(cache=True, nogil=True, error_model="numpy")
def _all_within(
    values: FloatArray, minimum: float, maximum: float, smallest: float, largest: float
) -> bool:
    """Is each of ``values [M]`` within the bounds, and 0 or of a size from smallest to largest?"""
    good = True
    for value in values:
        size = abs(value)
        good &= (value >= minimum) & (value <= maximum)
        good &= (size <= largest) & ((size >= smallest) | (size == 0.0))
    return good


def regular_array(name: str, values: Any, dtype: type | None = None) -> Any:
    """Return ``np.asarray``, or one sentence on why it is none."""
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} must hold numbers in a regular array: {error}") from None


def frozen_throughout(array: np.ndarray[Any, Any]) -> bool:
    """Can nobody change the array, not through what it is a view of either?"""
    view: Any = array
    while isinstance(view, np.ndarray):
        if view.flags.writeable:
            return False
        view = view.base
    return view is None


def clock(values: Any, shape: tuple[int, ...]) -> TimeArray:
    """Read-only UTC timestamps, regular along the last axis."""
    stamps: TimeArray = regular_array("timestamps", values).copy()
    if stamps.dtype.kind != "M":
        raise DataError(f"timestamps must be datetime64 in UTC, got {stamps.dtype}")
    stamps = stamps.astype("datetime64[s]")
    if stamps.shape != shape:
        raise DataError(f"timestamps must have shape {shape}, got {stamps.shape}")
    if np.isnat(stamps).any():
        raise DataError("timestamps hold a value that is not a time")
    steps = np.diff(stamps, axis=-1).astype(np.int64)
    if steps.size and (steps[..., :1] <= 0).any():
        raise DataError("timestamps must increase")
    if (steps != steps[..., :1]).any():
        place = tuple(int(i) for i in np.argwhere(steps != steps[..., :1])[0])
        raise DataError(
            f"timestamps must be regular: {stamps[place]} is followed by "
            f"{stamps[(*place[:-1], place[-1] + 1)]}, "
            f"expected a step of {int(steps[(*place[:-1], 0)])} s"
        )
    return frozen(stamps)
