"""Gymnasium environments: single, natively batched, and differentiable.

Names here load on first use, so that ``import equiload.envs`` needs neither torch nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equiload.envs.gym.differentiable import DifferentiableSimulator
    from equiload.envs.gym.observer import Observer
    from equiload.envs.gym.policy import AgentPolicy
    from equiload.envs.gym.rewards import Dense, HindsightDual, Relative, Reward, Terminal
    from equiload.envs.gym.sb3 import SB3VecEnv
    from equiload.envs.gym.single import GLBEnv
    from equiload.envs.gym.source import InstanceGenerator
    from equiload.envs.gym.vector import GLBVectorEnv

ENVIRONMENT = "equiload/GLB-v0"

_HOME = {
    "AgentPolicy": "policy",
    "Dense": "rewards",
    "DifferentiableSimulator": "differentiable",
    "GLBEnv": "single",
    "GLBVectorEnv": "vector",
    "HindsightDual": "rewards",
    "InstanceGenerator": "source",
    "Observer": "observer",
    "Relative": "rewards",
    "Reward": "rewards",
    "SB3VecEnv": "sb3",
    "Terminal": "rewards",
}

__all__ = [
    "ENVIRONMENT",
    "AgentPolicy",
    "Dense",
    "DifferentiableSimulator",
    "GLBEnv",
    "GLBVectorEnv",
    "HindsightDual",
    "InstanceGenerator",
    "Observer",
    "Relative",
    "Reward",
    "SB3VecEnv",
    "Terminal",
    "register_environments",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def register_environments() -> None:
    """Make ``equiload/GLB-v0`` known to Gymnasium; once is enough, and importing envs does it."""
    from gymnasium.envs.registration import register, registry

    if ENVIRONMENT not in registry:
        register(
            id=ENVIRONMENT,
            entry_point="equiload.envs.gym.single:GLBEnv",
            vector_entry_point="equiload.envs.gym.vector:GLBVectorEnv",
        )
