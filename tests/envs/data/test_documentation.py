"""What docs/worlds.md says of one's own data: its example is read, its tables are complete."""

import re
from pathlib import Path

import pandas as pd

from equiload.envs.data import table
from equiload.envs.data.tables.entries import RegionEntry, SeriesEntry, WorldEntry
from equiload.envs.data.tables.jobs import JobsEntry
from equiload.envs.data.tables.knobs import (
    ClassEntry,
    ModelsEntry,
    ServersEntry,
    StorageEntry,
    TrainingEntry,
)
from equiload.envs.data.tables.layouts import LAYOUTS

PAGE = (Path(__file__).parents[3] / "docs" / "worlds.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Your own data")[1].split("\n## ")[0]


def test_the_smallest_example_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    hours = pd.date_range("2024-03-01", periods=30, freq="h")
    pd.DataFrame({"when": hours, "eur": 50.0}).to_csv(tmp_path / "prices.csv", index=False)
    utc = hours.strftime("%Y-%m-%dT%H:%MZ")
    pd.DataFrame({"time": utc, "intensity": 300.0}).to_csv(tmp_path / "carbon.csv", index=False)
    arizona = hours - pd.Timedelta(hours=7)
    pd.DataFrame({"time": arizona, "MW": 12.0}).to_csv(tmp_path / "load.csv", index=False)
    # Nothing here writes Excel; the cases read one.
    (tmp_path / "w.yaml").write_text(block.replace("load.xlsx", "load.csv"), encoding="utf-8")
    instance = table(tmp_path / "w.yaml")
    assert instance.fleet.datacenters == ("Frankfurt", "Phoenix")
    assert instance.fleet.capacity.tolist() == [1.0, 20.0]
    assert instance.trace.price[0].tolist() == [54.0, 45.0]
    assert instance.trace.demand[0].tolist() == [0.6, 12.0]
    assert instance.trace.intensity[0, 0].tolist() == [0.3, 0.32]
    assert str(instance.trace.timestamps[0]) == "2024-03-01T00:00:00"


def test_every_option_and_layout_is_documented() -> None:
    code = set(re.findall(r"`([\w-]+)", SECTION))
    hidden = {"offset_in_preamble", "constant"}  # of a layout; in the text
    knobs = (StorageEntry, ServersEntry, ModelsEntry, TrainingEntry, ClassEntry, JobsEntry)
    for record in (WorldEntry, RegionEntry, SeriesEntry, *knobs):
        assert set(record.model_fields) - hidden <= code, record.__name__
    assert set(LAYOUTS) <= code
