"""What there is to decide beside routing: can batteries, panels, servers and deadlines be so?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from equiload.envs.data.checks.findings import Finding, Signal, Verdict
from equiload.envs.data.clock import sky
from equiload.envs.data.tables.region import RegionTable
from equiload.envs.footprints import FOOTPRINTS
from equiload.envs.instance import Instance
from equiload.envs.knobs.training import Training
from equiload.envs.typing import BoolArray, FloatArray

_ROUND_TRIP = (0.6, 0.96)  # of batteries that can be bought, with what feeds them
_HOURS = (0.25, 12.0)  # that they last at full power
_IDLE = 0.8  # of full power; idle nodes of the published clusters draw 0.12 to 0.6
_NIGHT = (1e-3, 0.05)  # shares of all generation that fall on the night: suspicious, broken
_SUN = 1e-6  # of 1000 W/m²: what the clear sky's formula leaves at the horizon is no light
_PEAK = 1.02  # generation over the declared peak from which it is no rounding
_LATE = 0.05  # share of a class's work from which it is no matter of a few hours
_SILENT = 0.1  # share of the trace at an end in which no work arrives


def check_knobs(instance: Instance) -> Iterator[Finding]:
    """Batteries, servers and training work of an instance."""
    fleet, trace = instance.fleet, instance.trace
    hours = _slot_hours(instance)
    for i, name in enumerate(fleet.datacenters):
        if fleet.storage is not None and fleet.storage.energy[i] > 0:
            power = max(fleet.storage.charge[i], fleet.storage.discharge[i]) / hours
            trip = fleet.storage.charge_efficiency[i] * fleet.storage.discharge_efficiency[i]
            yield from _battery(name, fleet.storage.energy[i], power, trip)
        if fleet.servers is not None:
            yield _idle(name, float(fleet.servers.idle[i]))
    if fleet.training is not None and trace.work is not None:
        yield from _work(instance, fleet.training, trace.work)


def check_sun(signal: Signal) -> Iterator[Finding]:
    """Whether solar panels give power at night."""
    dark = _night(signal)
    total = float(signal.values.sum())
    if dark is None or total == 0:
        return
    share = float(signal.values[dark].sum()) / total
    evidence = f"{share:.2%} of what the panels give falls on the night"
    suspicious, broken = _NIGHT
    if share <= suspicious:
        yield signal.finding("night", Verdict.OK, evidence)
        return
    worst = signal.stamps[np.where(dark, signal.values, -np.inf).argmax()]
    verdict = Verdict.BROKEN if share > broken else Verdict.SUSPICIOUS
    advice = "Mend 'time_zone' or 'location', or give 'solar' what the panels alone give."
    yield signal.finding("night", verdict, f"{evidence}, most at {worst} UTC", advice)


def check_panels(region: RegionTable, instance: Instance) -> Iterator[Finding]:
    """Generation of a table's region against the peak that it declares."""
    if "solar" not in region.values:
        return
    finding, values = partial(Finding, region.name, "solar", "peak"), region.values["solar"]
    most = float(values.max()) / _slot_hours(instance)
    if most == 0:
        evidence = "the panels give nothing at all"
        yield finding(Verdict.SUSPICIOUS, evidence, "A sign turned, or the wrong column.")
    elif "solar" in region.series and np.isfinite(region.solar_peak):
        evidence = f"the panels give {most:.4g} MW at most, of {region.solar_peak:.4g} declared"
        if most <= _PEAK * region.solar_peak:
            yield finding(Verdict.OK, evidence)
        else:
            yield finding(Verdict.BROKEN, evidence, "Mend 'unit' or 'solar_peak'.")


def check_sites(region: RegionTable, instance: Instance) -> Iterator[Finding]:
    """Whether on-site water is told apart where power has other sources than the grid."""
    for kind in instance.trace.footprints:
        cooling = kind in FOOTPRINTS and FOOTPRINTS[kind].cooling
        others = {"storage", "generation"} & set(instance.knobs)
        if cooling and others and region.site(kind) is None:
            yield Finding(
                region.name,
                kind,
                "on-site",
                Verdict.NOTED,
                "all of it counts as the grid's, so solar and stored power are taken to need none",
                f"Give grid_{kind} (or mix) and site_{kind} (or temperature and humidity) apart.",
            )


def _slot_hours(instance: Instance) -> float:
    """Hours of a slot; one where there is a single slot."""
    steps = np.diff(instance.trace.timestamps[:2])
    return float(steps[0] / np.timedelta64(3600, "s")) if len(steps) else 1.0


