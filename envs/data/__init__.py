"""Where instances come from: one module per source, each a function that returns an instance."""

from equiload.envs.data.bloom10 import bloom10
from equiload.envs.data.draw import Draw, Split
from equiload.envs.data.ranges import Ranges
from equiload.envs.data.regions import Region, world
from equiload.envs.data.shifted import shifted
from equiload.envs.data.synthetic import synthetic
from equiload.envs.data.table import table

__all__ = ["Draw", "Ranges", "Region", "Split", "bloom10", "shifted", "synthetic", "table", "world"]
