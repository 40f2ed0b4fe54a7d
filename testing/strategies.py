"""Hypothesis strategies: random servable problems, small and often degenerate."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from equiload.envs import Fleet, Instance, Objective, Trace
from equiload.testing.problems import clock_of


@st.composite
def instances(
    draw: st.DrawFn,
    *,
    most_slots: int = 6,
    most_datacenters: int = 5,
    most_gateways: int = 4,
    most_footprints: int = 3,
    batch: tuple[int, ...] = (),
    routing: bool | None = None,
    full: bool | None = None,
    scale: float = 1.0,
) -> Instance:
    """Instances with ties, zeros, negative prices, shared regions, outages and tight capacity.

    ``routing`` and ``full`` fix whether there is a routing cost and full reachability; by default
    either occurs. Money and footprints are multiplied by ``scale``.
    """
    most = (most_slots, most_datacenters, most_gateways, most_footprints)
    T, N, J, K = (draw(st.integers(1, count)) for count in most)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.booleans())  # whole numbers make ties

    def numbers(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        values = rng.uniform(low, high, shape)
        return np.round(values) if coarse else values

    reachable = np.ones((J, N), dtype=bool)
    if not (draw(st.booleans()) if full is None else full):
        reachable = rng.random((J, N)) < 0.6
        reachable[np.arange(J), rng.integers(0, N, J)] = True
    R = draw(st.integers(1, N))
    region_of = rng.permutation(np.concatenate([np.arange(R), rng.integers(0, R, N - R)]))
    # A random servable allocation first; capacity and demand follow from it.
    planned = numbers((*batch, T, J, N), 0, 3) * reachable * (rng.random((*batch, T, J, N)) < 0.7)
    planned *= rng.random((*batch, T, 1, 1)) < 0.9  # slots without demand
    load = planned.sum(-2)
    peak = load.reshape(-1, N).max(0)
    capacity = peak + (0.0 if draw(st.booleans()) else numbers((N,), 0, 2))
    availability = None
    if draw(st.booleans()):
        need = np.divide(load, capacity, out=np.zeros_like(load), where=capacity > 0)
        availability = np.minimum(1.0, need + rng.uniform(0, 0.3, load.shape) + 1e-9)
    with_routing = draw(st.booleans()) if routing is None else routing
    return Instance(
        fleet=Fleet(
            datacenters=tuple(f"dc{i}" for i in range(N)),
            gateways=tuple(f"gw{j}" for j in range(J)),
            capacity=capacity,
            reachable=reachable,
            regions=tuple(f"region{r}" for r in range(R)),
            region_of=region_of,
            pue=rng.uniform(1, 1.5, N) if draw(st.booleans()) else np.ones(N),
            routing_cost=numbers((J, N), 0, 5) * scale if with_routing else None,
            distance=numbers((J, N), 0, 9),
        ),
        trace=Trace(
            price=numbers((*batch, T, N), -3, 9) * scale,
            intensity=numbers((*batch, K, T, N), 0, 4) * scale,
            demand=planned.sum(-1),
            timestamps=np.broadcast_to(clock_of(T), (*batch, T)),
            footprints=tuple(f"kind{k}" for k in range(K)),
            availability=availability,
        ),
        objective=Objective(equity_weight={f"kind{k}": float(numbers((), 0, 5)) for k in range(K)}),
    )