def _battery(name: str, energy: float, power: float, trip: float) -> Iterator[Finding]:
    finding = partial(Finding, name, "storage")
    low, high = _ROUND_TRIP
    evidence = f"{trip:.1%} of what is charged comes back"
    if low <= trip <= high:
        yield finding("round trip", Verdict.OK, evidence)
    else:
        advice = f"'efficiency' is that of a round trip; {low:.0%} to {high:.0%} is usual."
        yield finding("round trip", Verdict.SUSPICIOUS, evidence, advice)
    hours = energy / power if power else np.inf
    evidence = f"{energy:.4g} MWh last {hours:.3g} h at {power:.4g} MW"
    if _HOURS[0] <= hours <= _HOURS[1]:
        yield finding("duration", Verdict.OK, evidence)
    else:
        advice = "Mend the units of 'energy' and 'power': batteries last 1 to 8 h."
        yield finding("duration", Verdict.SUSPICIOUS, evidence, advice)


def _idle(name: str, idle: float) -> Finding:
    evidence = f"idle servers draw {idle:.0%} of full power"
    if idle <= _IDLE:
        return Finding(name, "servers", "idle", Verdict.OK, evidence)
    advice = "Per cent need their sign; 12 to 60 % is usual."
    return Finding(name, "servers", "idle", Verdict.SUSPICIOUS, evidence, advice)


def _work(instance: Instance, training: Training, work: FloatArray) -> Iterator[Finding]:
    """Whether the work of each class, and of all together, fits what capacity demand leaves."""
    demand = instance.trace.demand.sum(-1)
    if instance.fleet.models is not None:
        demand = demand - instance.fleet.models.room(instance.trace.demand).sum((-1, -2))
    left = np.maximum(instance.capacity.sum(-1) - demand, 0.0)
    reach = training.reach(len(instance.fleet.datacenters))
    ceiling = training.ceiling(np.append(work, np.zeros((1, work.shape[1])), axis=0))[:-1]
    for c, name in enumerate(training.classes):
        # What demand may not do elsewhere is left out: this is the most that there can be.
        room = np.minimum(left, instance.capacity[:, reach[c]].sum(-1))
        finding = partial(Finding, name, "work")
        if not work[:, c].any():
            evidence = "no work arrives in the class"
            yield finding("arrivals", Verdict.NOTED, evidence, "Take it out, or mend its jobs.")
            continue
        late = _late(work[:, c], room, ceiling[:, c])
        yield _fits(finding, instance, late, work[:, c], room)
    total = work.sum(-1)
    if total.any():
        finding = partial(Finding, "all classes", "work")
        yield _covers(finding, instance, total)
        yield _fits(finding, instance, _late(total, left, ceiling.sum(-1)), total, left)


def _late(work: FloatArray, room: FloatArray, ceiling: FloatArray) -> FloatArray:
    """``[T]``, MWh that pass their deadlines although all the ``room`` is used at once."""
    late, waiting = np.zeros(len(work)), 0.0
    for t in range(len(work)):
        waiting = max(waiting + work[t] - room[t], 0.0)
        late[t] = max(waiting - ceiling[t], 0.0)
        waiting -= late[t]
    return late


def _fits(
    finding: partial[Finding],
    instance: Instance,
    late: FloatArray,
    work: FloatArray,
    room: FloatArray,
) -> Finding:
    share = float(late.sum() / work.sum())
    if share <= 1e-9:
        return finding("deadline", Verdict.OK, "the work fits its deadlines")
    first = instance.trace.timestamps[int(np.argmax(late > 0))]
    evidence = (
        f"{share:.1%} of the work cannot be done in time, first at {first} UTC: a slot has room "
        f"for {room.mean():.4g} MWh, {work.mean():.4g} arrive (means)"
    )
    advice = "Mend a unit, or give it capacity, reach or time; what is late costs 'late_cost'."
    return finding(
        "deadline", Verdict.BROKEN if share > _LATE else Verdict.SUSPICIOUS, evidence, advice
    )


def _covers(finding: partial[Finding], instance: Instance, work: FloatArray) -> Finding:
    """Whether work arrives throughout, or a log begins late or ends early."""
    arrives = np.flatnonzero(work)
    silent = max(int(arrives[0]), len(work) - 1 - int(arrives[-1]))
    first, last = (instance.trace.timestamps[arrives[k]] for k in (0, -1))
    evidence = f"work arrives from {first} to {last} UTC"
    if silent <= _SILENT * len(work):
        return finding("arrivals", Verdict.OK, evidence)
    advice = "The log ends before the other series, or begins after them: set 'start' and 'end'."
    return finding("arrivals", Verdict.SUSPICIOUS, evidence, advice)


def _night(signal: Signal) -> BoolArray | None:
    """``[T]``: is the sun down in the middle of the slot and of those beside it?

    None without a place, or where days are no whole number of slots.
    """
    if signal.nearest is None or not signal.per_day or 1440 % signal.per_day:
        return None
    minutes = 1440 // signal.per_day
    year = signal.stamps.astype("datetime64[Y]").astype("datetime64[s]")
    slot = ((signal.stamps - year) // np.timedelta64(minutes * 60, "s")).astype(np.int64)
    down = sky((signal.nearest[0],), minutes).sun[:, 0] <= _SUN
    dark: BoolArray = (down & np.roll(down, 1) & np.roll(down, -1))[slot]
    return dark
