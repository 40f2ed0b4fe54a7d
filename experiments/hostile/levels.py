"""Advice that is out to hurt where the past counts: batteries, waiting work, servers."""

from __future__ import annotations

import numpy as np

from equiload.envs import Decision, Setting, Slot, State
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.knobs.prices import Prices
from equiload.envs.typing import Array, FloatArray


class RandomPrices:
    """Every slot cleared at prices drawn anew, from worthless to dear beyond measure.

    Parameters
    ----------
    seed
        The same one gives the same decisions from the same levels.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._setting, self._market = setting, Market(setting.fleet)
        self._rng = np.random.default_rng(self.seed)

    def act(self, slot: Slot, state: State) -> Decision:
        """See :class:`~equiload.envs.Policy`."""
        factors = self._rng.choice([-5.0, -0.5, 0.0, 0.5, 1.0, 2.0, 5.0], self._counts)
        starts = self._rng.choice([0.0, 0.5, 1.0], slot.price.shape)
        return self._cleared(slot, state, factors, starts)

    @property
    def _counts(self) -> tuple[int, ...]:
        """Of prices of what is stored and what waits."""
        fleet = self._setting.fleet
        classes = 0 if fleet.training is None else len(fleet.training.classes)
        return (*self._setting.batch, len(fleet.datacenters) + classes)

    def _cleared(self, slot: Slot, state: State, factors: FloatArray, starts: Array) -> Decision:
        """The slot at prices ``factors`` times a usual one, ``starts`` as shares of a start."""
        fleet, shape = self._setting.fleet, self._setting.footprint_shape
        N = len(fleet.datacenters)
        money = np.abs(slot.price).mean(-1, keepdims=True)
        prices = Prices(
            self._rng.dirichlet(np.full(shape[-1], 0.3), shape[:-1]),
            stored=None if fleet.storage is None else money * factors[..., :N],
            waiting=None
            if fleet.training is None
            else np.minimum(money * factors[..., N:], fleet.training.urgent),
            on=None if fleet.servers is None else fleet.servers.start_cost * starts,
        )
        levels = state.levels or Levels()
        return self._market.clear(slot, prices, levels, self._setting.physics)


class Dump(RandomPrices):
    """Levels to one extreme first, then all the harm that there is room for.

    So it builds up what a bound that forgets the levels takes for slack, and spends it: work is
    given up, quality lost, and load sent to where it is dearest.
    """

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        super().reset(setting)
        self._turn = int(self._rng.integers(1, max(2, setting.horizon)))
        self._way = self._rng.choice([-50.0, 50.0], self._counts)

    def act(self, slot: Slot, state: State) -> Decision:
        """See :class:`~equiload.envs.Policy`."""
        fleet, batch = self._setting.fleet, self._setting.batch
        if slot.index < self._turn:
            starts = (self._way[..., : len(fleet.datacenters)] > 0) * 1.0
            return self._cleared(slot, state, self._way, starts)
        asked, wanted = slot.demand, {}
        if fleet.training is not None and state.levels is not None:
            wanted["late"] = state.levels.waiting + slot.work
            wanted["work"] = np.zeros((*wanted["late"].shape, len(fleet.datacenters)))
        if fleet.models is not None:
            wanted["saved"] = fleet.models.room(slot.demand).sum(-1)
            asked = asked - wanted["saved"]
        dearest = -(slot.price + slot.intensity.sum(-2))
        allocation = fleet.dispatch.allocation(dearest, asked, slot.capacity)
        operation: dict[str, Array] = wanted
        return Decision(
            allocation.sum(-2), np.zeros(batch), allocation, operation=Operation(**operation)
        )
