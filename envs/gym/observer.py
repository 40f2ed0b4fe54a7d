"""What a learner sees: one builder for environments, the differentiable simulator and policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from equiload.envs.arrays import like, namespace
from equiload.envs.checking import checked
from equiload.envs.dynamics import State
from equiload.envs.errors import DataError
from equiload.envs.gym import kernels
from equiload.envs.gym.actions import ClosedLoop
from equiload.envs.gym.features import PRICE_SCALE, Axis, Feature, logits_of, make_features
from equiload.envs.instance import Instance
from equiload.envs.knobs.operation import Levels
from equiload.envs.make import Spec
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import Array, FloatArray, Form, Positive

Float32Array: TypeAlias = npt.NDArray[np.float32]

#: No feature leaves ``[-LIMIT, LIMIT]``; all are of order one, so only freak inputs reach it.
LIMIT = 100.0

_TIME = ("hour_sin", "week_sin", "hour_cos", "week_cos", "time_left")
# Angle of the day and of the week (from Monday; 1970 began on a Thursday) at a second since 1970.
_ANGLE = 2 * np.pi / np.array([86400.0, 7 * 86400.0])
_PHASE = 2 * np.pi * np.array([0.0, 3 / 7])
_CLOCK = np.stack([_ANGLE, _PHASE])


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
    ``time``             5      sine, then cosine, of hour and weekday (UTC); share of slots left
    ===================  =====  ==============================================================

    On a fleet with more to decide than routing follow, for what it has, ``stored`` (N, over what
    can be stored), ``on`` (N, over capacity), ``generation`` (N, over what the site draws at full
    load), and ``waiting``, ``may_wait`` and ``work`` (C each, over the fleet's capacity): training
    work that waits, that may wait after the slot, and that arrives in it.

    Blocks of ``features`` follow, and with a ``loop`` ``live_KIND`` (R each), ``log(R γ) / 4`` of
    its expert's multipliers. After the last slot there is no price, intensity, demand or capacity,
    nor any of those: they are 0.

    Parameters
    ----------
    layout
        ``"flat"``: one array. ``"dict"``: one array per block, by name.
    price_scale
        ``c``, US$/MWh: a usual price.
    levels
        Observe what there is beside routing?
    features
        More blocks (:mod:`equiload.envs.gym.features`). The observer runs copies of its own, so
        that one list serves many environments.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> instance = synthetic(0, horizon=24, regions=3)
    >>> setting, observer = Setting.of(instance), Observer("dict")
    >>> observer.reset(setting)
    >>> observation = observer.observe(Slot.of(instance, 0), State.start(setting))
    >>> observer.size, observation["intensity_carbon"].shape
    (41, (3,))
    """

    @checked
    def __init__(
        self,
        layout: Form = "flat",
        *,
        price_scale: Positive = PRICE_SCALE,
        features: Sequence[Spec | Feature] = (),
        levels: bool = True,
    ) -> None:
        self.layout, self.levels = layout, levels
        self.price_scale = float(price_scale)
        self.features = deepcopy(make_features(features))
        self._rehearsed: Float32Array | None = None

    def reset(self, setting: Setting, loop: ClosedLoop | None = None) -> None:
        """Learn what is known before the first slot, and forget the running means.

        ``loop``: the action space, where it has an expert whose live multipliers are observed.
        """
        self._loop = loop
        fleet, objective, horizon = setting.fleet, setting.objective, setting.horizon
        self._horizon, self._batch = horizon, setting.batch
        self._sum: Array | None = None
        N, J, R = len(fleet.datacenters), len(fleet.gateways), len(fleet.regions)
        self._kinds = K = len(objective.mu)
        total = max(float(fleet.capacity.sum()), 1e-300)
        price, weight = 1.0 / self.price_scale, objective.mu / self.price_scale
        local = np.repeat(np.append(price, weight / R), N)  # a price and K intensities
        self._scale: FloatArray = np.concatenate(
            [
                local,
                np.full(N, N / total),
                local,
                np.repeat(weight / (horizon * total), R),
                np.ones(K * R),
                np.full(J, J / total),
                np.ones(len(_TIME)),
            ]
        )
        kinds = objective.footprints
        axes: dict[str, Axis] = {"price": "datacenter"}
        axes |= {f"intensity_{kind}": "datacenter" for kind in kinds}
        axes |= {"capacity": "datacenter", "mean_price": "datacenter"}
        axes |= {f"mean_intensity_{kind}": "datacenter" for kind in kinds}
        axes |= {f"cumulative_{kind}": "region" for kind in kinds}
        axes |= {f"share_{kind}": "region" for kind in kinds}
        axes |= {"demand": "gateway", "time": "common"}
        self._standard = len(self._scale)
        self._gauges = _gauges(setting) if self.levels and setting.knobs else {}
        axes |= {name: axis for name, (axis, _) in self._gauges.items()}
        if self._gauges:
            self._full = np.concatenate([scale for _, scale in self._gauges.values()])
        for feature in self.features:
            added = feature.reset(setting, price_scale=self.price_scale)
            twice = [block for block in added if block in axes]
            if twice:
                raise DataError(f"two blocks of the observation are named {twice[0]!r}")
            axes |= added
        if self._loop is not None:
            axes |= {f"live_{kind}": "region" for kind in kinds}
        self._live = K * R if self._loop is not None else 0
        owners: dict[str, Sequence[str]] = {
            "datacenter": fleet.datacenters,
            "region": fleet.regions,
            "gateway": fleet.gateways,
            "class": () if fleet.training is None else fleet.training.classes,
        }
        names: list[str] = []
        #: Where each block lies in the flat layout.
        self.blocks: dict[str, slice] = {}
        for block, axis in axes.items():
            entries = [f"{block}[{owner}]" for owner in owners.get(axis, ())]
            entries = entries or list(_TIME if block == "time" else (block,))
            self.blocks[block] = slice(len(names), len(names) + len(entries))
            names += entries
        #: What the entries of each block belong to.
        self.axes: Mapping[str, Axis] = axes
        #: Name of each feature, in the order of the flat layout.
        self.feature_names = tuple(names)
        ends = [self.blocks[name].stop for name in self._gauges]
        #: Where the features' blocks begin.
        self._first = ends[-1] if ends else self._standard

    def rehearse(self, instance: Instance) -> None:
        """From now on only this instance is observed: the features that it determines are kept.

        Tensors need it where there are features; call it after :meth:`reset`.
        """
        if self.features:
            slots = (Slot.of(instance, t) for t in range(instance.horizon))
            self._rehearsed = np.stack([self._added(slot) for slot in slots])

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

    def observe(self, slot: Slot, state: State, out: Float32Array | None = None) -> Any:
        """Observe a slot, and the state before it: once per slot, in order, before acting in it.

        Numpy arrays come out as float32 (written into ``out [..., size]``, if given), torch
        tensors in their own type.
        """
        return self._build(slot, state, out)

    def final(self, slot: Slot, state: State, out: Float32Array | None = None) -> Any:
        """Observe the end of the episode; of ``slot``, the last one, only the clock is used."""
        nothing = Slot.at(slot.map(lambda array: array * 0.0), slot.index, slot.timestamp)
        return self._build(nothing, state, out, over=True)

    def _added(self, slot: Slot) -> Float32Array:
        """``[..., width]``: the blocks of the features."""
        if self._rehearsed is not None:
            rehearsed: Float32Array = self._rehearsed[slot.index]
            return rehearsed
        parts = [feature.observe(slot) for feature in self.features]
        added = np.concatenate(parts, axis=-1)
        if added.shape[-1] != self.size - self._first - self._live:
            raise DataError(
                f"the features' blocks have {self.size - self._first - self._live} entries, "
                f"what they observe has {added.shape[-1]}"
            )
        if np.isnan(added).any():
            raise DataError(f"a feature is no number in slot {slot.index}")
        kept: Float32Array = added.clip(-LIMIT, LIMIT).astype(np.float32)
        return kept

    def _build(
        self, slot: Slot, state: State, out: Float32Array | None, *, over: bool = False
    ) -> Any:
        footprint = state.footprint
        share_left = 1.0 - (slot.index + over) / self._horizon
        seconds = slot.timestamp.astype("datetime64[s]").astype(np.int64)
        if not isinstance(slot.price, np.ndarray):
            angle = seconds[..., None] * _ANGLE + _PHASE
            return self.present(self._build_tensor(slot, state, share_left, angle, over))
        if out is None:
            out = np.empty((*self._batch, self.size), dtype=np.float32)
        if self.features:
            out[..., self._first : self.size - self._live] = 0.0 if over else self._added(slot)
        if self._gauges:
            out[..., self._standard : self._first] = self._read(slot, state.levels)
        if self._loop is not None:
            out[..., self.size - self._live :] = 0.0 if over else logits_of(self._loop.multipliers)
        if self._sum is None:
            self._sum = np.zeros((math.prod(self._batch), (1 + self._kinds) * slot.price.shape[-1]))
        kernels.features(
            _rows(slot.price),
            _rows(_flat(slot.intensity)),
            _rows(slot.capacity),
            _rows(slot.demand),
            footprint.reshape(-1, *footprint.shape[-2:]),
            seconds.reshape(-1),
            _CLOCK,
            self._sum,
            self._scale,
            float(slot.index + 1),
            share_left,
            LIMIT,
            _rows(out[..., : self._standard]),
        )
        return self.present(out)

    def _read(self, slot: Slot, levels: Levels | None) -> Array:
        """Levels and what else there is beside routing, ``[..., width]``, of order one."""
        there = {"generation": slot.generation, "may_wait": slot.ceiling, "work": slot.work}
        if levels is not None:
            there |= {"stored": levels.stored, "on": levels.on, "waiting": levels.waiting}
        xp = namespace(slot.price)
        read = xp.concat([there[name] for name in self._gauges], axis=-1)
        return xp.clip(read / like(self._full, read), -LIMIT, LIMIT)

    def _build_tensor(
        self, slot: Slot, state: State, share_left: float, angle: FloatArray, over: bool
    ) -> Array:
        """The same for tensors: differentiable, on any device."""
        xp, footprint = namespace(slot.price), state.footprint
        local = xp.concat([slot.price, _flat(slot.intensity)], axis=-1)
        self._sum = local if self._sum is None else self._sum + local
        clock = np.concatenate(
            [np.sin(angle), np.cos(angle), np.full((*angle.shape[:-1], 1), share_left)], axis=-1
        )
        time, scale = (
            xp.asarray(a, dtype=local.dtype, device=local.device) for a in (clock, self._scale)
        )
        parts = [
            local,
            slot.capacity,
            self._sum / (slot.index + 1),
            _flat(footprint),
            _flat(footprint / (xp.max(footprint, axis=-1)[..., None] + 1e-30)),
            slot.demand,
            xp.broadcast_to(time, (*local.shape[:-1], len(_TIME))),
        ]
        standard = xp.clip(xp.concat(parts, axis=-1) * scale, -LIMIT, LIMIT)
        added = []
        if self.features:
            if self._rehearsed is None:
                raise DataError("features are observed on tensors only after rehearse(instance)")
            added.append(like(self._added(slot), standard))
        if self._loop is not None:
            added.append(logits_of(like(self._loop.multipliers, standard)))
        added = [part * (0.0 if over else 1.0) for part in added]
        if self._gauges:
            added.insert(0, self._read(slot, state.levels))
        return xp.concat([standard, *added], axis=-1)

    def present(self, flat: Array) -> Any:
        """Give a flat observation ``[..., size]`` this observer's layout."""
        if self.layout == "flat":
            return flat
        return {name: flat[..., cut] for name, cut in self.blocks.items()}


def _gauges(setting: Setting) -> dict[str, tuple[Axis, FloatArray]]:
    """Blocks of what there is beside routing: whose the entries are, and what they are over."""
    fleet = setting.fleet
    size = np.where(fleet.capacity > 0, fleet.capacity, 1.0)
    gauges: dict[str, tuple[Axis, FloatArray]] = {}
    if fleet.storage is not None:
        energy = fleet.storage.energy
        gauges["stored"] = ("datacenter", np.where(energy > 0, energy, 1.0))
    if fleet.servers is not None:
        gauges["on"] = ("datacenter", size)
    if "generation" in setting.sites:
        gauges["generation"] = ("datacenter", size * fleet.pue)
    if fleet.training is not None:
        total = np.full(len(fleet.training.classes), max(float(fleet.capacity.sum()), 1e-300))
        gauges |= dict.fromkeys(("waiting", "may_wait", "work"), ("class", total))
    return gauges


def _flat(array: Array) -> Array:
    return array.reshape((*array.shape[:-2], -1))


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


def _box(size: int) -> spaces.Box:
    return spaces.Box(-LIMIT, LIMIT, (size,), dtype=np.float32)
