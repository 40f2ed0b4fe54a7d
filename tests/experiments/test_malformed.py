"""What others wrote: every record that fits is read, every other is left out and named, alone."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from effort import FAULTS, limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.envs import DataError, Instance
from equiload.envs.data import TableSource, named_source, synthetic
from equiload.experiments.cli import start
from equiload.experiments.programs import benchmark
from equiload.experiments.programs import data as data_command
from equiload.experiments.programs import report as report_command
from equiload.experiments.programs.collect import collect, main
from equiload.experiments.report import write_report
from equiload.experiments.report.contents import read_contents
from equiload.experiments.report.episodes import RunEpisodes, where_the_load_went
from equiload.experiments.report.figures import charts_of
from equiload.experiments.report.page import _render, _values
from equiload.experiments.results import parquet
from equiload.experiments.results.history import EpisodeHistory, read_history, write_history
from equiload.experiments.results.parquet import Origin
from equiload.experiments.results.records import RECORDS, Evaluation, read_record
from equiload.experiments.results.rows import Row, describe
from equiload.experiments.results.study import compare
from equiload.experiments.running.files import inert, write_csv, write_json
from equiload.experiments.running.jobs import RECORD
from equiload.experiments.worlds.portrait import portrait
from equiload.robust import RobustPolicy

#: A run of everything, as the programs of each schema wrote it: such folders stay as they are.
SCHEMAS = sorted((Path(__file__).parent / "records").iterdir())
AGENTS = {"GLB-Cost": GLBCost(), "eGLB": EGLB(), "eGLB-Off": EGLBOff()}
AGENTS |= {"Robust": RobustPolicy(GLBCost(), EGLB(), rho=0.1)}


def world(**changes: Any) -> Instance:
    return synthetic(0, horizon=6).replace(**changes)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return compare(AGENTS, world(), reachability="full")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "good"
    run(folder, rows)
    return folder.parent


def run(folder: Path, rows: list[Row], name: str = "good", **job: Any) -> None:
    benchmark.write_results(folder, rows, Origin(name, "rho=0.1", 0))
    write_json(folder / RECORD, {"config_hash": name, "state": "done", "started": 9.0, **job})


def beside(good: Path, root: Path) -> Path:
    """A folder beside a copy of the good run, with a file of each kind as schema 1 has it."""
    shutil.copytree(good, root, dirs_exist_ok=True)
    shutil.copytree(SCHEMAS[0], root / "bad")
    return root / "bad"


def page(root: Path) -> str:
    """The page without what it lists as left out; charts are drawn by what they are made of."""
    values = _values(read_contents(root))
    values["contents"].left_out.clear()
    return _render(values | {"written": "", "title": ""})


def told(entries: list[Any]) -> list[Any]:
    """What entries say: a number that older files lack is none."""
    return [
        {name: value for name, value in entry.items() if value is not None}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]


# ---- every schema -----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", SCHEMAS, ids=lambda folder: folder.name)
def test_records_of_every_schema_load_for_good(folder: Path, tmp_path: Path) -> None:
    younger = {"scenarios.json"}  # than the folders; tests/experiments/test_scenarios.py has one
    for name, kind in RECORDS.items():
        if name in younger:
            continue
        record = read_record(folder / name, kind)
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        for key, value in dataclasses.asdict(record).items():
            if key in ("trials", "scores", "left_out"):
                assert told(content.get(key, value)) == told(value)
    assert parquet.read(folder / parquet.FILE).num_rows == 4
    assert len(list(read_history(folder / "history.parquet"))) == 4
    shutil.copytree(folder, tmp_path / "run")
    contents = read_contents(tmp_path)
    assert not contents.left_out
    assert (len(contents.runs), len(contents.experiments), len(contents.curves)) == (1, 2, 1)
    text = _render(_values(contents))
    for key in ("headline", "footprints", "load", "robustness", "predictions", "learning"):
        assert f'<section id="{key}">' in text
    assert collect(tmp_path)[0].num_rows == 4


def test_what_is_written_today_is_what_is_read(good: Path, rows: list[Row]) -> None:
    (read,) = read_contents(good).runs
    assert read.results.rows == [row.record() for row in rows]
    assert read.results.instance == dataclasses.replace(
        describe(rows[0].outcome.instance), provenance=read.results.instance.provenance
    )
    raw = json.loads((good / "good" / "results.json").read_text(encoding="utf-8"))
    assert raw["rows"] == [row.as_dict() for row in rows]
    assert "solver" not in raw["rows"][0]


# ---- mutations --------------------------------------------------------------------------------

FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))
DEEP: Any = []
for _ in range(90):
    DEEP = [DEEP]
VALUES = [None, True, "", "x", "1e5", "\x1b[31m", "$x$", "\ud800", [], {}, [1], {"a": 1}, DEEP]
VALUES += [0, 1, 2, -1, 1.5, 10**30, 10**400, 1e199, 1e308, 1e-320, float("nan"), float("inf")]
RAW = [b"[" * 5000 + b"]" * 5000, b"", b"\xff", b'{"schema": 1e999}', b"9" * 5000, b"null"]


def places(node: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(node, dict | list):
        return [way]
    inside = node.items() if isinstance(node, dict) else enumerate(node)
    return [way, *(place for key, value in inside for place in places(value, (*way, key)))]


@st.composite
def mutated(draw: st.DrawFn, text: bytes) -> bytes:
    """A JSON file with one thing in it changed: a key, a value, its layout or its bytes."""
    kind = draw(st.sampled_from(["value"] * 6 + ["key"] * 3 + ["twice", "cut", "byte", "raw"]))
    if kind == "raw":
        return draw(st.sampled_from(RAW))
    at = draw(st.integers(0, len(text) - 1))
    if kind == "cut":
        return text[:at]
    if kind == "byte":
        return text[:at] + bytes([draw(st.integers(128, 255))]) + text[at + 1 :]
    content = json.loads(text)
    *way, last = draw(st.sampled_from([place for place in places(content) if place]))
    node = content
    for key in way:
        node = node[key]
    if kind == "value":
        node[last] = draw(st.sampled_from(VALUES))
    elif kind == "key":
        node.pop(last)
    elif isinstance(node, list):
        node.append(node[last])
    else:
        node[f"{last} "] = node[last]
    return json.dumps(content).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", [name for name in RECORDS if name != "evaluation.json"])
def test_a_mutated_record_is_left_out_alone(
    name: str, good: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("mutated")
    bad = beside(good, root)
    for path in bad.iterdir():
        if path.is_file() and path.name not in (name, RECORD):
            path.unlink()
    if name == "scenarios.json":
        shutil.copy(Path(__file__).parent / "scenarios_1.json", bad / name)
    original, without = (bad / name).read_bytes(), page(good)

    @settings(
        max_examples=FAULTS * (100 if name == "results.json" else 50),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(original))
    @limited()
    def check(text: bytes) -> None:
        (bad / name).write_bytes(text)
        contents = read_contents(root)
        assert contents.runs[-1].name == "good"
        assert all(sentence.isprintable() for sentence in contents.left_out)
        if contents.left_out:
            (told,) = contents.left_out
            assert told.startswith("bad")
            contents.left_out.clear()
            assert len(contents.runs) + len(contents.experiments) == 1
            return
        values = _values(contents)
        assert "GLB-Cost" in _render(values | {"sections": []})
        assert collect(root)[0].num_rows >= 4

    check()
    (bad / name).write_bytes(b"{")
    assert page(root) == without


@settings(FUZZ, max_examples=200 * FAULTS)
@given(mutated((SCHEMAS[0] / "evaluation.json").read_bytes()))
@limited()
def test_a_mutated_evaluation_is_read_or_refused(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "evaluation.json")
        path.write_bytes(text)
        try:
            evaluation = read_record(path, Evaluation)
        except DataError:
            return
        else:
            assert all(np.isfinite(score.gap) for score in evaluation.scores)


def parquet_of(change: Callable[[pa.Table], pa.Table], name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        table = pq.read_table(folder / name)
        pq.write_table(change(table), folder / name)

    return write


def column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        array = values if isinstance(values, pa.Array) else pa.array([values] * table.num_rows)
        return table.set_column(table.column_names.index(name), name, array)

    return change


NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 4, [None, pa.array(range(5), pa.int32()).buffers()[1], pa.py_buffer(b"\xff" * 4)]
)
TABLES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "another type": (column("gap", "wide"), "column 'gap' is string, expected double"),
    "whole numbers": (column("carbon_max", 1), "column 'carbon_max' is int64"),
    "a list": (column("water_par", [1.0]), "column 'water_par' is list"),
    "an empty cell": (column("config_hash", pa.nulls(4, pa.string())), "'config_hash' has a cell"),
    "infinite": (column("gap", float("inf")), "'gap' has a cell without a value or a finite"),
    "not a number": (column("objective", float("nan")), "'objective' has a cell"),
    "huge": (column("carbon_mean", 1e308), "'carbon_mean' has a cell"),
    "not UTF-8": (column("algorithm", NOT_UTF8), "UTF8"),
    "a column less": (lambda t: t.drop_columns(["overrides"]), "one column 'overrides'"),
    "a column twice": (lambda t: t.append_column("gap", t["gap"]), "one column 'gap'"),
    "one more twice": (
        lambda t: t.append_column("carbon_max", t["carbon_max"]),
        "one column 'carbon_max'",
    ),
    "no rows": (lambda t: t.slice(0, 0), "it has no rows"),
    "another run's": (column("config_hash", "other"), "results of another configuration"),
    "a mark that is no text": (
        lambda t: t.replace_schema_metadata({b"equiload.results": b"\xff\xfe"}),
        "reads schema 1",
    ),
    "a later schema": (
        lambda t: t.replace_schema_metadata({b"equiload.results": b"2"}),
        "schema 2, this version reads schema 1",
    ),
    "no mark": (lambda t: t.replace_schema_metadata({}), "not one of equiload.results"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_malformed_rows_are_left_out_alone(kind: str, good: Path, tmp_path: Path) -> None:
    change, sentence = TABLES[kind]
    bad = beside(good, tmp_path)
    for name in ("predictions.json", "robustness.json"):
        (bad / name).unlink()
    parquet_of(change, parquet.FILE)(bad)
    table, skipped = collect(tmp_path)
    assert table.equals(parquet.read(good / "good" / parquet.FILE).sort_by("algorithm")) or (
        set(table["config_hash"].to_pylist()) == {"good"} and table.num_rows == 4
    )
    (told,) = skipped
    assert told.startswith(f"{bad}/results.parquet: ")
    assert sentence in told
    (left_out,) = read_contents(tmp_path).left_out
    assert sentence in left_out


HISTORIES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "another type": (column("load", "x"), "its columns are"),
    "a column less": (lambda t: t.drop_columns(["slack"]), "its columns are"),
    "a column twice": (lambda t: t.append_column("load", t["load"]), "its columns are"),
    "infinite": (
        lambda t: column("load", pa.array([np.inf] * t.num_rows, pa.float32()))(t),
        "load has a value that is no finite number",
    ),
    "an empty cell": (
        lambda t: column("energy_cost", pa.nulls(t.num_rows, pa.float32()))(t),
        "slots or values are missing",
    ),
    "a slot less": (lambda t: t.slice(1), "slots or values are missing"),
    "no rows": (lambda t: t.slice(0, 0), "slots or values are missing"),
    "shuffled": (lambda t: t.sort_by([("load", "ascending")]), "slots or values are missing"),
    "a later schema": (
        lambda t: t.replace_schema_metadata({b"equiload.schema": b"\xff"}),
        "reads schema 1",
    ),
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_a_malformed_history_is_left_out_alone(kind: str, good: Path, tmp_path: Path) -> None:
    change, sentence = HISTORIES[kind]
    bad = beside(good, tmp_path)
    table = pq.ParquetFile(bad / "history.parquet").read_row_group(0)
    pq.write_table(change(table), bad / "history.parquet")
    contents = read_contents(tmp_path)
    values = _values(contents)
    assert values["shown"].name == "good"
    (told,) = contents.left_out
    assert f"{bad}/history.parquet: {sentence}" in told or sentence in told


def test_a_history_of_other_results_is_left_out(
    good: Path, rows: list[Row], tmp_path: Path
) -> None:
    bad = beside(good, tmp_path)
    write_history(bad / "history.parquet", rows[:2])
    contents = read_contents(tmp_path)
    assert _values(contents)["shown"].name == "good"
    assert "it does not hold the algorithms of results.json" in contents.left_out[0]
    fleet = rows[0].outcome.instance.fleet
    names = [f"{name}!" for name in fleet.datacenters]
    history = dataclasses.replace(EpisodeHistory.of(rows[0]), datacenters=tuple(names))
    with pytest.raises(DataError, match="are not those of results"):
        RunEpisodes([history], describe(rows[0].outcome.instance))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "No columns to parse"),
        (b"step,gap\n1,2,3,4\n1\n1,2,3,4,5,6\n", "Expected"),
        (b"step,gap\nx,1\ny,2\n", "no column 'step' of numbers"),
        (b"gap\n1\n", "no column 'step' of numbers"),
        (b"step,gap\n\xff,1\n", "utf-8"),
    ],
)
def test_malformed_progress_is_left_out(
    text: bytes, sentence: str, good: Path, tmp_path: Path
) -> None:
    bad = beside(good, tmp_path)
    (bad / "progress.csv").write_bytes(text)
    (told,) = read_contents(tmp_path).left_out
    assert told.startswith("bad/progress.csv: ")
    assert sentence in told


def test_a_curve_shows_what_is_known_of_it(good: Path, tmp_path: Path) -> None:
    """Empty cells, infinities and numbers that no axis holds are no points."""
    texts = [
        "step,a,b\n1,,\n2,,\n",
        "step,time/total_timesteps,a,b\n1,5,1e300,2\n,6,1,3\n3,7,inf,4\n4,8,2,5\n5,9,3,6\n",
    ]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "progress.csv").write_text(text)
    contents = read_contents(tmp_path)
    (section,) = _values(contents)["sections"]
    a = next(panel for panel in section.charts[0].panels if panel.title == "a")
    (line,) = a.marks
    assert (line.x.tolist(), line.y.tolist()) == ([4, 5], [2, 3])
    write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("config.yaml", b"a: [\n", "is not YAML"),
        ("config.yaml", b"a: \xff\n", "cannot be read as text"),
        ("config.yaml", b"[" * 500, "nested too deeply"),
        ("overrides.yaml", b"- seed=2\n", "is another run's"),
        ("overrides.yaml", b"", "is another run's"),
    ],
)
def test_a_configuration_that_is_none_of_the_run(
    name: str, text: bytes, sentence: str, good: Path, tmp_path: Path
) -> None:
    bad = beside(good, tmp_path)
    (bad / ".hydra" / name).write_bytes(text)
    contents = read_contents(tmp_path)
    assert [run.name for run in contents.runs] == ["good"]
    assert sentence in contents.left_out[0]


def test_aliases_of_aliases_take_no_time(good: Path, tmp_path: Path) -> None:
    """A configuration of 26 lines would have 10^25 settings."""
    bad = beside(good, tmp_path)
    lines = ["a: &a {x: 1}"]
    lines += [f"{b}: &{b} {{{', '.join(f'k{n}: *{a}' for n in range(10))}}}" for a, b in LETTERS]
    (bad / ".hydra" / "config.yaml").write_text("\n".join(lines))
    contents = read_contents(tmp_path)
    assert [run.name for run in contents.runs] == ["good"]
    assert "aliases written out" in contents.left_out[0]


LETTERS = list(zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True))


def test_what_is_no_file_is_named(good: Path, tmp_path: Path) -> None:
    for name in ("results.json", "results.parquet", "progress.csv", "robustness.json"):
        (tmp_path / "folder" / name).mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    for name in ("results.json", "results.parquet"):
        os.mkfifo(tmp_path / "pipe" / name)  # nobody writes: it would be waited for
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    contents = read_contents(tmp_path)
    assert [run.name for run in contents.runs] == ["good"]
    assert len(contents.left_out) == 4
    assert all("it is no file" in told for told in contents.left_out)
    assert [told.rpartition(": ")[2] for told in collect(tmp_path)[1]] == ["it is no file"] * 2


@pytest.mark.parametrize("cost", [0.0, 1e-320, -1.0, -1e199])
def test_energy_may_cost_nothing(cost: float, good: Path, tmp_path: Path) -> None:
    bad = beside(good, tmp_path)
    content = json.loads((bad / "results.json").read_text(encoding="utf-8"))
    for row in content["rows"]:
        row["energy_cost"] = cost if row["algorithm"] == "GLB-Cost" else 5.0
        row["objective"] = 9.0 if row["algorithm"] == "GLB-Cost" else 6.0
    write_json(bad / "results.json", content)
    (first, *_) = _values(read_contents(bad))["sentences"]
    assert "more for energy" not in first
    assert "the cheapest, has" in first


# ---- whose results, and how far ---------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "running", "preempted", "claimed"])
def test_a_run_that_is_not_done_is_shown_as_such(
    state: str, good: Path, rows: list[Row], tmp_path: Path
) -> None:
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    run(tmp_path / "bad", rows[:2], "bad", state=state, reason="the disk\x1b[31m is full")
    run(tmp_path / "empty", rows[:2], "empty", state=state)
    (tmp_path / "empty" / "results.json").unlink()
    (tmp_path / "empty" / parquet.FILE).unlink()
    (tmp_path / "bad" / "progress.csv").write_text("step,gap\n1,2\n3,4\n")
    told = f"{state}: the disk\\x1b[31m is full"
    contents = read_contents(tmp_path)
    assert contents.left_out == [f"bad: {told}", f"empty: {state}"]
    assert [run.name for run in contents.runs] == ["good"]
    assert [curve.name for curve in contents.curves] == [f"bad ({told})"]
    assert f"<li>empty: {state}</li>" in _render(_values(contents) | {"sections": []})
    table, skipped = collect(tmp_path)
    assert set(table["config_hash"].to_pylist()) == {"good"}
    assert skipped == [
        f"{tmp_path}/bad: the run is not done ({told})",
        f"{tmp_path}/empty: the run is not done ({state})",
    ]


def test_a_run_draws_its_own_figures_before_it_is_done(rows: list[Row], tmp_path: Path) -> None:
    run(tmp_path, rows, state="running")
    assert "peak_to_average" in dict(charts_of(tmp_path))
    with pytest.raises(DataError, match=r"of a run that is done.*: running"):
        read_contents(tmp_path)
    with pytest.raises(DataError, match=r"is not done \(running\)"):
        collect(tmp_path)


def test_the_newest_run_is_the_one_begun_last(rows: list[Row], tmp_path: Path) -> None:
    """Whatever the files' times; without a record these count."""
    for name, started, written in (("a", 200.0, 50), ("b", 100.0, 400), ("c", None, 150)):
        job = {} if started is None else {"started": started}
        run(tmp_path / name, rows, "same", **job)
        if started is None:
            (tmp_path / name / RECORD).unlink()
        os.utime(tmp_path / name / parquet.FILE, (written, written))
    earlier = "an earlier run of the same configuration"
    table, skipped = collect(tmp_path)
    assert table.num_rows == 4
    assert skipped == [f"{tmp_path}/{name}/results.parquet: {earlier}" for name in ("c", "b")]


