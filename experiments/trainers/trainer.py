"""What ``train`` drives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from equiload.agents.learn.networks import Network


class Trainer(Protocol):
    """Something that learns in stretches."""

    #: Stretches in all.
    total: int

    @property
    def done(self) -> int:
        """Stretches done so far."""
        ...

    def advance(self) -> dict[str, float]:
        """One more stretch; what happened, by name."""
        ...

    def network(self) -> Network:
        """What has been learned: to be evaluated and kept."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        ...
