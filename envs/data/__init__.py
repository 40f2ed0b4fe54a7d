"""Where instances come from: one module per source, each a function that returns an instance."""

from equiload.envs.data.bloom10 import bloom10

__all__ = ["bloom10"]
