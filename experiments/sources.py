"""The source of instances that a configuration names, with what every program may change of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equiload.envs import DataError
from equiload.envs.data import ShiftedSource, Source, source_of
from equiload.experiments.entry import build


def make_source(node: Any, *, equity_weight: Any = None, shift: str | None = None) -> Source:
    """Build the ``_target_`` of a source, or of a function that returns an instance.

    ``equity_weight`` changes weights by footprint kind or adds kinds, US$ per unit; ``shift`` is
    one of :func:`~equiload.envs.data.shifted`.

    Raises
    ------
    DataError
        For anything that is no source, or that the source has no data for.
    """
    source = source_of(build(node)).weighed(_weights(equity_weight))
    return source if shift is None else ShiftedSource(source, shift)


def _weights(given: Any) -> Mapping[str, float] | None:
    if given is None:
        return None
    try:
        return {str(kind): float(weight) for kind, weight in given.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(
            f"equity_weight must map footprint kinds to numbers, got {given!r}"
        ) from None
