"""Random parts beside routing, for any problem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equiload.envs import Instance, State
from equiload.envs.knobs.models import Models
from equiload.envs.knobs.operation import Levels
from equiload.envs.knobs.servers import Servers
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training
from equiload.envs.typing import FloatArray

#: What :func:`with_random_knobs` can add.
KNOBS = ("storage", "servers", "models", "training", "generation", "onsite_intensity")


def with_random_knobs(
    rng: np.random.Generator, instance: Instance, knobs: Sequence[str] = KNOBS
) -> Instance:
    """The problem with random parts, in its own units of money and energy, at the edges of size.

    Widths and levels are 0 now and then, deadlines from none to the whole horizon.

    Examples
    --------
    >>> from equiload.testing.problems import odd_problems
    >>> rng = np.random.default_rng(0)
    >>> with_random_knobs(rng, odd_problems()["plain"], ["storage", "generation"]).knobs
    ('storage', 'generation')
    """
    fleet, trace = instance.fleet, instance.trace
    *batch, T, N = trace.price.shape
    J = len(fleet.gateways)
    money = float(np.abs(trace.price).mean()) or 1.0
    site = fleet.capacity * fleet.pue

    def some(*shape: int) -> np.ndarray:
        """From 0 to 1, and exactly 0 now and then."""
        return np.asarray(rng.uniform(0, 1, shape) * (rng.random(shape) < 0.8))

    parts: dict[str, object] = {}
    series: dict[str, object] = {}
    if "storage" in knobs:
        energy = 3 * some(N) * site
        parts["storage"] = Storage(
            energy=energy,
            charge=some(N) * site,
            discharge=some(N) * site,
            charge_efficiency=rng.uniform(0.6, 1, N),
            discharge_efficiency=rng.uniform(0.6, 1, N),
            wear=some(N) * money,
            initial=energy * rng.choice([0.0, 0.5, 1.0], N),
            refill_price=5 * some(N) * money,
        )
    if "servers" in knobs:
        parts["servers"] = Servers(idle=some(N), start_cost=2 * some(N) * money)
    if "models" in knobs:
        count = int(rng.integers(1, 4))
        parts["models"] = Models(
            names=[f"model {m}" for m in range(count + 1)],
            energy=np.r_[1.0, np.sort(rng.uniform(0, 1, count))[::-1]],
            loss=np.r_[0.0, np.sort(some(count))],
            worth=3 * some(J) * money,
            share=some(J),
        )
    if "training" in knobs:
        C = int(rng.integers(1, 4))
        reachable = rng.random((C, N)) < rng.choice([0.6, 1.0])
        reachable[np.arange(C), rng.integers(0, N, C)] = True
        parts["training"] = Training(
            classes=[f"class {c}" for c in range(C)],
            deadline=rng.integers(0, T + 1, C),
            late_cost=5 * some(C) * money,
            reachable=reachable,
        )
        series["work"] = some(*batch, T, C) * fleet.capacity.sum() * 0.3
    if "generation" in knobs:
        series["generation"] = some(*batch, T, N) * site * rng.choice([0.3, 2.0])
    if "onsite_intensity" in knobs:
        series["onsite_intensity"] = some(*trace.intensity.shape) * trace.intensity.mean()
    return instance.replace(fleet=fleet.replace(**parts), trace=trace.replace(**series))


def random_start(rng: np.random.Generator, instance: Instance) -> tuple[State, FloatArray | None]:
    """What an episode may have left behind before one problem, and what may wait ``[T, C]``.

    Levels are often at their limits: nothing or all that a battery holds, every server off or on;
    work of before may wait for no slot, some or all, beyond the last one too.

    Examples
    --------
    >>> from equiload.testing.problems import odd_problems
    >>> rng = np.random.default_rng(0)
    >>> plain = with_random_knobs(rng, odd_problems()["plain"])
    >>> state, ceiling = random_start(rng, plain)
    >>> state.footprint.shape, state.levels.stored.shape, ceiling.shape[0] == plain.horizon
    ((2, 4), (4,), True)
    """
    fleet, trace, T = instance.fleet, instance.trace, instance.horizon

    def up_to(most: FloatArray) -> FloatArray:
        share = rng.choice([0.0, 1.0, float(rng.random())], most.shape)
        return np.asarray(share * most)

    usual = float(trace.intensity.mean() * trace.demand.sum())
    footprint = up_to(np.full((len(trace.footprints), len(fleet.regions)), 3 * usual))
    waiting, ceiling = None, instance.series.ceiling
    if ceiling is not None:
        waiting = up_to(np.full(ceiling.shape[1], 0.5 * fleet.capacity.sum()))
        may_wait = np.arange(T)[:, None] < rng.integers(0, T + 1, ceiling.shape[1])
        ceiling = ceiling + may_wait * waiting
    levels = Levels(
        stored=None if fleet.storage is None else up_to(fleet.storage.energy),
        waiting=waiting,
        on=None if fleet.servers is None else up_to(fleet.capacity),
    )
    return State(0.0, footprint, levels), ceiling
