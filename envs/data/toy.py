"""``toy``: two data centers whose best split can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equiload.envs.checking import checked
from equiload.envs.data.draw import Draw, shape_of
from equiload.envs.data.source import GeneratedSource
from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.typing import Count

#: US$ per t and per m³: what equity costs is then about what energy costs.
EQUITY_WEIGHT = {"carbon": 100.0, "water": 5.0}

# US$/MWh, t/MWh, m³/MWh: what each of the two data centers is drawn from.
_LOW, _HIGH = np.array([[20.0, 0.1, 1.0], [80.0, 0.9, 9.0]])


@checked
def toy(
    seed: int | str | Draw | Sequence[int | str | Draw] = 0,
    *,
    horizon: Count = 24,
    batch: int | Sequence[int] = (),
    reachability: str = "full",
    equity_weight: Mapping[str, float] | None = None,
) -> Instance:
    """Draw a problem of two data centers, nothing of which changes over its hours.

    Either could serve all of the demand, 1 MWh per slot. So ``J`` is a function of the share ``x``
    that the first one serves in all, per slot ``p·(x, 1 − x) + Σ_k μ_k max(e_k1 x, e_k2 (1 − x))``:
    convex and made of straight pieces, so least at 0, at 1, or where some kind's two regions are
    level, ``x = e_k2 / (e_k1 + e_k2)``.

    Parameters
    ----------
    seed, horizon, batch
        As for :func:`~equiload.envs.data.synthetic`.
    reachability
        ``"full"``: there is one gateway.
    equity_weight
        US$ per t of ``carbon`` and m³ of ``water``. Default: :data:`EQUITY_WEIGHT`.

    Raises
    ------
    DataError
        For another reachability.
    """
    if reachability != "full":
        raise DataError(f"the toy has one gateway, so full reachability, got {reachability!r}")
    one, shape = isinstance(seed, int | str | Draw), shape_of(batch)
    draws = [Draw.of(each) for each in ([seed] if one else seed)]  # type: ignore[union-attr,arg-type]
    members = [draw.of_member(b) for draw in draws for b in range(math.prod(shape))]
    shape = shape if one else (len(draws), *shape)
    level = np.stack([d.generator().uniform(_LOW, _HIGH, (2, 3)).T for d in members])
    series = np.repeat(level.reshape(*shape, 3, 1, 2), horizon, axis=-2)
    hours = np.datetime64("2025-01-01T00", "s") + np.arange(horizon) * np.timedelta64(1, "h")
    return Instance(
        name="toy",
        fleet=Fleet(
            datacenters=("Virginia", "Germany"),
            gateways=("everyone",),
            capacity=[1.0, 1.0],
            distance=[[0.0, 6500.0]],
            location=[[39.0, -77.5], [50.1, 8.7]],
        ),
        trace=Trace(
            price=series[..., 0, :, :],
            intensity=series[..., 1:, :, :],
            demand=np.ones((*shape, horizon, 1)),
            timestamps=np.broadcast_to(hours, (*shape, horizon)),
            provenance={"source": "toy", "draw": ", ".join(map(str, draws))},
        ),
        objective=Objective(equity_weight=equity_weight or EQUITY_WEIGHT),
    )


def toy_source(seed: int | str | Draw = 0, **options: Any) -> GeneratedSource:
    """Draws of :func:`toy` as a source."""
    return GeneratedSource(toy, seed, **options)