# ---- formulas and control characters ----------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("-1.5", "-1.5"),
        ("+1e-3", "+1e-3"),
        ("a=b", "a=b"),
        ("", ""),
        (-1.5, -1.5),
        (None, None),
        (True, True),
    ],
)
def test_formulas_are_texts(cell: Any, written: Any) -> None:
    assert inert(cell) == written


@given(st.dictionaries(st.text(min_size=1), st.text() | st.floats() | st.integers(), min_size=1))
@settings(max_examples=200 * FAULTS, deadline=None)
@limited()
def test_no_cell_begins_as_a_formula_does(line: dict[str, Any]) -> None:
    cells, raw = [], []
    with tempfile.TemporaryDirectory() as folder:
        for into, options in ((cells, {}), (raw, {"raw": True})):
            write_csv(Path(folder, "cells.csv"), [line], **options)
            with Path(folder, "cells.csv").open(encoding="utf-8", newline="") as file:
                into += [cell for record in csv.reader(file) for cell in record]
    for cell, own in zip(cells, raw, strict=True):
        assert cell in (own, f"'{own}") or "\r\n" in own
        if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
            float(cell)


def test_tables_of_many_runs_and_of_charts_hold_no_formula(tmp_path: Path, rows: list[Row]) -> None:
    named = [dataclasses.replace(row, algorithm=f"@{row.algorithm}") for row in rows]
    run(tmp_path / "run", named)
    for options, algorithm in (([], "'@eGLB"), (["--raw"], "@eGLB")):
        assert main([str(tmp_path), *options]) == 0
        frame = pd.read_csv(tmp_path / "collected.csv", dtype=str)  # its own floats are rounded
        assert algorithm in set(frame["algorithm"])
        table = parquet.read(tmp_path / "collected.parquet")
        assert "@eGLB" in table["algorithm"].to_pylist()  # data are data
        for name in ("gap", "objective", "certificate_holds", "draw"):
            read = frame[name].astype(object).where(frame[name].notna(), None).tolist()
            kept = table[name].to_pylist()
            assert [None if value is None else str(value) for value in kept] == [
                str(float(text)) if isinstance(value, float) else text
                for text, value in zip(read, kept, strict=True)
            ]
    trials = json.loads((SCHEMAS[0] / "robustness.json").read_text(encoding="utf-8"))
    for trial in trials["trials"]:
        trial["advice"] = "=1+1"
    write_json(tmp_path / "study" / "robustness.json", trials)
    for options, advice in (([], "'=1+1"), (["--raw"], "=1+1")):
        assert report_command.main([str(tmp_path / "study"), *options]) == 0
        drawn = pd.read_csv(tmp_path / "study" / "report" / "figures" / "robustness_study.csv")
        assert set(drawn["series"]) == {"guarantee", advice}
        assert drawn["J / J of the expert"].dtype == float


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "bell\a", "\x00", "", " ", "\ud800"])
def test_an_instance_has_a_name_that_can_be_printed(name: str) -> None:
    with pytest.raises(DataError, match="a problem needs a name that can be printed"):
        world(name=name)


