"""What episodes have come to, slot by slot, and how they stand as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from equiload.envs.footprints import unit_of
from equiload.envs.knobs.operation import Levels, Operation
from equiload.envs.typing import FloatArray

if TYPE_CHECKING:
    from equiload.envs.gym.core import Core


class Picture(Protocol):
    """Draws an episode."""

    def pixels(self) -> npt.NDArray[np.uint8]:
        """``[height, width, 3]``, of the film as it is now."""
        ...


class Film:
    """What ``B`` episodes have come to, slot by slot.

    ``loads`` one ``[B, N]`` per slot, ``objective`` and ``expert`` one ``[B]`` per slot; of a fleet
    with more to decide than routing ``levels`` after each slot, and the ``operations``. How they
    stand is in ``core``.
    """

    def __init__(self, core: Core) -> None:
        self.core, self.setting = core, core.setting
        self.loads: list[FloatArray] = []
        self.objective: list[FloatArray] = []
        self.expert: list[FloatArray] = []
        self.levels: list[Levels] = []
        self.operations: list[Operation] = []
        self._pictures: dict[int, Picture] = {}

    def picture(self, index: int, draw: Callable[[Film, int], Picture]) -> npt.NDArray[np.uint8]:
        """Of one episode, ``[height, width, 3]``; ``draw`` begins it."""
        if index not in self._pictures:
            self._pictures[index] = draw(self, index)
        return self._pictures[index].pixels()

    def __getstate__(self) -> dict[str, Any]:
        # A copy draws pictures of its own: canvases cannot be copied.
        return {**vars(self), "_pictures": {}}

    def add(self) -> None:
        """Remember the slots that the core has just done."""
        for slot in self.core.played:
            self.loads.append(slot.load)
            self.objective.append(slot.objective)
            if slot.expert is not None:
                self.expert.append(slot.expert)
            if slot.operation is not None and slot.levels is not None:
                self.levels.append(slot.levels)
                self.operations.append(slot.operation)


def text(film: Film, index: int = 0) -> str:
    """One line per footprint kind, with the region that pays most, and the objective."""
    slots, fleet = len(film.loads), film.setting.fleet
    lines = [f"slot {slots}/{film.setting.horizon}   cost {film.core.state.cost[index]:,.0f} US$"]
    for k, kind in enumerate(film.setting.objective.footprints):
        S = film.core.state.footprint[index, k]
        r, mean = int(S.argmax()), S.mean()
        ratio = f", {S[r] / mean:.2f} x mean" if mean > 0 else ""
        unit = unit_of(kind)
        lines.append(f"{kind:>8}: max {S[r]:,.2f} {unit} in {fleet.regions[r]}{ratio}")
    if slots:
        lines.append(f"objective so far {film.objective[-1][index]:,.0f} US$")
    if film.expert:
        lines.append(f"the expert's      {film.expert[-1][index]:,.0f} US$")
    return "\n".join(lines + _level_lines(film, index))


def _level_lines(film: Film, index: int) -> list[str]:
    """One line for each kind of level that there is, as it stands."""
    fleet, levels, lines = film.setting.fleet, film.core.state.levels or Levels(), []
    if fleet.storage is not None:
        there, most = levels.stored[index].sum(), fleet.storage.energy.sum()
        lines.append(f"  stored: {there:,.2f} of {most:,.2f} MWh")
    if fleet.training is not None:
        waiting = levels.waiting[index]
        each = ", ".join(
            f"{c} {q:,.2f}" for c, q in zip(fleet.training.classes, waiting, strict=True)
        )
        lines.append(f" waiting: {waiting.sum():,.2f} MWh ({each})")
    if fleet.servers is not None:
        there, most = levels.on[index].sum(), fleet.capacity.sum()
        lines.append(f"      on: {there:,.2f} of {most:,.2f} MWh a slot")
    return lines
