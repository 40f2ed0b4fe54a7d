"""Gymnasium environments: single, natively batched, and differentiable.

Names here load on first use, so that ``import equiload.envs`` needs neither torch nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equiload.envs.lazy import lazily
from equiload.envs.tasks import TASKS

if TYPE_CHECKING:
    from equiload.envs.gym.differentiable import DifferentiableSimulator as DifferentiableSimulator
    from equiload.envs.gym.observer import Observer as Observer
    from equiload.envs.gym.policy import AgentPolicy as AgentPolicy
    from equiload.envs.gym.residual import ResidualAction as ResidualAction
    from equiload.envs.gym.rewards import Dense as Dense
    from equiload.envs.gym.rewards import HindsightDual as HindsightDual
    from equiload.envs.gym.rewards import Relative as Relative
    from equiload.envs.gym.rewards import Reward as Reward
    from equiload.envs.gym.rewards import Terminal as Terminal
    from equiload.envs.gym.sb3 import SB3VecEnv as SB3VecEnv
    from equiload.envs.gym.single import GLBEnv as GLBEnv
    from equiload.envs.gym.source import InstanceGenerator as InstanceGenerator
    from equiload.envs.gym.vector import GLBVectorEnv as GLBVectorEnv

__all__, __getattr__ = lazily(__name__, __file__)
__all__ += ["ENVIRONMENT", "RESIDUAL_ENVIRONMENT", "register_environments"]


ENVIRONMENT = "equiload/GLB-v0"
#: One that plain learners learn in (docs/environment.md says why): their first steps are eGLB's,
#: what they do wrong it makes good, and what they are paid is of order one.
RESIDUAL_ENVIRONMENT = "equiload/ResidualGLB-v0"
_DEFAULTS: dict[str, dict[str, Any]] = {
    ENVIRONMENT: {},
    RESIDUAL_ENVIRONMENT: {"action": "residual", "hold": 6, "reward": "relative_percent"},
}


def register_environments() -> None:
    """Make the environments known to Gymnasium; once is enough, and importing envs does it."""
    from gymnasium.envs.registration import register, registry

    ours = "equiload.envs.gym.single:GLBEnv", "equiload.envs.gym.vector:GLBVectorEnv"
    entries = [(name, ours, defaults) for name, defaults in _DEFAULTS.items()]
    ours = "equiload.envs.tasks:environment", "equiload.envs.tasks:environments"
    learnable = _DEFAULTS[RESIDUAL_ENVIRONMENT]
    entries += [(name, ours, {"task": name, **learnable}) for name in TASKS]
    for name, (single, vector), defaults in entries:
        if name not in registry:
            register(name, single, vector_entry_point=vector, kwargs=defaults)
