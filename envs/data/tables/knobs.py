"""What a table's fleet has to decide beside routing: batteries, servers, models, training work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from equiload.envs.checking import refuse_unknown
from equiload.envs.data.tables import units
from equiload.envs.data.tables.entries import RegionEntry, Texts, YamlEntry, record
from equiload.envs.data.tables.jobs import read_jobs
from equiload.envs.data.tables.messages import about
from equiload.envs.data.tables.parts import Reader
from equiload.envs.data.tables.region import RegionTable
from equiload.envs.data.tables.slots import Slots
from equiload.envs.errors import DataError
from equiload.envs.knobs.models import Models
from equiload.envs.knobs.servers import Servers
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training
from equiload.envs.typing import FloatArray

# Texts with a unit, read as numbers in the project's.
Energy = Annotated[float, BeforeValidator(partial(units.quantity, kind="energy"))]
Power = Annotated[float, BeforeValidator(partial(units.quantity, kind="power"))]
Price = Annotated[float, BeforeValidator(partial(units.quantity, kind="price"))]
Share = Annotated[float, BeforeValidator(partial(units.quantity, kind="share")), Field(le=1.0)]
Start = Annotated[float, BeforeValidator(partial(units.quantity, kind="start"))]
#: Of ten years at most.
Hours = Annotated[float, BeforeValidator(partial(units.quantity, kind="time")), Field(le=87_600.0)]


class StorageEntry(YamlEntry):
    """A battery: ``power`` both ways, unless ``charge_power`` differs; a round trip's efficiency.

    ``initial`` is an energy or a share of ``energy``; ``wear`` is per MWh discharged,
    ``refill_price`` per MWh of it that is missing in the end.
    """

    energy: Energy
    power: Power
    charge_power: Power | None = None
    efficiency: Share = Field(default=0.919**2, gt=0.0)
    wear: Price = 20.0
    initial: str = "50 %"
    refill_price: Price = 1000.0


class ServersEntry(YamlEntry):
    """The share of full power that an idle server draws, and what it costs to start some."""

    idle: Share
    start_cost: Start = 10.0


class ModelsEntry(YamlEntry):
    """Models, the largest first: energy for a request, quality lost; for all regions or by name.

    ``worth`` is US$ per unit of quality lost on requests of 1 MWh, ``share`` that of requests which
    smaller models may answer.
    """

    names: Texts
    energy: Texts
    loss: list[Share]
    worth: Price | dict[str, Price]
    share: Share | dict[str, Share] = 1.0


class ClassEntry(YamlEntry):
    """A class of training work: how long it may wait, where it may run, and what arrives.

    ``work`` is a series, or comes from the ``jobs`` of all classes.
    """

    deadline: Hours
    late_cost: Price = 1000.0
    reachable: Texts | None = None
    work: Any = None


class TrainingEntry(YamlEntry):
    """Classes of training work by name, and a log of jobs for those that state no work."""

    classes: dict[str, Any] = Field(min_length=1, max_length=1000)
    jobs: Any = None


class TrainingTable:
    """The training work of a table; ``tables`` are classes whose work is a series of their own."""

    def __init__(self, options: Any, path: Path) -> None:
        self.path, self.what = path, f"{path}: training"
        self.entry = record(TrainingEntry, options, self.what)
        self.classes = {
            name: record(ClassEntry, entry, f"{path}: training class {name}")
            for name, entry in self.entry.classes.items()
        }
        self.tables = [
            RegionTable(name, RegionEntry(), {"work": entry.work})
            for name, entry in self.classes.items()
            if entry.work is not None
        ]
        self._of_jobs = [name for name, entry in self.classes.items() if entry.work is None]
        if self._of_jobs and self.entry.jobs is None:
            name = self._of_jobs[0]
            raise DataError(f"{self.what}: class {name} has no 'work', and there are no 'jobs'")
        if self.entry.jobs is not None and not self._of_jobs:
            raise DataError(f"{self.what}: no class is left for 'jobs', all of them state 'work'")

    def part(self, regions: Sequence[str], slot_hours: float) -> Training:
        """The fleet's part; a deadline within a slot is the slot's begin."""
        reach = np.ones((len(self.classes), len(regions)), np.bool_)
        for c, (name, entry) in enumerate(self.classes.items()):
            if entry.reachable is not None:
                with about(f"{self.path}: training class {name}"):
                    refuse_unknown("region", entry.reachable, regions)
                reach[c] = [region in entry.reachable for region in regions]
        entries = self.classes.values()
        return Training(
            classes=list(self.classes),
            deadline=[int(entry.deadline / slot_hours + 1e-9) for entry in entries],
            late_cost=[entry.late_cost for entry in entries],
            reachable=None if reach.all() else reach,
        )

    def work(
        self, reader: Reader, slots: Slots, demand: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """``[T, C]``, MWh of work that arrives, and what is left of ``demand [T, J]``.

        Work that is stated as a share of demand is a part of it; any other comes on top.
        """
        series = {table.name: table.values["work"] for table in self.tables}
        taken = np.zeros(len(demand))
        for table in self.tables:
            if table.unit("work") in units.SHARES:
                taken += series[table.name]
                series[table.name] = series[table.name] * demand.sum(-1)
        if (taken > 1.0 + 1e-9).any():
            t = int(np.argmax(taken))
            raise DataError(
                f"{self.what}: at {slots.stamps[t]} UTC the classes' work is {taken[t]:.3g} of the "
                f"demand, expected a share"
            )
        if self.entry.jobs is not None:
            waits = {name: self.classes[name].deadline for name in self._of_jobs}
            series |= read_jobs(reader, self.entry.jobs, waits, slots, f"{self.path}: jobs")
        left = demand * np.maximum(1.0 - taken, 0.0)[:, None]
        return np.stack([series[name] for name in self.classes], axis=-1), left


def storage_of(batteries: Mapping[str, Any], slot_hours: float) -> Storage | None:
    """The batteries that are stated by region (none: null), if any is."""
    if all(stated is None for stated in batteries.values()):
        return None
    rows = []
    for region, stated in batteries.items():
        what = f"storage of {region}"
        none = {"energy": "0", "power": "0"}
        entry = record(StorageEntry, none if stated is None else stated, what)
        charging = entry.power if entry.charge_power is None else entry.charge_power
        with about(f"{what}: 'initial'"):
            initial = units.charge(entry.initial, entry.energy)
        if initial > entry.energy:
            raise DataError(f"{what}: 'initial' is {initial:g} MWh, more than its {entry.energy:g}")
        rows.append(
            {
                "energy": entry.energy,
                "charge": charging * slot_hours,
                "discharge": entry.power * slot_hours,
                "charge_efficiency": np.sqrt(entry.efficiency),
                "discharge_efficiency": np.sqrt(entry.efficiency),
                "wear": entry.wear,
                "initial": initial,
                "refill_price": entry.refill_price,
            }
        )
    return Storage(**{name: [row[name] for row in rows] for name in rows[0]})


def servers_of(regions: Sequence[RegionTable], path: Path, slot_hours: float) -> Servers | None:
    """The regions' servers, if those of any idle; where nothing is said they draw nothing then."""
    if all(region.options.servers is None for region in regions):
        return None
    entries = []
    for region in regions:
        stated = region.options.servers
        stated = {"idle": "0", "start_cost": "0"} if stated is None else stated
        entries.append(record(ServersEntry, stated, f"{path}: servers of {region.name}"))
    return Servers(
        idle=[entry.idle for entry in entries],
        start_cost=[entry.start_cost / slot_hours for entry in entries],
    )


def models_of(options: Any, names: Sequence[str], path: Path) -> Models | None:
    """The models that may answer requests, for each of the regions ``names``."""
    if options is None:
        return None
    what = f"{path}: models"
    entry = record(ModelsEntry, options, what)
    with about(what):
        return Models(
            names=entry.names,
            energy=units.relative(entry.energy),
            loss=entry.loss,
            worth=_by_region("worth", entry.worth, names),
            share=_by_region("share", entry.share, names),
        )


def _by_region(option: str, stated: float | dict[str, float], names: Sequence[str]) -> list[float]:
    if not isinstance(stated, dict):
        return [stated] * len(names)
    refuse_unknown(f"region in {option!r}", stated, names)
    for name in names:
        if name not in stated:
            raise DataError(f"{option!r} has no number for {name}")
    return [stated[name] for name in names]
