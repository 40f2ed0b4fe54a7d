"""What ``train`` drives: the hindsight learner and stable-baselines3's, alike from outside.

Everything random in a stretch of training follows from the seed and from how far training is, so
that going on from a saved state gives the numbers of a run that was never stopped.
"""

from collections.abc import Callable, Mapping

from stable_baselines3.common.utils import set_random_seed

from equiload.envs import DataError
from equiload.envs.data import Source
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.hindsight import HindsightTrainer
from equiload.experiments.trainers.sb3 import SB3Trainer
from equiload.experiments.trainers.trainer import Trainer

__all__ = ["TRAINERS", "Trainer", "make_trainer"]

#: ``agent.kind`` to what makes its trainer.
TRAINERS: Mapping[str, Callable[..., Trainer]] = {
    "hindsight": HindsightTrainer,
    "ppo": SB3Trainer,
    "sac": SB3Trainer,
    "td3": SB3Trainer,
}


def make_trainer(cfg: TrainConfig, source: Source, device: str, *, warm: bool = True) -> Trainer:
    """The trainer of a configuration; not ``warm``: it will be restored, so no warm start.

    Raises
    ------
    DataError
        For what does not go together.
    """
    kind = cfg.agent["kind"]
    if kind not in TRAINERS:
        raise DataError(f"agent.kind must be one of {', '.join(TRAINERS)}, got {kind!r}")
    set_random_seed(cfg.seed)
    return TRAINERS[kind](cfg, source, device, warm=warm)
