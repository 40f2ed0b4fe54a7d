"""What programs write as JSON and others read: a typed record of each file, and of its parts.

The records that are written are those that decide what is read: whatever does not fit is refused in
one sentence. ``schema`` is the number of a file's layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from equiload.envs import DataError, Fleet
from equiload.envs.checking import sentence_of
from equiload.envs.errors import printable
from equiload.envs.footprints import unit_of
from equiload.experiments.running.config import Name
from equiload.experiments.running.jobs import RECORD

_Record = TypeVar("_Record")

#: Larger ones are no results: means, sums and charts of them stay finite.
LARGEST = 1e200
Number: TypeAlias = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
#: In place of an error's name: algorithms that see no such forecast, and the forecast without one.
REFERENCE, PERFECT = "none", "perfect"
#: A footprint kind's highest and mean region, and their ratio.
Measures: TypeAlias = dict[Literal["max", "mean", "par"], Number]


@dataclass(frozen=True)
class LeftOut:
    """An algorithm that cannot act on an instance, and its own sentence why."""

    algorithm: Name
    reachability: Name
    reason: str

    def __str__(self) -> str:
        return f"{self.algorithm} left out: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One algorithm on one instance; ``solver`` of offline solvers, ``certificate`` of robust."""

    algorithm: Name
    reachability: Name
    energy_cost: Number
    objective: Number
    lower_bound: Number
    gap: Number
    seconds: Number
    footprints: dict[str, Measures]
    solver: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None
    # Since schema 2, where there was more to decide than routing: what; US$ by cause of what
    # ``energy_cost`` holds beside energy and routing; MWh of what was done (``Operation``;
    # ``on`` is capacity that was on).
    knobs: list[Name] | None = None
    other_cost: dict[Name, Number] | None = None
    operation: dict[Name, Number] | None = None

    def flat(self) -> dict[str, Any]:
        """Return the row as one line of a table, ``carbon_max``, ``carbon_par``, …; not nested."""
        nested = ("footprints", "solver", "certificate", "knobs", "other_cost", "operation")
        line = {name: value for name, value in vars(self).items() if name not in nested}
        for kind, measures in self.footprints.items():
            line |= {f"{kind}_{measure}": value for measure, value in measures.items()}
        line |= {f"cost_{cause}": cost for cause, cost in (self.other_cost or {}).items()}
        return line | {f"MWh_{name}": amount for name, amount in (self.operation or {}).items()}


@dataclass(frozen=True, kw_only=True)
class InstanceRecord:
    """What an instance is."""

    name: Name
    slots: Annotated[int, Field(ge=1)]
    start: str
    slot_seconds: int | None
    datacenters: list[str]
    gateways: list[str]
    regions: list[str]
    region_of: list[int]
    capacity: list[Number]
    location: list[list[Number]] | None
    footprints: dict[Name, str]
    equity_weight: dict[str, Number]
    provenance: dict[str, Any]

    def fleet(self) -> Fleet:
        """The data centers and their regions, checked as every fleet's; of gateways one."""
        return Fleet(
            datacenters=self.datacenters,
            gateways=self.gateways[:1],
            regions=self.regions,
            region_of=self.region_of,
            capacity=self.capacity,
            location=self.location,
        )


@dataclass(frozen=True, kw_only=True)
class _File:
    """What every file has; the first ones of some programs stated no schema, and had no one out."""

    schema: Literal[1] = 1
    versions: dict[str, str]
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Results(_File):
    """``results.json``; schema 2 tells what there was to decide beside routing."""

    schema: Literal[1, 2] = 1  # type: ignore[assignment]
    instance: InstanceRecord
    rows: Annotated[list[ResultRow], Field(min_length=1)]

    def __post_init__(self) -> None:
        self.instance.fleet()
        units = self.instance.footprints
        weighed = [set(self.instance.equity_weight), *(set(row.footprints) for row in self.rows)]
        for kind, unit in units.items():
            if unit != unit_of(kind):
                raise DataError(f"{kind} is counted in {unit_of(kind)!r}, got {unit!r}")
        if not units or any(kinds != set(units) for kinds in weighed):
            raise DataError(
                f"weights and rows need the footprint kinds {list(units)}, at least one"
            )
        if any(len(m) < 3 for row in self.rows for m in row.footprints.values()):
            raise DataError("a footprint of a row lacks its max, mean or par")
        names = [(row.algorithm, row.reachability) for row in self.rows]
        if len(set(names)) < len(names):
            raise DataError("an algorithm has two rows of one reachability")


@dataclass(frozen=True, kw_only=True)
class Score:
    """An algorithm over the draws of one reachability.

    ``gap``: mean of ``(J − bound) / |bound|``. ``closed``: ``1 − gap / the baseline's gap``, of the
    means. Each with the ends of its paired bootstrap interval (equal to it for a single draw).
    ``better``: share of the draws with a smaller gap than the baseline's. ``certified``: share
    whose certificate holds. None where there is no baseline to close a gap of, or no certificate.
    """

    algorithm: Name
    reachability: Name
    draws: int
    gap: Number
    gap_low: Number
    gap_high: Number
    closed: Number | None
    closed_low: Number | None
    closed_high: Number | None
    better: Number | None
    certified: Number | None


