"""Which random numbers an instance is made from: a split and a place in it, never a global state.

The splits are disjoint seed spaces: a draw's split is part of the key that numpy's
``SeedSequence`` hashes, so no index of one split can name a stream of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from equiload.envs.data import kernels
from equiload.envs.errors import DataError

# Changed whenever the generator's numbers change on purpose.
_ENTROPY = 0x0E9011_0AD_0002


class Split(Enum):
    """A seed space. Its value is part of every stream's key, so it never changes."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2

    @classmethod
    def of(cls, name: str | Split) -> Split:
        """Read ``"train"``, ``"validation"`` or ``"test"``."""
        if isinstance(name, Split):
            return name
        if name not in ("train", "validation", "test"):
            raise DataError(f"the split must be train, validation or test, got {name!r}")
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class Draw:
    """One stream of random numbers: ``index`` within a split, ``member`` of a batch drawn there.

    A whole number stands for a draw of the training split; validation and test must be asked for
    by name, ``Draw.validation(7)``, ``Draw.test(7)`` or, in a configuration, ``"test/7"``.
    """

    split: Split
    index: int
    member: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.split, Split):
            raise DataError(f"a draw's split must be a Split, got {self.split!r}")
        for name, value in (("index", self.index), ("member", self.member)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise DataError(f"a draw's {name} must be a whole number from 0, got {value!r}")

    @classmethod
    def train(cls, index: int) -> Draw:
        """Draw ``index`` of the training split."""
        return cls(Split.TRAIN, index)

    @classmethod
    def validation(cls, index: int) -> Draw:
        """Draw ``index`` of the validation split."""
        return cls(Split.VALIDATION, index)

    @classmethod
    def test(cls, index: int) -> Draw:
        """Draw ``index`` of the test split."""
        return cls(Split.TEST, index)

    @classmethod
    def of(cls, seed: int | str | Draw) -> Draw:
        """Read ``7`` (training), ``"test/7"`` or a draw."""
        if isinstance(seed, Draw):
            return seed
        if isinstance(seed, str):
            match = re.fullmatch(r"(train|validation|test)/(\d+)", seed)
            if match is None:
                raise DataError(
                    f"a seed must be a whole number (training) or train/7, validation/7, test/7; "
                    f"got {seed!r}"
                )
            return cls(Split[match[1].upper()], int(match[2]))
        return cls.train(seed)

    def of_member(self, member: int) -> Draw:
        """The draw of one member of the batch drawn here."""
        return Draw(self.split, self.index, member)

    def generator(self, *stream: int) -> np.random.Generator:
        """A fresh generator at the start of this draw's stream, or of a further one of its own."""
        key = (self.split.value, int(self.index), int(self.member), *stream)
        return np.random.default_rng(np.random.SeedSequence(_ENTROPY, spawn_key=key))

    def __str__(self) -> str:
        member = f"[{self.member}]" if self.member else ""
        return f"{self.split.name.lower()}/{self.index}{member}"


@dataclass(frozen=True)
class _Seeded(ISeedSequence):
    """What a bit generator asks of a ``SeedSequence``, known beforehand."""

    words: NDArray[np.uint64]

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:  # noqa: ARG002
        return self.words


def generators(draws: Sequence[Draw]) -> Iterator[np.random.Generator]:
    """:meth:`Draw.generator` of each, in a fifth of the time where they are many."""
    keys = [(draw.split.value, int(draw.index), int(draw.member)) for draw in draws]
    if max(map(max, keys)) >> 32:
        yield from (draw.generator() for draw in draws)
        return
    words = np.zeros((len(keys), 7), np.uint64)  # as numpy lays out entropy and key
    words[:, :2], words[:, 4:] = (_ENTROPY & 0xFFFFFFFF, _ENTROPY >> 32), keys
    for state in kernels.seed_states(words):
        yield np.random.Generator(np.random.PCG64(_Seeded(state)))  # type: ignore[arg-type]


def shape_of(batch: int | Sequence[int]) -> tuple[int, ...]:
    """The leading axes that a batch asks for: none, one or several."""
    shape = (batch,) if isinstance(batch, int) else tuple(int(axis) for axis in batch)
    if any(axis < 1 for axis in shape):
        raise DataError(f"every axis of the batch must be at least 1, got {shape}")
    return shape
