"""Servers that may be switched off, and draw power while they idle."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from equiload.envs.typing import FloatArray
from equiload.envs.validation import each, regular_array, set_fields


@dataclass(frozen=True, init=False, eq=False)
class Servers:
    """A site draws ``PUE·(ι·n + (1 − ι)·x)`` where ``n >= x`` servers are on, in MWh per slot.

    Before the first slot all are on.

    Parameters
    ----------
    idle
        ``[N]``, ``ι``: the share of its full power that a server draws when it is on and idle.
    start_cost
        ``β``, US$ per MWh per slot of capacity that is switched on: one for all or ``[N]``. The
        default is an estimate; 5 to 50 are in use.

    Raises
    ------
    DataError
        A shape or number that does not fit.

    Examples
    --------
    >>> Servers(idle=[0.25, 0.6]).start_cost
    array([10., 10.])
    """

    idle: FloatArray
    start_cost: FloatArray

    def __init__(self, *, idle: ArrayLike, start_cost: ArrayLike = 10.0) -> None:
        N = regular_array("servers.idle", idle).size
        set_fields(
            self,
            idle=each("servers.idle", idle, N, minimum=0.0, maximum=1.0),
            start_cost=each("servers.start_cost", start_cost, N, minimum=0.0),
        )
