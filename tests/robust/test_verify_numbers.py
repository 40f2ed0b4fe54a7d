"""Exact arithmetic of arrays, and that the check made in it is the one made in fractions.

A tie holds and a violation by the least there is, is found: every stated side is moved to the float
next to the exact number, on both sides of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equiload.envs import Instance
from equiload.experiments.hostile import levels
from equiload.robust import (
    Certificate,
    FixedMethod,
    Verification,
    verify,
    verify_levels,
    verify_physics,
    verify_spare,
)
from equiload.robust.verify_numbers import Exact
from equiload.robust.violations import fractions

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
#: Of every size, and of sizes that meet: 0, ones, and what is a rounding away from them.
NEAR = [0.0, 1.0, 1 - 2**-53, 3e-17]
ARRAYS = arrays(np.float64, (2, 3), elements=FLOATS | st.sampled_from(NEAR))


class Rational:
    """The same operations of arrays of :class:`fractions.Fraction`, one after another."""

    __array_ufunc__ = None

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, dtype=np.object_)

    @classmethod
    def of(cls, values: Any) -> "Rational":
        array = np.asarray(values)
        return cls(array if array.dtype == np.object_ else fractions(array))

    @classmethod
    def stack(cls, members: list["Rational"]) -> "Rational":
        return cls(np.stack([x.values for x in members], axis=-1))

    def __add__(self, other: Any) -> "Rational":
        return Rational(self.values + values_of(other))

    def __sub__(self, other: Any) -> "Rational":
        return Rational(self.values - values_of(other))

    def __rsub__(self, other: Any) -> "Rational":
        return Rational(values_of(other) - self.values)

    def __mul__(self, other: Any) -> "Rational":
        return Rational(self.values * values_of(other))

    def __neg__(self) -> "Rational":
        return Rational(-self.values)

    def __abs__(self) -> "Rational":
        return Rational(abs(self.values))

    def __le__(self, other: Any) -> np.ndarray:
        return np.asarray(self.values <= values_of(other), dtype=bool)

    def __getitem__(self, index: Any) -> "Rational":
        return Rational(self.values[index])

    def sum(self, axis: int = -1) -> "Rational":
        return Rational(self.values.sum(axis))

    def max(self, axis: int = -1) -> "Rational":
        return Rational(self.values.max(axis))

    def positive(self) -> "Rational":
        return Rational(np.where(self.values > 0, self.values, Fraction(0)))

    def at_most(self, other: "Rational") -> "Rational":
        return Rational(np.where(self.values < other.values, self.values, other.values))

    def where(self, here: np.ndarray) -> "Rational":
        return Rational(np.where(here, self.values, Fraction(0)))

    def per(self, whole: "Rational") -> np.ndarray:
        there = whole.values != 0
        ratio = self.values / np.where(there, whole.values, 1)
        return np.where(there, ratio, Fraction(0)).astype(np.float64)

    def fractions(self) -> np.ndarray:
        return self.values


def values_of(other: Any) -> Any:
    return (other if isinstance(other, Rational) else Rational.of(other)).values


OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sum": lambda x, y, kind: x + y,
    "difference": lambda x, y, kind: x - y,
    "difference with floats": lambda x, y, kind: 0.1 - x * 3.0,
    "product": lambda x, y, kind: x * y,
    "negative": lambda x, y, kind: -x,
    "size": lambda x, y, kind: abs(x),
    "sum over an axis": lambda x, y, kind: (x * y).sum(),
    "sum over none": lambda x, y, kind: x[:, :0].sum(),
    "maximum": lambda x, y, kind: (x - y).max(0),
    "positive part": lambda x, y, kind: (x - y).positive(),
    "smaller": lambda x, y, kind: x.at_most(y),
    "part": lambda x, y, kind: (x * y)[..., None, 1:],
    "some": lambda x, y, kind: x.where(np.array([True, False, True])),
    "stacked": lambda x, y, kind: kind.stack([x, x * y, x - 0.1]),
    "constants": lambda x, y, kind: x * (Fraction(1) / (1 + fractions(np.ones(3)) * 2)),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@settings(max_examples=60)
@given(ARRAYS, ARRAYS)
def test_nothing_is_rounded(operation: Callable, x: np.ndarray, y: np.ndarray) -> None:
    exact, rational = (operation(kind.of(x), kind.of(y), kind) for kind in (Exact, Rational))
    assert exact.fractions().tolist() == rational.fractions().tolist()


@given(ARRAYS, ARRAYS)
def test_comparisons_are_of_the_numbers_themselves(x: np.ndarray, y: np.ndarray) -> None:
    a, b = Exact.of(x), Exact.of(y)
    assert ((a <= b) == (x <= y)).all()
    assert (a <= x).all()
    third = Fraction(1, 3) * np.asarray(fractions(x), dtype=np.object_)
    assert ((a * 1.0 <= third) == (x <= 0)).all()
    up = np.nextafter(x, np.inf, where=np.abs(x) < 1e308, out=x.copy())
    assert ((Exact.of(up) <= a) == (up == x)).all()


@given(ARRAYS, ARRAYS)
def test_a_ratio_is_the_nearest_float(x: np.ndarray, y: np.ndarray) -> None:
    most = Fraction(np.finfo(np.float64).max)
    for ratio, p, q in zip(Exact.of(x).per(Exact.of(y)).flat, x.flat, y.flat, strict=True):
        exact = Fraction(p) / Fraction(q) if q else Fraction(0)
        assert ratio == float(min(max(exact, -most), most))


Case = tuple[Certificate, Instance, tuple[Any, ...]]


def case(seed: int, **options: Any) -> Case:
    """Some small problems with what hostile advice came to; without ``options`` as it should be."""
    rng = np.random.default_rng(seed)
    instance, spare = levels.random_parts(rng, int(rng.integers(1, 4))), None
    if instance.fleet.training is not None and rng.integers(2):
        instance, spare = levels.with_spare(rng, instance)
    certificate, *played = levels.play(instance, rng, spare, **options)
    return certificate, instance, tuple(played)


def in_fractions(certificate: Certificate, instance: Instance, played: tuple) -> Verification:
    """``verify``, all in :class:`Rational` numbers."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (verify_levels, verify_physics, verify_spare):
            patch.setattr(module, "Exact", Rational)
        return verify(certificate, instance, *played)