@dataclass(frozen=True, kw_only=True)
class Evaluation(_File):
    """``evaluation.json``."""

    baseline: Name
    confidence: Number
    scores: Annotated[list[Score], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class PredictionScore:
    """A case over the draws.

    ``algorithm`` is the case's label, ``advice`` its algorithm without the robust layer. ``gap`` is
    the mean of ``(J − bound) / |bound|`` with eGLB-Off's certified bound, ``low`` to ``high`` its
    bootstrap interval. ``price_mape`` and ``footprint_mape`` say how wrong the forecasts were
    (weighted MAPE, the mean over footprint kinds); 0 for references, which see none.
    """

    error: Name
    size: Number
    algorithm: Name
    advice: Name
    rho: Number | None
    gap: Number
    low: Number
    high: Number
    price_mape: Number
    footprint_mape: Number


@dataclass(frozen=True, kw_only=True)
class Predictions(_File):
    """``predictions.json``."""

    scores: Annotated[list[PredictionScore], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class ScenarioLine:
    """What a region carries in a scenario, or all together (``region`` None), and how that differs.

    ``values`` by name: ``load`` (MWh), ``energy_cost`` (US$; of a region without routing), each
    footprint kind's total; of all together also ``objective``, and ``KIND_max``, ``KIND_par``,
    ``KIND_weight``. ``changes``: the same, less those of ``compared_with`` in the base.
    """

    scenario: Name
    algorithm: Name
    compared_with: Name
    region: Name | None
    values: dict[Name, Number]
    changes: dict[Name, Number]


#: What a line of all regions together has of each footprint kind.
OF_ALL = ("max", "par", "weight")


@dataclass(frozen=True, kw_only=True)
class Scenarios(_File):
    """``scenarios.json``; ``footprints`` are the units by kind."""

    footprints: dict[Name, str]
    lines: Annotated[list[ScenarioLine], Field(min_length=1)]

    def __post_init__(self) -> None:
        numbers = {"load", "energy_cost", *self.footprints}
        measures = {f"{kind}_{part}" for kind in self.footprints for part in OF_ALL}
        for line in self.lines:
            needed = numbers | ({"objective", *measures} if line.region is None else set())
            if not needed <= line.values.keys():
                raise DataError(f"a line lacks its {sorted(needed - line.values.keys())[0]!r}")
            if line.values.keys() != line.changes.keys():
                raise DataError("a line needs a change of every value, and of nothing else")
        if not any(line.region is None for line in self.lines):
            raise DataError("it has no line of all regions together")


@dataclass(frozen=True)
class Trial:
    """One run. ``ratio`` is ``J / J^π``, ``bound`` what the guarantee allows it to be.

    ``alone``: what the advice comes to without the layer, where it can act.
    """

    advice: Name
    method: Name
    rho: Number
    allowance: Number
    ratio: Number
    bound: Number
    to_offline: Number
    certified: Number
    alpha: Number
    holds: bool
    verified: bool
    alone: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Robustness(_File):
    """``robustness.json``."""

    trials: Annotated[list[Trial], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """What readers ask of ``job.json``; runs that were made by a call in Python have none."""

    state: str = "done"
    config_hash: str | None = None
    overrides: list[str] | None = None
    #: Seconds since 1970.
    started: Number | None = None
    reason: str | None = None


#: By the name of its file.
RECORDS: Mapping[str, type] = {
    "results.json": Results,
    "evaluation.json": Evaluation,
    "predictions.json": Predictions,
    "robustness.json": Robustness,
    "scenarios.json": Scenarios,
    RECORD: JobRecord,
}
_ADAPTERS = {kind: TypeAdapter[Any](kind) for kind in RECORDS.values()}


def read_record(path: Path, kind: type[_Record]) -> _Record:
    """Read a file that programs write.

    Raises
    ------
    DataError
        One sentence, without the file's name, on the first thing that does not fit.
    """
    try:
        text = path.read_bytes()
        given = from_json(text)
        record: _Record = _ADAPTERS[kind].validate_json(text, strict=True)
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(sentence_of(error, given).removeprefix("'' ")) from None
    except ValueError as error:
        raise DataError(f"it is no JSON ({error})") from None
    return record


def job_of(folder: Path) -> JobRecord:
    """What ``job.json`` says of the run in a folder.

    Raises
    ------
    DataError
        If there is one that cannot be read.
    """
    path = folder / RECORD
    return read_record(path, JobRecord) if path.is_file() else JobRecord()


def unfinished(root: Path) -> dict[Path, str]:
    """Folders in and below ``root`` whose run has not ended well, and how it stands."""
    states = {}
    for folder in sorted(path.parent for path in root.rglob(RECORD)):
        try:
            job = job_of(folder)
        except DataError as error:
            states[folder] = f"{RECORD}: {error}"
        else:
            reason = "" if job.reason is None else f": {job.reason}"
            if job.state != "done":
                states[folder] = printable(f"{job.state}{reason}")
    return states
