"""What a problem is made of: fleet, trace, objective, and the three together.

Shapes are time-first. A trace may carry leading batch axes, written ``...`` below: a batch is one
more leading axis on every array of the trace, over one fleet and one objective.

Letters: ``T`` slots, ``N`` data centers, ``J`` gateways, ``R`` regions, ``K`` footprint kinds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from equiload.envs.dispatch import Dispatch
from equiload.envs.errors import DataError, InfeasibleError
from equiload.envs.footprints import unit_of
from equiload.envs.knobs.completion import Equipment
from equiload.envs.knobs.models import Models
from equiload.envs.knobs.servers import Servers
from equiload.envs.knobs.settlement import Tariff
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training
from equiload.envs.series import Series
from equiload.envs.typing import BoolArray, FloatArray, IntArray, TimeArray
from equiload.envs.validation import (
    booleans,
    clock,
    frozen,
    in_arrays,
    integers,
    names_of,
    numbers,
    regular_array,
    set_fields,
)

# The series of a trace: time is their last axis but one.
_SERIES = (
    "price",
    "intensity",
    "demand",
    "availability",
    "generation",
    "onsite_intensity",
    "work",
)

# How far demand may exceed what can be served before it is an error: rounding, relative.
_SERVABLE_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class _Frozen:
    """Copies are the thing itself; pickling keeps mappings and arrays read-only."""

    def replace(self, **changes: Any) -> Self:
        """Copy with some fields changed, validated anew."""
        return dataclasses.replace(self, **changes)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            field = MappingProxyType(value) if isinstance(value, dict) else value
            set_fields(self, **{name: frozen(field) if isinstance(field, np.ndarray) else field})


@dataclass(frozen=True, init=False, eq=False)
class Fleet(_Frozen):
    """The static side of a problem: data centers, gateways, and who may use whom.

    Parameters
    ----------
    datacenters
        ``N`` names.
    gateways
        ``J`` names: where requests enter.
    capacity
        ``[N]``, MWh of server energy per slot that each data center can serve.
    reachable
        ``[J, N]`` bool: may gateway ``j`` use data center ``i``? Default: all (*full* GLB).
    regions
        ``R`` names. Default: each data center is a region of its own.
    region_of
        ``[N]`` int: the region of each data center, an index into ``regions``.
    pue
        ``[N]``, power usage effectiveness: energy drawn per unit of load, at least 1. Default: 1.
    routing_cost
        ``[J, N]``, US$ per MWh sent from gateway to data center. Default: none.
    distance
        ``[J, N]``, km; needed by GLB-Dist alone. Default: none.
    location
        ``[N, 2]``, latitude and longitude of the data centers in degrees; for maps. Default: none.
    storage, servers, models, training
        What there is to decide beside routing. Default: nothing.

    Raises
    ------
    DataError
        A shape, name or number that does not fit, with what was expected.

    Examples
    --------
    >>> fleet = Fleet(
    ...     datacenters=["Oregon", "Iowa"],
    ...     gateways=["west", "east"],
    ...     capacity=[10.0, 5.0],
    ...     reachable=[[1, 1], [0, 1]],
    ... )
    >>> fleet.regions, fleet.full
    (('Oregon', 'Iowa'), False)
    """

    datacenters: tuple[str, ...]
    gateways: tuple[str, ...]
    capacity: FloatArray
    reachable: BoolArray
    regions: tuple[str, ...]
    region_of: IntArray
    pue: FloatArray
    routing_cost: FloatArray | None
    distance: FloatArray | None
    location: FloatArray | None
    storage: Storage | None
    servers: Servers | None
    models: Models | None
    training: Training | None

    def __init__(
        self,
        *,
        datacenters: Sequence[str],
        gateways: Sequence[str],
        capacity: ArrayLike,
        reachable: ArrayLike | None = None,
        regions: Sequence[str] | None = None,
        region_of: ArrayLike | None = None,
        pue: ArrayLike | None = None,
        routing_cost: ArrayLike | None = None,
        distance: ArrayLike | None = None,
        location: ArrayLike | None = None,
        storage: Storage | None = None,
        servers: Servers | None = None,
        models: Models | None = None,
        training: Training | None = None,
    ) -> None:
        datacenters, gateways = names_of("data center", datacenters), names_of("gateway", gateways)
        N, J = len(datacenters), len(gateways)
        regions, region_of = _grouping(datacenters, regions, region_of)
        reachable = np.ones((J, N)) if reachable is None else reachable
        pue = np.ones(N) if pue is None else pue
        set_fields(
            self,
            datacenters=datacenters,
            gateways=gateways,
            regions=regions,
            region_of=region_of,
            reachable=booleans("reachable", reachable, (J, N)),
            capacity=numbers("capacity", capacity, (N,), minimum=0.0),
            pue=numbers("pue", pue, (N,), minimum=1.0),
            routing_cost=_optional("routing_cost", routing_cost, (J, N)),
            distance=_optional("distance", distance, (J, N), minimum=0.0),
            location=_optional("location", location, (N, 2)),
            storage=storage,
            servers=servers,
            models=models,
            training=training,
        )
        _check_parts(self)

    def __repr__(self) -> str:
        places = {
            "data centers": self.datacenters,
            "gateways": self.gateways,
            "regions": self.regions,
        }
        told = [f"{len(names)} {what}" for what, names in places.items()]
        reach = "full" if self.full else "partial"
        return f"<Fleet of {', '.join([*told, f'{reach} reach', *self.knobs])}>"

    @property
    def full(self) -> bool:
        """May every gateway use every data center?"""
        return bool(self.reachable.all())

    @cached_property
    def one_region_each(self) -> bool:
        """Is data center ``i`` region ``i``, for every ``i``?"""
        return bool(np.array_equal(self.region_of, np.arange(len(self.regions))))

    @cached_property
    def dispatch(self) -> Dispatch:
        """The dispatch over this fleet's reachability and routing cost."""
        return Dispatch(self.reachable, self.routing_cost)

    @cached_property
    def membership(self) -> FloatArray:
        """``[N, R]``: 1 where a data center lies in a region."""
        return frozen(np.eye(len(self.regions))[self.region_of])

    @cached_property
    def equipment(self) -> Equipment:
        """What is done beside routing depends on these numbers."""
        (J, N), storage, training, models = (
            self.reachable.shape,
            self.storage,
            self.training,
            self.models,
        )
        nothing = np.zeros(N)
        batteries = (nothing, nothing, nothing, nothing + 1.0, nothing + 1.0)
        if storage is not None:
            batteries = (
                storage.energy,
                storage.charge,
                storage.discharge,
                storage.charge_efficiency,
                storage.discharge_efficiency,
            )
        numbers = (
            self.pue,
            nothing if self.servers is None else self.servers.idle,
            *batteries,
            np.zeros((0, N), np.bool_) if training is None else training.reach(N),
            np.zeros(J) if models is None else models.share,
            np.zeros(0) if models is None else models.steps[0],
        )
        return Equipment(*map(np.array, numbers))  # kernels are compiled anew for read-only ones

    @cached_property
    def tariff(self) -> Tariff:
        """What is done beside routing costs by these numbers."""
        (J, N), storage, training, models = (
            self.reachable.shape,
            self.storage,
            self.training,
            self.models,
        )
        numbers = (
            np.zeros(N) if storage is None else storage.wear,
            np.zeros(N) if self.servers is None else self.servers.start_cost,
            np.zeros(0) if training is None else training.late_cost,
            np.zeros((J, 0)) if models is None else models.unit_cost,
        )
        return Tariff(*map(np.array, numbers))

    def to(self, convert: Callable[[FloatArray], Any]) -> Fleet:
        """The same with its numbers in other arrays, tensors on a device, say."""
        if self.models is not None:
            _ = self.models.steps  # which copies then keep
        parts = {name: in_arrays(getattr(self, name), convert) for name in self.knobs}
        other = in_arrays(self, convert)
        set_fields(other, **parts)
        return other

    def same_as(self, other: Fleet) -> bool:
        """Is everything about the two the same?"""
        names = (field.name for field in dataclasses.fields(self))
        return all(_equal(getattr(self, name), getattr(other, name)) for name in names)

    @property
    def knobs(self) -> tuple[str, ...]:
        """Which of the parts beside routing the fleet has."""
        return tuple(name for name in PARTS if getattr(self, name) is not None)


