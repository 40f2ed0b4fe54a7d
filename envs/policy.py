"""What an online policy sees, and what it must do: the interface every algorithm speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from equiload.envs.instance import Fleet, Instance, Objective
from equiload.envs.typing import Array, FloatArray, TimeArray


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Everything an online policy may see at slot ``t``. Its arrays are copies of that slot alone.

    Parameters
    ----------
    index
        ``t``, from 0.
    timestamp
        ``[...]`` ``datetime64``, UTC, when the slot begins.
    price
        ``[..., N]``, US$/MWh.
    intensity
        ``[..., K, N]``, footprint per MWh drawn (t/MWh, m³/MWh).
    demand
        ``[..., J]``, MWh to be served in this slot.
    capacity
        ``[..., N]``, MWh that each data center can serve in this slot.
    """

    index: int
    timestamp: TimeArray
    price: FloatArray
    intensity: FloatArray
    demand: FloatArray
    capacity: FloatArray

    @classmethod
    def of(cls, instance: Instance, t: int) -> Slot:
        """Slot ``t`` of an instance, or of each instance of a batch."""
        trace = instance.trace
        return cls(
            t,
            trace.timestamps[..., t].copy(),
            trace.price[..., t, :].copy(),
            trace.intensity[..., t, :].copy(),
            trace.demand[..., t, :].copy(),
            instance.capacity[..., t, :].copy(),
        )


@runtime_checkable
class Policy(Protocol):
    """An online algorithm: one allocation per slot, seeing no later slot.

    ``reset`` is called once before an episode (or before a batch of episodes in lock-step), then
    ``act`` once per slot in order.
    """

    def reset(
        self, fleet: Fleet, objective: Objective, horizon: int, batch: tuple[int, ...] = ()
    ) -> None:
        """Forget everything, and learn what is known before the first slot.

        ``batch`` are the leading axes of every array in the slots to come.
        """
        ...

    def act(self, slot: Slot) -> Array:
        """Return a feasible allocation ``[..., J, N]`` for the slot."""
        ...
