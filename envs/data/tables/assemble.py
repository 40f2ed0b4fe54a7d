"""From a YAML file to an instance: regions read, brought onto common slots, footprints derived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.checking import shown
from equiload.envs.data.regions import great_circle
from equiload.envs.data.tables.entries import WorldEntry, load_yaml, number, record
from equiload.envs.data.tables.footprints import derive
from equiload.envs.data.tables.knobs import TrainingTable, models_of, servers_of, storage_of
from equiload.envs.data.tables.messages import about
from equiload.envs.data.tables.parts import Reader
from equiload.envs.data.tables.region import (
    RegionTable,
    capacity_of,
    place_series,
    read_series,
    region_of,
)
from equiload.envs.data.tables.slots import Slots, Span, common_slots, gaps_of, moment
from equiload.envs.errors import DataError, InfeasibleError
from equiload.envs.footprints import FOOTPRINTS
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.reading import note_read
from equiload.envs.typing import BoolArray, FloatArray


def assemble(path: Path, equity_weight: Mapping[str, float]) -> tuple[Instance, list[RegionTable]]:
    """The instance that a YAML file describes, its regions, then classes of training work.

    Arguments as of ``table``.
    """
    document = load_yaml(path)
    if not isinstance(document, dict) or not isinstance(document.get("regions"), dict):
        raise DataError(f"{path}: expected a mapping with an entry 'regions', itself a mapping")
    if not document["regions"]:
        raise DataError(f"{path}: at least one region is needed")
    world = record(WorldEntry, document, str(path), noun="entry")
    if world.name is not None and not world.name.isprintable():
        raise DataError(f"{path}: name must be a text that can be printed, got {world.name[:60]!r}")
    reader = Reader(
        folder=path.parent,
        slot=world.slot_minutes * 60,
        begin=moment("start", world.start, path),
        end=moment("end", world.end, path),
        units={kind: known.unit for kind, known in world.footprints.items()},
    )
    gaps = gaps_of(world.gaps, path)
    kinds = tuple(dict.fromkeys([*FOOTPRINTS, *world.footprints]))
    regions = [region_of(path, name, options, kinds) for name, options in world.regions.items()]
    training = None if world.training is None else TrainingTable(world.training, path)
    tables = [*regions, *([] if training is None else training.tables)]
    for table in tables:
        read_series(table, reader, path)
    columns = [c for table in tables for group in table.columns.values() for c in group]
    slots = common_slots(
        _spans(tables), reader.slot, reader.begin, reader.end, path, regions=len(regions)
    )
    for table in tables:
        place_series(table, slots, gaps, path)
    weight = derive(regions, kinds, world.equity_weight, equity_weight, path)
    knobs = _knobs(world, training, regions, reader, slots, path)
    digest = hashlib.sha256(path.read_bytes())
    note_read(path)
    for file in reader.files.paths:
        note_read(file)
        digest.update(file.read_bytes())
    provenance = {
        "source": path.name,
        "sha256": digest.hexdigest(),
        "filled": {k: n for table in tables for k, n in table.filled.items() if n},
        "files": len(reader.files.paths),
        "rows": int(sum(len(column.starts) for column in columns)),
    }
    return _instance(world, path, regions, slots, weight, knobs, provenance), tables


def _knobs(
    world: WorldEntry,
    training: TrainingTable | None,
    regions: list[RegionTable],
    reader: Reader,
    slots: Slots,
    path: Path,
) -> dict[str, Any]:
    """What there is beside routing: parts of the fleet, series of the trace and what demand is."""
    names, hours = [region.name for region in regions], slots.seconds / 3600
    demand = np.stack([region.values["demand"] for region in regions], axis=-1)
    with about(str(path)):
        storage = storage_of({region.name: region.options.storage for region in regions}, hours)
    knobs: dict[str, Any] = {
        "storage": storage,
        "servers": servers_of(regions, path, hours),
        "models": models_of(world.models, names, path),
    }
    if any("solar" in region.values for region in regions):
        none = np.zeros(len(slots.stamps))
        sun = [region.values.get("solar", none) for region in regions]
        knobs["generation"] = np.stack(sun, axis=-1)
    if training is not None:
        knobs["training"] = training.part(names, hours)
        knobs["work"], demand = training.work(reader, slots, demand)
    return {"demand": demand} | {name: part for name, part in knobs.items() if part is not None}


def _footprints(
    regions: list[RegionTable], kinds: Sequence[str], apart: bool
) -> dict[str, FloatArray]:
    """``intensity`` and, told ``apart`` where anybody says, ``onsite_intensity``, ``[K, T, N]``."""

    def stacked(series: Callable[[RegionTable, str], FloatArray]) -> FloatArray:
        by_kind = [[series(region, kind) for region in regions] for kind in kinds]
        return np.moveaxis(np.array(by_kind), 1, -1)

    def site(region: RegionTable, kind: str) -> FloatArray:
        part = region.site(kind)
        return np.zeros_like(region.values[kind]) if part is None else part

    if not apart or all(region.site(kind) is None for region in regions for kind in kinds):
        return {"intensity": stacked(lambda region, kind: region.values[kind])}
    return {"intensity": stacked(RegionTable.grid), "onsite_intensity": stacked(site)}


def _spans(regions: list[RegionTable]) -> list[Span]:
    """What the common window is found by: of a generation mix, all its fuels together.

    So a fuel that is missing at an end is a gap there rather than the end of all series.
    """
    spans: list[Span] = []
    for region in regions:
        fuels: list[Span] = []
        for kind, group in region.columns.items():
            (fuels if ": " in kind else spans).extend(column.span for column in group)
        if fuels:
            spans.append((min(begin for begin, _ in fuels), max(end for _, end in fuels)))
    return spans


def _instance(
    world: WorldEntry,
    path: Path,
    regions: list[RegionTable],
    slots: Slots,
    weight: Mapping[str, float],
    knobs: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Instance:
    names = tuple(region.name for region in regions)
    places = [region.options.location for region in regions]
    location = None if None in places else np.array(places, dtype=np.float64)
    distance = None if location is None else great_circle(location, location)
    series = {name: knobs[name] for name in ("demand", "generation", "work") if name in knobs}
    parts = {name: knobs[name] for name in knobs if name not in series}
    series |= _footprints(regions, tuple(weight), apart=len(knobs) > 1)
    series["price"] = np.stack([region.values["price"] for region in regions], axis=-1)
    try:
        with about(str(path), unless=str(path)):
            return Instance(
                name=world.name or path.stem,
                fleet=Fleet(
                    datacenters=names,
                    gateways=names,
                    capacity=np.array([capacity_of(region, slots, path) for region in regions]),
                    pue=np.array([region.options.pue for region in regions]),
                    reachable=_reach(path, names, world.reachability, distance),
                    distance=distance,
                    location=location,
                    **parts,
                ),
                trace=Trace(
                    **series,
                    timestamps=slots.stamps,
                    footprints=tuple(weight),
                    provenance=provenance,
                ),
                objective=Objective(equity_weight=weight),
            )
    except InfeasibleError as error:
        raise InfeasibleError(f"{path}: {error}; is 'capacity' in the demand's unit?") from None


def _reach(
    path: Path, names: tuple[str, ...], options: Any, distance: FloatArray | None
) -> BoolArray:
    """``[J, N]``: ``full``, ``{within_km: 2000}``, or lists of regions by gateway."""
    if options == "full":
        return np.ones((len(names),) * 2, dtype=np.bool_)
    if not isinstance(options, Mapping):
        raise DataError(
            f"{path}: reachability must be 'full', {{within_km: ...}}, or lists of regions by "
            f"gateway"
        )
    if set(options) == {"within_km"} and "within_km" not in names:
        radius = number(options["within_km"])
        if not 0 <= radius < np.inf:
            raise DataError(f"{path}: reachability within_km must be a number of kilometres")
        if distance is None:
            raise DataError(f"{path}: reachability within_km needs the location of every region")
        return np.asarray(distance <= radius, dtype=np.bool_)
    reach: BoolArray = np.eye(len(names), dtype=np.bool_)
    for gateway, reached in options.items():
        if not isinstance(reached, list):
            raise DataError(
                f"{path}: reachability of {gateway} must be a list of regions, got {shown(reached)}"
            )
        for name in (gateway, *reached):
            if name not in names:
                raise DataError(f"{path}: reachability names {shown(name)}, which is not a region")
        reach[names.index(gateway)] = [name in reached for name in names]
    return reach
