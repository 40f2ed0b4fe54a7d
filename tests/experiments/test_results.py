"""``results.parquet`` and what ``collect`` makes of many, broken ones included."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.envs import DataError
from equiload.envs.data import synthetic
from equiload.experiments.programs.collect import collect, main
from equiload.experiments.results import parquet
from equiload.experiments.results.parquet import Origin
from equiload.experiments.results.study import compare
from equiload.experiments.running.files import write_json
from equiload.experiments.running.jobs import RECORD
from equiload.robust import RobustPolicy

AGENTS = {
    "GLB-Cost": GLBCost(),
    "Robust": RobustPolicy(GLBCost(), EGLB(), rho=0.1),
    "eGLB-Off": EGLBOff(),
}


def write_run(folder: Path, draw: str) -> list[dict]:
    rows = compare(AGENTS, synthetic(draw, horizon=6), reachability="full")
    origin = Origin(draw.encode().hex(), f"instance.seed={draw}", 3)
    parquet.write(folder, rows, origin)
    return [parquet.line(row, origin) for row in rows]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    for number in range(3):
        write_run(folder / str(number), f"test/{number}")
    return folder


def test_columns_are_documented_and_typed(tmp_path: Path) -> None:
    lines = write_run(tmp_path, "test/7")
    table = parquet.read(tmp_path / parquet.FILE)
    fixed = [name for name in table.column_names if not name.startswith(("carbon_", "water_"))]
    for name in fixed:
        assert name in parquet.__doc__ or name.removeprefix("certificate_") in parquet.__doc__
    frame = table.to_pandas()
    assert frame["draw"].tolist() == ["test/7"] * 3
    assert frame["split"].tolist() == ["test"] * 3
    assert (frame["slots"].iloc[0], frame["regions"].iloc[0], frame["seed"].iloc[0]) == (6, 10, 3)
    assert frame["certificate_holds"].tolist() == [None, True, None]
    assert frame["certificate_rho"].iloc[1] == 0.1
    assert frame["carbon_par"].iloc[0] == frame["carbon_max"].iloc[0] / frame["carbon_mean"].iloc[0]
    assert json.loads(frame["versions"].iloc[0])["numpy"]
    assert table.schema.field("gap").type == pa.float64()
    assert frame["objective"].tolist() == [line["objective"] for line in lines]


def test_all_runs_are_merged_once(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(runs)]) == 0
    assert "9 rows of 3 runs" in capsys.readouterr().out
    table = parquet.read(runs / "collected.parquet")
    frame = pd.read_csv(runs / "collected.csv")
    told = pytest.approx(table["objective"].to_pylist(), rel=1e-15)  # as pandas before 3.1 reads
    assert frame["objective"].tolist() == told
    assert len(set(zip(frame["draw"], frame["algorithm"], strict=True))) == 9
    assert main([str(runs)]) == 0  # its own output is no run
    assert "9 rows of 3 runs" in capsys.readouterr().out


def test_broken_and_foreign_files_are_named_and_left_out(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    whole = (runs / "0" / parquet.FILE).read_bytes()
    for name, content in {"half": whole[: len(whole) // 2], "none": b"", "text": b"a,b\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / parquet.FILE).write_bytes(content)
    for name, mark in {"foreign": {}, "later": {b"equiload.results": b"2"}}.items():
        (tmp_path / name).mkdir()
        table = pa.table({"a": [1]}).replace_schema_metadata(mark)
        pq.write_table(table, tmp_path / name / parquet.FILE)
    assert main([str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "9 rows of 3 runs" in captured.out
    said = captured.err.splitlines()
    assert len(said) == 5
    for name in ("half", "none", "text"):
        assert any(f"/{name}/results.parquet: not a whole Parquet file" in s for s in said)
    assert any(
        "foreign/results.parquet: a Parquet file, but not one of equiload.results" in s
        for s in said
    )
    assert any("schema 2, this version reads schema 1" in s for s in said)


def test_of_two_runs_of_a_configuration_the_newest_counts(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    write_run(tmp_path / "again", "test/1")
    os.utime(tmp_path / "1" / parquet.FILE, (0, 0))
    table, skipped = collect(tmp_path)
    assert table.num_rows == 9
    assert skipped == [f"{tmp_path}/1/results.parquet: an earlier run of the same configuration"]


def test_a_run_that_is_not_done_is_left_out(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    for number, state in enumerate(("done", "failed", "running")):
        write_json(tmp_path / str(number) / RECORD, {"state": state})
    table, skipped = collect(tmp_path)
    assert table.num_rows == 3
    assert {reason.split(": ")[1] for reason in skipped} == {
        "the run is not done (failed)",
        "the run is not done (running)",
    }


def test_other_footprints_and_no_draw_are_null(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    table = parquet.read(runs / "0" / parquet.FILE)
    names = [name.replace("water", "noise") for name in table.column_names]
    other = table.rename_columns(names).set_column(
        names.index("config_hash"), "config_hash", pa.array(["other"] * 3)
    )
    (tmp_path / "noise").mkdir()
    other = other.replace_schema_metadata(table.schema.metadata)
    pq.write_table(other, tmp_path / "noise" / parquet.FILE)
    merged, skipped = collect(tmp_path)
    assert not skipped
    assert merged.num_rows == 12
    assert merged["water_max"].null_count == 3
    assert merged["noise_max"].null_count == 9


def test_gaps_are_summed_up_by_option(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(runs), "--by", "instance.seed", "slots"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["test/1", "6", "full", "eGLB-Off", "1", "0.00"] in said
    assert main([str(runs)]) == 0
    (best,) = (s for s in map(str.split, capsys.readouterr().out.splitlines()) if "eGLB-Off" in s)
    assert best[:4] == ["full", "eGLB-Off", "3", "0.00"]
    assert main([str(runs), "--by", "stress"]) == 2
    assert "no column and no override 'stress'" in capsys.readouterr().err


def test_nothing_to_collect_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    (tmp_path / parquet.FILE).write_bytes(b"x")
    assert main([str(tmp_path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "no results.parquet to read" in first
    assert "not a whole Parquet file" in second
    with pytest.raises(DataError):
        collect(tmp_path / "nowhere")
