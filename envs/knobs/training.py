"""Training work: it may wait, and run wherever its class reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equiload.envs.arrays import namespace
from equiload.envs.errors import DataError
from equiload.envs.typing import BoolArray, FloatArray, IntArray
from equiload.envs.validation import booleans, each, frozen, names_of, regular_array, set_fields


@dataclass(frozen=True, init=False, eq=False)
class Training:
    """Classes of work by how long it may wait; the earliest deadline of a class goes first.

    So what waits of a class is all of its state: ``q_t = q_{t−1} + a_t − z_t − late_t``, at most
    what arrived in the last ``deadline`` slots, and nothing after the last one.

    Parameters
    ----------
    classes
        ``C`` names.
    deadline
        ``[C]`` whole slots that work may wait after the one it arrives in; 0: none.
    late_cost
        ``L_c``, US$ per MWh that is given up, or bought elsewhere: one for all or ``[C]``.
    reachable
        ``[C, N]``: may a class run in a data center? Default: everywhere.

    Raises
    ------
    DataError
        A shape, name or number that does not fit.

    Examples
    --------
    >>> Training(classes=["hours", "days"], deadline=[6, 72]).late_cost
    array([1000., 1000.])
    """

    classes: tuple[str, ...]
    deadline: IntArray
    late_cost: FloatArray
    reachable: BoolArray | None

    def __init__(
        self,
        *,
        classes: Sequence[str],
        deadline: ArrayLike,
        late_cost: ArrayLike = 1000.0,
        reachable: ArrayLike | None = None,
    ) -> None:
        classes = names_of("training class", classes)
        slots = regular_array("training.deadline", deadline)
        if slots.shape != (len(classes),) or slots.dtype.kind not in "iu" or (slots < 0).any():
            raise DataError(
                f"training.deadline must hold {len(classes)} whole numbers of slots from 0, "
                f"got {slots.tolist()}"
            )
        if reachable is not None:
            matrix = regular_array("training.reachable", reachable)
            if matrix.ndim != 2 or len(matrix) != len(classes):
                raise DataError(
                    f"training.reachable must have a row for each of the {len(classes)} classes, "
                    f"got shape {matrix.shape}"
                )
            reachable = booleans("training.reachable", matrix, matrix.shape)
            if not reachable.any(1).all():
                c = int(np.argmin(reachable.any(1)))
                raise DataError(f"the training class {classes[c]!r} can run in no data center")
        set_fields(
            self,
            classes=classes,
            deadline=frozen(slots.astype(np.int64)),
            late_cost=each("training.late_cost", late_cost, len(classes), minimum=0.0),
            reachable=reachable,
        )

    def reach(self, datacenters: int) -> BoolArray:
        """``[C, N]``: may a class run in a data center?"""
        if self.reachable is None:
            return np.ones((len(self.classes), datacenters), np.bool_)
        return self.reachable

    @property
    def urgent(self) -> FloatArray:
        """``[C]``, US$/MWh, a hair below the cost of giving up.

        At this price of waiting work is done rather than wait, and waits rather than be given up.
        """
        eps = float(namespace(self.late_cost).finfo(self.late_cost.dtype).eps)
        urgent: FloatArray = (1.0 - max(1e-9, 64 * eps)) * self.late_cost  # in their precision
        return urgent

    def ceiling(self, work: FloatArray) -> FloatArray:
        """``[..., T, C]``, MWh that may wait after each slot, of arrivals ``work [..., T, C]``.

        ``Q̄_t = Σ_{s > t − h} a_s``, and 0 after the last slot.
        """
        T = work.shape[-2]
        total = np.cumsum(work, axis=-2)
        ceiling = np.empty(work.shape)
        for c, deadline in enumerate(self.deadline):
            h = min(int(deadline), T)
            before = np.zeros((*work.shape[:-2], T))
            before[..., h:] = total[..., : T - h, c]
            # A difference of sums is off by rounding where nothing is waiting.
            ceiling[..., c] = total[..., c] - before
        ceiling[..., -1, :] = 0.0
        return np.maximum(ceiling, 0.0)
