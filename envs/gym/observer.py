"""What a learner sees: one builder for environments, the differentiable simulator and policies."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from gymnasium import spaces

from equiload.envs.errors import DataError
from equiload.envs.instance import Fleet, Objective
from equiload.envs.policy import Slot
from equiload.envs.typing import Array, FloatArray

#: No feature leaves ``[-LIMIT, LIMIT]``; all are of order one, so only freak inputs reach it.
LIMIT = 100.0
LAYOUTS = ("flat", "dict")

_DAY = 86400.0
_TIME = ("hour_sin", "hour_cos", "week_sin", "week_cos", "time_left")


class Observer:
    """Turns a slot and the cumulative footprints into features of order one.

    The scales are constants known before the first slot (fleet, equity weights, horizon and
    ``price_scale``); nothing later than the slot enters. In blocks, in this order:

    ===================  =====  ==============================================================
    block                size   feature
    ===================  =====  ==============================================================
    ``price``            N      ``p / c``, with ``c = price_scale``
    ``intensity_KIND``   N      ``μ_k e_k / (c R)``: what it costs at equal shadow prices
    ``capacity``         N      capacity that is up, over the fleet's mean capacity
    ``mean_price``       N      mean of ``price`` over the slots seen so far, this one included
    ``mean_intensity_…`` N      the same for the intensity
    ``cumulative_KIND``  R      ``μ_k S[k, r] / (c T ΣM)``: what the region has taken so far
    ``share_KIND``       R      ``S[k, r] / max_r S[k, r]``: 1 marks the region that pays
    ``demand``           J      demand over the fleet's mean capacity per gateway
    ``time``             5      sine and cosine of hour and weekday (UTC), share of slots left
    ===================  =====  ==============================================================

    After the last slot there is no price, intensity, demand or capacity: those are 0.

    Parameters
    ----------
    layout
        ``"flat"``: one array. ``"dict"``: one array per block, by name.
    price_scale
        ``c``, US$/MWh: a usual price.
    """

    def __init__(self, layout: str = "flat", *, price_scale: float = 100.0) -> None:
        if layout not in LAYOUTS:
            raise DataError(f"the observation must be one of {', '.join(LAYOUTS)}, got {layout!r}")
        if not (np.isfinite(price_scale) and price_scale > 0):
            raise DataError(f"price_scale must be a number above 0, got {price_scale}")
        self.layout = layout
        self.price_scale = float(price_scale)

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...] = ()
    ) -> None:
        """Learn what is known before the first slot, and forget the running means."""
        self._horizon, self._batch = horizon, batch
        self._sums: tuple[Array, Array] | None = None
        N, J, R = len(fleet.datacenters), len(fleet.gateways), len(fleet.regions)
        total = max(float(fleet.capacity.sum()), 1e-300)
        weight = objective.mu / self.price_scale
        self._scale: dict[str, float | FloatArray] = {
            "price": 1.0 / self.price_scale,
            "intensity": weight[:, None] / R,
            "capacity": N / total,
            "cumulative": weight[:, None] / (horizon * total),
            "demand": J / total,
        }
        kinds = objective.footprints
        blocks: dict[str, tuple[str, ...]] = {"price": fleet.datacenters}
        blocks |= {f"intensity_{kind}": fleet.datacenters for kind in kinds}
        blocks |= {"capacity": fleet.datacenters, "mean_price": fleet.datacenters}
        blocks |= {f"mean_intensity_{kind}": fleet.datacenters for kind in kinds}
        blocks |= {f"cumulative_{kind}": fleet.regions for kind in kinds}
        blocks |= {f"share_{kind}": fleet.regions for kind in kinds}
        blocks |= {"demand": fleet.gateways, "time": _TIME}
        #: Name of each feature, in the order of the flat layout.
        self.feature_names = tuple(
            name if block == "time" else f"{block}[{name}]"
            for block, names in blocks.items()
            for name in names
        )
        ends = np.cumsum([len(names) for names in blocks.values()])
        #: Where each block lies in the flat layout.
        self.blocks: Mapping[str, slice] = {
            block: slice(int(end) - len(names), int(end))
            for (block, names), end in zip(blocks.items(), ends, strict=True)
        }

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @property
    def space(self) -> spaces.Space[Any]:
        """Gymnasium's space of one observation (known after ``reset``)."""
        if self.layout == "flat":
            return _box(self.size)
        return spaces.Dict({k: _box(cut.stop - cut.start) for k, cut in self.blocks.items()})

    def observe(self, slot: Slot, footprint: Array) -> Any:
        """Observe a slot before acting in it: once per slot, in order.

        ``footprint [..., K, R]`` are the cumulative footprints so far. Numpy arrays come out as
        float32, torch tensors in their own type.
        """
        before = self._sums or (0.0, 0.0)
        sums = (before[0] + slot.price, before[1] + slot.intensity)
        self._sums = sums
        return self._build(slot, footprint, sums, slot.index + 1)

    def final(self, slot: Slot, footprint: Array) -> Any:
        """Observe the end of the episode; of ``slot``, the last one, only the clock is used."""
        if self._sums is None:
            raise DataError("the episode has no slot to have ended after: call observe first")
        nothing: Any = SimpleNamespace(
            index=slot.index + 1,
            timestamp=slot.timestamp,
            price=slot.price * 0.0,
            intensity=slot.intensity * 0.0,
            demand=slot.demand * 0.0,
            capacity=slot.capacity * 0.0,
        )
        return self._build(nothing, footprint, self._sums, self._horizon)

    def _build(self, slot: Slot, footprint: Array, sums: tuple[Array, Array], seen: int) -> Any:
        xp = array_namespace(slot.price)
        scale = {name: self._like(value, slot.price, xp) for name, value in self._scale.items()}
        highest = xp.max(footprint, axis=-1)[..., None]
        parts = [
            slot.price * scale["price"],
            _flat(slot.intensity * scale["intensity"]),
            slot.capacity * scale["capacity"],
            sums[0] * (scale["price"] / seen),
            _flat(sums[1] * (scale["intensity"] / seen)),
            _flat(footprint * scale["cumulative"]),
            _flat(footprint / xp.where(highest > 0, highest, 1.0)),
            slot.demand * scale["demand"],
            self._time(slot, slot.price, xp),
        ]
        if is_numpy_array(slot.price):
            flat = np.concatenate(parts, axis=-1, dtype=np.float32, casting="same_kind")
            np.minimum(np.maximum(flat, -LIMIT, out=flat), LIMIT, out=flat)
        else:
            flat = xp.clip(xp.concat(parts, axis=-1), -LIMIT, LIMIT)
        if self.layout == "flat":
            return flat
        return {name: flat[..., cut] for name, cut in self.blocks.items()}

    def _time(self, slot: Slot, like: Array, xp: Any) -> Array:
        seconds = slot.timestamp
        if isinstance(seconds, np.ndarray | np.datetime64):
            seconds = seconds.astype("datetime64[s]").astype(np.int64)
        phase = np.empty((*self._batch, 5))
        hour = (seconds % _DAY) * (2 * np.pi / _DAY)
        week = ((seconds + 3 * _DAY) % (7 * _DAY)) * (2 * np.pi / (7 * _DAY))  # from Monday
        np.sin(hour, out=phase[..., 0])
        np.cos(hour, out=phase[..., 1])
        np.sin(week, out=phase[..., 2])
        np.cos(week, out=phase[..., 3])
        phase[..., 4] = 1.0 - slot.index / self._horizon
        return phase if is_numpy_array(like) else self._like(phase, like, xp)

    @staticmethod
    def _like(value: float | FloatArray, like: Array, xp: Any) -> Any:
        if isinstance(value, float) or is_numpy_array(like):
            return value
        return xp.asarray(value, dtype=like.dtype, device=like.device)


def _flat(array: Array) -> Array:
    return array.reshape((*array.shape[:-2], -1))


def _box(size: int) -> spaces.Box:
    return spaces.Box(-LIMIT, LIMIT, (size,), dtype=np.float32)
