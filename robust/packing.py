"""What the compiled kernels read: a fleet's numbers, decisions and slots, a problem a row."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from equiload.envs import Decision, Setting, Slot
from equiload.envs.typing import Array, FloatArray
from equiload.robust.level_kernels import Parts, Plant, Scene
from equiload.robust.spare import Room

# All of it copies: kernels are compiled anew for arrays that are read-only.


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
        numbers |= {n: getattr(equipment, n) for n in ("pue", "idle", "energy", "into", "out")}
        return Plant(**{name: np.array(numbers[name], order="C") for name in Plant._fields})

    def parts(self, decision: Decision) -> Parts:
        """Everything that was decided, a problem a row."""
        done, named = decision.operation, Parts._fields[1:]
        given = [decision.allocation, *(getattr(done, name) for name in named)]
        pairs = zip(given, self.nothing, strict=True)
        return Parts(*(none if array is None else self.flat(array) for array, none in pairs))

    @cached_property
    def nothing(self) -> Parts:
        """Nothing is done."""
        C, J, N = len(self.plant.late_cost), *self.plant.routing.shape
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Parts._fields, (N,))
        shapes |= {"allocation": (J, N), "work": (C, N), "late": (C,), "saved": (J,)}
        return Parts(**{n: self.rows(None, *shape) for n, shape in shapes.items()})

    def rows(self, array: Array, *shape: int) -> FloatArray:
        """``[B, *shape]`` of ``[..., *shape]``, a problem a row; 0 of none."""
        rows = np.zeros((*self.setting.batch, *shape))
        if array is not None:
            rows[...] = array
        return rows.reshape(self._count, *shape)

    def flat(self, array: FloatArray) -> FloatArray:
        """``[B, more]`` of ``[..., more]``: copied where it is no array as kernels expect."""
        more = array.shape[len(self.setting.batch) :]
        rows = array if array.flags.carray else np.array(array, order="C")
        return rows.reshape(self._count, *more)

    def shaped(self, rows: FloatArray) -> FloatArray:
        """``[..., more]`` of ``[B, more]``."""
        return rows.reshape((*self.setting.batch, *rows.shape[1:]))

    def scene(self, slot: Slot, room: Room | None = None) -> Scene:
        """What a decision's cost depends on."""
        K, (J, N) = len(self.setting.objective.mu), self.plant.routing.shape
        onsite = self.rows(slot.onsite_intensity, K, N)
        price, intensity = self.rows(slot.price, N), self.rows(slot.intensity, K, N)
        least, most = (None, None) if room is None else (room.least, room.most)
        late = [self.rows(bound, len(self.plant.late_cost)) for bound in (least, most)]
        return Scene(price, intensity, onsite, self.rows(slot.demand, J), *late)
