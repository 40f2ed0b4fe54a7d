"""Advice that is out to hurt where the past counts: batteries, waiting work, servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from equiload.agents import EGLB, WithKnobs
from equiload.envs import (
    Decision,
    Instance,
    Outcome,
    Policy,
    Setting,
    Slot,
    State,
    Trajectory,
    rollout,
)
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Completion, Levels, Operation
from equiload.envs.knobs.prices import Prices
from equiload.envs.knobs.training import Training
from equiload.envs.typing import Array, FloatArray
from equiload.envs.validation import LARGEST
from equiload.robust import Bounds, Certificate, RobustPolicy, Sparing, footprint_bound
from equiload.robust.packing import Packing
from equiload.robust.spare import Spare
from equiload.robust.wayback import as_far_as_possible
from equiload.testing.knobs import KNOBS, with_random_knobs
from equiload.testing.problems import random_problems

_RHO = (0.0, 0.0, 1e-9, 0.01, 0.1, 1.0)
_PUT_OFF = ("work", "charge", "discharge")


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


class Retrace:
    """What was done in another episode, as far as it is possible from the levels that are.

    Parameters
    ----------
    outcome
        Of the same instance, with its allocation or without.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._packing = Packing(setting)

    def act(self, slot: Slot, state: State) -> Decision:
        """See :class:`~equiload.envs.Policy`."""
        outcome, t, fleet = self.outcome, slot.index, self._packing.setting.fleet
        assert outcome.operation is not None
        done = outcome.operation.map(lambda array: array[t])
        if outcome.allocation is None:
            inference = outcome.load[t] if done.work is None else outcome.load[t] - done.work.sum(0)
            asked = slot.demand if done.saved is None else slot.demand - done.saved
            allocation = fleet.dispatch.split(np.maximum(inference, 0.0), asked)
        else:
            allocation = outcome.allocation[t]
        wanted = Decision(outcome.load[t], outcome.routing[t], allocation, operation=done)
        levels = state.levels or Levels()
        completion = Completion(slot, levels, fleet)
        made = as_far_as_possible(self._packing.parts(wanted), self._packing, completion)
        return self._packing.decision(made, completion.shapes)


