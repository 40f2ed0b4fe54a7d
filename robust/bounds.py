"""What no slot is said to exceed: without it, nobody can say what a level may cost to give back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from equiload.envs import DataError, Instance, Setting
from equiload.envs.arrays import rows
from equiload.envs.series import Series
from equiload.envs.typing import BoolArray, FloatArray
from equiload.envs.validation import regular_array, set_fields


@dataclass(frozen=True, eq=False)
class Bounds:
    """Declared bounds on prices, intensities and arriving work, for fleets whose past counts.

    The guarantee holds for every input within them; a slot beyond is a reported breach. Generous
    ones cost little.

    Parameters
    ----------
    price
        ``U [N]``, US$/MWh: no price is higher. At least 0.
    negative
        ``Λ [N]``, US$/MWh: no price is lower than ``−Λ``. At least 0.
    intensity
        ``ē [K, N]``, per MWh from the grid.
    work
        ``[C]``, MWh of each class that arrive in a slot; none without training work.
    onsite
        ``[K, N]``, on-site intensities per MWh drawn. Only ``spare`` needs them.
    spare
        ``[C, N]``, MWh per slot that the expert leaves free in every slot for the work of a class:
        what waits longer than the expert's is then reserved at the price of doing it there
        (:mod:`~equiload.robust.spare`). None: at that of giving it up.

    Raises
    ------
    DataError
        A number that is not finite, or below 0.

    Examples
    --------
    >>> from equiload.envs.data import synthetic
    >>> history = synthetic("train/0", horizon=168, knobs="all")
    >>> bounds = Bounds.of(history, room=2.0)
    >>> bool((bounds.price == 2 * history.trace.price.max(0)).all()), bounds.intensity.shape
    (True, (2, 10))
    """

    price: FloatArray
    negative: FloatArray
    intensity: FloatArray
    work: FloatArray | None = None
    onsite: FloatArray | None = None
    spare: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("price", "negative", "intensity", "work", "onsite", "spare"):
            given: ArrayLike | None = getattr(self, name)
            if given is None:
                continue
            values = regular_array(f"bounds.{name}", given).astype(np.float64)
            if not (np.isfinite(values) & (values >= 0)).all():
                raise DataError(f"bounds.{name} must hold finite numbers of at least 0")
            set_fields(self, **{name: values})

    @classmethod
    def of(cls, history: Instance, room: float = 1.0, spare: FloatArray | None = None) -> Bounds:
        """``room`` times the extremes of a history, over its slots and, in a batch, its members."""
        trace, N = history.trace, len(history.fleet.datacenters)
        price = trace.price.reshape(-1, N)
        work, onsite = trace.work, trace.onsite_intensity

        def most(intensity: FloatArray) -> FloatArray:
            kinds = np.moveaxis(intensity, -3, 0)
            highest: FloatArray = room * kinds.reshape(len(kinds), -1, N).max(1)
            return highest

        return cls(
            price=room * np.maximum(price.max(0), 0.0),
            negative=room * np.maximum(-price.min(0), 0.0),
            intensity=most(trace.intensity),
            work=None if work is None else room * work.reshape(-1, work.shape[-1]).max(0),
            onsite=None if onsite is None else most(onsite),
            spare=spare,
        )

    def fit(self, setting: Setting) -> Bounds:
        """The same with the setting's shapes; :class:`DataError` where they do not fit."""
        N, K = len(setting.fleet.datacenters), len(setting.objective.mu)
        shapes: dict[str, tuple[int, ...]] = {"price": (N,), "negative": (N,), "intensity": (K, N)}
        training = setting.fleet.training
        if training is not None:
            shapes["work"] = (len(training.classes),)
        if self.spare is not None:
            if training is None:
                raise DataError("bounds.spare: the fleet has no training work to do there")
            shapes["spare"] = (len(training.classes), N)
            if self.onsite is not None:
                shapes["onsite"] = (K, N)
        fitted = {}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values is None:
                raise DataError(f"the fleet has training work: bounds.{name} must bound it")
            try:
                fitted[name] = np.broadcast_to(values, shape)
            except ValueError:
                raise DataError(
                    f"bounds.{name} must broadcast to {shape}, got {values.shape}"
                ) from None
        if training is not None and self.spare is not None:
            unreached = (fitted["spare"] > 0) & ~training.reach(N)
            if unreached.any():
                c, i = np.argwhere(unreached)[0]
                raise DataError(
                    f"bounds.spare[{c}, {i}]: {training.classes[c]!r} cannot run in "
                    f"{setting.fleet.datacenters[i]!r}"
                )
        return Bounds(**fitted)

    def broken(self, slot: Series) -> BoolArray:
        """``[...]``: does a slot exceed them? Of bounds that are fitted."""
        lead = slot.price.shape[:-1]
        broken = np.zeros(math.prod(lead), np.bool_)

        def hold(values: FloatArray, most: FloatArray, sign: float = 1.0) -> None:
            _hold(
                rows(values, lead, *most.shape).reshape(len(broken), -1), most.ravel(), sign, broken
            )

        hold(slot.price, self.price)
        hold(slot.price, self.negative, -1.0)
        hold(slot.intensity, self.intensity)
        if slot.work is not None and self.work is not None:
            hold(slot.work, self.work)
        if self.spare is not None and slot.onsite_intensity is not None:
            none = np.zeros(self.intensity.shape)
            hold(slot.onsite_intensity, none if self.onsite is None else self.onsite)
        return broken.reshape(lead)


@njit(cache=True, nogil=True, error_model="numpy")
def _hold(values: FloatArray, most: FloatArray, sign: float, broken: BoolArray) -> None:
    """``broken [B]`` where a row of ``sign·values [B, M]`` exceeds ``most [M]``."""
    for b in range(len(broken)):
        beyond = False
        for m in range(len(most)):
            beyond |= sign * values[b, m] > most[m]
        broken[b] |= beyond
