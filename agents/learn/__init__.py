"""Learners: networks, the hindsight learner, stable-baselines3's, and the policies they make.

Names load on first use: torch and stable-baselines3 are slow to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equiload.agents.learn.checkpoint import Checkpoint, load_checkpoint
    from equiload.agents.learn.hindsight import HindsightLearner, HindsightOptions
    from equiload.agents.learn.layout import Layout
    from equiload.agents.learn.networks import FlatNetwork, RegionNetwork, make_network
    from equiload.agents.learn.policy import LearnedPolicy
    from equiload.agents.learn.problems import MixedStream, SyntheticStream, WindowStream
    from equiload.agents.learn.sb3 import actor_network, make_model

_HOME = {
    "Checkpoint": "checkpoint",
    "FlatNetwork": "networks",
    "HindsightLearner": "hindsight",
    "HindsightOptions": "hindsight",
    "Layout": "layout",
    "LearnedPolicy": "policy",
    "MixedStream": "problems",
    "RegionNetwork": "networks",
    "SyntheticStream": "problems",
    "WindowStream": "problems",
    "actor_network": "sb3",
    "load_checkpoint": "checkpoint",
    "make_model": "sb3",
    "make_network": "networks",
}

__all__ = [
    "Checkpoint",
    "FlatNetwork",
    "HindsightLearner",
    "HindsightOptions",
    "Layout",
    "LearnedPolicy",
    "MixedStream",
    "RegionNetwork",
    "SyntheticStream",
    "WindowStream",
    "actor_network",
    "load_checkpoint",
    "make_model",
    "make_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
