"""What ``train`` drives: the hindsight learner and stable-baselines3's, alike from outside.

Everything random in a stretch of training follows from the seed and from how far training is, so
that going on from a saved state gives the numbers of a run that was never stopped.
"""

from stable_baselines3.common.utils import set_random_seed

from equiload.envs.data import Source
from equiload.envs.make import make
from equiload.experiments.running.config import TrainConfig
from equiload.experiments.trainers.hindsight import HindsightTrainer
from equiload.experiments.trainers.sb3 import SB3Trainer
from equiload.experiments.trainers.trainer import Trainer

__all__ = ["HindsightTrainer", "SB3Trainer", "Trainer", "make_trainer"]


def make_trainer(cfg: TrainConfig, source: Source, device: str, *, warm: bool = True) -> Trainer:
    """The trainer of a configuration; not ``warm``: it will be restored, so no warm start.

    Raises
    ------
    DataError
        For what does not go together.
    """
    set_random_seed(cfg.seed)
    trainer: Trainer = make("agent", cfg.agent, cfg, source, device, warm=warm)
    return trainer