#: What a fleet may have to decide beside routing.
PARTS = {"storage": Storage, "servers": Servers, "models": Models, "training": Training}


def _equal(mine: Any, other: Any) -> bool:
    """Are two fields of a fleet, or of one of its parts, the same?"""
    if dataclasses.is_dataclass(mine):
        names = [field.name for field in dataclasses.fields(mine)]
        return type(mine) is type(other) and all(
            _equal(getattr(mine, name), getattr(other, name)) for name in names
        )
    return bool(np.array_equal(mine, other))


def _check_parts(fleet: Fleet) -> None:
    """Raise unless every part is for as many data centers, or gateways, as the fleet has."""
    N, J = len(fleet.datacenters), len(fleet.gateways)
    for name, part in PARTS.items():
        if not isinstance(getattr(fleet, name), part | None):
            given = type(getattr(fleet, name)).__name__
            raise DataError(f"{name} must be a {part.__name__}, got a {given}")
    stated = {
        "storage": (fleet.storage and len(fleet.storage.energy), N, "data centers"),
        "servers": (fleet.servers and len(fleet.servers.idle), N, "data centers"),
        "models": (fleet.models and len(fleet.models.worth), J, "gateways"),
        "training": (fleet.training and fleet.training.reach(N).shape[1], N, "data centers"),
    }
    for name, (count, expected, kind) in stated.items():
        if count is not None and count != expected:
            raise DataError(f"{name} is for {count} {kind}, the fleet has {expected}")