def test_foreign_names_reach_no_terminal(
    good: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither of folders and algorithms that count, nor of those left out."""
    root = tmp_path / "new\nline \x1b[2J"
    bad = beside(good, root)
    for name in ("results.json", "predictions.json", "progress.csv"):  # one chart is enough
        for path in root.rglob(name):
            path.unlink()
    shutil.copytree(bad, root / "\x1b[31mred")
    unreadable = root / os.fsdecode(b"\xff")
    unreadable.mkdir()
    (unreadable / "results.json").write_text('{"schema": "\\u001b[31m"}')
    (unreadable / parquet.FILE).write_bytes(b"\x1b[31m")
    table = parquet.read(bad / parquet.FILE)
    names = pa.array([f"{name}\x1b[31m" for name in table["algorithm"].to_pylist()])
    at = table.column_names.index("algorithm")
    pq.write_table(table.set_column(at, "algorithm", names), bad / parquet.FILE)
    assert main([str(root)]) == 0
    assert report_command.main([str(root)]) == 0
    assert start("report", [str(root / "nothing")]) == 2
    for text in capfd.readouterr():
        assert all(line.isprintable() for line in text.splitlines())
        assert "\x1b" not in text


# ---- names of folders and in figures ----------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["run[1].v2", "lr=0.1,rho=[1,2]", "*", "?", "**", "_a", ".b", "c d"]
)
def test_a_folder_may_have_any_name(name: str, good: Path, tmp_path: Path) -> None:
    root = tmp_path / name
    shutil.copytree(good / "good", root / name)
    (root / name / "progress.csv").write_text("step,gap\n1,2\n3,4\n")
    writer = EventFileWriter(str(root / "other" / name))
    for step, value in ((0, 3.0), (5, 1.0)):
        scalar = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
        writer.add_event(Event(step=step, summary=scalar, wall_time=1.0))
    writer.close()
    contents = read_contents(root)
    assert [run.name for run in contents.runs] == [name]
    assert [curve.name for curve in contents.curves] == [name, f"other/{name}"]
    assert not contents.left_out
    assert collect(root)[0].num_rows == 4


def test_charts_of_like_names_have_files_of_their_own(rows: list[Row], tmp_path: Path) -> None:
    """The second chart of one name is not the chart of that name and 1."""
    trials = json.loads((SCHEMAS[0] / "robustness.json").read_text())
    for name in ("a 1", "a!", "a?"):
        write_json(tmp_path / name / "robustness.json", trials)
    write_report(tmp_path)
    names = {path.stem for path in (tmp_path / "report" / "figures").glob("*.csv")}
    assert names == {"robustness_a_1", "robustness_a-1", "robustness_a-2"}


def test_a_data_center_without_capacity_stands_empty(rows: list[Row]) -> None:
    instance = rows[0].outcome.instance
    none = dataclasses.replace(describe(instance), capacity=[0.0] * len(instance.fleet.datacenters))
    section = where_the_load_went(RunEpisodes([EpisodeHistory.of(rows[0])], none))
    (heat,) = section.charts[0].panels[0].marks
    assert not heat.z.any()


@pytest.mark.parametrize("price", [1e20, 1e40, 1e49])
def test_a_history_holds_what_instances_hold(price: float, tmp_path: Path) -> None:
    trace = world().trace
    instance = world(trace=dataclasses.replace(trace, price=trace.price + price))
    (row,) = compare({"eGLB": GLBCost()}, instance, reachability="full")
    write_history(tmp_path / "history.parquet", [row])
    (read,) = read_history(tmp_path / "history.parquet")
    np.testing.assert_allclose(read.energy_cost, EpisodeHistory.of(row).energy_cost, rtol=1e-6)


def test_names_in_figures_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No TeX between dollars, and no warning where a font lacks a letter (an error here)."""
    names = [r"$\x$", "$5 & 6$", *map(str, range(8))]
    fleet = world().fleet.replace(regions=names, datacenters=names)
    portrait(world(fleet=fleet)).savefig(io.BytesIO(), dpi=30)
    names = ["東京", r"$\y$", *map(str, range(8))]
    odd = world(fleet=world().fleet.replace(regions=names, datacenters=names), name="$東$")
    monkeypatch.setattr(data_command, "load", lambda _: (odd, []))
    page = tmp_path / "page.svg"
    assert data_command.main(["portrait", "odd", "--output", str(page)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<?xml")


def test_a_file_is_no_seed(tmp_path: Path) -> None:
    for name in ("synthetic-world.yaml", "bloom10.yml"):
        source = named_source(str(tmp_path / name))
        assert isinstance(source, TableSource)
        assert source.path == tmp_path / name
