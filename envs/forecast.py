"""What forecasters read and write: the exogenous series up to now, and from now on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from equiload.envs.instance import Fleet
from equiload.envs.series import Series
from equiload.envs.setting import Slot
from equiload.envs.typing import TimeArray


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Everything seen up to and including the current slot, which is the last of ``seen``.

    ``timestamps [..., H]`` are UTC. With one slot seen, a slot is taken for an hour.
    """

    seen: Series
    timestamps: TimeArray

    @property
    def slots(self) -> int:
        """Number of slots seen; the current one has the index ``slots - 1``."""
        return self.seen.slots

    @property
    def slots_per_day(self) -> int:
        """Slots in 24 hours."""
        if self.slots < 2:
            return 24
        step = np.diff(self.timestamps.reshape(-1, self.slots)[0, :2]).astype(np.int64)[0]
        return max(1, round(86400 / int(step)))


class Forecaster(Protocol):
    """Says what the slots after the current one will be like.

    A forecaster is a function of the history, the same for the same history; it keeps no state.
    """

    def forecast(self, history: History, slots: int) -> Series:
        """Forecast the next ``slots`` slots.

        Returns
        -------
        Series
            With one more axis in front of every array, ``[S, ..., slots, N]``: ``S`` samples of
            the joint future, or ``S = 1`` for a point forecast.
        """
        ...


class Recorder:
    """Collects slots into a :class:`History`, in arrays made once."""

    def __init__(self, horizon: int) -> None:
        self._horizon, self._filled = horizon, 0

    def record(self, slot: Slot) -> History:
        """Add a slot; return everything so far, as views that the recorder never changes."""
        if not self._filled:
            self._series = slot.map(
                lambda array: np.empty((*array.shape[:-1], self._horizon, array.shape[-1]))
            )
            self._timestamps = np.empty((*np.shape(slot.timestamp), self._horizon), "M8[s]")
        t, self._filled = self._filled, self._filled + 1
        for array, now in zip(self._series.arrays(), slot.arrays(), strict=True):
            array[..., t, :] = now
        self._timestamps[..., t] = slot.timestamp
        seen = self._series.map(lambda array: array[..., : t + 1, :])
        return History(seen, self._timestamps[..., : t + 1])


def servable(fleet: Fleet, series: Series) -> Series:
    """Copy without demand that the fleet could not serve, so that the forecast can be solved."""
    demand = fleet.dispatch.clip(series.demand, series.capacity)
    return replace(series, demand=demand)