def _grouping(
    datacenters: tuple[str, ...], regions: Sequence[str] | None, region_of: ArrayLike | None
) -> tuple[tuple[str, ...], IntArray]:
    """Regions by name, and the region of each data center."""
    N = len(datacenters)
    if region_of is None:
        if regions is not None:
            raise DataError("regions are named, but region_of does not say which is whose")
        return names_of("region", datacenters), integers(np.arange(N))
    index = integers(region_of)
    if regions is None:
        regions = [f"region {r}" for r in range(len(np.unique(index)))]
    regions = names_of("region", regions)
    if index.shape != (N,) or set(index) != set(range(len(regions))):
        raise DataError(
            f"region_of must give each of the {N} data centers one of the "
            f"{len(regions)} regions, and leave no region empty; got {index.tolist()}"
        )
    return regions, index


def _optional(
    name: str, values: ArrayLike | None, shape: tuple[int, ...], **bounds: float
) -> FloatArray | None:
    return None if values is None else numbers(name, values, shape, **bounds)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace(_Frozen):
    """The exogenous series: what no decision changes.

    Parameters
    ----------
    price
        ``[..., T, N]``, US$/MWh, may be negative.
    intensity
        ``[..., K, T, N]``, footprint per MWh drawn: t/MWh (= kg/kWh) of carbon,
        m³/MWh (= L/kWh) of water, or the unit of another kind.
    demand
        ``[..., T, J]``, MWh of server energy per slot arriving at each gateway.
    footprints
        ``K`` names of the footprint kinds, ``("carbon", "water")`` say.
    timestamps
        ``[..., T]`` ``datetime64``, UTC: slot ``t`` covers ``[timestamps[t], timestamps[t + 1])``;
        regular.
    availability
        ``[..., T, N]`` in ``[0, 1]``: share of each data center's capacity that is up.
        Default: all of it.
    generation
        ``[..., T, N]``, MWh per slot that solar panels (or wind turbines) on the site can give; it
        costs nothing and leaves no footprint. Default: none.
    onsite_intensity
        ``[..., K, T, N]``, footprint per MWh that a site draws, whatever its source (water for
        cooling), beside ``intensity``, which is then the grid's alone. Default: none.
    work
        ``[..., T, C]``, MWh of server energy of training work that arrives, by class.
        Default: none.
    provenance
        Where the numbers came from: source, seed, options, checksums.

    Raises
    ------
    DataError
        A shape, a number or a timestamp that does not fit; the message says where and what.

    Examples
    --------
    >>> trace = Trace(
    ...     price=[[40.0, 30.0], [45.0, -5.0]],
    ...     intensity=[[[0.1, 0.5], [0.1, 0.4]]],
    ...     demand=[[3.0, 1.0], [2.0, 2.0]],
    ...     timestamps=np.array(["2026-01-01T00", "2026-01-01T01"], dtype="M8[s]"),
    ...     footprints=["carbon"],
    ... )
    >>> trace.horizon, trace.units
    (2, ('t',))
    >>> trace.window(1, 1).price
    array([[45., -5.]])
    """

    price: FloatArray
    intensity: FloatArray
    demand: FloatArray
    timestamps: TimeArray
    footprints: tuple[str, ...] = ("carbon", "water")
    availability: FloatArray | None = None
    generation: FloatArray | None = None
    onsite_intensity: FloatArray | None = None
    work: FloatArray | None = None
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        price, demand = regular_array("price", self.price), regular_array("demand", self.demand)
        if price.ndim < 2 or demand.ndim < 2:
            raise DataError("price needs axes [..., T, N] and demand [..., T, J]")
        if 0 in price.shape:
            raise DataError(f"price has shape {price.shape}, expected at least one of each axis")
        *batch, T, N = price.shape
        footprints, J = names_of("footprint", self.footprints), demand.shape[-1]
        shape = (*batch, len(footprints), T, N)
        classes = np.atleast_1d(regular_array("work", self.work)).shape[-1]
        set_fields(
            self,
            price=numbers("price", price, (*batch, T, N)),
            intensity=numbers("intensity", self.intensity, shape, minimum=0.0),
            demand=numbers("demand", demand, (*batch, T, J), minimum=0.0),
            timestamps=clock(self.timestamps, (*batch, T)),
            footprints=footprints,
            availability=_optional(
                "availability", self.availability, (*batch, T, N), minimum=0.0, maximum=1.0
            ),
            generation=_optional("generation", self.generation, (*batch, T, N), minimum=0.0),
            onsite_intensity=_optional(
                "onsite_intensity", self.onsite_intensity, shape, minimum=0.0
            ),
            work=_optional("work", self.work, (*batch, T, classes), minimum=0.0),
            provenance=MappingProxyType(dict(self.provenance)),
        )

    def __repr__(self) -> str:
        slots = " x ".join(map(str, [*self.batch, self.horizon]))
        optional = ("availability", "generation", "onsite_intensity", "work")
        there = [name for name in optional if getattr(self, name) is not None]
        told = ["price", *self.footprints, "demand", *there]
        return f"<Trace of {slots} slots, {self.price.shape[-1]} data centers: {', '.join(told)}>"

    @property
    def horizon(self) -> int:
        """Number of slots ``T``."""
        return int(self.price.shape[-2])

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading batch axes; ``()`` for one trace."""
        return self.price.shape[:-2]

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each footprint kind."""
        return tuple(unit_of(name) for name in self.footprints)

    def map(self, change: Callable[[FloatArray], FloatArray], **fields: Any) -> Trace:
        """Copy with the same change made to every series, and with other fields replaced."""
        for name in _SERIES:
            if getattr(self, name) is not None:
                fields[name] = change(getattr(self, name))
        return self.replace(**fields)

    def window(self, start: int, length: int) -> Trace:
        """Slots ``start`` to ``start + length`` (excluded) as a trace of their own."""
        if not (start >= 0 and length >= 1 and start + length <= self.horizon):
            raise DataError(
                f"slots {start} to {start + length} are not within the trace's {self.horizon} slots"
            )
        cut = slice(start, start + length)
        return self.map(
            lambda array: array[..., cut, :],
            timestamps=self.timestamps[..., cut],
            provenance={**self.provenance, "window": (start, length)},
        )

    def __getitem__(self, index: int | slice | tuple[int, ...] | IntArray) -> Trace:
        """One trace (or some) of a batch."""
        if not self.batch:
            raise DataError("this trace has no batch axis to take one from")
        return self.map(lambda array: array[index], timestamps=self.timestamps[index])

    @classmethod
    def stack(cls, traces: Sequence[Trace]) -> Trace:
        """Several traces of equal shape as a batch."""
        if not traces:
            raise DataError("there is no trace to stack")
        if len({(t.price.shape, t.demand.shape, t.footprints) for t in traces}) > 1:
            raise DataError("only traces of equal shape and equal footprint kinds can be stacked")
        up = None
        if any(t.availability is not None for t in traces):
            full = np.ones(traces[0].price.shape)
            up = np.stack([full if t.availability is None else t.availability for t in traces])
        names = ["price", "intensity", "demand", "timestamps"]
        for name in ("generation", "onsite_intensity", "work"):
            shapes = {np.shape(getattr(t, name)) for t in traces}
            if len(shapes) > 1:
                raise DataError(f"only traces that all have {name}, or none, can be stacked")
            names += [name] if shapes != {()} else []
        return cls(
            **{name: np.stack([getattr(t, name) for t in traces]) for name in names},
            availability=up,
            footprints=traces[0].footprints,
            provenance={"stacked": tuple(dict(t.provenance) for t in traces)},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective(_Frozen):
    """What is minimised: energy (and routing) cost plus the weighted max-regional-costs.

    ``J = Σ_t Σ_i p·x + Σ_k μ_k · max_r S[k, r]``.

    Parameters
    ----------
    equity_weight
        ``μ_k`` by footprint kind, US$ per unit of it (US$/t, US$/m³), not negative.

    Examples
    --------
    >>> Objective(equity_weight={"carbon": 1500, "water": 60}).mu
    array([1500.,   60.])
    """

    equity_weight: Mapping[str, float]

    def __post_init__(self) -> None:
        try:
            weight = {str(k): float(v) for k, v in self.equity_weight.items()}
        except (AttributeError, TypeError, ValueError):
            raise DataError(
                f"equity_weight must map footprint kinds to numbers, got {self.equity_weight!r}"
            ) from None
        for kind, value in weight.items():
            numbers(f"the equity weight of {kind}", value, (), minimum=0.0)
        set_fields(self, equity_weight=MappingProxyType(weight))

    @property
    def footprints(self) -> tuple[str, ...]:
        """The kinds, in the order of ``mu``."""
        return tuple(self.equity_weight)

    @cached_property
    def mu(self) -> FloatArray:
        """``[K]``, the weights in the order of ``footprints``."""
        return frozen(np.array(list(self.equity_weight.values()), dtype=np.float64))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Instance(_Frozen):
    """One problem, or a batch of problems on one fleet: validated once, then frozen.

    The objective's kinds are put in the trace's order. Every slot's demand must be servable; the
    error names the slot, the gateways that cannot be served and by how much (Hall's condition).

    Raises
    ------
    DataError
        Parts that do not fit each other.
    InfeasibleError
        A slot whose demand exceeds what its gateways can reach.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> week = synthetic(0, horizon=168)
    >>> problem = Instance(fleet=week.fleet, trace=week.trace, objective=week.objective)
    >>> problem.window(24, 24).horizon, problem.capacity.shape
    (24, (168, 10))
    """

    fleet: Fleet
    trace: Trace
    objective: Objective
    name: str = "instance"

    def __post_init__(self) -> None:
        set_fields(self, name=names_of("problem", [self.name])[0])
        N, J = len(self.fleet.datacenters), len(self.fleet.gateways)
        if self.trace.price.shape[-1] != N or self.trace.demand.shape[-1] != J:
            raise DataError(
                f"the trace has {self.trace.price.shape[-1]} data centers and "
                f"{self.trace.demand.shape[-1]} gateways, the fleet {N} and {J}"
            )
        kinds = self.trace.footprints
        if set(kinds) != set(self.objective.footprints):
            raise DataError(
                f"the trace has the footprint kinds {', '.join(kinds)}, "
                f"the objective weighs {', '.join(self.objective.footprints)}"
            )
        self._check_work()
        ordered = {k: self.objective.equity_weight[k] for k in kinds}
        set_fields(self, objective=Objective(equity_weight=ordered))
        self._check_servable()

    def __repr__(self) -> str:
        slots = " x ".join(map(str, [*self.batch, self.horizon]))
        fleet = f"{len(self.fleet.datacenters)} data centers, {len(self.fleet.regions)} regions"
        return f"<Instance {self.name!r}: {slots} slots, {fleet}>"

    @property
    def horizon(self) -> int:
        """Number of slots ``T``."""
        return self.trace.horizon

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading batch axes; ``()`` for one problem."""
        return self.trace.batch

    @cached_property
    def capacity(self) -> FloatArray:
        """``[..., T, N]``, capacity that is up in each slot; a read-only view where all is."""
        if self.trace.availability is None:
            return np.broadcast_to(self.fleet.capacity, self.trace.price.shape)
        return frozen(self.fleet.capacity * self.trace.availability)

    @property
    def series(self) -> Series:
        """The exogenous series, capacity in MWh."""
        trace, ceiling = self.trace, None
        if self.fleet.training is not None and trace.work is not None:
            ceiling = self.fleet.training.ceiling(trace.work)
        return Series(
            trace.price,
            trace.intensity,
            trace.demand,
            self.capacity,
            trace.generation,
            trace.onsite_intensity,
            trace.work,
            ceiling,
        )

    @property
    def knobs(self) -> tuple[str, ...]:
        """What there is beside routing: the fleet's parts, and what the trace has of a site."""
        sites = ("generation", "onsite_intensity")
        return self.fleet.knobs + tuple(n for n in sites if getattr(self.trace, n) is not None)

    @classmethod
    def of_series(
        cls, fleet: Fleet, objective: Objective, series: Series, timestamps: TimeArray, name: str
    ) -> Instance:
        """Instance of series whose capacities are in MWh."""
        up = np.ones(series.capacity.shape)
        np.divide(series.capacity, fleet.capacity, out=up, where=fleet.capacity > 0)
        trace = Trace(
            price=series.price,
            intensity=series.intensity,
            demand=series.demand,
            timestamps=timestamps,
            footprints=objective.footprints,
            availability=None if (up >= 1.0).all() else np.minimum(up, 1.0),
            generation=series.generation,
            onsite_intensity=series.onsite_intensity,
            work=series.work,
        )
        return cls(fleet=fleet, trace=trace, objective=objective, name=name)

    def window(self, start: int, length: int) -> Instance:
        """Slots ``start`` to ``start + length`` (excluded) as a problem of their own."""
        return self.replace(trace=self.trace.window(start, length))

    def __getitem__(self, index: int | slice | tuple[int, ...] | IntArray) -> Instance:
        """One problem (or some) of a batch."""
        return self.replace(trace=self.trace[index])

    def weighed(self, equity_weight: Mapping[str, float]) -> Instance:
        """The same problem with some equity weights changed, US$ per unit by footprint kind.

        Raises
        ------
        DataError
            A footprint kind of which it has no data.
        """
        unknown = [kind for kind in equity_weight if kind not in self.trace.footprints]
        if unknown:
            raise DataError(
                f"{self.name} has no data of the footprint {unknown[0]!r}, only of "
                f"{', '.join(self.trace.footprints)}"
            )
        weights = {**self.objective.equity_weight, **equity_weight}
        return self.replace(objective=Objective(equity_weight=weights))

    def with_full_reachability(self) -> Instance:
        """The same problem where every gateway may use every data center."""
        if self.fleet.full:
            return self
        return self.replace(fleet=self.fleet.replace(reachable=None))

    def _check_work(self) -> None:
        training, work = self.fleet.training, self.trace.work
        if (training is None) != (work is None):
            raise DataError(
                "a fleet with training classes needs a trace with their work, and the other way"
            )
        if training is not None and work is not None and work.shape[-1] != len(training.classes):
            raise DataError(
                f"the trace has work of {work.shape[-1]} classes, "
                f"the fleet {len(training.classes)} training classes"
            )

    def _check_servable(self) -> None:
        demand, dispatch = self.trace.demand, self.fleet.dispatch
        unserved = dispatch.unserved(demand, self.capacity)
        limit = _SERVABLE_TOLERANCE * np.maximum(demand.sum(-1), 1e-300)
        if not (unserved > limit).any():
            return
        where = tuple(int(i) for i in np.argwhere(unserved > limit)[0])
        gateways = dispatch.bottleneck(demand[where], self.capacity[where])
        names = ", ".join(self.fleet.gateways[j] for j in gateways)
        place = f"slot {where[-1]} ({self.trace.timestamps[where]} UTC)"
        if self.batch:
            place = f"problem {where[:-1]}, {place}"
        raise InfeasibleError(
            f"{place}: the gateways {names} ask for {demand[where][gateways].sum():.6g} MWh, "
            f"{unserved[where]:.6g} MWh more than the data centers in their reach can serve"
        )
