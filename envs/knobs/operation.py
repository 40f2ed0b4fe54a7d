"""What is done in a slot beside routing, what it needs to be possible, and what it costs.

Every physical action is a number of its own, so a slot's cost is linear whatever the sign of the
price, and a mean of feasible decisions is feasible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from equiload.envs.arrays import like, namespace, rows
from equiload.envs.dispatch import Dispatch
from equiload.envs.errors import InfeasibleError
from equiload.envs.feasibility import TOLERANCE
from equiload.envs.instance import Fleet
from equiload.envs.knobs import completion
from equiload.envs.knobs.completion import Rows, There
from equiload.envs.series import Series
from equiload.envs.setting import Slot
from equiload.envs.typing import Array, BoolArray, FloatArray


class _Parts:
    """Arrays by name, of which a fleet has some."""

    __slots__ = ()

    def named(self) -> dict[str, Array]:
        """Those that there are, in the order of the fields."""
        named = ((name, getattr(self, name)) for name in self.__dataclass_fields__)  # type: ignore[attr-defined]
        return {name: array for name, array in named if array is not None}

    def map(self, change: Callable[[Array], Array]) -> Self:
        """The same change made to each of them that there is."""
        return type(self)(**{name: change(array) for name, array in self.named().items()})


@dataclass(frozen=True, slots=True, eq=False)
class Levels(_Parts):
    """What the past has left behind; none where the fleet has no such part.

    Parameters
    ----------
    stored
        ``[..., N]``, MWh in the batteries.
    waiting
        ``[..., C]``, MWh of training work that has arrived and is not done.
    on
        ``[..., N]``, MWh per slot of capacity that is on.
    """

    stored: Array = None
    waiting: Array = None
    on: Array = None

    @classmethod
    def start(cls, fleet: Fleet, batch: tuple[int, ...]) -> Levels:
        """Before the first slot: batteries as declared, nothing waiting, every server on."""
        stored = None if fleet.storage is None else _spread(fleet.storage.initial, batch)
        on = None if fleet.servers is None else _spread(fleet.capacity, batch)
        waiting = None
        if fleet.training is not None:
            waiting = np.zeros((*batch, len(fleet.training.classes)))
        return cls(stored, waiting, on)


def _spread(values: FloatArray, batch: tuple[int, ...]) -> FloatArray:
    return np.broadcast_to(values, (*batch, len(values))).copy()


@dataclass(frozen=True, slots=True, eq=False)
class Operation(_Parts):
    """What is done in one slot (or, with an axis of time in front of the last, in many).

    What a policy leaves out gets a default: work as soon as it fits, batteries idle, every server
    on, the largest model, all generation used that can be.

    Parameters
    ----------
    work
        ``[..., C, N]``, MWh of training work done, part of the load; ``[..., C, 1]``, all of it,
        where only the loads are known.
    late
        ``[..., C]``, MWh of it given up.
    saved
        ``[..., J]``, MWh of demand saved by smaller models.
    on
        ``[..., N]``, MWh per slot of capacity that is on.
    charge, discharge
        ``[..., N]``, MWh taken from the site, and given to it.
    generation
        ``[..., N]``, MWh of on-site generation used.
    grid
        ``[..., N]``, MWh taken from the grid; it follows from the others.
    """

    work: Array = None
    late: Array = None
    saved: Array = None
    on: Array = None
    charge: Array = None
    discharge: Array = None
    generation: Array = None
    grid: Array = None

    @classmethod
    def stack(cls, slots: Sequence[Operation], batch: int) -> Operation:
        """The operations of many slots, with time after ``batch`` leading axes."""
        names = slots[0].named()
        return cls(**{n: np.stack([getattr(s, n) for s in slots], axis=batch) for n in names})


def check_shapes(wanted: Operation, slot: Slot, fleet: Fleet) -> None:
    """Raise unless all that a policy wants of a fleet's parts is of the slot's shapes.

    Those of one problem will do for a batch: all of it does the same.

    Raises
    ------
    InfeasibleError
        With the slot, what is wrong, and the shape that was expected.
    """
    if not isinstance(wanted, Operation):
        raise InfeasibleError(
            f"slot {slot.index}: what is done beside routing must be an Operation, "
            f"got {type(wanted).__name__}"
        )
    lead = slot.demand.shape[:-1]
    for name, shape in shapes_of(fleet).items():
        given = getattr(wanted, name)
        if given is None or 0 in shape:  # what there is none of is not read
            continue
        got = np.shape(given)
        if got not in (shape, (*lead, *shape)):
            raise InfeasibleError(
                f"slot {slot.index}: {name} has shape {got}, expected {(*lead, *shape)}"
            )


def shapes_of(fleet: Fleet) -> dict[str, tuple[int, ...]]:
    """The shape in a slot of each thing that may be done."""
    J, N = fleet.reachable.shape
    C = len(fleet.equipment.reach)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Rows._fields, (N,))
    return shapes | {"work": (C, N), "late": (C,), "saved": (J,)}


def complete(
    allocation: FloatArray, wanted: Operation, slot: Slot, levels: Levels, fleet: Fleet
) -> Operation:
    """All that is done in a slot, with defaults for what is not said.

    Parameters
    ----------
    allocation
        ``[..., J, N]``, MWh; serves the demand that is not saved, checked elsewhere.
    wanted
        What a policy wants; its ``grid`` is not read.

    Raises
    ------
    InfeasibleError
        For what is not possible: what, where, and by how much.
    """
    if isinstance(allocation, np.ndarray):
        done, possible = Completion(slot, levels, fleet).of(allocation, wanted)
        if possible.all():
            return done
    # In tensors; or to say what is not possible.
    inference, xp = allocation.sum(-2), namespace(allocation)
    saved = _saved(wanted, slot, fleet)
    work, late = _work(wanted, slot, levels, fleet, inference)
    load = inference if work is None else inference + work.sum(-2)
    scale = _size(fleet.capacity)
    load = _within("the load", load, 0.0, slot.capacity, slot, scale)
    on = None
    if fleet.servers is not None:
        on = slot.capacity if wanted.on is None else wanted.on
        on = _within("capacity that is on", on, load, slot.capacity, slot, scale)
    drawn = draw(load, on, fleet)
    charge, discharge = _charging(wanted, drawn, slot, levels, fleet, scale)
    needed = drawn if charge is None else drawn + charge - discharge
    generation = None
    if slot.generation is not None:
        most = xp.minimum(slot.generation, needed)
        generation = most if wanted.generation is None else wanted.generation
        generation = _within("generation used", generation, 0.0, most, slot, scale)
        needed = needed - generation
    grid = xp.maximum(needed, 0.0)
    return Operation(work, late, saved, on, charge, discharge, generation, grid)


class Completion:
    """:func:`complete` of numpy arrays, for all that may be wanted in a slot.

    What is not possible is put where it is. Done again, the same comes of it, to the last bit.
    """

    def __init__(self, slot: Slot, levels: Levels, fleet: Fleet) -> None:
        self._slot, self._fleet, self._lead = slot, fleet, slot.demand.shape[:-1]
        self._shapes, self._there = shapes_of(fleet), {"grid"}
        parts: list[tuple[object, tuple[str, ...]]] = [
            (fleet.training, ("work", "late")),
            (fleet.models, ("saved",)),
            (fleet.servers, ("on",)),
            (fleet.storage, ("charge", "discharge")),
            (slot.generation, ("generation",)),
        ]
        self._there.update(name for part, names in parts if part is not None for name in names)
        self._brought = there_is(slot, levels, fleet, self._lead)
        due, demand = self._brought.due, slot.demand
        scales = _size(fleet.capacity), _size(due) if due.size else 0.0, _size(demand)
        self._wide = TOLERANCE * scales[0], TOLERANCE * scales[1], TOLERANCE * scales[2]

    def of(self, allocation: FloatArray, wanted: Operation) -> tuple[Operation, BoolArray]:
        """All that is done, and ``[...]``: was it possible, but for rounding?"""
        slot, fleet = self._slot, self._fleet
        said = {name: array for name, array in wanted.named().items() if name in self._there}
        if "work" in self._there and "work" not in said:
            room = np.maximum(slot.capacity - allocation.sum(-2), 0.0)
            due, reach = self._brought.due, fleet.equipment.reach
            due = due.reshape(*self._lead, len(reach))
            said["work"] = as_soon_as_it_fits(slot.price * fleet.pue, due, room, reach)
        given = {"on": slot.capacity} | said
        done = Rows(*(self._fresh(given.get(n), shape) for n, shape in self._shapes.items()))
        possible = np.empty(self._lead, np.bool_)
        completion.complete(
            fleet.equipment,
            self._brought,
            rows(allocation, self._lead, *fleet.reachable.shape),
            self._wide,
            "late" in said,
            "generation" in said,
            done,
            possible.reshape(-1),
        )
        named = {n: getattr(done, n).reshape(*self._lead, *self._shapes[n]) for n in self._there}
        return Operation(**named), possible

    def _fresh(self, array: Array, shape: tuple[int, ...]) -> FloatArray:
        """``[B, *shape]``, 0 of none: a copy, for the kernel to change."""
        fresh = np.empty((*self._lead, *shape))
        fresh[...] = 0.0 if array is None else array
        return fresh.reshape(math.prod(self._lead), *shape)


def there_is(slot: Series, levels: Levels, fleet: Fleet, lead: tuple[int, ...]) -> There:
    """What a slot brings, and the levels before it, for kernels: ``lead`` axes are one."""
    J, N = fleet.reachable.shape
    C, due, ceiling = 0, None, None
    if fleet.training is not None:
        C, due, ceiling = len(fleet.training.classes), levels.waiting + slot.work, slot.ceiling
    return There(
        rows(slot.capacity, lead, N),
        rows(slot.demand, lead, J),
        rows(slot.generation, lead, N),
        rows(levels.stored, lead, N),
        rows(due, lead, C),
        rows(ceiling, lead, C),
    )


def _saved(wanted: Operation, slot: Slot, fleet: Fleet) -> FloatArray | None:
    if fleet.models is None:
        return None
    if wanted.saved is None:
        return np.zeros(slot.demand.shape)
    room = fleet.models.room(slot.demand).sum(-1)
    scale = _size(slot.demand)
    return _within("demand saved", wanted.saved, 0.0, room, slot, scale)


def _work(
    wanted: Operation, slot: Slot, levels: Levels, fleet: Fleet, inference: FloatArray
) -> tuple[FloatArray | None, FloatArray | None]:
    """Work ``[..., C, N]`` done and ``[..., C]`` given up."""
    training = fleet.training
    if training is None:
        return None, None
    due, xp = levels.waiting + slot.work, namespace(inference)
    scale = _size(due)
    reach = training.reach(len(fleet.datacenters))
    if wanted.work is None:
        room = np.maximum(slot.capacity - inference, 0.0)
        work = as_soon_as_it_fits(slot.price * fleet.pue, due, room, reach)
    else:
        most = like(np.where(reach, np.inf, 0.0), inference)
        work = _within("work done", wanted.work, 0.0, most, slot, scale)
    left = _within("work done of what is there", due - work.sum(-1), 0.0, np.inf, slot, scale)
    least = xp.maximum(left - slot.ceiling, 0.0)
    late = least if wanted.late is None else wanted.late
    return work, _within("work given up", late, least, left, slot, scale)


def as_soon_as_it_fits(
    unit_cost: FloatArray, due: FloatArray, room: FloatArray, reach: Array
) -> FloatArray:
    """``[..., C, N]``: as much of the work ``due [..., C]`` as has room, where it is cheapest."""
    C, N = reach.shape
    # One column more for each class, dearer than any data center: what does not fit.
    reachable = np.hstack([reach, np.eye(C, dtype=np.bool_)])
    dearest = unit_cost.max(-1, keepdims=True) + 1.0
    unit = np.concatenate([unit_cost, np.repeat(dearest, C, axis=-1)], axis=-1)
    room = np.concatenate([room, due], axis=-1)
    return Dispatch(reachable).allocation(unit, due, room)[..., :N]


def _charging(
    wanted: Operation, drawn: FloatArray, slot: Slot, levels: Levels, fleet: Fleet, scale: float
) -> tuple[FloatArray | None, FloatArray | None]:
    """What is charged and discharged; of what is done at once, the levels bound the difference."""
    storage = fleet.storage
    if storage is None:
        return None, None
    none, xp = drawn * 0.0, namespace(drawn)
    charge = none if wanted.charge is None else wanted.charge
    discharge = none if wanted.discharge is None else wanted.discharge
    room = storage.energy - levels.stored + discharge / storage.discharge_efficiency
    most = xp.minimum(storage.charge, xp.maximum(room, 0.0) / storage.charge_efficiency)
    charge = _within("charge", charge, 0.0, most, slot, scale)
    there = levels.stored + charge * storage.charge_efficiency
    most = xp.minimum(storage.discharge, there * storage.discharge_efficiency)
    most = xp.minimum(most, drawn + charge)
    return charge, _within("discharge", discharge, 0.0, most, slot, scale)


def limits(
    stored: FloatArray, fleet: Fleet, between: tuple[FloatArray, FloatArray] | None = None
) -> tuple[FloatArray, FloatArray]:
    """``[..., N]`` each, MWh: what batteries can take, and give, at their level.

    So that it lies ``between`` two levels after the slot; default: 0 and what can be stored.
    """
    storage = fleet.storage
    assert storage is not None
    xp = namespace(stored)
    least, most = between or (0.0, storage.energy)
    room = xp.maximum(most - stored, 0.0) / storage.charge_efficiency
    there = xp.maximum(stored - least, 0.0) * storage.discharge_efficiency
    return xp.minimum(storage.charge, room), xp.minimum(storage.discharge, there)


def draw(load: Array, on: Array, fleet: Fleet) -> Array:
    """``[..., N]``, MWh that the sites draw for ``load [..., N]``: ``PUE·(ι·n + (1 − ι)·x)``."""
    if on is None or fleet.servers is None:
        return load * fleet.pue
    idle = fleet.servers.idle
    return (idle * on + (1.0 - idle) * load) * fleet.pue


def costs(
    operation: Operation, demand: FloatArray, on_before: Array, fleet: Fleet
) -> dict[str, FloatArray]:
    """US$ ``[...]`` by cause, beside energy and routing: wear, starts, late work and quality.

    Parameters
    ----------
    demand
        ``[..., J]``, MWh.
    on_before
        ``[..., N]``, MWh per slot that was on in the slot before; none without servers.
    """
    by_cause, xp = {}, namespace(demand)
    if fleet.storage is not None:
        by_cause["wear"] = operation.discharge @ fleet.storage.wear
    if fleet.servers is not None:
        started = xp.maximum(operation.on - on_before, 0.0)
        by_cause["starts"] = started @ fleet.servers.start_cost
    if fleet.training is not None:
        by_cause["late"] = operation.late @ fleet.training.late_cost
    if fleet.models is not None:
        room = fleet.models.room(demand)
        before = xp.cumsum(room, axis=-1) - room
        taken = xp.clip(operation.saved[..., None] - before, 0.0, room)
        by_cause["quality"] = (taken * fleet.models.unit_cost).sum((-1, -2))
    return by_cause


def refill(stored: FloatArray, fleet: Fleet) -> FloatArray:
    """US$ ``[...]``: what is missing of the initial charge after the last slot, bought."""
    storage = fleet.storage
    assert storage is not None
    missing = namespace(stored).maximum(storage.initial - stored, 0.0)
    bought: FloatArray = missing @ (storage.refill_price / storage.charge_efficiency)
    return bought


def after(levels: Levels, operation: Operation, slot: Slot, fleet: Fleet) -> Levels:
    """Levels after a slot."""
    stored, waiting = levels.stored, levels.waiting
    if fleet.storage is not None:
        stored = stored + stored_by(operation, fleet)
        stored = namespace(stored).clip(stored, 0.0, fleet.storage.energy)
    if fleet.training is not None:
        waiting = waiting + slot.work - operation.work.sum(-1) - operation.late
        waiting = namespace(waiting).clip(waiting, 0.0, slot.ceiling)
    return Levels(stored, waiting, operation.on)


def stored_by(operation: Operation, fleet: Fleet) -> FloatArray:
    """``[..., N]``, MWh by which charging and discharging change what is stored."""
    storage = fleet.storage
    assert storage is not None
    given = operation.discharge / storage.discharge_efficiency
    added: FloatArray = operation.charge * storage.charge_efficiency - given
    return added


def _size(amounts: Array) -> float:
    """The largest amount, MWh: what rounding is measured by."""
    if not isinstance(amounts, np.ndarray):
        amounts = amounts.detach()
    return max(float(amounts.max()), 1e-300)


def _within(
    what: str, values: Array, low: Array, high: Array, slot: Slot, scale: float
) -> FloatArray:
    """Values that rounding alone carries out of their bounds, put back.

    Raises
    ------
    InfeasibleError
        For what nothing so small carries.
    """
    xp = namespace(slot.price)
    if xp is np:
        values = np.asarray(values, dtype=np.float64)
    beyond = xp.maximum(values - high, low - values)
    # In single precision as wide as its rounding is.
    wide = max(TOLERANCE, 64 * float(xp.finfo(values.dtype).eps)) * scale
    if not (beyond <= wide).all():
        values, beyond = np.asarray(values.tolist()), np.asarray(beyond.tolist())
        place = tuple(int(i) for i in np.argwhere(~(beyond <= wide))[0])
        side = "less than it must be" if not values[place] > 0 else "more than can be"
        raise InfeasibleError(
            f"slot {slot.index}: {what}{list(place)} is {values[place]:.6g} MWh, "
            f"{beyond[place]:.6g} MWh {side}"
        )
    inside: FloatArray = xp.minimum(xp.maximum(values, low), high)
    return inside
