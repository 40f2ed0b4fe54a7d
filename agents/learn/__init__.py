"""Learners: networks, the hindsight learner, stable-baselines3's, and the policies they make.

Names load on first use: torch and stable-baselines3 are slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equiload.envs.lazy import lazily

if TYPE_CHECKING:
    from equiload.agents.learn.checkpoint import Checkpoint as Checkpoint
    from equiload.agents.learn.checkpoint import load_checkpoint as load_checkpoint
    from equiload.agents.learn.hindsight import HindsightLearner as HindsightLearner
    from equiload.agents.learn.hindsight import HindsightOptions as HindsightOptions
    from equiload.agents.learn.layout import Layout as Layout
    from equiload.agents.learn.networks import FlatNetwork as FlatNetwork
    from equiload.agents.learn.networks import RegionEncoder as RegionEncoder
    from equiload.agents.learn.networks import RegionNetwork as RegionNetwork
    from equiload.agents.learn.networks import make_network as make_network
    from equiload.agents.learn.policy import LearnedPolicy as LearnedPolicy
    from equiload.agents.learn.problems import MixedStream as MixedStream
    from equiload.agents.learn.problems import SyntheticStream as SyntheticStream
    from equiload.agents.learn.problems import WindowStream as WindowStream
    from equiload.agents.learn.sb3 import RegionExtractor as RegionExtractor
    from equiload.agents.learn.sb3 import RegionPolicy as RegionPolicy
    from equiload.agents.learn.sb3 import actor_network as actor_network
    from equiload.agents.learn.sb3 import make_model as make_model

__all__, __getattr__ = lazily(__name__, __file__)
