"""``changed``: an instance with changes that an operator may ask "what if" about."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from equiload.envs.checking import refuse_unknown, shown
from equiload.envs.data.tables import units
from equiload.envs.data.tables.entries import Texts, YamlEntry, number, record
from equiload.envs.data.tables.messages import about
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance
from equiload.envs.knobs.storage import Storage
from equiload.envs.typing import FloatArray

_TIMES = re.compile(r"([0-9.]+) ?[x×]")


def _times(stated: object) -> float | None:
    """The factor of ``1.2x``; none where the text is no factor."""
    match = _TIMES.fullmatch(str(stated).strip())
    factor = number(match[1]) if match else np.nan
    return factor if np.isfinite(factor) else None


def _factor(stated: object) -> float:
    factor = _times(stated)
    if factor is None:
        raise ValueError(f"must be a factor, '1.2x' say, got {shown(stated)}")
    return factor


Factor = Annotated[float, BeforeValidator(_factor)]
#: What it is to be, or a factor of what it is.
Amount = Annotated[str, BeforeValidator(str)]


class Changes(YamlEntry):
    """What is otherwise than in an instance; what is not named stays as it is.

    Parameters
    ----------
    close
        Data centers that serve nothing.
    capacity
        By data center: ``20 MW``, ``5`` (MWh per slot), or a factor, ``0.5x``.
    demand
        A factor of requests, of all gateways or by gateway.
    price
        A factor of prices, of all data centers or by data center.
    equity_weight
        By footprint kind: US$ per unit of it, or a factor.
    storage
        By data center, its battery as of a table: ``{energy: 4 MWh, power: 1 MW}``.
    """

    close: Texts | None = None
    capacity: dict[str, Amount] = Field(default={})
    demand: Factor | dict[str, Factor] = 1.0
    price: Factor | dict[str, Factor] = 1.0
    equity_weight: dict[str, Amount] = Field(default={})
    storage: dict[str, Any] = Field(default={})


def changed(instance: Instance, changes: Changes | Mapping[str, Any]) -> Instance:
    """The instance with changes made to it.

    A closed data center keeps its region, which then carries nothing, and its gateway.

    Parameters
    ----------
    instance
        One problem, or a batch.
    changes
        See :class:`Changes`.

    Raises
    ------
    DataError
        A change, a name or an amount that there is not.
    InfeasibleError
        Demand that what is left cannot serve: the slot, the gateways and by how much.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> week = synthetic(0, horizon=168)
    >>> other = changed(week, {"close": "Japan", "equity_weight": {"carbon": "2x"}})
    >>> float(other.fleet.capacity[week.fleet.datacenters.index("Japan")])
    0.0
    """
    if not isinstance(changes, Changes):
        changes = record(Changes, changes, "changes", noun="change")
    stated = changes.model_dump(exclude_defaults=True)
    if not stated:
        return instance
    fleet, trace = instance.fleet, instance.trace
    hours = _slot_hours(instance)
    fleet = fleet.replace(
        capacity=_capacity(fleet, changes, hours), storage=_storage(fleet, changes, hours)
    )
    trace = trace.replace(
        demand=trace.demand * _factors("gateway", fleet.gateways, changes.demand),
        price=trace.price * _factors("data center", fleet.datacenters, changes.price),
        provenance={**trace.provenance, "changes": stated},
    )
    weights = instance.objective.equity_weight
    weighed = instance.weighed(
        {k: _weight(k, stated, weights) for k, stated in changes.equity_weight.items()}
    )
    return weighed.replace(fleet=fleet, trace=trace)


def _slot_hours(instance: Instance) -> float:
    stamps = instance.trace.timestamps[..., :2].reshape(-1)[:2]
    return float((stamps[1] - stamps[0]) / np.timedelta64(1, "h")) if instance.horizon > 1 else 1.0


def _factors(noun: str, names: Sequence[str], stated: float | Mapping[str, float]) -> FloatArray:
    """``[names]``: 1 where nothing is stated."""
    if isinstance(stated, float):
        return np.full(len(names), stated)
    refuse_unknown(noun, stated, names)
    return np.array([stated.get(name, 1.0) for name in names])


def _capacity(fleet: Fleet, changes: Changes, slot_hours: float) -> FloatArray:
    """``[N]``, MWh per slot."""
    capacity, closed = fleet.capacity.copy(), changes.close or ()
    refuse_unknown("data center", [*closed, *changes.capacity], fleet.datacenters)
    for site, stated in changes.capacity.items():
        at, times = fleet.datacenters.index(site), _times(stated)
        with about(f"the capacity of {site}"):
            to = units.capacity(stated, slot_hours) if times is None else capacity[at] * times
        capacity[at] = to
    capacity[[fleet.datacenters.index(site) for site in closed]] = 0.0
    return capacity


def _weight(kind: str, stated: str, weights: Mapping[str, float]) -> float:
    times, value = _times(stated), number(stated)
    if times is not None:
        return times * weights.get(kind, 0.0)
    if not 0 <= value < np.inf:
        raise DataError(
            f"the equity weight of {kind} must be a number of US$, or a factor, '2x' say, got "
            f"{shown(stated)}"
        )
    return value


def _storage(fleet: Fleet, changes: Changes, slot_hours: float) -> Storage | None:
    """The fleet's batteries, those that are stated in the place of a site's own."""
    from equiload.envs.data.tables.knobs import storage_of  # pandas takes half a second to import

    refuse_unknown("data center", changes.storage, fleet.datacenters)
    stated = {site: changes.storage.get(site) for site in fleet.datacenters}
    added = storage_of(stated, slot_hours)
    if added is None or fleet.storage is None:
        return added or fleet.storage
    here = np.array([site in changes.storage for site in fleet.datacenters])
    names = [field.name for field in dataclasses.fields(Storage)]
    pairs = {name: (getattr(added, name), getattr(fleet.storage, name)) for name in names}
    return Storage(**{name: np.where(here, *pair) for name, pair in pairs.items()})
