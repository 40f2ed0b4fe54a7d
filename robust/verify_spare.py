"""What :mod:`~equiload.robust.verify_levels` checks of spare capacity; nothing of the layer's."""

from __future__ import annotations

from typing import Any

import numpy as np

from equiload.envs.typing import Array, BoolArray, FloatArray
from equiload.robust.bounds import Bounds
from equiload.robust.verify_physics import Physics
from equiload.robust.violations import FEASIBLE


class SpareCheck:
    """What the expert leaves free for work, and what it is worth (docs/robustness.md, Lemma 2)."""

    def __init__(self, physics: Physics, bounds: Bounds) -> None:
        number, fleet = physics.number, physics.fleet
        training, N = fleet.training, len(fleet.datacenters)
        assert training is not None
        self.physics, self.deadline = physics, training.deadline
        self.late, pue = number(training.late_cost), number(fleet.pue)
        self.free = number(np.broadcast_to(np.asarray(bounds.spare), (physics.classes, N)))
        total = self.free.sum(-1)
        each = self.free / np.where(total > 0, total, 1)[:, None]
        unit = number(np.broadcast_to(bounds.price, (N,))) * pue
        if fleet.servers is not None:
            unit = unit + number(fleet.servers.start_cost)
        intensity = number(np.broadcast_to(bounds.intensity, (len(physics.mu), N)))
        if physics.trace.onsite_intensity is not None:
            assert bounds.onsite is not None
            intensity = intensity + number(np.broadcast_to(bounds.onsite, (len(physics.mu), N)))
        self.unit, self.drawn = (each * unit).sum(-1), each[:, None, :] * (pue * intensity)
        dearest = self.unit + (physics.mu * physics.by_region(self.drawn).max(-1)).sum(-1)
        # Where to do it may be dearer than to give it up, nobody counts on it.
        self.width = np.where(dearest <= self.late, total, total * 0)

    def room(self, t: int, waiting: Array) -> Array:
        """``r [..., C]``, MWh after slot ``t``, where ``waiting [..., C]`` is the expert's."""
        work, last = self.physics.trace.work, self.physics.horizon - 1
        assert work is not None
        rooms = []
        for c, deadline in enumerate(self.deadline):
            least = waiting[..., c] * 0
            for ahead in range(1, min(int(deadline), last - t) + 1):
                first = t + 1 if t + ahead == last else max(t + ahead - int(deadline) + 1, 0)
                arrived = self.physics.number(work[..., first : t + 1, c]).sum(-1)
                room = np.maximum(arrived - waiting[..., c], 0) + self.width[c] * ahead
                least = room if ahead == 1 else np.minimum(least, room)
            rooms.append(least)
        return np.where(self.width > 0, np.stack(rooms, axis=-1), 0)

    def worth(self, in_time: Array) -> tuple[Array, Array]:
        """US$ ``[...]`` less than to give it up, and footprints ``[..., K, N]``."""
        saved = ((self.late - self.unit) * in_time).sum(-1)
        return saved, (in_time[..., None, None] * self.drawn).sum(-3)

    def size(self, t: int, surplus: Array, waiting: Array) -> Any:
        """US$ ``[...]``: what the rounding of ``room`` goes with, of a ``surplus`` near it."""
        work = self.physics.trace.work
        assert work is not None
        arrived = self.physics.number(work[..., : t + 1, :]).sum(-2)
        size = arrived + self.width * self.deadline
        matters = (surplus > 0) & (surplus + size * 1e-9 > self.room(t, waiting))
        return np.where(matters, 3 * self.late * size, 0).sum(-1)

    def crowded(self, t: int, expert: dict[str, FloatArray]) -> tuple[BoolArray, BoolArray]:
        """Does the expert leave less free, by more than rounding, and by whatever little?"""
        number, capacity = self.physics.number, self.physics.capacity[..., t, :]
        load = number(expert["allocation"]).sum(-2) + number(expert["work"]).sum(-2)
        short = load + self.free.sum(-2) - capacity
        rounding = number(FEASIBLE) * number(self.physics.fleet.capacity).max()
        return (short > rounding).any(-1), (short > 0).any(-1)
