"""Physics and plausibility of data: a verdict per series, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from equiload.envs.data.checks.clocks import check_clocks
from equiload.envs.data.checks.findings import Finding, Signal, Verdict
from equiload.envs.data.checks.groups import check_common_clock, check_shared_day, check_twins
from equiload.envs.data.checks.knobs import (
    check_knobs,
    check_panels,
    check_sites,
    check_sun,
)
from equiload.envs.data.checks.readings import check_readings
from equiload.envs.data.checks.repeats import check_repeats, check_schedule
from equiload.envs.data.checks.values import check_values
from equiload.envs.data.tables.region import RegionTable
from equiload.envs.errors import DataError
from equiload.envs.instance import Instance

__all__ = [
    "Finding",
    "Signal",
    "Verdict",
    "check_instance",
    "check_readings",
    "check_series",
    "check_table",
]


def check_series(signals: Sequence[Signal]) -> list[Finding]:
    """Every check on every signal, in the order of the signals."""
    groups: dict[str, list[Signal]] = {}
    for signal in signals:
        groups.setdefault(signal.kind, []).append(signal)
    # One workload given to several places tells the clock of none of them.
    shared = check_shared_day(groups.get("demand", []))
    findings: list[Finding] = []
    for signal in signals:
        if shared is None or signal.kind != "demand":
            findings += check_clocks(signal)
        findings += check_values(signal)
        findings += check_schedule(signal)
        findings += check_repeats(signal)
        if signal.kind == "solar":
            findings += check_sun(signal)
    findings += [] if shared is None else [shared]
    for kind, group in groups.items():
        findings += check_twins(group)
        if kind == "price":
            findings += check_common_clock(group)
    return findings


def check_instance(instance: Instance) -> list[Finding]:
    """Check an instance: prices, footprints and demand, and what there is beside routing.

    Clocks can be told only of places: of a fleet with ``location``.

    Raises
    ------
    DataError
        For a batch.
    """
    return check_series(list(_signals(instance))) + list(check_knobs(instance))


def check_table(instance: Instance, regions: Sequence[RegionTable]) -> list[Finding]:
    """Check a table's instance, the raw series behind it, and how they were read."""
    signals = list(_signals(instance))
    places = regions[: len(instance.fleet.datacenters)]  # classes of training work come after
    for r, region in enumerate(places):
        location = _location(instance, r)
        signals += [
            Signal(region.name, kind, region.values[kind], instance.trace.timestamps, location)
            for kind in ("temperature", "site_water")
            if kind in region.values
        ]
    constant = {(region.name, kind) for region in regions for kind in region.constants}
    waters = ("grid_water", "site_water")  # all of a region's water, where both are constants
    constant |= {(r, "water") for r, _ in constant if {(r, kind) for kind in waters} <= constant}
    constant |= {(r, "solar") for r, kind in constant if kind == "irradiance"}
    findings = check_series(
        [replace(s, declared_constant=(s.region, s.kind) in constant) for s in signals]
    )
    findings += check_knobs(instance)
    for region in places:
        findings += [*check_panels(region, instance), *check_sites(region, instance)]
    for region in regions:
        findings += check_readings(region, instance.horizon)
    return findings


def _location(instance: Instance, i: int | None) -> tuple[float, float] | None:
    if instance.fleet.location is None or i is None:
        return None
    latitude, longitude = instance.fleet.location[i]
    return float(latitude), float(longitude)


def _signals(instance: Instance) -> Iterator[Signal]:
    if instance.batch:
        raise DataError("checks read one instance; take one from the batch first")
    fleet, trace = instance.fleet, instance.trace
    for i, name in enumerate(fleet.datacenters):
        location = _location(instance, i)
        yield Signal(name, "price", trace.price[:, i], trace.timestamps, location)
        for k, kind in enumerate(trace.footprints):
            drawn = trace.intensity[k, :, i]
            if trace.onsite_intensity is not None:
                drawn = drawn + trace.onsite_intensity[k, :, i]
            yield Signal(name, kind, drawn, trace.timestamps, location)
        if trace.generation is not None and trace.generation[:, i].any():
            yield Signal(name, "solar", trace.generation[:, i], trace.timestamps, location)
    for j, name in enumerate(fleet.gateways):
        at = fleet.datacenters.index(name) if name in fleet.datacenters else None
        demand = trace.demand[:, j]
        yield Signal(name, "demand", demand, trace.timestamps, _location(instance, at))
