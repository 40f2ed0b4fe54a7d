"""Many random small problems with hostile advice, every episode verified independently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from equiload.agents import EGLB
from equiload.agents.greedy import GLBCost
from equiload.envs import (
    Decision,
    InfeasibleError,
    Instance,
    Policy,
    Setting,
    Slot,
    SolverError,
    State,
    Trajectory,
    rollout,
    slot_cost,
    transition,
)
from equiload.envs.feasibility import TOLERANCE, feasible
from equiload.envs.knobs.operation import Operation
from equiload.envs.threads import threads
from equiload.envs.typing import FloatArray
from equiload.experiments.hostile import levels
from equiload.robust import (
    Certificate,
    EnvironmentLayer,
    Method,
    RobustPolicy,
    Verification,
    Violation,
    pooled,
    verify,
)
from equiload.testing.problems import random_problems

# Projection solves a program per episode and slot, the others are arithmetic on the whole batch.
_METHODS = ("blend", "environment", "switch", "project")
_BATCH = {"blend": 4096, "environment": 4096, "switch": 4096, "project": 256}
#: On average.
EPISODES_PER_BATCH = 3136

# Half of them leave no slack, or next to none: there rounding decides.
_RHO = (0.0, 0.0, 1e-9, 0.01, 0.1, 1.0)
_KINDS = 6  # of hostile advice
#: Episodes in a batch with knobs.
WITH_KNOBS = 4096
_SPOT_CHECKS = 8  # of each batch, in rational arithmetic in any case


@dataclass
class Tally:
    """What the campaign has verified so far."""

    episodes: int = 0
    slots: int = 0
    violations: list[str] = field(default_factory=list)
    exact: int = 0
    smallest_slack: float = np.inf
    unplayed: int = 0  # batches at whose costs no policy can act

    def add(self, batch: Verification, problem: str) -> None:
        """Count one batch."""
        self.episodes += batch.episodes
        self.slots += batch.slots
        self.exact += batch.exact
        self.smallest_slack = min(self.smallest_slack, batch.smallest_slack)
        self.violations += [f"{problem}: {violation}" for violation in batch.violations]

    def __str__(self) -> str:
        return (
            f"{self.episodes} episodes, {self.slots} slots, {len(self.violations)} violations, "
            f"smallest relative slack {self.smallest_slack:.1e}"
        )


class RandomVertices:
    """Dispatch at random unit costs; the same seed gives the same allocations."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet, self._rng = setting.fleet, np.random.default_rng(self.seed)

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return an extreme allocation ``[..., J, N]``."""
        unit = self._rng.normal(size=slot.price.shape)
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class Adversary:
    """Advice out to hurt; each episode of the batch meets one kind of it.

    The dearest allocation; all footprint into the region that has most; good at first, then bad;
    random; the expert's own allocation moved by a rounding error; nonsense (NaN, or too much).

    Parameters
    ----------
    expert
        A second copy of the expert, whose next allocation the adversary knows.
    seed
        Of its random choices.
    """

    def __init__(self, expert: Policy, seed: int) -> None:
        self.expert, self.seed = expert, seed

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._driven = Trajectory(self.expert)
        self._driven.reset(setting)
        self._fleet, self._mu = setting.fleet, setting.objective.mu
        self._rng = np.random.default_rng(self.seed)
        self._kind = self._rng.integers(0, _KINDS, setting.batch)
        self._turn = self._rng.integers(0, setting.horizon + 1, setting.batch)

    def act(self, slot: Slot, state: State) -> FloatArray:
        """Return the advice ``[..., J, N]``."""
        fleet, kind, rng = self._fleet, self._kind, self._rng
        expert = np.asarray(self._driven.act(slot).allocation)
        dear = (slot.price + np.einsum("k,...kn->...n", self._mu, slot.intensity)) * fleet.pue
        footprint = state.footprint
        top = (footprint == footprint.max(-1, keepdims=True)) @ fleet.membership.T
        crowd = np.einsum("k,...kn->...n", self._mu, slot.intensity * top) * fleet.pue
        early = np.where(slot.index < self._turn, 1.0, -1.0)[..., None]
        noise = rng.normal(size=dear.shape) * np.abs(dear)
        unit = np.choose(kind[..., None], [-dear, -crowd, early * dear, noise, noise, noise])
        advice = fleet.dispatch.allocation(unit, slot.demand, slot.capacity)
        share = 10.0 ** rng.uniform(-17, 0, kind.shape)[..., None, None]
        near = expert + share * (advice - expert)
        advice = np.where((kind == 4)[..., None, None], near, advice)
        spoilt = (kind == 5) & (rng.random(kind.shape) < 0.5)
        return np.where(spoilt[..., None, None], rng.choice([np.nan, np.inf, -1.0, 1e30]), advice)


def campaign(episodes: int, seed: int, *, knobs: bool = False) -> Iterator[Tally]:
    """Yield the tally after every batch until ``episodes`` are verified, on all cores.

    ``knobs``: on fleets with random batteries, training work, servers, models, panels.
    """
    tally, chunk = Tally(), 0
    workers = Parallel(n_jobs=threads(), return_as="generator")
    while tally.episodes < episodes:
        sizes = list(_sizes(episodes - tally.episodes, chunk, knobs=knobs))
        batches = enumerate(sizes, start=chunk)
        chunk += len(sizes)
        for number, found in workers(
            delayed(_batch)(seed, number, size, knobs=knobs) for number, size in batches
        ):
            if found is None:
                tally.unplayed += 1
                continue
            tally.add(found, f"batch {number} of seed {seed}")
            yield tally


def _sizes(episodes: int, chunk: int, *, knobs: bool) -> Iterator[int]:
    """Episodes of the batches from number ``chunk`` on."""
    while episodes > 0:
        size = _BATCH[_METHODS[chunk % 4]]
        if knobs:
            size = _BATCH["project"] if _projects(chunk) else WITH_KNOBS
        yield min(size, episodes)
        episodes, chunk = episodes - size, chunk + 1


def _projects(chunk: int) -> bool:
    """Is a batch with knobs played by projection?"""
    return chunk % 4 == 3


def _batch(seed: int, chunk: int, size: int, *, knobs: bool) -> tuple[int, Verification | None]:
    """One batch and its number; none at whose costs nothing can be played."""
    rng = np.random.default_rng([seed, chunk])
    try:
        if knobs:
            return chunk, _attack_with_knobs(rng, size, project=_projects(chunk))
        instance = random_problems(rng, size, wide=bool(rng.integers(2)))
        return chunk, attack(
            instance, rng, _METHODS[chunk % 4], horizon_aware=bool(rng.integers(2))
        )
    except (SolverError, InfeasibleError):  # costs too far apart to dispatch: nothing is played
        return chunk, None


def _attack_with_knobs(rng: np.random.Generator, size: int, *, project: bool) -> Verification:
    instance, spare = levels.random_parts(rng, size), None
    if instance.fleet.training is not None and rng.integers(2):
        instance, spare = levels.with_spare(rng, instance)
    options = {"method": "project"} if project else {}
    certificate, played, operation = levels.play(instance, rng, spare, **options)
    return verified(certificate, instance, played, operation)


def attack(
    instance: Instance, rng: np.random.Generator, method: str | Method, *, horizon_aware: bool
) -> Verification:
    """Run hostile advice against an expert on a batch of problems, and verify every episode.

    Method ``environment``: through the layer as the environments have it, in loads.
    """
    seed = int(rng.integers(2**32))
    experts: list[Callable[[], Policy]] = [
        EGLB,
        partial(EGLB, mirror="euclidean"),
        GLBCost,
        partial(RandomVertices, seed),
    ]
    make = experts[rng.integers(len(experts))]
    bound = None
    if horizon_aware:
        drawn = instance.fleet.pue * instance.capacity[..., None, :, :]
        bound = (instance.trace.intensity * drawn @ instance.fleet.membership).max(-2)
    options: dict[str, Any] = {
        "rho": float(rng.choice(_RHO)),
        "allowance": float(rng.choice([0.0, 0.0, 1e-3, 10.0, 10.0 ** rng.uniform(-50, 50)])),
        "footprint_bound": bound,
    }
    adversary = Adversary(make(), seed)
    if method == "environment":
        return _attack_environment(instance, adversary, make(), options)
    policy = RobustPolicy(adversary, make(), method=method, **options)
    played = rollout(policy, instance, keep=True).allocation
    assert played is not None
    return verified(policy.certificate(), instance, played)


def _attack_environment(
    instance: Instance, adversary: Adversary, expert: Policy, options: dict[str, Any]
) -> Verification:
    fleet = instance.fleet.replace(routing_cost=None)
    layer = EnvironmentLayer(expert, record=True, **options)
    setting = Setting(fleet, instance.objective, instance.horizon, instance.batch)
    layer.reset(setting)
    adversary.reset(setting)
    state, loads = State.start(setting), []
    for t in range(instance.horizon):
        slot = Slot.of(instance, t)
        advice = adversary.act(slot, state)
        limits = (slot.demand, slot.capacity, fleet.reachable)
        # What the policy's layer refuses never comes out of an environment's action.
        good = feasible(advice, *limits, TOLERANCE / 4)[..., None, None]
        load = np.where(good, advice, fleet.dispatch.allocation(slot.price, *limits[:2])).sum(-2)
        decision = layer.decide(slot, Decision(load, np.zeros(instance.batch)))
        state = transition(state, slot_cost(slot, decision, setting.physics))
        loads.append(decision.load)
    played = np.stack(loads, axis=-2)[..., None, :]
    one = pooled(instance.replace(fleet=fleet))
    return verified(layer.certificate(), one, played)


def verified(
    certificate: Certificate,
    instance: Instance,
    played: FloatArray,
    operation: Operation | None = None,
) -> Verification:
    """Verify; a certificate that holds unverified, or is verified without, violates as well."""
    found = verify(certificate, instance, played, operation, spot_checks=_SPOT_CHECKS)
    wrong, holds = {violation.problem for violation in found.violations}, certificate.holds
    apart = [index for index in np.ndindex(holds.shape) if holds[index] == (index in wrong)]
    more = [Violation(index, -1, f"holds is {holds[index]}, unlike verify") for index in apart]
    return replace(found, violations=(*found.violations, *more))
