"""Which footprints a table's regions have, and those that follow from mix and weather."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from equiload.envs.data.derived import mix_footprints, site_water
from equiload.envs.data.regions import PAPER_EQUITY_WEIGHT
from equiload.envs.data.tables.messages import about
from equiload.envs.data.tables.region import PARTS, RegionTable
from equiload.envs.errors import DataError
from equiload.envs.footprints import FOOTPRINTS, in_order


def derive(
    regions: list[RegionTable],
    kinds: tuple[str, ...],
    weight: Mapping[str, float] | None,
    changes: Mapping[str, float],
    path: Path,
) -> dict[str, float]:
    """Make up footprints from mix and weather; the equity weights of the kinds there are."""
    for region in regions:
        _derive_region(region, kinds, path)
    if weight is None:
        weight = {
            kind: known.equity_weight
            for kind, known in FOOTPRINTS.items()
            if any(_speaks_of(region, kind) for region in regions)
        }
    weight = {**weight, **changes}
    for kind in weight:
        if kind not in kinds:
            raise DataError(
                f"{path}: equity_weight names {kind!r}, which is no footprint kind: expected "
                f"{', '.join(kinds)}, or an entry of 'footprints' that gives its unit"
            )
        for region in regions:
            if kind not in region.values:
                raise DataError(
                    f"{path}: region {region.name} has no {kind}; give it {_sources_of(kind)}"
                )
    if not weight:
        raise DataError(f"{path}: no region has a footprint; give them carbon, or a mix")
    return {kind: float(weight[kind]) for kind in in_order(tuple(weight))}


def _speaks_of(region: RegionTable, kind: str) -> bool:
    """Does a region's entry mean to have this footprint, when no equity weights are stated?

    The paper's kinds also where they follow from other series, others where they stand there.
    """
    if kind in PAPER_EQUITY_WEIGHT and kind in region.values:
        return True
    return any(f"{part}{kind}" in region.series for part in PARTS)


def _sources_of(kind: str) -> str:
    known = FOOTPRINTS.get(kind)
    grid = f"grid_{kind} (or mix)" if known is not None and known.factors else f"grid_{kind}"
    if known is not None and known.cooling:
        return f"{kind}, or site_{kind} (or temperature and humidity) with {grid}"
    return f"{kind}, or {grid}"


def _derive_region(region: RegionTable, kinds: tuple[str, ...], path: Path) -> None:
    values = region.values
    mix = {k.removeprefix("mix: "): v for k, v in values.items() if k.startswith("mix: ")}
    if mix:
        with about(f"{path}: mix of {region.name}"):
            grid = mix_footprints(mix, [kind for kind in kinds if kind in FOOTPRINTS])
        for kind, value in grid.items():
            values.setdefault(f"grid_{kind}", value)
    if "temperature" in values and "humidity" in values:
        towers = site_water(values["temperature"], values["humidity"], region.options.elevation)
        values.setdefault("site_water", towers)
    for kind in kinds:
        cooling = kind in FOOTPRINTS and FOOTPRINTS[kind].cooling
        parts = [f"{part}_{kind}" for part in ("grid", "site") if f"{part}_{kind}" in values]
        if kind not in values and f"grid_{kind}" in parts and (not cooling or len(parts) == 2):
            values[kind] = np.sum([values[part] for part in parts], axis=0)
