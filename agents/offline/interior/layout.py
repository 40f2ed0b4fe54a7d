"""Where the variables and rows of the program stand, and what its coefficients are made of.

Letters: ``T`` slots, ``N`` data centers, ``C`` classes of work, ``P`` pairs of a group of senders
and a data center that it reaches, ``M`` ways to save (steps times savers), ``G`` groups, ``K``
footprint kinds that have a price, ``R`` regions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from equiload.envs.typing import FloatArray, IntArray

# What is decided of a site, of a class of work; and the rows of a site: the second axes below.
GRID, GENERATION, DISCHARGE, CHARGE, STORED, ON, STARTED, STOPPED, SPARE = range(9)
WAITING, DONE, LATE = range(3)
BALANCE, CAPACITY, SWITCHED, BATTERY = range(4)


class Vector(NamedTuple):
    """One number for each variable: ``flat``, and views of it.

    ``site [T, 9, N]``, ``work [T, 3, C]``, ``load [T, P]``, ``saved [T, M]``, and of the whole
    horizon ``highest [K]``, ``slack [K, R]`` and ``missing [N]``, of the initial charge.
    """

    flat: FloatArray
    site: FloatArray
    work: FloatArray
    load: FloatArray
    saved: FloatArray
    highest: FloatArray
    slack: FloatArray
    missing: FloatArray


class Rows(NamedTuple):
    """One number for each row: ``flat``, and views of it.

    ``site [T, 4, N]``, ``work [T, C]``, ``demand [T, G]``, ``footprint [K, R]``.
    """

    flat: FloatArray
    site: FloatArray
    work: FloatArray
    demand: FloatArray
    footprint: FloatArray


class Network(NamedTuple):
    """The coefficients, of which everything else is 0, 1 or −1.

    Parameters
    ----------
    servers, storage
        Is there any of it? Without, its rows are no states of the factorisation.
    per_load, per_on
        ``[N]``, MWh drawn per MWh of load, and of capacity that is on.
    gain, loss
        ``[N]``, MWh stored per MWh charged, and lost from the store per MWh discharged.
    imported, drawn
        ``[T, K, N]``, cost of the footprint of a MWh from the grid, and of one drawn from anywhere.
    region
        ``[N]``.
    pair_group, pair_site
        ``[P]``.
    shared
        ``[2, S]``: all two pairs, the first before the second, that have a site in common.
    class_group, saver_group
        ``[C]`` and ``[M]``.
    """

    servers: bool
    storage: bool
    per_load: FloatArray
    per_on: FloatArray
    gain: FloatArray
    loss: FloatArray
    imported: FloatArray
    drawn: FloatArray
    region: IntArray
    pair_group: IntArray
    pair_site: IntArray
    shared: IntArray
    class_group: IntArray
    saver_group: IntArray


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many there are of each."""

    slots: int
    sites: int
    classes: int
    pairs: int
    savers: int
    groups: int
    kinds: int
    regions: int

    @property
    def states(self) -> int:
        """Rows of a site that link a slot to the next, with servers and storage both."""
        return 2 * self.sites + self.classes

    def _of_variables(self) -> tuple[tuple[int, ...], ...]:
        T, N, K = self.slots, self.sites, self.kinds
        work, footprint = (T, 3, self.classes), (K, self.regions)
        return (T, 9, N), work, (T, self.pairs), (T, self.savers), (K,), footprint, (N,)

    def _of_rows(self) -> tuple[tuple[int, ...], ...]:
        T, N, footprint = self.slots, self.sites, (self.kinds, self.regions)
        return (T, 4, N), (T, self.classes), (T, self.groups), footprint

    @property
    def variables(self) -> int:
        """Their number."""
        return sum(math.prod(shape) for shape in self._of_variables())

    @property
    def rows(self) -> int:
        """Their number."""
        return sum(math.prod(shape) for shape in self._of_rows())

    def vector(self, flat: FloatArray) -> Vector:
        """Views of an array ``[variables]``."""
        return Vector(flat, *_views(flat, self._of_variables()))

    def by_row(self, flat: FloatArray) -> Rows:
        """Views of an array ``[rows]``."""
        return Rows(flat, *_views(flat, self._of_rows()))


def _views(flat: FloatArray, shapes: tuple[tuple[int, ...], ...]) -> list[FloatArray]:
    parts, first = [], 0
    for shape in shapes:
        last = first + math.prod(shape)
        parts.append(flat[first:last].reshape(shape))
        first = last
    return parts
