"""The numbers that :mod:`~equiload.robust.verify_levels` is made in: integers over a denominator.

Every float is an integer times a power of 2, so an array of floats is an array of integers over one
common denominator, and sums, products, maxima and comparisons of such arrays are sums, products,
maxima and comparisons of integers: nothing is rounded, and no fraction is ever reduced, which is
what takes the time of an array of :class:`fractions.Fraction`. Denominators stay small: a product's
is the product of its factors', a sum's their least common multiple, so they depend on the formula
and not on how many slots are added up. There is no division; a constant that takes one is a
fraction from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np

from equiload.envs.typing import Array, BoolArray, FloatArray

_MOST = float(np.finfo(np.float64).max)


class Exact:
    """An array of rational numbers, ``parts / whole``; other operands may be floats or fractions.

    Parameters
    ----------
    parts
        Integers, in an array of objects.
    whole
        Their common denominator, above 0.

    Examples
    --------
    >>> tenths = Exact.of([0.1, 0.2])
    >>> bool((tenths.sum() <= Exact.of(0.3)).all())  # of the floats next to them
    False
    >>> (tenths - 0.1).fractions().tolist() == [0, Fraction(0.2) - Fraction(0.1)]
    True
    """

    __slots__ = ("parts", "whole")
    __array_ufunc__ = None  # an array on the left leaves the operation to us

    def __init__(self, parts: Array, whole: int) -> None:
        self.parts, self.whole = np.asarray(parts, dtype=np.object_), whole

    @classmethod
    def of(cls, values: object) -> Exact:
        """The numbers that finite floats, or fractions in an array of objects, are."""
        array = np.asarray(values)
        if array.dtype == np.object_:
            whole = lcm(*(x.denominator for x in array.flat))
            return cls(_each(lambda x: x.numerator * (whole // x.denominator), array), whole)
        digits, exponent = np.frexp(array.astype(np.float64))
        integers, exponent = (digits * 2.0**53).astype(np.int64), exponent - 53
        lowest = min(int(exponent.min(initial=0, where=integers != 0)), 0)
        shifts = np.where(integers != 0, exponent - lowest, 0)
        return cls(integers.astype(np.object_) << shifts.astype(np.object_), 1 << -lowest)

    @classmethod
    def stack(cls, members: list[Exact]) -> Exact:
        """Along a new last axis."""
        whole = lcm(*(x.whole for x in members))
        return cls(np.stack([x.over(whole) for x in members], axis=-1), whole)

    def over(self, whole: int) -> Array:
        """The integers over a multiple of the denominator."""
        times = whole // self.whole
        if times & (times - 1):
            return self.parts * times
        return self.parts if times == 1 else self.parts << (times.bit_length() - 1)

    def __add__(self, other: object) -> Exact:
        other = _exact(other)
        whole = self.whole if self.whole == other.whole else lcm(self.whole, other.whole)
        return Exact(self.over(whole) + other.over(whole), whole)

    def __sub__(self, other: object) -> Exact:
        return self + -_exact(other)

    def __rsub__(self, other: object) -> Exact:
        return -self + other

    def __mul__(self, other: object) -> Exact:
        other = _exact(other)
        return Exact(self.parts * other.parts, self.whole * other.whole)

    def __neg__(self) -> Exact:
        return Exact(-self.parts, self.whole)

    def __abs__(self) -> Exact:
        return Exact(np.abs(self.parts), self.whole)

    def __le__(self, other: object) -> BoolArray:
        other = _exact(other)
        whole = lcm(self.whole, other.whole)
        return np.asarray(self.over(whole) <= other.over(whole), dtype=np.bool_)

    def __getitem__(self, index: Any) -> Exact:
        return Exact(self.parts[index], self.whole)

    def sum(self, axis: int = -1) -> Exact:
        """Over one axis."""
        return Exact(self.parts.sum(axis), self.whole)

    def max(self, axis: int = -1) -> Exact:
        """Over one axis, which is not empty."""
        return Exact(self.parts.max(axis), self.whole)

    def positive(self) -> Exact:
        """``max(x, 0)``."""
        return Exact(np.maximum(self.parts, 0), self.whole)

    def at_most(self, other: Exact) -> Exact:
        """The smaller of both."""
        return self - (self - other).positive()

    def where(self, here: BoolArray) -> Exact:
        """0 where not ``here``."""
        return Exact(np.where(here, self.parts, 0), self.whole)

    def per(self, whole: Exact) -> FloatArray:
        """``x / whole``, the nearest floats; 0 where the whole is 0."""
        ratio = _each(_nearest, self.parts * whole.whole, whole.parts * self.whole)
        return np.asarray(ratio, dtype=np.float64)

    def fractions(self) -> Array:
        """As an array of fractions."""
        return _each(lambda part: Fraction(part, self.whole), self.parts)


def _exact(values: object) -> Exact:
    return values if isinstance(values, Exact) else Exact.of(values)


def _each(function: Callable[..., object], *arrays: Array) -> Array:
    """An array of objects, element by element."""
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=np.object_)


def _nearest(part: int, whole: int) -> float:
    """``part / whole``, the nearest float (as Python divides integers), at most the largest."""
    try:
        return part / whole if whole else 0.0
    except OverflowError:
        return float(np.copysign(_MOST, -1.0 if part < 0 else 1.0))
