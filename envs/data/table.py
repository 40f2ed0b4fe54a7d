"""``table``: anyone's own data, described in a small YAML file. docs/worlds.md has the format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from equiload.envs.data.regions import PAPER_EQUITY_WEIGHT, great_circle
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.typing import BoolArray, FloatArray

if TYPE_CHECKING:  # pandas takes half a second to import
    from equiload.envs.data.slots import Gaps, Slots
    from equiload.envs.data.sources import Column

_TOP = {
    "name",
    "start",
    "end",
    "slot_minutes",
    "gaps",
    "reachability",
    "equity_weight",
    "regions",
}
#: Series of a region; weather and mix are what carbon and water are derived from without them.
_SERIES = (
    "price",
    "carbon",
    "water",
    "grid_water",
    "site_water",
    "mix",
    "temperature",
    "humidity",
    "demand",
)
_REGION = {*_SERIES, "location", "capacity", "pue", "elevation"}


@dataclass(eq=False)
class RegionTable:
    """One region of a table: its entry in the YAML, its columns as read, its values on slots.

    ``columns`` holds a column by kind of series, the mix's as ``mix: fuel``; ``values [T]``
    likewise, and what was derived from them.
    """

    name: str
    options: Mapping[str, Any]
    columns: dict[str, Column] = field(default_factory=dict)
    values: dict[str, FloatArray] = field(default_factory=dict)


def table(path: str | Path, *, equity_weight: Mapping[str, float] | None = None) -> Instance:
    """Read an instance from the YAML file at ``path`` and the files that it names.

    ``equity_weight``, US$ per unit, stands in for the file's own.

    Raises
    ------
    DataError
        Anything that cannot be used: file, row, column, value and what was expected.
    InfeasibleError
        Demand that the capacity cannot serve.
    """
    instance = read_table(path)[0]
    if equity_weight is None:
        return instance
    return instance.replace(objective=Objective(equity_weight=equity_weight))


def read_table(path: str | Path) -> tuple[Instance, list[RegionTable]]:
    """The instance, and every region's series as they were read, for checks and portraits."""
    from equiload.envs.data.slots import Gaps, common_slots
    from equiload.envs.data.sources import Source, read, read_mix

    path = Path(path)
    spec = _load(path)
    minutes = spec.get("slot_minutes", 60)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        raise DataError(f"{path}: slot_minutes must be a whole number, got {minutes!r}")
    gaps = Gaps.of(spec.get("gaps"))
    regions = []
    for name, options in spec["regions"].items():
        region = RegionTable(str(name), options)
        for kind in _SERIES:
            if kind in options:
                what = f"{path}: {kind} of {name}"
                source = Source.of(options[kind], path.parent, what)
                if kind == "mix":
                    found = read_mix(source)
                    region.columns |= {f"mix: {fuel}": column for fuel, column in found.items()}
                else:
                    water = kind.endswith("_water")
                    region.columns[kind] = read(source, "water" if water else kind)
        regions.append(region)
    columns = [column for region in regions for column in region.columns.values()]
    slots = common_slots(columns, minutes * 60, spec.get("start"), spec.get("end"))
    filled = {k: n for region in regions for k, n in _place(region, slots, gaps).items() if n}
    for region in regions:
        _derive(region, path)
    digest = hashlib.sha256(path.read_bytes())
    for file in sorted({column.source.file for column in columns}):
        digest.update(file.read_bytes())
    provenance = {"source": str(path.name), "sha256": digest.hexdigest(), "filled": filled}
    return _instance(spec, path, regions, slots, provenance), regions


def _load(path: Path) -> dict[str, Any]:
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    except yaml.YAMLError as error:
        raise DataError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(spec, dict) or not isinstance(spec.get("regions"), dict):
        raise DataError(f"{path}: expected a mapping with an entry 'regions', itself a mapping")
    _known(path, "entry", spec, _TOP)
    if not spec["regions"]:
        raise DataError(f"{path}: at least one region is needed")
    for name, options in spec["regions"].items():
        if not isinstance(options, dict):
            raise DataError(f"{path}: region {name} must be a mapping of its series")
        _known(path, f"entry of region {name}", options, _REGION)
        for kind in ("price", "demand"):
            if kind not in options:
                raise DataError(f"{path}: region {name} has no {kind}")
    return spec


def _known(path: Path, what: str, options: Mapping[str, Any], known: set[str]) -> None:
    unknown = [key for key in options if key not in known]
    if unknown:
        raise DataError(f"{path}: unknown {what} {unknown[0]!r}, expected one of {sorted(known)}")


