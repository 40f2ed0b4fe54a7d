"""Where instances come from: one module per source, each a function that returns an instance."""

from equiload.envs.data.bloom10 import bloom10
from equiload.envs.data.changed import Changes, changed
from equiload.envs.data.draw import Draw, Split
from equiload.envs.data.ranges import Ranges
from equiload.envs.data.regions import Region, world
from equiload.envs.data.shifted import shifted
from equiload.envs.data.source import (
    Bloom10Source,
    GeneratedSource,
    RecordedSource,
    ShiftedSource,
    Source,
    SyntheticSource,
    TableSource,
    named_source,
    shifted_source,
    source_of,
)
from equiload.envs.data.synthetic import synthetic
from equiload.envs.data.table import table
from equiload.envs.data.toy import toy, toy_source

__all__ = [
    "Bloom10Source",
    "Changes",
    "Draw",
    "GeneratedSource",
    "Ranges",
    "RecordedSource",
    "Region",
    "ShiftedSource",
    "Source",
    "Split",
    "SyntheticSource",
    "TableSource",
    "bloom10",
    "changed",
    "named_source",
    "shifted",
    "shifted_source",
    "source_of",
    "synthetic",
    "table",
    "toy",
    "toy_source",
    "world",
]
