"""What no slot is said to exceed: without it, nobody can say what a level may cost to give back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equiload.envs import DataError, Instance, Setting
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

    def __post_init__(self) -> None:
        for name in ("price", "negative", "intensity", "work"):
            given: ArrayLike | None = getattr(self, name)
            if given is None:
                continue
            values = regular_array(f"bounds.{name}", given).astype(np.float64)
            if not (np.isfinite(values) & (values >= 0)).all():
                raise DataError(f"bounds.{name} must hold finite numbers of at least 0")
            set_fields(self, **{name: values})

    @classmethod
    def of(cls, history: Instance, room: float = 1.0) -> Bounds:
        """``room`` times the extremes of a history, over its slots and, in a batch, its members."""
        trace, N = history.trace, len(history.fleet.datacenters)
        price = trace.price.reshape(-1, N)
        kinds = np.moveaxis(trace.intensity, -3, 0)
        work = trace.work
        return cls(
            price=room * np.maximum(price.max(0), 0.0),
            negative=room * np.maximum(-price.min(0), 0.0),
            intensity=room * kinds.reshape(len(kinds), -1, N).max(1),
            work=None if work is None else room * work.reshape(-1, work.shape[-1]).max(0),
        )

    def fit(self, setting: Setting) -> Bounds:
        """The same with the setting's shapes; :class:`DataError` where they do not fit."""
        N, K = len(setting.fleet.datacenters), len(setting.objective.mu)
        shapes: dict[str, tuple[int, ...]] = {"price": (N,), "negative": (N,), "intensity": (K, N)}
        if setting.fleet.training is not None:
            shapes["work"] = (len(setting.fleet.training.classes),)
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
        return Bounds(**fitted)

    def broken(self, slot: Series) -> BoolArray:
        """``[...]``: does a slot exceed them?"""
        beyond: BoolArray = (slot.price > self.price).any(-1)
        beyond = beyond | (-slot.price > self.negative).any(-1)
        beyond = beyond | (slot.intensity > self.intensity).any((-1, -2))
        if slot.work is not None and self.work is not None:
            beyond = beyond | (slot.work > self.work).any(-1)
        return beyond
