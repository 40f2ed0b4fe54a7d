"""What is known before the first slot, and what is seen in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance, Objective
from equiload.envs.series import Series
from equiload.envs.typing import Array, TimeArray


@dataclass(frozen=True, eq=False)
class Physics:
    """What the transition reads of fleet and objective, as arrays of one kind, on one device.

    Parameters
    ----------
    pue
        ``[N]``, energy drawn per unit of load.
    mu
        ``[K]``, US$ per unit of footprint.
    reachable
        ``[J, N]``: 1 where a gateway may use a data center.
    membership
        ``[N, R]``: 1 where a data center lies in a region; none where each is a region of its own,
        in their order.
    routing_cost
        ``[J, N]``, US$/MWh, or none.
    full
        Is everything reachable?
    fleet
        Itself, for what there is to decide beside routing: its numbers, too, in such arrays.
    last
        The last slot.
    """

    pue: Array
    mu: Array
    reachable: Array
    membership: Array | None
    routing_cost: Array | None
    full: bool
    fleet: Fleet
    last: int

    def plain(self, slot: Series) -> bool:
        """Is there nothing beside routing, and does all power come from the grid?"""
        return not self.fleet.knobs and slot.generation is None and slot.onsite_intensity is None

    def to(self, convert: Callable[[Array], Array]) -> Physics:
        """The same in other arrays: tensors on a device, say."""
        arrays = {
            name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        converted = {name: convert(array) for name, array in arrays.items()}
        return replace(self, fleet=self.fleet.to(convert), **converted)

    def by_region(self, by_datacenter: Array) -> Array:
        """``[..., R]``: sums over each region's data centers ``[..., N]``."""
        return by_datacenter if self.membership is None else by_datacenter @ self.membership

    def by_datacenter(self, by_region: Array) -> Array:
        """``[..., N]``: each data center's region's number ``[..., R]``."""
        return by_region if self.membership is None else by_region @ self.membership.T


@dataclass(frozen=True, eq=False)
class Setting:
    """What a policy knows before the first slot.

    Parameters
    ----------
    fleet, objective
        What is dispatched, and what it is measured by.
    horizon
        ``T``, slots.
    batch
        Leading axes of every array in the slots to come: ``()`` for one episode.
    sites
        Which of ``generation`` and ``onsite_intensity`` the slots to come have.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> setting = Setting.of(synthetic(0, horizon=24))
    >>> setting.horizon, setting.footprint_shape
    (24, (2, 10))
    """

    fleet: Fleet
    objective: Objective
    horizon: int
    batch: tuple[int, ...] = ()
    sites: tuple[str, ...] = ()

    @classmethod
    def of(cls, instance: Instance) -> Setting:
        """Setting of an instance, or of a batch in lock-step."""
        sites = instance.knobs[len(instance.fleet.knobs) :]
        return cls(instance.fleet, instance.objective, instance.horizon, instance.batch, sites)

    @property
    def knobs(self) -> tuple[str, ...]:
        """What there is beside routing, see :attr:`~equiload.envs.Instance.knobs`."""
        return self.fleet.knobs + self.sites

    def without_knobs(self) -> Setting:
        """The same without what there is beside routing."""
        nothing = dict.fromkeys(self.fleet.knobs)
        return replace(self, fleet=self.fleet.replace(**nothing), sites=())

    def require_plain(self, who: str) -> None:
        """Raise :class:`DataError` unless there is nothing to decide but routing."""
        if self.knobs:
            knobs = ", ".join(self.knobs)
            raise DataError(f"{who} decides nothing but routing, and the instance has {knobs}")

    @property
    def footprint_shape(self) -> tuple[int, ...]:
        """``[..., K, R]``: shape of the regional footprints."""
        return (*self.batch, len(self.objective.footprints), len(self.fleet.regions))

    @cached_property
    def physics(self) -> Physics:
        """In numpy arrays."""
        fleet = self.fleet
        membership = None if fleet.one_region_each else fleet.membership
        mu, pairs = self.objective.mu, fleet.routing_cost
        return Physics(
            fleet.pue,
            mu,
            fleet.reachable,
            membership,
            pairs,
            fleet.full,
            fleet,
            self.horizon - 1,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Slot(Series):
    """Everything exogenous that an online policy may see at slot ``t``: the series, in one slot.

    ``price [..., N]``, ``intensity [..., K, N]``, ``demand [..., J]``, ``capacity [..., N]``, in
    the units of :class:`Series`; its arrays are copies of that slot alone.

    Parameters
    ----------
    index
        ``t``, from 0.
    timestamp
        ``[...]`` ``datetime64``, UTC, when the slot begins.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> slot = Slot.of(synthetic(0, horizon=24), 5)
    >>> slot.index, slot.price.shape, slot.intensity.shape
    (5, (10,), (2, 10))
    """

    index: int = field(kw_only=True)
    timestamp: TimeArray = field(kw_only=True)

    @classmethod
    def of(cls, instance: Instance, t: int) -> Slot:
        """Slot ``t`` of an instance, or of each instance of a batch."""
        at = instance.series.map(lambda array: array[..., t, :].copy())
        return cls.at(at, t, instance.trace.timestamps[..., t].copy())

    @classmethod
    def at(cls, series: Series, index: int, timestamp: TimeArray) -> Slot:
        """Slot of series without their axis of time."""
        return cls(**series.named(), index=index, timestamp=timestamp)
