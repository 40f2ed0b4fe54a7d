"""Small problems at the edges of what a policy may meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equiload.envs import Fleet, Instance, Objective, Trace
from equiload.envs.validation import LARGEST, SMALLEST

#: Equity weights, US$ per unit: of the size of the slots' energy cost, so that both matter.
_WEIGHT = {"carbon": 150.0, "water": 20.0, "nox": 60.0}


def odd_problems() -> dict[str, Instance]:
    """Problems by what is odd about them, with distances, locations and two kinds of footprint.

    Examples
    --------
    >>> sorted(odd_problems())[:3]
    ['an outage', 'batch', 'free energy']
    """
    plain = _problem()
    trace = plain.trace
    quiet = trace.demand.copy()
    quiet[2:4] = 0.0
    tied = np.full_like(trace.price, 30.0)
    same = np.full_like(trace.intensity, 0.4)
    fleet = plain.fleet
    up = np.ones(trace.price.shape)
    up[3:, 0] = 0.0
    return {
        "plain": plain,
        "batch": _problem(batch=(3,)),
        "partial reachability": _problem(partial=True),
        "one region": _problem(datacenters=1, gateways=1),
        "one slot": plain.window(0, 1),
        "shared regions": _problem(regions=2),
        "routing costs": plain.replace(
            fleet=fleet.replace(routing_cost=np.linspace(0.0, 9.0, 12).reshape(3, 4))
        ),
        "slots without demand": plain.replace(trace=replace(trace, demand=quiet)),
        "tied prices": plain.replace(trace=replace(trace, price=tied, intensity=same)),
        "negative prices": plain.replace(trace=replace(trace, price=-trace.price)),
        "free energy": plain.replace(
            trace=replace(trace, price=0.0 * trace.price, intensity=0.0 * trace.intensity)
        ),
        "no equity weight": plain.replace(objective=Objective(equity_weight=dict.fromkeys(
            trace.footprints, 0.0
        ))),
        "an outage": plain.replace(trace=replace(trace, availability=up)),
        "quarters of an hour": plain.replace(
            trace=replace(trace, timestamps=clock_of(plain.horizon, 900))
        ),
        "three kinds": _problem(kinds=3),
    }  # fmt: skip


def random_problems(rng: np.random.Generator, batch: int, *, wide: bool = False) -> Instance:
    """Random small servable problems on one fleet: ties, zeros, negative prices, any scale.

    ``wide``: numbers of every size that is legal, in half of the draws from one to the next.
    """
    T, N, J, K = (int(rng.integers(1, most + 1)) for most in (8, 4, 3, 3))
    R = int(rng.integers(1, N + 1))
    reachable = rng.random((J, N)) < rng.choice([0.6, 1.0])
    reachable[np.arange(J), rng.integers(0, N, J)] = True
    coarse = rng.random() < 0.5

    def numbers(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        values = rng.uniform(low, high, shape)
        return np.round(values) if coarse else values

    def spread(values: np.ndarray, most: float = LARGEST) -> np.ndarray:
        if not wide:
            return values
        each = values.shape if rng.random() < 0.5 else (len(values), *[1] * (values.ndim - 1))
        values = values * 10.0 ** rng.uniform(-60, 60, each)
        return np.where(np.abs(values) < SMALLEST, 0.0, np.clip(values, -most, most))

    size = 10.0 ** rng.integers(-6, 10)  # of loads
    planned = numbers((batch, T, J, N), 0, 3) * reachable * (rng.random((batch, T, J, N)) < 0.7)
    planned *= size * (rng.random((batch, T, 1, 1)) < 0.9)
    planned = spread(planned, 1e-2 * LARGEST)  # so that sums are legal
    load = planned.sum(-2)
    capacity = load.max((0, 1)) * rng.choice([1.0, 1.3])
    need = np.divide(load, capacity, out=np.zeros_like(load), where=capacity > 0)
    money, footprint = (10.0 ** rng.integers(-6, 10, (2, batch, 1, 1))).astype(np.float64)
    kinds = [f"kind{k}" for k in range(K)]
    intensity = numbers((batch, K, T, N), 0, 4) * footprint[:, None]
    if rng.random() < 0.2:
        intensity[:] = intensity[..., :1]  # equal regions
    intensity = spread(intensity)
    return Instance(
        fleet=Fleet(
            datacenters=tuple(f"dc{i}" for i in range(N)),
            gateways=tuple(f"gw{j}" for j in range(J)),
            capacity=capacity,
            reachable=reachable,
            regions=tuple(f"region{r}" for r in range(R)),
            region_of=rng.permutation(np.concatenate([np.arange(R), rng.integers(0, R, N - R)])),
            pue=rng.uniform(1, 1.5, N) if rng.random() < 0.5 else np.ones(N),
            routing_cost=spread(numbers((J, N), -1, 5)) if rng.random() < 0.3 else None,
        ),
        trace=Trace(
            price=spread(numbers((batch, T, N), -3, 9) * money),
            intensity=intensity,
            demand=planned.sum(-1),
            timestamps=np.broadcast_to(clock_of(T), (batch, T)),
            footprints=tuple(kinds),
            availability=np.minimum(1.0, need * (1 + 1e-9) + rng.uniform(0, 0.3, load.shape))
            if rng.random() < 0.5
            else None,
        ),
        objective=Objective(
            equity_weight={k: float(spread(rng.choice([0.0, 1e-6, 1.0, 1e3], 1))[0]) for k in kinds}
        ),
    )


def _problem(
    *,
    datacenters: int = 4,
    gateways: int = 3,
    regions: int = 0,
    kinds: int = 2,
    partial: bool = False,
    batch: tuple[int, ...] = (),
) -> Instance:
    """Eight hours, servable with any one data center down."""
    T, N, J = 8, datacenters, gateways
    rng = np.random.default_rng(7)
    names = tuple(_WEIGHT)[:kinds]
    reachable = np.ones((J, N), dtype=bool)
    if partial:
        reachable[np.arange(J), np.arange(J) % N] = False
    return Instance(
        fleet=Fleet(
            datacenters=tuple(f"data center {i}" for i in range(N)),
            gateways=tuple(f"gateway {j}" for j in range(J)),
            capacity=np.full(N, 4.0 * J / N),
            reachable=reachable,
            regions=tuple(f"region {r}" for r in range(regions or N)),
            region_of=np.arange(N) % (regions or N),
            pue=np.linspace(1.1, 1.4, N),
            distance=rng.uniform(0.0, 9000.0, (J, N)),
            location=np.column_stack([np.linspace(-40.0, 60.0, N), np.linspace(-120.0, 140.0, N)]),
        ),
        trace=Trace(
            price=rng.uniform(10.0, 90.0, (*batch, T, N)),
            intensity=rng.uniform(0.05, 0.9, (*batch, kinds, T, N)),
            demand=rng.uniform(0.2, 1.0, (*batch, T, J)),
            timestamps=np.broadcast_to(clock_of(T), (*batch, T)),
            footprints=names,
        ),
        objective=Objective(equity_weight={name: _WEIGHT[name] for name in names}),
        name="odd",
    )


def clock_of(slots: int, seconds: int = 3600) -> np.ndarray:
    """``[slots]`` timestamps, from an evening before a leap day on."""
    return np.datetime64("2024-02-28T20:00:00") + np.arange(slots) * np.timedelta64(seconds, "s")
