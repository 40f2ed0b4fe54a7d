"""Smaller models that may answer some of the requests: energy saved at a loss of quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray
from equiload.envs.validation import each, frozen, names_of, regular_array, set_fields


@dataclass(frozen=True, init=False, eq=False)
class Models:
    """Of a gateway's requests a share may be answered by smaller models.

    Server time goes with energy, so what a gateway saves is all that there is to decide: the
    cheapest mix of models that saves it lies on the lower convex hull of loss over energy
    (:attr:`steps`). Models above it are never used.

    Parameters
    ----------
    names
        ``M`` names, the largest model first: demand is what it takes to answer all with this one.
    energy
        ``[M]``, ``ε_m``: energy for a request relative to the largest model's; from 1 downwards.
    loss
        ``[M]``, ``ℓ_m``: loss of quality relative to the largest model; from 0 upwards.
    worth
        ``[J]``, ``v_j``: US$ per unit of loss, for the requests of 1 MWh of demand.
    share
        ``[J]``: of the requests that smaller models may answer.

    Raises
    ------
    DataError
        A shape or number that does not fit, or models that are not in this order.

    Examples
    --------
    The one in the middle costs more quality than a mix of the other two:

    >>> models = Models(
    ...     names=["large", "medium", "small"],
    ...     energy=[1.0, 0.6, 0.2],
    ...     loss=[0.0, 0.08, 0.1],
    ...     worth=[100.0],
    ...     share=[0.5],
    ... )
    >>> width, unit_loss = models.steps
    >>> width.round(3), unit_loss.round(3)
    (array([0.8]), array([0.125]))
    """

    names: tuple[str, ...]
    energy: FloatArray
    loss: FloatArray
    worth: FloatArray
    share: FloatArray

    def __init__(
        self,
        *,
        names: Sequence[str],
        energy: ArrayLike,
        loss: ArrayLike,
        worth: ArrayLike,
        share: ArrayLike,
    ) -> None:
        names = names_of("model", names)
        J = regular_array("models.worth", worth).size
        set_fields(
            self,
            names=names,
            energy=each("models.energy", energy, len(names), minimum=0.0, maximum=1.0),
            loss=each("models.loss", loss, len(names), minimum=0.0),
            worth=each("models.worth", worth, J, minimum=0.0),
            share=each("models.share", share, J, minimum=0.0, maximum=1.0),
        )
        if self.energy[0] != 1 or self.loss[0] != 0:
            raise DataError("the first model is the largest: its energy must be 1 and its loss 0")
        if (np.diff(self.energy) >= 0).any() or (np.diff(self.loss) < 0).any():
            raise DataError(
                "each model must take less energy than the one before it, and lose no less quality"
            )

    @cached_property
    def steps(self) -> FloatArray:
        """Share of the energy saved by each step down the hull, and the loss per unit of it.

        ``width`` and ``unit_loss [2, H]``, of ascending loss.
        """
        hull = [0]
        for m in range(1, len(self.names)):
            while len(hull) > 1 and self._slope(hull[-1], m) <= self._slope(hull[-2], hull[-1]):
                hull.pop()
            hull.append(m)
        pairs = list(pairwise(hull))
        width = np.array([self.energy[a] - self.energy[b] for a, b in pairs])
        return frozen(np.array([width, [self._slope(a, b) for a, b in pairs]]))

    def _slope(self, larger: int, smaller: int) -> float:
        saved = self.energy[larger] - self.energy[smaller]
        return float((self.loss[smaller] - self.loss[larger]) / saved)

    @property
    def unit_cost(self) -> FloatArray:
        """``[J, H]``, US$ per MWh that a gateway saves in each step."""
        unit: FloatArray = self.worth[:, None] * self.steps[1]
        return unit

    def room(self, demand: FloatArray) -> FloatArray:
        """``[..., J, H]``, MWh that the gateways of ``demand [..., J]`` can save in each step."""
        room: FloatArray = (demand * self.share)[..., None] * self.steps[0]
        return room
