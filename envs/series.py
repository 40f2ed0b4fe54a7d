"""The exogenous series, over many slots or in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from equiload.envs.typing import Array


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What no decision changes, over ``H`` slots. Time is the last axis but one.

    Whatever is done to all of them alike is done by :meth:`map` and :meth:`zip`: a further series
    is a further field.

    Parameters
    ----------
    price
        ``[..., H, N]``, US$/MWh.
    intensity
        ``[..., K, H, N]``, footprint per MWh drawn (t/MWh, m³/MWh).
    demand
        ``[..., H, J]``, MWh per slot.
    capacity
        ``[..., H, N]``, MWh per slot.
    generation, onsite_intensity, work
        See :class:`~equiload.envs.Trace`; none where the problem has none.
    ceiling
        ``[..., H, C]``, MWh of training work that may wait after the slot.

    Examples
    --------
    >>> series = Series(*np.ones((4, 24, 2)))
    >>> series.map(lambda array: array[:6]).price.shape
    (6, 2)
    """

    price: Array
    intensity: Array
    demand: Array
    capacity: Array
    generation: Array = None
    onsite_intensity: Array = None
    work: Array = None
    ceiling: Array = None

    def named(self) -> dict[str, Array]:
        """The arrays that there are, by name, in the order of the fields."""
        arrays = ((name, getattr(self, name)) for name in SERIES)
        return {name: array for name, array in arrays if array is not None}

    def arrays(self) -> list[Array]:
        """The arrays that there are, in the order of the fields."""
        return list(self.named().values())

    def map(self, change: Callable[[Array], Array]) -> Series:
        """The same change made to each of them."""
        return Series(**{name: change(array) for name, array in self.named().items()})

    def zip(self, other: Series, join: Callable[[Array, Array], Array]) -> Series:
        """Each of them joined with another's."""
        others = other.named()
        return Series(**{name: join(array, others[name]) for name, array in self.named().items()})

    def slot_first(self) -> Series:
        """The same with time as the first axis: ``[H, ..., N]``, a slot a row."""
        return self.map(lambda array: np.moveaxis(array, -2, 0))

    @property
    def slots(self) -> int:
        """Number of slots ``H``."""
        return int(self.price.shape[-2])

    def physical(self) -> Series:
        """Copy in which nothing but the price is below 0."""
        return replace(self.map(lambda array: np.maximum(array, 0.0)), price=self.price)


#: The series' names.
SERIES = tuple(field.name for field in fields(Series))
