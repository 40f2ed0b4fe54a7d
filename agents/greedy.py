"""The equity-unaware rules: GLB-Cost, GLB-Carbon, GLB-Water, GLB-Dist (paper, section 4.1)."""

from __future__ import annotations

import numpy as np

from equiload.envs import DataError, Dispatch, Setting, Slot, State
from equiload.envs.typing import FloatArray


class GLBCost:
    """Each slot: ``argmin_y Σ p·x`` plus routing cost."""

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`."""
        self._fleet = setting.fleet

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return the cheapest allocation ``[..., J, N]``."""
        unit = slot.price * self._fleet.pue
        return self._fleet.dispatch.allocation(unit, slot.demand, slot.capacity)


class GLBFootprint:
    """Each slot: ``argmin_y Σ e_k·x`` for one footprint kind (GLB-Carbon, GLB-Water).

    Parameters
    ----------
    footprint
        The kind, ``"carbon"`` say.
    """

    def __init__(self, footprint: str) -> None:
        self.footprint = footprint

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`; raises :class:`DataError` for an unknown kind."""
        kinds = setting.objective.footprints
        if self.footprint not in kinds:
            raise DataError(
                f"there is no footprint kind {self.footprint!r}, "
                f"the instance has {', '.join(kinds)}"
            )
        self._fleet, self._kind = setting.fleet, kinds.index(self.footprint)
        self._dispatch = Dispatch(setting.fleet.reachable)

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return the allocation ``[..., J, N]`` of least footprint."""
        unit = slot.intensity[..., self._kind, :] * self._fleet.pue
        return self._dispatch.allocation(unit, slot.demand, slot.capacity)


class GLBDist:
    """Each slot: every gateway to its nearest reachable data center with room.

    Where gateways compete for room, the total distance travelled is least.
    """

    def reset(self, setting: Setting) -> None:
        """See :class:`~equiload.envs.Policy`; raises :class:`DataError` without distances."""
        fleet = setting.fleet
        if fleet.distance is None:
            raise DataError("GLB-Dist needs a distance in km: give every region a location")
        self._dispatch = Dispatch(fleet.reachable, fleet.distance)
        self._zero = np.zeros((*setting.batch, len(fleet.datacenters)))

    def act(self, slot: Slot, _: State) -> FloatArray:
        """Return the allocation ``[..., J, N]`` of least distance."""
        return self._dispatch.allocation(self._zero, slot.demand, slot.capacity)