def moved(rng: np.random.Generator, certificate: Certificate) -> Certificate:
    """One stated side, by a rounding or by more, one way or the other."""
    name = str(rng.choice(["left", "right", "excess", "allowed", "reserved"]))
    step = rng.choice([2.0**-53, 2.0**-52, 1e-12, 1e-3]) * rng.choice([-1.0, 1.0])
    return replace(certificate, **{name: getattr(certificate, name) * (1 + step)})


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_the_verdict_is_that_of_fractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = {"method": FixedMethod(float(rng.random()))} if rng.integers(2) else {}
    certificate, instance, played = case(seed, **options)
    for stated in (certificate, moved(rng, certificate)):
        found, wanted = verify(stated, instance, *played), in_fractions(stated, instance, played)
        assert list(map(str, found.violations)) == list(map(str, wanted.violations))
        assert (found.breaches, found.smallest_slack) == (wanted.breaches, wanted.smallest_slack)


Sides = dict[str, list[tuple[int, np.ndarray, np.ndarray]]]


def sides(certificate: Certificate, instance: Instance, played: tuple) -> Sides:
    """By what is checked: slots, and both sides there as fractions."""
    seen: Sides = {}

    class Recorder(verify_levels._Check):
        def _must(self, t: int, what: str, left: Exact, right: Exact) -> None:
            seen.setdefault(what, []).append((t, left.fractions(), right.fractions()))
            super()._must(t, what, left, right)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify_levels, "_Check", Recorder)
        verify(certificate, instance, *played)
    return seen


def nearest(values: np.ndarray, way: int) -> np.ndarray:
    """The floats next to fractions: the least that is no less, or the most that is no more."""

    def one(value: Fraction) -> float:
        there = float(value)
        off = (Fraction(there) - value) * way < 0
        return float(np.nextafter(there, way * np.inf)) if off else there

    return np.array([one(value) for value in np.ravel(values)]).reshape(np.shape(values))


def tightest(certificate: Certificate, seen: Sides) -> Iterator[tuple[str, str, np.ndarray, int]]:
    """Of each stated side its field, its check, the last float that is true, and the true way."""
    for name, what, side, way in (
        ("left", "the stated left side is too low", 0, 1),
        ("right", "the stated right side is too high", 1, -1),
        ("excess", "the stated excess is too low", 0, 1),
        ("allowed", "the stated allowance is too high", 1, -1),
    ):
        numbers = np.stack([found[1 + side] for found in seen[what]], axis=-1)
        if name in {"excess", "allowed"}:
            numbers = numbers[..., 0]
        yield name, what, nearest(numbers, way), way
    reserves = [found[1] for found in seen["the stated reserve is too low"]]
    numbers = np.stack(reserves, axis=-1).reshape(certificate.reserved.shape)
    yield "reserved", "the stated reserve is too low", nearest(numbers, 1), 1


@pytest.mark.parametrize("seed", range(12))
def test_the_last_float_that_is_true_holds_and_the_next_is_a_violation(seed: int) -> None:
    certificate, instance, played = case(seed)
    ties = 0
    for name, what, last, way in tightest(certificate, sides(certificate, instance, played)):
        tight = replace(certificate, **{name: last})
        assert what not in {v.what for v in verify(tight, instance, *played).violations}
        false = np.nextafter(last, -way * np.inf)
        wrong = verify(replace(certificate, **{name: false}), instance, *played).violations
        assert sum(v.what == what for v in wrong) == last.size
        ties += int((last == 0).sum())
    assert ties  # some are equal exactly, and hold


@pytest.mark.parametrize("seed", range(8))
def test_the_condition_holds_to_the_last_bit_of_the_allowance(seed: int) -> None:
    certificate, instance, played = case(seed, method=FixedMethod(1.0), rho=0.0, allowance=0.0)
    seen = sides(certificate, instance, played)
    for what in ("the condition does not hold", "the guarantee does not hold"):
        highest = max(max(found[1].tolist()) for found in seen[what])
        enough = float(nearest(np.array([max(highest, 0)], dtype=np.object_), 1)[0])
        for allowance, holds in ((enough, True), (float(np.nextafter(enough, 0)), enough == 0)):
            stated = replace(certificate, allowance=allowance)
            found = {v.what for v in verify(stated, instance, *played).violations}
            assert (what not in found) == holds
