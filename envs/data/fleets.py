"""Fleets over the regions of the world: how many data centers where, and who may use whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equiload.envs.data.regions import great_circle, location, named_regions, reachability, world
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet


def world_fleet(
    regions: int | Sequence[str],
    sites: int | Sequence[int],
    kind: str,
    *,
    capacity: float = 1.0,
) -> Fleet:
    """A gateway and some data centers in each region.

    Parameters
    ----------
    regions
        Names from :func:`world`, or how many of them, the paper's ten first.
    sites
        Data centers per region: one number, or one for each.
    kind
        ``"full"`` or ``"partial"`` reachability.
    capacity
        Of each data center, MWh per slot.

    Raises
    ------
    DataError
        A region that is not in the table, or a count that does not fit.
    """
    names = _names(regions)
    counts = [sites] * len(names) if isinstance(sites, int) else [int(n) for n in sites]
    if len(counts) != len(names) or min(counts, default=0) < 1:
        raise DataError(
            f"sites must be at least 1 for each of the {len(names)} regions, got {sites}"
        )
    region_of = np.repeat(np.arange(len(names)), counts)
    place = location(names)
    return Fleet(
        datacenters=tuple(
            name if count == 1 else f"{name} {site + 1}"
            for name, count in zip(names, counts, strict=True)
            for site in range(count)
        ),
        gateways=names,
        capacity=np.full(len(region_of), capacity),
        reachable=reachability(names, kind)[:, region_of],
        regions=names,
        region_of=region_of,
        distance=great_circle(place, place[region_of]),
        location=place[region_of],
    )


def _names(regions: int | Sequence[str]) -> tuple[str, ...]:
    known = tuple(world())
    if isinstance(regions, int):
        if not 1 <= regions <= len(known):
            raise DataError(f"regions must be 1 to {len(known)}, or names, got {regions}")
        return known[:regions]
    if isinstance(regions, str) or not regions:
        raise DataError(f"regions must be names of regions, or how many, got {regions!r}")
    return tuple(region.name for region in named_regions(regions))
