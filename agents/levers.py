"""Equity prices from any policy, and prices of what is stored, waits and is on by simple rules.

A rule looks at what a MWh costs in the slot (:class:`Costs`), at the levels that really are, and at
the clock; each is one small class with a ``price``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from equiload.agents.ensemble import SlotPricer
from equiload.envs import DataError, Policy, Setting, Slot, State
from equiload.envs.checking import checked
from equiload.envs.dynamics import Decision
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels
from equiload.envs.knobs.prices import Costs, Prices
from equiload.envs.typing import Array, FloatArray, Positive, Share


class Rule(Protocol):
    """Prices one kind of level, slot by slot."""

    def reset(self, setting: Setting) -> None:
        """Forget everything."""
        ...

    def price(self, costs: Costs, slot: Slot, levels: Levels) -> Array:
        """US$ per unit, ``[..., N]`` or ``[..., C]``; asked once a slot."""
        ...


class _Watching:
    """What the two rules share that look at where a cost usually lies.

    ``memory``: slots over which costs count; ``width``: how many mean distances from the mean dear
    and cheap lie.
    """

    def __init__(self, memory: float, width: float) -> None:
        self.memory, self.width = memory, width

    def reset(self, setting: Setting) -> None:
        """See :class:`Rule`."""
        self._fleet, self._last, self._seen = setting.fleet, setting.horizon - 1, 0

    def usual(self, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean of the costs seen, of late above all, and how far dear and cheap lie from it."""
        self._seen += 1
        step = max(1.0 / self.memory, 1.0 / self._seen)
        if self._seen == 1:
            self._mean, self._apart = cost, 0.0 * cost
        self._mean = self._mean + step * (cost - self._mean)
        self._apart = self._apart + step * (np.abs(cost - self._mean) - self._apart)
        return self._mean, self.width * self._apart


class StoredByCharge(_Watching):
    """Stored energy is worth the less the fuller a battery is, between dear and cheap.

    ``θ`` falls with the state of charge from what the dearest usual MWh saves by discharging,
    ``(high − κ)·η_d``, to what the cheapest costs to charge, ``low/η_c``: the threshold form of
    online inventory and Lyapunov rules. Toward the end a battery returns to its initial charge, at
    the pace that it needs.

    Parameters
    ----------
    memory
        Slots over which costs count.
    width
        How many mean distances from the mean dear and cheap lie.
    """

    @checked
    def __init__(self, *, memory: Positive = 72.0, width: Positive = 0.5) -> None:
        super().__init__(memory, width)

    def price(self, costs: Costs, slot: Slot, levels: Levels) -> Array:
        """See :class:`Rule`."""
        storage = self._fleet.storage
        assert storage is not None
        into, out = storage.charge_efficiency, storage.discharge_efficiency
        mean, apart = self.usual(costs.grid)
        dear = (mean + apart - storage.wear) * out
        cheap = (mean - apart) / into
        size = np.where(storage.energy > 0, storage.energy, 1.0)
        worth = np.maximum(dear, cheap) + (cheap - np.maximum(dear, cheap)) * levels.stored / size
        least, most = self.between(slot)
        worth = np.where(levels.stored < least, storage.refill_price / into, worth)
        return np.where(levels.stored > most, np.minimum(worth, 0.0), worth)

    def between(self, slot: Slot) -> tuple[FloatArray, FloatArray]:
        """Least and most ``[N]`` to have stored after the slot, to end as it began."""
        storage, slots = self._fleet.storage, self._last - slot.index
        assert storage is not None
        least = storage.initial - slots * storage.charge * storage.charge_efficiency
        most = storage.initial + slots * storage.discharge / storage.discharge_efficiency
        return np.maximum(least, 0.0), np.minimum(most, storage.energy)


