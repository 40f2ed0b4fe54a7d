"""Physics and plausibility of data: a verdict per series, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from equiload.envs.data.checks.clocks import check_clocks
from equiload.envs.data.checks.findings import Finding, Series, Verdict
from equiload.envs.data.checks.groups import (
    check_common_clock,
    check_shared_day,
    check_twins,
)
from equiload.envs.data.checks.readings import Reading, check_reading
from equiload.envs.data.checks.repeats import check_repeats, check_schedule
from equiload.envs.data.checks.values import check_values
from equiload.envs.data.table import RegionTable
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance

__all__ = [
    "Finding",
    "Reading",
    "Series",
    "Verdict",
    "check_instance",
    "check_reading",
    "check_series",
    "check_table",
]

_WATERS = ("grid_water", "site_water")


def check_series(all_series: Sequence[Series]) -> list[Finding]:
    """Every check on every series, in the order of the series."""
    kinds = dict.fromkeys(series.kind for series in all_series)
    groups = {kind: [series for series in all_series if series.kind == kind] for kind in kinds}
    twins = {kind: check_twins(group) for kind, group in groups.items()}
    # One workload given to several places tells the clock of none of them.
    shared = check_shared_day(groups.get("demand", []))
    findings: list[Finding] = []
    for series in all_series:
        if shared is None or series.kind != "demand":
            findings += check_clocks(series)
        findings += check_values(series)
        findings += check_schedule(series)
        findings += check_repeats(series)
    findings += [] if shared is None else [shared]
    for kind, group in groups.items():
        findings += twins[kind]
        if kind == "price":
            findings += check_common_clock(group)
    return findings


def check_instance(instance: Instance) -> list[Finding]:
    """Check prices, carbon, water and demand of an instance.

    Clocks can be told only of places: of a fleet with ``location``.

    Raises
    ------
    DataError
        For a batch.
    """
    return check_series(list(_instance_series(instance)))


def check_table(instance: Instance, regions: Sequence[RegionTable]) -> list[Finding]:
    """Check a table's instance, the raw series behind it, and how they were read."""
    constant = {(region.name, kind) for region in regions for kind in region.constants}
    constant |= {(r, "water") for r, kind in constant if {(r, k) for k in _WATERS} <= constant}
    raw = []
    findings: list[Finding] = []
    for r, region in enumerate(regions):
        location = _location(instance, r)
        for kind in ("temperature", "site_water"):
            if kind in region.values:
                values = region.values[kind]
                raw.append(Series(region.name, kind, values, instance.trace.timestamps, location))
        findings += _exchange_rate(region)
    series = [*_instance_series(instance), *raw]
    series = [replace(s, declared_constant=(s.region, s.kind) in constant) for s in series]
    findings = [*check_series(series), *findings]
    for region in regions:
        for reading in _readings(region, instance.horizon):
            findings += check_reading(reading)
    return findings


def _readings(region: RegionTable, slots: int) -> Iterator[Reading]:
    """How the series of a region came out of their files."""
    for kind, facts in region.facts.items():
        columns = [
            column
            for name, group in region.columns.items()
            for column in group
            if name == kind or (kind == "mix" and name.startswith("mix: "))
        ]
        several = max(columns, key=lambda column: len(column.resolutions))
        steps = several.resolutions
        second = several.seconds == (steps[1] if len(steps) > 1 else -1)
        yield Reading(
            region=region.name,
            kind=kind,
            file=facts.files[0].name + (f" and {n} more" if (n := len(facts.files) - 1) else ""),
            resolutions=steps,
            changed=several.starts[int(second.argmax())] if second.any() else None,
            filled=max(
                (
                    count
                    for name, count in region.filled.items()
                    if name.removeprefix(f"{region.name}: ").partition(":")[0] == kind
                ),
                default=0,
            ),
            slots=slots,
            zone_declared=facts.entry.time_zone,
            zone_used=facts.zone_used or facts.entry.time_zone in ("UTC", "Etc/UTC"),
            unmapped_fuels=facts.fuels_unmapped,
            empty_fuels=facts.fuels_empty,
        )


def _exchange_rate(region: RegionTable) -> Iterator[Finding]:
    price = region.facts["price"].entry if "price" in region.facts else None
    if price is not None and isinstance(price.rate, str | float):
        yield Finding(
            region.name,
            "price",
            "exchange rate",
            Verdict.SUSPICIOUS,
            f"one fixed rate of {price.rate} US$ converts {price.unit}",
            "Rates move by several per cent within months: give 'rate' a file of its own.",
        )


def _location(instance: Instance, i: int | None) -> tuple[float, float] | None:
    if instance.fleet.location is None or i is None:
        return None
    latitude, longitude = instance.fleet.location[i]
    return float(latitude), float(longitude)


def _instance_series(instance: Instance) -> Iterator[Series]:
    if instance.batch:
        raise DataError("checks read one instance; take one from the batch first")
    fleet, trace = instance.fleet, instance.trace
    for i, name in enumerate(fleet.datacenters):
        location = _location(instance, i)
        yield Series(name, "price", trace.price[:, i], trace.timestamps, location)
        for k, kind in enumerate(trace.footprints):
            yield Series(name, kind, trace.intensity[k, :, i], trace.timestamps, location)
    for j, name in enumerate(fleet.gateways):
        at = fleet.datacenters.index(name) if name in fleet.datacenters else None
        demand = trace.demand[:, j]
        yield Series(name, "demand", demand, trace.timestamps, _location(instance, at))