class Shaken:
    """The decisions of ``policy``, some loads of which fall below 0 by a rounding."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self.policy, self.seed = policy, seed

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self.policy.reset(setting)
        self._reachable, self._rng = setting.fleet.reachable, np.random.default_rng(self.seed)

    def act(self, slot: Slot, state: State) -> Decision:
        """Return the decision, between two sites of each gateway 1e-10 of its demand moved."""
        decision = self.policy.act(slot, state)
        allocation = np.array(decision.allocation)
        for j, reach in enumerate(self._reachable):
            there = np.flatnonzero(reach)
            taken, given = self._rng.choice(there, 2)
            moved = 1e-10 * self._rng.random(allocation.shape[:-2]) * slot.demand[..., j]
            allocation[..., j, taken] -= moved
            allocation[..., j, given] += moved
        return Decision(None, None, allocation, operation=decision.operation)


class Delay:
    """Puts work off and leaves batteries alone for some slots; then what the expert does.

    Parameters
    ----------
    expert
        A second copy of the expert.
    seed
        Of when.
    """

    def __init__(self, expert: Policy, seed: int) -> None:
        self.expert, self.seed = expert, seed

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._driven = Trajectory(self.expert)
        self._driven.reset(setting)
        first, last = np.random.default_rng(self.seed).integers(0, setting.horizon, 2)
        self._slots = range(first, last + 1)

    def act(self, slot: Slot, _: State) -> Decision:
        """Return the decision."""
        expert = self._driven.act(slot)
        done = expert.operation
        assert done is not None
        done = replace(done, grid=None)
        if slot.index in self._slots:
            idle = {name: array * 0.0 for name, array in done.named().items() if name in _PUT_OFF}
            done = replace(done, **idle, late=None, generation=None)
        return Decision(None, None, expert.allocation, operation=done)


def random_parts(rng: np.random.Generator, batch: int) -> Instance:
    """Random small problems on one fleet with some knobs; a quarter of the prices negative."""
    instance = random_problems(rng, batch)
    price = instance.trace.price
    flipped = rng.random(price.shape) < 0.25
    price = np.where(flipped, -rng.choice([1.0, 3.0]) * price, price)
    instance = instance.replace(trace=instance.trace.replace(price=price))
    some = rng.random(len(KNOBS)) < 0.6
    some[rng.integers(len(KNOBS))] = True
    return with_random_knobs(rng, instance, [k for k, on in zip(KNOBS, some, strict=True) if on])


def with_spare(rng: np.random.Generator, instance: Instance) -> tuple[Instance, FloatArray]:
    """The problem with larger data centers, and capacity ``[C, N]`` that need not be used.

    To give work up costs from less than to do it there to very much more.
    """
    fleet, trace = instance.fleet, instance.trace
    assert fleet.training is not None
    reach = fleet.training.reach(len(fleet.datacenters))
    spare = reach * rng.uniform(0, 0.5, reach.shape) * (rng.random(reach.shape) < 0.7)
    spare = spare * fleet.capacity.max() * rng.choice([0.1, 1.0], (len(reach), 1))
    capacity = fleet.capacity + spare.sum(0)
    if trace.availability is not None:
        open_ = np.divide(
            instance.capacity + spare.sum(0),
            capacity,
            out=np.ones_like(instance.capacity),
            where=capacity > 0,
        )
        trace = trace.replace(availability=np.minimum(open_, 1.0))
    larger = instance.replace(fleet=fleet.replace(capacity=capacity), trace=trace)
    setting = Setting.of(larger)
    known = Spare(setting, Bounds.of(larger, spare=spare).fit(setting), 1)
    cost, footprint = known.unit
    all_in = cost + footprint.max(-1) @ setting.objective.mu
    late_cost = np.minimum(all_in * rng.choice([0.5, 1.5, 10.0, 1e3], len(reach)), LARGEST)
    training = Training(
        classes=fleet.training.classes,
        deadline=fleet.training.deadline,
        late_cost=late_cost,
        reachable=fleet.training.reachable,
    )
    return larger.replace(fleet=larger.fleet.replace(training=training)), spare


def _most_in_a_slot(instance: Instance) -> FloatArray:
    """``[..., K, R]``: a bound that no slot exceeds, batteries charging at full load."""
    onsite = instance.trace.onsite_intensity
    most = None if onsite is None else onsite.max(-2)
    bound = footprint_bound(instance.fleet, instance.trace.intensity.max(-2), most)
    # A market leaves a hair of load where there is no capacity.
    hair: FloatArray = 1e-9 * bound.max((-1, -2), keepdims=True)
    return bound + hair


def play(
    instance: Instance,
    rng: np.random.Generator,
    spare: FloatArray | None = None,
    **options: object,
) -> tuple[Certificate, FloatArray, Operation]:
    """Hostile advice against a random expert: the certificate, and what was played.

    ``spare``: what the expert leaves free, see :func:`with_spare`.
    """
    seeds = [int(s) for s in rng.integers(2**32, size=2)]
    experts: list[Callable[[], Policy]] = [
        lambda: RandomPrices(seeds[0]),
        lambda: WithKnobs(EGLB()),
    ]
    given = {
        "rho": float(rng.choice(_RHO)),
        "allowance": float(rng.choice([0.0, 0.0, 1e-3, 10.0])),
        "method": str(rng.choice(["blend", "blend", "switch"])),
        "bounds": Bounds.of(instance, room=float(rng.choice([1.0, 1.0, 2.0])), spare=spare),
        "footprint_bound": _most_in_a_slot(instance) if rng.random() < 0.3 else None,
        **options,
    }
    make = experts[rng.integers(2)]
    expert, again = (make() if spare is None else Sparing(make(), spare) for _ in range(2))
    advice: list[Policy] = [Dump(seeds[1]), RandomPrices(seeds[1]), Delay(again, seeds[1])]
    adversary = advice[rng.integers(3)]
    if rng.integers(4) == 0:
        adversary = Shaken(adversary, seeds[1])
    policy = RobustPolicy(adversary, expert, **given)  # type: ignore[arg-type]
    outcome = rollout(policy, instance, keep=True)
    assert outcome.operation is not None
    return policy.certificate(), outcome.allocation, outcome.operation
