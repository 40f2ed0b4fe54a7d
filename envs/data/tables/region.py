"""A region of one's own data: its series read, and brought onto the slots of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equiload.envs.checking import refuse_unknown
from equiload.envs.data.derived import panel_output
from equiload.envs.data.tables import units
from equiload.envs.data.tables.entries import GapsEntry, RegionEntry, SeriesEntry, record
from equiload.envs.data.tables.messages import about
from equiload.envs.data.tables.mix import read_mix
from equiload.envs.data.tables.parts import Facts, Reader
from equiload.envs.data.tables.series import read
from equiload.envs.data.tables.slots import Intervals, Slots
from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray

#: Series that are no footprint; weather and mix are what footprints are derived from.
OTHERS = ("price", "mix", "temperature", "humidity", "demand", "solar", "irradiance")
#: A footprint as a whole, and its parts: what the grid adds, and what the site's cooling does.
PARTS = ("", "grid_", "site_")


@dataclass(eq=False)
class RegionTable:
    """One region of a table: its entry in the YAML, its columns as read, its values on slots.

    A class of training work is one, too, whose only series is ``work``.

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
        options = self.series.get(kind)
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

    @property
    def solar_peak(self) -> float:
        """MW that the solar panels give at most, infinitely many where nobody says."""
        if self.options.solar_peak is None:
            return np.inf
        with about("'solar_peak'"):
            return units.quantity(self.options.solar_peak, "power")

    def grid(self, kind: str) -> FloatArray:
        """``[T]``: what the grid adds to a footprint, or all of it where one series states it."""
        return self.values[kind if kind in self.series else f"grid_{kind}"]

    def site(self, kind: str) -> FloatArray | None:
        """``[T]``: what the site's cooling adds to it, or none where nobody says."""
        return None if kind in self.series else self.values.get(f"site_{kind}")


def region_of(path: Path, name: str, options: Any, kinds: tuple[str, ...]) -> RegionTable:
    """A region of the YAML, its entries told from its series; none of these is read yet."""
    if not isinstance(options, dict):
        raise DataError(f"{path}: region {name} must be a mapping of its series")
    names = [*OTHERS, *(f"{part}{kind}" for kind in kinds for part in PARTS)]
    series = {kind: options[kind] for kind in names if kind in options}
    unknown = [k for k in options if k not in names and k not in RegionEntry.model_fields]
    with about(str(path)):
        refuse_unknown(
            f"entry of region {name}",
            unknown,
            sorted([*RegionEntry.model_fields, *OTHERS, *kinds]),
        )
    rest = {key: value for key, value in options.items() if key in RegionEntry.model_fields}
    for kind in ("price", "demand"):
        if kind not in series:
            raise DataError(f"{path}: region {name} has no {kind}")
    return RegionTable(name, record(RegionEntry, rest, f"{path}: region {name}"), series)


def read_series(region: RegionTable, reader: Reader, path: Path) -> None:
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


def place_series(region: RegionTable, slots: Slots, gaps: GapsEntry | None, path: Path) -> None:
    """Bring a region's columns and constants onto the slots."""
    for kind, group in region.columns.items():
        placed = [slots.place(column, gaps) for column in group]
        region.values[kind] = sum((v for v, _ in placed), np.zeros(len(slots.stamps)))
        region.filled[f"{region.name}: {kind}"] = max(count for _, count in placed)
    for kind in region.constants:
        value = _constant_value(region, kind, slots.seconds, f"{path}: {kind} of {region.name}")
        region.values[kind] = np.full(len(slots.stamps), value)
    if region.unit("demand") in units.SHARES:
        region.values["demand"] = region.values["demand"] * capacity_of(region, slots, path)
    with about(f"{path}: solar of {region.name}"):
        _place_solar(region, slots.seconds / 3600)


def _place_solar(region: RegionTable, slot_hours: float) -> None:
    """Bring what solar panels give to MWh; less than nothing, an inverter's own use, is none."""
    values, stated = region.values, region.options.solar_peak
    if "irradiance" in values and "solar" in values:
        raise DataError("it follows from 'irradiance' too, expected one of the two")
    of_peak = "irradiance" in values or region.unit("solar") in units.SHARES
    if of_peak and stated is None:
        raise DataError("'solar_peak' must say what the panels give at most, '0.5 MW' say")
    if stated is not None and not {"irradiance", "solar"} & set(values):
        raise DataError("'solar_peak' needs a series, 'solar' or 'irradiance'")
    if "irradiance" in values:
        values["solar"] = panel_output(values["irradiance"], values.get("temperature"))
    if "solar" in values:
        factor = region.solar_peak * slot_hours if of_peak else 1.0
        values["solar"] = factor * np.maximum(values["solar"], 0.0)


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
        if units.is_load(kind) and entry.unit in units.POWER:
            value = value * (seconds / 3600)
        if kind in ("solar", "work") and entry.unit in units.SHARES:
            base = f"share of {kind}"
    if odd := units.out_of_bounds(value, base):
        raise DataError(f"{what}: {odd[1]}")
    return float(value[0])


def capacity_of(region: RegionTable, slots: Slots, path: Path) -> float:
    """MWh per slot that a region's servers can do."""
    try:
        return units.capacity(region.options.capacity, slots.seconds / 3600)
    except DataError as error:
        raise DataError(f"{path}: capacity of {region.name} {error}") from None
