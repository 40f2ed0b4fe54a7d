"""From a YAML file to an instance: regions read, brought onto common slots, footprints derived."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.checking import refuse_unknown, shown
from equiload.envs.data.derived import mix_footprints, site_water
from equiload.envs.data.regions import PAPER_EQUITY_WEIGHT, great_circle
from equiload.envs.data.tables import units
from equiload.envs.data.tables.entries import (
    GapsEntry,
    RegionEntry,
    SeriesEntry,
    WorldEntry,
    load_yaml,
    number,
    record,
)
from equiload.envs.data.tables.messages import about
from equiload.envs.data.tables.mix import read_mix
from equiload.envs.data.tables.parts import Facts, Reader
from equiload.envs.data.tables.series import read
from equiload.envs.data.tables.slots import Intervals, Slots, Span, common_slots, gaps_of, moment
from equiload.envs.errors import DataError, InfeasibleError
from equiload.envs.footprints import FOOTPRINTS, in_order
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.reading import note_read
from equiload.envs.typing import BoolArray, FloatArray

#: Series that are no footprint; weather and mix are what footprints are derived from.
_OTHERS = ("price", "mix", "temperature", "humidity", "demand")
#: A footprint as a whole, and its parts: what the grid adds, and what the site's cooling does.
_PARTS = ("", "grid_", "site_")


@dataclass(eq=False)
class RegionTable:
    """One region of a table: its entry in the YAML, its columns as read, its values on slots.

    ``columns`` holds a column by kind of series, those of the mix as ``mix: fuel``; ``values [T]``
    by kind, what was derived too; ``facts`` what was noticed in reading, ``filled`` how many values
    were.
    """

    name: str
    options: RegionEntry
    series: Mapping[str, Any]
    columns: dict[str, list[Intervals]] = field(default_factory=dict)
    values: dict[str, FloatArray] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)

    def constant(self, kind: str) -> Mapping[str, Any] | None:
        """The entry of a series that is one number, or none."""
        options = self.series[kind]
        if isinstance(options, str | int | float):
            return {"constant": options}
        return options if isinstance(options, dict) and "constant" in options else None

    @property
    def constants(self) -> tuple[str, ...]:
        """Kinds that are given as one number."""
        return tuple(kind for kind in self.series if self.constant(kind) is not None)

    def unit(self, kind: str) -> str:
        """The unit of a series as the YAML states it; empty where it states none."""
        if kind in self.facts:
            return self.facts[kind].entry.unit or ""
        return str((self.constant(kind) or {}).get("unit", ""))


def assemble(path: Path, equity_weight: Mapping[str, float]) -> tuple[Instance, list[RegionTable]]:
    """The instance that a YAML file describes, and its regions; arguments as of ``table``."""
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
    regions = [_region(path, name, options, kinds) for name, options in world.regions.items()]
    for region in regions:
        _read(region, reader, path)
    columns = [c for region in regions for group in region.columns.values() for c in group]
    slots = common_slots(
        _spans(regions), reader.slot, reader.begin, reader.end, path, regions=len(regions)
    )
    for region in regions:
        _place(region, slots, gaps, path)
    weight = _derive(regions, kinds, world.equity_weight, equity_weight, path)
    digest = hashlib.sha256(path.read_bytes())
    note_read(path)
    for file in reader.files.paths:
        note_read(file)
        digest.update(file.read_bytes())
    provenance = {
        "source": path.name,
        "sha256": digest.hexdigest(),
        "filled": {k: n for region in regions for k, n in region.filled.items() if n},
        "files": len(reader.files.paths),
        "rows": int(sum(len(column.starts) for column in columns)),
    }
    return _instance(world, path, regions, slots, weight, provenance), regions


def _region(path: Path, name: str, options: Any, kinds: tuple[str, ...]) -> RegionTable:
    if not isinstance(options, dict):
        raise DataError(f"{path}: region {name} must be a mapping of its series")
    names = [*_OTHERS, *(f"{part}{kind}" for kind in kinds for part in _PARTS)]
    series = {kind: options[kind] for kind in names if kind in options}
    unknown = [k for k in options if k not in names and k not in RegionEntry.model_fields]
    with about(str(path)):
        refuse_unknown(
            f"entry of region {name}",
            unknown,
            sorted([*RegionEntry.model_fields, *_OTHERS, *kinds]),
        )
    rest = {key: value for key, value in options.items() if key in RegionEntry.model_fields}
    for kind in ("price", "demand"):
        if kind not in series:
            raise DataError(f"{path}: region {name} has no {kind}")
    return RegionTable(name, record(RegionEntry, rest, f"{path}: region {name}"), series)


def _read(region: RegionTable, reader: Reader, path: Path) -> None:
    """Read the files of a region's series; constants wait for the slots."""
    for kind, options in region.series.items():
        what = f"{path}: {kind} of {region.name}"
        if options == "":
            raise DataError(f"{what} is empty; give it a number, or a file")
        constant = region.constant(kind)
        if constant is not None:
            record(SeriesEntry, constant, what)
        elif kind == "mix":
            mix, region.facts[kind] = read_mix(reader, options, what)
            region.columns |= {f"mix: {fuel}": group for fuel, group in mix.items()}
        else:
            column, region.facts[kind] = read(reader, options, kind, what)
            region.columns[kind] = [column]


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


