"""What ``train`` drives: the hindsight learner and stable-baselines3's, alike from outside.

Everything random in a stretch of training follows from the seed and from how far training is, so
that going on from a saved state gives the numbers of a run that was never stopped.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from stable_baselines3.common.utils import set_random_seed

from equiload.agents.learn.networks import Network
from equiload.envs.data import Source
from equiload.envs.make import make
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.hindsight import HindsightTrainer
from equiload.experiments.trainers.ppo import PPOTrainer

__all__ = ["HindsightTrainer", "PPOTrainer", "Trainer", "make_trainer"]


@runtime_checkable
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


def make_trainer(cfg: TrainConfig, source: Source, device: str, *, warm: bool = True) -> Trainer:
    """The trainer of a configuration; not ``warm``: it will be restored, so no warm start.

    Raises
    ------
    DataError
        For what does not go together.
    """
    set_random_seed(cfg.seed)
    trainer: Trainer = make("agent", cfg.agent, cfg, source, device, like=Trainer, warm=warm)
    return trainer
