"""What ``train`` drives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from equiload.agents.learn.networks import Network


class Trainer(Protocol):
    """Something that learns in stretches.

    Made of the configuration, the source, the device, its own arguments (the node ``agent``) and,
    if it takes it, ``warm``: false where it will be restored.
    """

    #: How actions follow from the network's output, as in a checkpoint: none, clip or tanh.
    squash: str
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
