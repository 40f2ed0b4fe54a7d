"""A data center at shadow prices: what a slot's load costs it, block by block.

Two merit orders, one inside the other. *Energy*: what a site draws comes from its own generation,
the battery, charging that is forgone, and the grid, the cheapest first; charging is a demand served
from the bottom, whose last source is to forgo it, at what a stored MWh is worth. *Load*: with as
many servers on as is best, a unit more of load costs what it draws, less what stood idle anyway; so
the cost of a load is convex, and its slope is constant on a few blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from equiload.envs.knobs import kernels
from equiload.envs.typing import Array, FloatArray

#: What a site sees, in the order of the rows of :attr:`LoadStack.sites`.
SITE = kernels.Site._fields


@dataclass(frozen=True, eq=False)
class LoadStack:
    """The blocks of load of every data center, and what is done at a load.

    Parameters
    ----------
    sites
        ``[13, ..., N]``: rows as in :data:`SITE`.
    servers
        Is there anything to switch off?
    """

    sites: Array
    servers: bool

    @classmethod
    def of(cls, shape: tuple[int, ...], *, servers: bool, **rows: FloatArray | float) -> LoadStack:
        """Stack of sites ``shape [..., N]`` by name of :data:`SITE`; what is left out is 0."""
        sites = np.empty((len(SITE), *shape))
        for row, name in zip(sites, SITE, strict=True):
            row[...] = rows.get(name, 0.0)
        return cls(sites, servers)

    def __getitem__(self, name: str) -> Array:
        """``[..., N]``: a row by its name."""
        return self.sites[SITE.index(name)]

    def columns(self, further: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
        """What a MWh costs in every column, US$, and MWh that it has room for, ``[..., M]`` each.

        The blocks of all sites, a site's of ascending slope, and then ``further`` columns.
        """
        _, *lead, N = self.sites.shape
        most = count_blocks(self.servers)
        *starts, M = accumulate((cost.shape[-1] for cost, _ in further), initial=N * most)
        costs, rooms = np.empty((*lead, M)), np.empty((*lead, M))
        sites = self.sites.reshape(len(SITE), -1, N)
        kernels.blocks(sites, self.servers, most, costs.reshape(-1, M), rooms.reshape(-1, M))
        for start, (cost, room) in zip(starts, further, strict=True):
            cut = slice(start, start + cost.shape[-1])
            costs[..., cut], rooms[..., cut] = cost, room
        return costs, rooms

    def operate(self, load: Array) -> tuple[Array, Array]:
        """What is on, ``[..., N]``, and MWh from each source, ``[4, ..., N]``, at ``load``.

        Sources: generation, discharge, charging that is forgone, the grid.
        """
        on, taken = np.empty(load.shape), np.empty((4, *load.shape))
        N = load.shape[-1]
        kernels.operate(
            self.sites.reshape(len(SITE), -1, N),
            self.servers,
            np.ascontiguousarray(load).reshape(-1, N),
            on.reshape(-1, N),
            taken.reshape(4, -1, N),
        )
        return on, taken


def count_blocks(servers: bool) -> int:
    """Blocks of a data center: one more than there are loads where its slope may change."""
    return 11 if servers else 4