def _place(region: RegionTable, slots: Slots, gaps: Gaps) -> dict[str, int]:
    """Bring a region's columns onto the slots; returns how many values were filled in each."""
    filled = {}
    for kind, column in region.columns.items():
        total = column.kind == "demand" and column.source.unit != "share"
        region.values[kind], count = slots.place(column, gaps, total=total)
        filled[f"{region.name}: {kind}"] = count
    return filled


def _derive(region: RegionTable, path: Path) -> None:
    """Fill in carbon and water from the mix and the weather where the user has only those."""
    from equiload.envs.data.derived import mix_footprints, site_water

    values = region.values
    mix = {k.removeprefix("mix: "): v for k, v in values.items() if k.startswith("mix: ")}
    if mix:
        try:
            grid = mix_footprints(mix, ("carbon", "water"))
        except DataError as error:
            raise DataError(f"{path}: mix of {region.name}: {error}") from None
        values.setdefault("carbon", grid["carbon"])
        values.setdefault("grid_water", grid["water"])
    if "temperature" in values and "humidity" in values:
        elevation = _number(path, region, "elevation", 0.0)
        towers = site_water(values["temperature"], values["humidity"], elevation)
        values.setdefault("site_water", towers)
    if "water" not in values and {"grid_water", "site_water"} <= set(values):
        values["water"] = values["grid_water"] + values["site_water"]
    for kind, needs in (
        ("carbon", "carbon or mix"),
        ("water", "water, or site_water (or temperature and humidity) with grid_water (or mix)"),
    ):
        if kind not in values:
            raise DataError(f"{path}: region {region.name} has no {kind}; give it {needs}")


def _instance(
    spec: Mapping[str, Any],
    path: Path,
    regions: list[RegionTable],
    slots: Slots,
    provenance: Mapping[str, Any],
) -> Instance:
    names = tuple(region.name for region in regions)
    places = [region.options.get("location") for region in regions]
    location = None if None in places else _location(path, names, places)

    def stacked(kind: str) -> FloatArray:
        return np.stack([region.values[kind] for region in regions], axis=-1)

    weight = spec.get("equity_weight", PAPER_EQUITY_WEIGHT)
    if not isinstance(weight, Mapping):
        raise DataError(f"{path}: equity_weight must be a mapping of carbon and water")
    return Instance(
        name=str(spec.get("name", path.stem)),
        fleet=Fleet(
            datacenters=names,
            gateways=names,
            capacity=np.array([_number(path, region, "capacity", 1.0) for region in regions]),
            pue=np.array([_number(path, region, "pue", 1.0) for region in regions]),
            reachable=_reach(path, names, spec.get("reachability", "full")),
            distance=None if location is None else great_circle(location, location),
            location=location,
        ),
        trace=Trace(
            price=stacked("price"),
            intensity=np.stack([stacked("carbon"), stacked("water")]),
            demand=stacked("demand"),
            timestamps=slots.stamps,
            provenance=provenance,
        ),
        objective=Objective(equity_weight=weight),
    )


def _number(path: Path, region: RegionTable, key: str, default: float) -> float:
    value = region.options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{path}: {key} of {region.name} must be a number, got {value!r}")
    return float(value)


def _location(path: Path, names: tuple[str, ...], places: list[Any]) -> FloatArray:
    for name, place in zip(names, places, strict=True):
        pair = isinstance(place, list) and len(place) == 2
        if not (pair and all(isinstance(x, int | float) for x in place)):
            raise DataError(
                f"{path}: location of {name} must be [latitude, longitude], got {place!r}"
            )
        if not (abs(place[0]) <= 90 and abs(place[1]) <= 180):
            raise DataError(
                f"{path}: location of {name} must be latitude, longitude, got {place!r}"
            )
    return np.array(places, dtype=np.float64)


def _reach(path: Path, names: tuple[str, ...], options: Any) -> BoolArray:
    if options == "full":
        return np.ones((len(names),) * 2, dtype=np.bool_)
    if not isinstance(options, Mapping):
        raise DataError(f"{path}: reachability must be 'full' or lists of regions by gateway")
    reach: BoolArray = np.eye(len(names), dtype=np.bool_)
    for gateway, reached in options.items():
        for name in (gateway, *(reached if isinstance(reached, list) else [])):
            if name not in names:
                raise DataError(f"{path}: reachability names {name!r}, which is not a region")
        reach[names.index(gateway)] = [name in reached for name in names]
    return reach
