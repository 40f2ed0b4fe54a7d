"""What a fleet gets beside data centers when an instance asks for knobs, and the jobs that train.

Sizes are per unit of a data center's capacity, so the same equipment fits any fleet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.special import ndtr

from equiload.envs.checking import checked, refuse_unknown, shown
from equiload.envs.data.clock import sun_over
from equiload.envs.data.draw import Draw
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance
from equiload.envs.knobs.models import Models
from equiload.envs.knobs.servers import Servers
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training
from equiload.envs.typing import FloatArray, Positive, Share, Size

#: What ``knobs=`` may name.
KNOBS = ("solar", "storage", "training", "servers", "models")

#: Below this there is no light: what the clear sky's formula leaves at the horizon.
DARK = 1e-6

# Numbers of the streams that sizes, and which knobs there are, are drawn from.
_SIZES, _CHOICE = 2, 3

# Work of a job: log-normal. The run times of Microsoft's Philly cluster have this deviation, and
# with it the largest tenth of jobs hold 82 % of the work, as they do at Alibaba PAI.
_JOB_SIGMA = 2.18
_RARE = 3.09  # standard score of one in a thousand
# No job is larger than so many of the mean: the largest one in a thousand.
_LARGEST_JOB = float(np.exp(_RARE * _JOB_SIGMA - _JOB_SIGMA**2 / 2))
# Cutting the largest takes a part of the mean away: what is left of it.
_MEAN_JOB = float(ndtr(_RARE - _JOB_SIGMA) + _LARGEST_JOB * ndtr(-_RARE))


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """Sizes and prices of what ``knobs=`` adds. What they rest on: docs/knobs.md.

    Parameters
    ----------
    solar_peak
        Peak power of the panels, relative to the servers' capacity.
    clear
        Share of the clear sky's irradiance that clouds leave, where the weather is not known: for
        recorded traces; the generator has clouds of its own.
    storage_power, storage_hours
        Power of the battery relative to the servers' capacity, and how long it lasts at that.
    efficiency
        Each way; the round trip is its square.
    wear
        US$ per MWh discharged.
    refill_price
        US$/MWh of initial charge missing at the end.
    training
        Share of demand that is training work.
    deadline_hours
        How long work of each class may wait; the classes have equal shares.
    late_cost
        US$ per MWh given up.
    jobs_per_hour
        That arrive, of all classes.
    idle
        Share of full power that an idle server draws.
    start_cost
        US$ per MW of servers started.
    model_names, model_energy, model_loss
        The largest first; energy per request relative to it, and quality lost, as a share.
    smaller
        Share of requests that smaller models may answer.
    quality_worth
        US$ per unit of quality lost on the requests of 1 MWh.
    """

    solar_peak: Size = 0.3
    clear: Share = 0.75
    storage_power: Size = 0.25
    storage_hours: Size = 4.0
    efficiency: Share = 0.919
    wear: Size = 20.0
    refill_price: Size = 1000.0
    training: Share = 0.3
    deadline_hours: Annotated[tuple[Size, ...], Field(min_length=1)] = (6.0, 24.0, 72.0)
    late_cost: Size = 1000.0
    jobs_per_hour: Positive = 50.0
    idle: Share = 0.35
    start_cost: Size = 10.0
    model_names: tuple[str, ...] = ("large", "medium", "small")
    model_energy: tuple[Share, ...] = (1.0, 0.201, 0.0284)
    model_loss: tuple[Share, ...] = (0.0, 0.025, 0.347)
    smaller: Share = 0.5
    quality_worth: Size = 4000.0

    @classmethod
    def of(cls, options: Equipment | Mapping[str, Any] | None) -> Equipment:
        """Read a mapping of some of the fields, from a configuration say.

        Raises
        ------
        DataError
            An option that there is not, or a value that it cannot have.
        """
        if isinstance(options, Equipment):
            return options
        options = dict(options or {})
        refuse_unknown("equipment", options, [field.name for field in dataclasses.fields(cls)])
        for name, value in options.items():
            options[name] = tuple(value) if isinstance(value, list) else value
        return _checked(**options)


_checked = checked(Equipment)


@dataclass(frozen=True)
class Sizes:
    """Equipment whose sizes are drawn anew for each draw: log-uniformly, between two ends.

    Parameters
    ----------
    low, high
        The ends, equal where there is nothing to draw.

    Examples
    --------
    >>> sizes = Sizes.of({"storage_hours": [2.0, 8.0], "idle": 0.4})
    >>> drawn = sizes.drawn(Draw.train(0))
    >>> 2.0 < drawn.storage_hours < 8.0, drawn.idle, sizes.drawn(Draw.train(0)) == drawn
    (True, 0.4, True)
    """

    low: Equipment
    high: Equipment

    @classmethod
    def of(cls, options: Equipment | Mapping[str, Any] | None) -> Sizes:
        """Read options as of :meth:`Equipment.of`; of any number, a pair is the two ends.

        Raises
        ------
        DataError
            An option that there is not, a value that it cannot have, or ends that are none.
        """
        if isinstance(options, Equipment):
            return cls(options, options)
        if not isinstance(options, Mapping | None):
            raise DataError(f"equipment must be a mapping of sizes, got {shown(options)}")
        stated = dict(options or {})
        pairs = {n: v for n, v in stated.items() if n in _NUMBERS and isinstance(v, list | tuple)}
        for name, pair in pairs.items():
            if len(pair) != 2:
                raise DataError(f"equipment {name!r} must be a number or two ends, got {pair!r}")
        low, high = (Equipment.of(stated | {n: p[k] for n, p in pairs.items()}) for k in (0, 1))
        for name, pair in pairs.items():
            if not 0 < getattr(low, name) <= getattr(high, name):
                raise DataError(
                    f"the ends of equipment {name!r} must lie above 0, the low one first, "
                    f"got {list(pair)}"
                )
        return cls(low, high)

    @property
    def drawn_anew(self) -> tuple[str, ...]:
        """Names of what differs from draw to draw."""
        return tuple(n for n in _NUMBERS if getattr(self.low, n) != getattr(self.high, n))

    def drawn(self, draw: Draw) -> Equipment:
        """The equipment of a draw; members of a batch are on one fleet, and share it."""
        if not self.drawn_anew:
            return self.low
        # One number for each size, drawn or not, so that a range more changes no other size.
        chance = draw.of_member(0).generator(_SIZES).random(len(_NUMBERS))
        sizes = {}
        for name, u in zip(_NUMBERS, chance.tolist(), strict=True):
            low, high = getattr(self.low, name), getattr(self.high, name)
            if low != high:
                sizes[name] = min(low * (high / low) ** u, high)
        return dataclasses.replace(self.low, **sizes)


# What of the equipment is a number, and may be drawn.
_NUMBERS = tuple(f.name for f in dataclasses.fields(Equipment) if isinstance(f.default, float))


def knobs_of(names: str | Sequence[str] | None, draw: Draw | None = None) -> tuple[str, ...]:
    """The knobs that are named, in the order of :data:`KNOBS`: ``"all"``, some, or none.

    ``"random"``: each with even odds, by ``draw``.

    Raises
    ------
    DataError
        For one that there is not, and for random ones without a draw.
    """
    if names in (None, "none"):
        return ()
    if names == "all":
        return KNOBS
    if names == "random":
        if draw is None:
            raise DataError("random knobs differ from draw to draw: only the generator has them")
        odds = draw.of_member(0).generator(_CHOICE).random(len(KNOBS))
        return tuple(name for name, odd in zip(KNOBS, odds, strict=True) if odd < 0.5)
    if not isinstance(names, Sequence):
        raise DataError(f"knobs must be a text or a list of texts, got {shown(names)}")
    chosen = [names] if isinstance(names, str) else list(names)
    refuse_unknown("knob", chosen, KNOBS)
    return tuple(name for name in KNOBS if name in chosen)


def equipped(
    fleet: Fleet, knobs: Sequence[str], equipment: Equipment, slots_per_hour: float
) -> Fleet:
    """The fleet with the parts that ``knobs`` name; solar panels are a series, not a part."""
    parts: dict[str, Any] = {}
    capacity, e = fleet.capacity, equipment
    if "storage" in knobs:
        power = e.storage_power * capacity
        parts["storage"] = Storage(
            energy=power * e.storage_hours * slots_per_hour,
            charge=power,
            discharge=power,
            charge_efficiency=e.efficiency,
            discharge_efficiency=e.efficiency,
            wear=e.wear,
            refill_price=e.refill_price,
        )
    if "servers" in knobs:
        parts["servers"] = Servers(
            idle=np.full(len(capacity), e.idle), start_cost=e.start_cost * slots_per_hour
        )
    if "models" in knobs:
        gateways = np.ones(len(fleet.gateways))
        parts["models"] = Models(
            names=e.model_names,
            energy=e.model_energy,
            loss=e.model_loss,
            worth=e.quality_worth * gateways,
            share=e.smaller * gateways,
        )
    if "training" in knobs:
        parts["training"] = Training(
            classes=[f"{hours:g} h" for hours in e.deadline_hours],
            deadline=[round(hours * slots_per_hour) for hours in e.deadline_hours],
            late_cost=e.late_cost,
        )
    return fleet.replace(**parts) if parts else fleet


def equip(
    instance: Instance,
    knobs: str | Sequence[str] | None,
    equipment: Equipment | Mapping[str, Any] | None = None,
) -> Instance:
    """A recorded instance with the equipment that ``knobs`` name.

    Training work is a share of its demand, of all classes alike and without jobs; panels see the
    clear sky by location, and what clouds usually leave of it.

    Raises
    ------
    DataError
        For a knob that it has already, and for panels without locations.
    """
    chosen, e = knobs_of(knobs), Equipment.of(equipment)
    fleet, trace = instance.fleet, instance.trace
    there = ["solar" if name == "generation" else name for name in instance.knobs]
    for name in chosen:
        if name in there:
            raise DataError(f"{instance.name} has {name} of its own, so there is none to add")
    if not chosen:
        return instance
    step = np.diff(trace.timestamps[..., :2], axis=-1).astype("timedelta64[m]").astype(np.int64)
    minutes = int(step.ravel()[0]) if step.size else 60
    series: dict[str, Any] = {}
    if "solar" in chosen:
        if fleet.location is None:
            raise DataError("solar panels need a location: give every region one")
        peak = e.solar_peak * e.clear * fleet.capacity
        sun = sun_over(fleet.location, trace.timestamps, minutes)
        series["generation"] = peak * np.where(sun > DARK, sun, 0.0)
    if "training" in chosen:
        mean, classes = e.training * trace.demand.sum(-1), len(e.deadline_hours)
        series["work"] = np.repeat(mean[..., None] / classes, classes, axis=-1)
        series["demand"] = (1.0 - e.training) * trace.demand
    stated = {"knobs": chosen, "equipment": dataclasses.asdict(e)}
    return instance.replace(
        fleet=equipped(fleet, chosen, e, 60 / minutes),
        trace=trace.replace(**series, provenance={**trace.provenance, **stated}),
    )


def jobs(
    rng: np.random.Generator, mean: FloatArray, equipment: Equipment, slots_per_hour: float
) -> FloatArray:
    """``[T, C]``, MWh of work that arrives with jobs drawn one by one.

    Parameters
    ----------
    mean
        ``[T]``, MWh per slot of all classes that is expected.
    """
    classes = len(equipment.deadline_hours)
    rate = equipment.jobs_per_hour / slots_per_hour / classes
    count = rng.poisson(rate, (len(mean), classes))
    size = np.exp(_JOB_SIGMA * rng.standard_normal(int(count.sum())) - _JOB_SIGMA**2 / 2)
    size = np.minimum(size, _LARGEST_JOB)
    arriving = np.bincount(
        np.repeat(np.arange(count.size), count.ravel()), weights=size, minlength=count.size
    )
    per_job: FloatArray = mean / (rate * classes * _MEAN_JOB)
    return arriving.reshape(count.shape) * per_job[:, None]
