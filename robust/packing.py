"""What the compiled kernels read: a fleet's numbers, decisions and slots, a problem a row."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from equiload.envs import Decision, Setting, Slot
from equiload.envs.arrays import batched, rows
from equiload.envs.knobs.completion import Rows
from equiload.envs.knobs.operation import Completion, Levels, Operation
from equiload.envs.knobs.settlement import Left
from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.level_tuples import Parts, Plant, Scene
from equiload.robust.spare import Room


def parts_of(decision: Decision) -> dict[str, FloatArray]:
    """Everything that was decided, by name; the grid's energy follows from it."""
    assert decision.operation is not None
    named = {"allocation": decision.allocation, **decision.operation.named()}
    return {name: array for name, array in named.items() if name != "grid"}


class Packing:
    """Packs what belongs to a setting.

    Parameters
    ----------
    setting
        With knobs.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting, self._count = setting, math.prod(setting.batch)

    @cached_property
    def plant(self) -> Plant:
        """The fleet's numbers."""
        fleet = self.setting.fleet
        equipment, none = fleet.equipment, np.zeros(len(fleet.datacenters))
        training, models, pairs = fleet.training, fleet.models, fleet.routing_cost
        steps = np.zeros((len(equipment.share), 0)) if models is None else models.unit_cost
        numbers = {
            "start_cost": none if fleet.servers is None else fleet.servers.start_cost,
            "wear": none if fleet.storage is None else fleet.storage.wear,
            "routing": np.zeros(fleet.reachable.shape) if pairs is None else pairs,
            "late_cost": np.zeros(0) if training is None else training.late_cost,
            "width": equipment.share[:, None] * equipment.steps,
            "unit": np.diff(steps, axis=-1, prepend=0.0),
            "region_of": fleet.region_of,
        }
        numbers |= {n: getattr(equipment, n) for n in ("pue", "idle", "into", "out")}
        # Copies: kernels are compiled anew for arrays that are read-only.
        return Plant(**{name: np.array(numbers[name], order="C") for name in Plant._fields})

    @cached_property
    def mu(self) -> FloatArray:
        """``[K]``, US$ per unit of footprint."""
        return np.array(self.setting.objective.mu)

    @cached_property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of each of :class:`Parts`, without the batch."""
        C, J, N = len(self.plant.late_cost), *self.plant.routing.shape
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Parts._fields, (N,))
        shapes |= {"allocation": (J, N), "work": (C, N), "late": (C,), "saved": (J,)}
        return tuple(shapes.values())

    @cached_property
    def nothing(self) -> Parts:
        """Nothing is done."""
        return Parts(*(np.zeros((self._count, *shape)) for shape in self._shapes))

    def blank(self) -> Parts:
        """Room for a decision."""
        return Parts(*(np.empty((self._count, *shape)) for shape in self._shapes))

    def parts(self, decision: Decision) -> Parts:
        """Everything that was decided, a problem a row; it is not a copy."""
        done, lead = decision.operation, self.setting.batch
        given = (decision.allocation, *(getattr(done, name) for name in Parts._fields[1:]))
        return Parts(
            *(
                none if array is None else rows(array, lead, *none.shape[1:])
                for array, none in zip(given, self.nothing, strict=True)
            )
        )

    def decision(self, parts: Parts, names: Iterable[str]) -> Decision:
        """The decision of an allocation and, by ``names``, what is done beside."""
        done = Operation(**{name: self.shaped(getattr(parts, name)) for name in names})
        return Decision(None, None, self.shaped(parts.allocation), operation=done)

    def put(self, parts: Parts, completion: Completion) -> BoolArray:
        """Put what was decided where it is possible; ``[B]``: was it, but for rounding?"""
        servers = self.setting.fleet.servers is not None
        generation = "generation" in completion.shapes
        done = Rows(*parts[1:])
        possible = completion.put(
            parts.allocation, done, late=True, on=servers, generation=generation
        )
        if not servers:
            parts.on[:] = 0.0
        return possible

    def rows(self, array: Array, *shape: int) -> FloatArray:
        """``[B, *shape]`` of ``[..., *shape]``, a problem a row; 0 of none."""
        return rows(array, self.setting.batch, *shape)

    def flat(self, array: Array) -> Array:
        """``[B, more]`` of ``[..., more]``: copied where it is no array as kernels expect."""
        kept = array if array.flags.carray else np.array(array, order="C")
        lead = len(self.setting.batch)
        return kept if lead == 1 else kept.reshape(self._count, *array.shape[lead:])

    def shaped(self, array: Array) -> Array:
        """``[..., more]`` of ``[B, more]``."""
        return batched(array, self.setting.batch)

    def levels(self, levels: Levels) -> Left:
        """Levels, a problem a row."""
        N, C = len(self.plant.pue), len(self.plant.late_cost)
        return Left(
            self.rows(levels.stored, N), self.rows(levels.waiting, C), self.rows(levels.on, N)
        )

    def scene(self, slot: Slot, room: Room | None = None) -> Scene:
        """What a decision's cost depends on."""
        K, (J, N), C = len(self.mu), self.plant.routing.shape, len(self.plant.late_cost)
        least, most = (None, None) if room is None else (room.least, room.most)
        return Scene(
            self.rows(slot.price, N),
            self.rows(slot.intensity, K, N),
            self.rows(slot.onsite_intensity, K, N),
            self.rows(slot.demand, J),
            self.rows(least, C),
            self.rows(most, C),
        )
