"""What :mod:`~equiload.robust.verify_levels` checks of spare capacity; nothing of the layer's."""

from __future__ import annotations

import numpy as np

from equiload.envs.typing import BoolArray, FloatArray
from equiload.robust.bounds import Bounds
from equiload.robust.verify_numbers import Exact
from equiload.robust.verify_physics import Decisions, Physics
from equiload.robust.violations import FEASIBLE, fractions


class SpareCheck:
    """What the expert leaves free for work, and what it is worth (docs/robustness.md, Lemma 2)."""

    def __init__(self, physics: Physics, bounds: Bounds, mu: FloatArray) -> None:
        fleet, (K,) = physics.fleet, mu.shape
        training, N = fleet.training, len(fleet.datacenters)
        assert training is not None
        self.physics, self.deadline = physics, training.deadline
        free = fractions(np.broadcast_to(np.asarray(bounds.spare), (physics.classes, N)))
        late, pue = fractions(training.late_cost), fractions(fleet.pue)
        total = free.sum(-1)
        each = free / np.where(total > 0, total, 1)[:, None]
        unit = fractions(np.broadcast_to(bounds.price, (N,))) * pue
        if fleet.servers is not None:
            unit = unit + fractions(fleet.servers.start_cost)
        intensity = fractions(np.broadcast_to(bounds.intensity, (K, N)))
        if physics.trace.onsite_intensity is not None:
            assert bounds.onsite is not None
            intensity = intensity + fractions(np.broadcast_to(bounds.onsite, (K, N)))
        cost, drawn = (each * unit).sum(-1), each[:, None, :] * (pue * intensity)
        by_region = drawn @ fractions(fleet.membership)
        dearest = cost + by_region.max(-1) @ fractions(mu)
        # Where to do it may be dearer than to give it up, nobody counts on it.
        width = np.where(dearest <= late, total, total * 0)
        self.counted = np.asarray(width > 0, dtype=np.bool_)
        self.free, self.saved, self.drawn, self.width = (
            Exact.of(a) for a in (free.sum(0), late - cost, drawn, width)
        )

    def room(self, t: int, waiting: Exact) -> Exact:
        """``r [..., C]``, MWh after slot ``t``, where ``waiting [..., C]`` is the expert's."""
        physics, last = self.physics, self.physics.horizon - 1
        rooms = []
        for c, deadline in enumerate(self.deadline):
            least = physics.zero
            for ahead in range(1, min(int(deadline), last - t) + 1):
                first = t + 1 if t + ahead == last else max(t + ahead - int(deadline) + 1, 0)
                arrived = physics.since(first, t, c)
                room = (arrived - waiting[..., c]).positive() + self.width[c] * ahead
                least = room if ahead == 1 else least.at_most(room)
            rooms.append(least)
        return Exact.stack(rooms).where(self.counted)

    def worth(self, in_time: Exact) -> tuple[Exact, Exact]:
        """US$ ``[...]`` less than to give it up, and footprints ``[..., K, N]``."""
        footprints = in_time[..., None, None] * self.drawn
        return (self.saved * in_time).sum(), footprints.sum(-3)

    def crowded(self, expert: Decisions) -> tuple[BoolArray, BoolArray]:
        """Does the expert leave less free, by more than rounding, and by whatever little?"""
        load = expert["allocation"].sum(-2) + expert["work"].sum(-2)
        short = (load + self.free - self.physics.capacity).max()
        rounding = Exact.of(FEASIBLE) * self.physics.fleet.capacity.max()
        return ~(short <= rounding), ~(short <= 0)