def _place(region: RegionTable, slots: Slots, gaps: GapsEntry | None, path: Path) -> None:
    """Bring a region's columns and constants onto the slots."""
    for kind, group in region.columns.items():
        placed = [slots.place(column, gaps) for column in group]
        region.values[kind] = sum((v for v, _ in placed), np.zeros(len(slots.stamps)))
        region.filled[f"{region.name}: {kind}"] = max(count for _, count in placed)
    for kind in region.constants:
        value = _constant_value(region, kind, slots.seconds, f"{path}: {kind} of {region.name}")
        region.values[kind] = np.full(len(slots.stamps), value)
    if region.unit("demand") in units.SHARES:
        region.values["demand"] = region.values["demand"] * _capacity(region, slots, path)


def _constant_value(region: RegionTable, kind: str, seconds: int, what: str) -> float:
    entry = record(SeriesEntry, region.constant(kind), what)
    others = sorted(entry.model_fields_set - {"constant", "unit", "rate"})
    if entry.constant is None or others:
        raise DataError(f"{what}: beside 'constant' only 'unit' and 'rate' are understood")
    if kind == "mix":
        raise DataError(f"{what}: a generation mix cannot be one number")
    base, value = units.base_kind(kind), np.array([entry.constant])
    if entry.unit is not None:
        if isinstance(entry.rate, dict):
            raise DataError(f"{what}: 'rate' must be a number")
        with about(what):
            value = units.convert(value, base, entry.unit, entry.rate)
        if kind == "demand" and entry.unit in units.POWER:
            value = value * (seconds / 3600)
    if odd := units.out_of_bounds(value, base):
        raise DataError(f"{what}: {odd[1]}")
    return float(value[0])


def _derive(
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
    return any(f"{part}{kind}" in region.series for part in _PARTS)


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


def _instance(
    world: WorldEntry,
    path: Path,
    regions: list[RegionTable],
    slots: Slots,
    weight: Mapping[str, float],
    provenance: Mapping[str, Any],
) -> Instance:
    names = tuple(region.name for region in regions)
    places = [region.options.location for region in regions]
    location = None if None in places else np.array(places, dtype=np.float64)
    distance = None if location is None else great_circle(location, location)

    def stacked(kind: str) -> FloatArray:
        return np.stack([region.values[kind] for region in regions], axis=-1)

    try:
        with about(str(path), unless=str(path)):
            return Instance(
                name=world.name or path.stem,
                fleet=Fleet(
                    datacenters=names,
                    gateways=names,
                    capacity=np.array([_capacity(region, slots, path) for region in regions]),
                    pue=np.array([region.options.pue for region in regions]),
                    reachable=_reach(path, names, world.reachability, distance),
                    distance=distance,
                    location=location,
                ),
                trace=Trace(
                    price=stacked("price"),
                    intensity=np.stack([stacked(kind) for kind in weight]),
                    demand=stacked("demand"),
                    timestamps=slots.stamps,
                    footprints=tuple(weight),
                    provenance=provenance,
                ),
                objective=Objective(equity_weight=weight),
            )
    except InfeasibleError as error:
        raise InfeasibleError(f"{path}: {error}; is 'capacity' in the demand's unit?") from None


def _capacity(region: RegionTable, slots: Slots, path: Path) -> float:
    try:
        return units.capacity(region.options.capacity, slots.seconds / 3600)
    except DataError as error:
        raise DataError(f"{path}: capacity of {region.name} {error}") from None


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