class WaitingByFullness(_Watching):
    """Work is done at a cost that rises with how full its queue is of what may wait.

    ``π`` goes from cheap (nothing waits) to dear (no more may wait) around the usual marginal cost;
    toward the end, the queue counts as fuller, so that no work is left to the last slot.

    Parameters
    ----------
    memory
        Slots over which costs count.
    width
        How many mean distances from the mean dear and cheap lie.
    """

    @checked
    def __init__(self, *, memory: Positive = 168.0, width: Positive = 2.0) -> None:
        super().__init__(memory, width)

    def price(self, costs: Costs, slot: Slot, levels: Levels) -> Array:
        """See :class:`Rule`."""
        training = self._fleet.training
        assert training is not None
        mean, apart = self.usual(costs.marginal)
        left = np.minimum(1.0, (self._last - slot.index) / np.maximum(training.deadline, 1))
        room = slot.ceiling * left
        waits = levels.waiting + slot.work
        full = np.divide(waits, room, out=np.full(waits.shape, 2.0), where=room > 0)
        price = mean + apart * (2.0 * np.minimum(full, 2.0) - 1.0)
        # What may wait no more is done; all else is better done than given up.
        return np.minimum(price, training.urgent)


class WarmByShare:
    """A server that is on is worth a share of what it costs to start it: it idles while that pays.

    Parameters
    ----------
    share
        From 0, off as soon as it has no load, to 1, kept on for as long as one slot's idling costs
        no more than a start.
    """

    @checked
    def __init__(self, *, share: Share = 0.25) -> None:
        self.share = share

    def reset(self, setting: Setting) -> None:
        """See :class:`Rule`."""
        self._servers = setting.fleet.servers

    def price(self, costs: Costs, slot: Slot, levels: Levels) -> Array:
        """See :class:`Rule`."""
        del costs, slot, levels
        assert self._servers is not None
        return self.share * self._servers.start_cost


class WithKnobs:
    """A policy that prices equity, on a fleet with storage, training work, servers or models.

    In each slot the market is cleared (:class:`~equiload.envs.knobs.market.Market`) at the policy's
    weights and the rules' prices, from the levels that really are. Smaller models need no rule:
    what they save is a column of the merit order.

    Parameters
    ----------
    policy
        One that prices, by the slots so far: eGLB, a learned one, an ensemble of these.
    stored, waiting, on
        Rules. Default: :class:`StoredByCharge`, :class:`WaitingByFullness`, :class:`WarmByShare`.

    Raises
    ------
    DataError
        For a policy that does not price.

    Examples
    --------
    >>> import numpy as np
    >>> from equiload.agents import EGLB
    >>> from equiload.envs import rollout
    >>> from equiload.envs.data import synthetic
    >>> from equiload.testing.knobs import with_random_knobs
    >>> day = with_random_knobs(np.random.default_rng(0), synthetic(0, horizon=24))
    >>> outcome = rollout(WithKnobs(EGLB()), day)
    >>> outcome.levels.stored.shape, outcome.operation.on.shape
    ((24, 10), (24, 10))
    """

    @checked
    def __init__(
        self,
        policy: Policy,
        *,
        stored: Rule | None = None,
        waiting: Rule | None = None,
        on: Rule | None = None,
    ) -> None:
        if not isinstance(policy, SlotPricer):
            raise DataError(f"{type(policy).__name__} does not dispatch at shadow prices")
        self.policy = policy
        self._rules: dict[str, Rule] = {
            "stored": StoredByCharge() if stored is None else stored,
            "waiting": WaitingByFullness() if waiting is None else waiting,
            "on": WarmByShare() if on is None else on,
        }

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._setting, self._market = setting, Market(setting.fleet)
        self.policy.reset(setting)
        part_of = {"stored": "storage", "waiting": "training", "on": "servers"}
        self._used = {
            name: rule
            for name, rule in self._rules.items()
            if getattr(setting.fleet, part_of[name]) is not None
        }
        for rule in self._used.values():
            rule.reset(setting)

    def act(self, slot: Slot, state: State) -> Decision:
        """Return what is best at the prices."""
        weights = self.policy.price(slot, state)
        costs, levels = Costs.of(slot, weights, self._setting.physics), state.levels or Levels()
        prices = {name: rule.price(costs, slot, levels) for name, rule in self._used.items()}
        priced = Prices(weights, **prices)
        between = None
        if isinstance(stored := self._used.get("stored"), StoredByCharge):
            between = stored.between(slot)
        return self._market.clear(slot, priced, levels, self._setting.physics, between, costs=costs)
