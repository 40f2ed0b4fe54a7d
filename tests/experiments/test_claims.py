"""A result belongs to one configuration: whose a run's folder is, and what counts in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import FAULTS, limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from equiload.agents.learn.policy import DEFAULT, shipped
from equiload.envs import DataError, reading
from equiload.envs.data import Draw, synthetic
from equiload.envs.make import locate
from equiload.experiments import cli
from equiload.experiments.results import parquet
from equiload.experiments.running.files import DRAFT, write_json, write_text
from equiload.experiments.running.jobs import RECORD, Job, changes, held, record
from own_data import write_world

DAY = ["instance.horizon=4"]
TRAINING = [
    *("agent.options.steps=4", "evaluate_every=2", "problems.batch=2", "problems.horizons=[24]"),
    *("validation.draws=1", "validation.horizon=24", "network.hidden=8", "final.draws=1"),
]
BENCHMARK = [*DAY, "algorithm=[glb_cost]", "reachability=[full]", "figures=false", "report=false"]
#: Small runs of every program, and an option that makes another configuration.
PROGRAMS = {
    "benchmark": (BENCHMARK, "instance.seed=test/7"),
    "evaluate": (
        [*DAY, "draws=1", "reachability=[full]", "~algorithms.robust_learned"],
        "first=3",
    ),
    "predictions": (
        [
            *("instance.horizon=26", "draws=2", "figures=false", "wrapped=[]", "references={}"),
            *("~errors.noise", "~errors.delay", "~errors.swap", "~errors.adversary"),
        ],
        "confidence=0.9",
    ),
    "robustness": (
        [*DAY, "advice=[greedy]", "rho=[0.1]", "allowance=[0]", "method=[blend]", "figures=false"],
        "rho=[0.2]",
    ),
    "scenarios": (
        [*DAY, f"file={Path(__file__).parent / 'less.yaml'}", "algorithm=[eglb]", "report=false"],
        "reachability=full",
    ),
    "tune": (
        [
            *("draws=1", "horizons=[4]", "reachability=[full]", "step_size=[1.0]", "z_max=[1.0]"),
            *("mirror=[euclidean]", "schedule=[constant]"),
        ],
        "z_max=[2.0]",
    ),
    "train": (TRAINING, "seed=1"),
}

SLOW = """
import pathlib, time
from equiload.agents import GLBCost

class Slow(GLBCost):
    def reset(self, *arguments, **options):
        pathlib.Path("begun").touch()
        time.sleep(60)
"""


class Ended:
    """What a command left behind."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def equiload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    """The front door, in this process."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", sys.argv)
        monkeypatch.setattr(sys, "path", list(sys.path))
        capfd.readouterr()
        monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))  # what is silenced
        try:
            status: Any = cli.main(arguments)
        except SystemExit as end:
            status = end.code or 0
        sys.stdout.flush()
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Ended(status, said.out, said.err)

    return call


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock and the logs."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and "tensorboard" not in path.parts
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_folder_belongs_to_one_configuration(program: str, equiload: Any, tmp_path: Path) -> None:
    options, other = PROGRAMS[program]
    folder = tmp_path / "run"
    command = [program, "--json", *options, "hydra.run.dir=run"]
    first = equiload(*command)
    assert first.status == 0, first.err
    assert json.loads(first.out)
    job, before = record(folder), contents(folder)
    assert (job["program"], job["state"]) == (program, "done")
    # Everything there has been noted by the record.
    logs = {RECORD, f"{program}.log"}
    assert set(job["wrote"]) == set(before) - logs
    another_program = "tune" if program == "benchmark" else "benchmark"
    for wrong, sentence in (
        ([*command, other], f"another configuration (here {other})"),
        ([another_program, "--json", *PROGRAMS[another_program][0], "hydra.run.dir=run"], program),
        (
            [*command, "resume=perhaps"],
            "'resume' must be 'auto', 'always' or 'never', got 'perhaps'",
        ),
    ):
        refused = equiload(*wrong)
        assert (refused.status, refused.out) == (2, "")
        assert sentence in refused.err
        assert len(refused.err.strip().splitlines()) == 1
        assert contents(folder) == before
    again = equiload(*command)
    assert again.status == 0, again.err
    assert record(folder)["started"] > job["started"]
    assert record(folder)["wrote"] == job["wrote"]
    if "results.parquet" in job["wrote"]:
        tables = [parquet.read(folder / parquet.FILE).to_pandas()]
        (tmp_path / "old.parquet").write_bytes(before["results.parquet"])
        tables.append(parquet.read(tmp_path / "old.parquet").to_pandas())
        assert tables[0].drop(columns="seconds").equals(tables[1].drop(columns="seconds"))
    # What is finished counts, and is not run.
    counted = equiload(*command, "resume=always")
    assert counted.status == 0, counted.err
    assert counted.out == again.out
    started = record(folder)["started"]
    assert equiload(*command, other, "resume=never").status == 0
    begun = record(folder)
    assert begun["started"] > started
    assert begun["config_hash"] != job["config_hash"]
    assert set(contents(folder)) - logs == set(begun["wrote"])


def test_a_users_own_files_are_never_overwritten(equiload: Any, tmp_path: Path) -> None:
    for name in ("results.json", "report/index.html", RECORD):
        folder = tmp_path / name.replace(".", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text('{"mine": 1}')
        before = contents(folder)
        for more in ([], ["resume=never"], ["resume=always"]):
            refused = equiload("benchmark", *BENCHMARK, f"hydra.run.dir={folder}", *more)
            assert refused.status == 2
            assert f"{folder / name} is of no run here" in refused.err
            assert contents(folder) == before
    # Others are no obstacle, and a name that comes up in the course of the run is not taken.
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert equiload("benchmark", *BENCHMARK, f"hydra.run.dir={folder}").status == 0
    (folder / "published.csv").write_text("mine")
    more = ["+published={full: {GLB-Cost: {energy_cost: 1}}}", "resume=never"]
    refused = equiload("benchmark", *BENCHMARK, *more, f"hydra.run.dir={folder}")
    assert refused.status == 2, refused.out
    assert "published.csv is no file of this run" in refused.err
    assert {(folder / name).read_text() for name in ("notes.txt", "published.csv")} == {"mine"}
    assert record(folder)["state"] == "failed"


class Killed(BaseException):
    """As SIGKILL: nobody hears of it."""


def small_job(folder: Path, number: int, resume: str, program: str, *, goes_on: bool) -> Job:
    cfg = OmegaConf.create({"number": number, "resume": resume})
    return Job(folder, cfg, [f"number={number}"], program, goes_on)


def step(folder: Path, number: int, program: str, ends: str, goes_on: bool) -> None:
    """A program: its result says what made it; one that goes on adds to it."""
    reading.note_read(folder.parent / "data.txt")
    data = (folder.parent / "data.txt").read_text()
    path = folder / "results.json"
    before = json.loads(path.read_text()) if goes_on and path.exists() else []
    write_json(path, [*before, [program, number, data]])
    if ends == "fails":
        raise DataError("it cannot be")
    if ends == "is killed":
        (folder / f"{DRAFT}half.json").touch()
        raise Killed
    write_text(folder / f"{program}.csv", "")


@settings(max_examples=60 * FAULTS, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tries=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(["auto", "auto", "auto", "always", "never"]),
            st.sampled_from(["one", "two"]),
            st.booleans(),
            st.sampled_from(["well", "well", "fails", "is killed"]),
            st.sampled_from("AB"),
        ),
        max_size=8,
    ),
    goes_on=st.booleans(),
)
@limited()
def test_whatever_happened_before_a_result_is_its_records(
    tries: list[tuple[int, str, str, bool, str, str]], goes_on: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for number, resume, program, in_sweep, ends, data in tries:
        (tmp_path / "data.txt").write_text(data)
        before = contents(folder)
        job = small_job(folder, number, resume, program, goes_on=goes_on)
        refused = ran = False

        def task(number: int = number, program: str = program, ends: str = ends) -> None:
            nonlocal ran
            ran = True
            step(folder, number, program, ends, goes_on)

        try:
            if in_sweep:
                refused = job.resume(task) is not None and not ran
            else:
                job.perform(task)
        except DataError:
            refused = not ran
        except Killed:
            pass
        job_now = record(folder)
        told = [program, number, data]
        assert (folder / "notes.txt").read_text() == "mine"
        if not ran:
            assert contents(folder) == {k: v for k, v in before.items() if DRAFT not in k}
        else:
            assert not refused
            assert job_now["config_hash"] == job.name
            rows = json.loads((folder / "results.json").read_text())
            assert rows[-1] == told
            assert resume == "always" or all(row == told for row in rows)
            assert job_now["state"] == {"well": "done", "fails": "failed"}.get(ends, "running")
            names = {name for name in contents(folder) if DRAFT not in name}
            assert names == {*job_now["wrote"], "notes.txt", RECORD}
        if job_now.get("state") == "done" and resume != "always":
            assert json.loads((folder / "results.json").read_text())[-1][:2] == [
                job_now["program"],
                int(job_now["overrides"][0][-1]),
            ]
        if resume == "never" or not before.get(RECORD):
            assert ran
    assert contents(folder).keys() >= {"notes.txt"}


def finished(folder: Path, program: str = "one") -> dict[str, Any]:
    job = small_job(folder, 0, "auto", program, goes_on=False)
    job.perform(lambda: step(folder, 0, program, "well", False))
    return record(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"versions": {"numpy": "0.1"}}, "numpy"),
        ({"code": "another"}, "equiload's code"),
        ({"read": {"data.txt": "another"}}, "data.txt"),
        ({"code": None, "versions": None}, "equiload's code"),  # an earlier version's
    ],
)
def test_what_has_changed_is_named(
    change: dict[str, Any],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("A")
    folder = tmp_path / "run"
    folder.mkdir()
    told = finished(folder)
    assert changes(told) == []
    told = {**told, **change}
    write_json(folder / RECORD, {key: value for key, value in told.items() if value is not None})
    assert named in changes(record(folder))
    with pytest.raises(DataError, match=f"{named}.* changed: .*resume=never"):
        finished(folder)
    job = small_job(folder, 0, "always", "one", goes_on=False)
    assert not job.perform(lambda: pytest.fail("it ran"))
    assert job.resume(lambda: pytest.fail("it ran")) is None
    ran = []
    assert small_job(folder, 0, "auto", "one", goes_on=False).resume(lambda: ran.append(1)) is None
    assert ran


def test_data_that_are_gone_are_as_they_were_and_patterns_are_what_they_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(name)
    read: dict[str, str] = {}
    with reading.noting(read.__setitem__):
        reading.note_read("*.csv")
        reading.note_read(Path("a.csv"))
        reading.note_read(f"{shipped(DEFAULT)}.json")
    told = {"versions": {}, "read": {k: v for k, v in read.items() if not k.endswith(".py")}}
    assert list(told["read"]) == ["*.csv", "a.csv"]  # what ships is of equiload's code

    def changed() -> set[str]:
        return {name for name in changes(told) if name in read}

    assert changed() == set()
    (tmp_path / "c.csv").touch()
    assert changed() == {"*.csv"}
    (tmp_path / "c.csv").unlink()
    (tmp_path / "a.csv").write_text("other")
    assert changed() == {"a.csv"}
    (tmp_path / "a.csv").unlink()
    assert changed() == {"*.csv"}


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"state": "done"}', '{"config_hash": 3}', "mine", b"\xff\xfe"],
)
def test_a_record_that_is_none_is_a_users_own(content: str | bytes, tmp_path: Path) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / RECORD).write_bytes(raw)
    for in_sweep in (False, True):
        job = small_job(tmp_path, 0, "never", "one", goes_on=False)
        if in_sweep:
            assert "is of no run here" in str(job.resume(lambda: pytest.fail("it ran")))
        else:
            with pytest.raises(DataError, match="is of no run here"):
                job.perform(lambda: pytest.fail("it ran"))
        assert (tmp_path / RECORD).read_bytes() == raw


MERGES = {
    "sweep/multirun.yaml": ["sweep", *BENCHMARK, "hydra.sweep.dir=sweep"],
    "sweep/sweep.json": ["sweep", *BENCHMARK, "hydra.sweep.dir=sweep"],
    "run/collected.parquet": ["collect", "run"],
    "run/collected.csv": ["collect", "run"],
    "run/report/index.html": ["report", "run"],
}


@pytest.mark.parametrize("name", MERGES)
def test_what_merges_runs_overwrites_its_own_files_only(
    name: str, tmp_path: Path, equiload: Any
) -> None:
    path, program = tmp_path / name, MERGES[name]
    if program[0] != "sweep":
        assert equiload("benchmark", *BENCHMARK, "hydra.run.dir=run").status == 0
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    refused = equiload(*program)
    assert refused.status == 2
    assert f"{name} is of no run here, and would be overwritten" in refused.err
    assert path.read_text() == "mine"
    path.unlink()
    draft = path.with_name(f"{DRAFT}1")
    draft.touch()  # of one that was killed
    for _ in range(2):
        assert equiload(*program).status == 0
        assert path.is_file()
    assert not draft.exists()


def test_a_record_cannot_have_others_files_removed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "run", tmp_path / "outside.txt"
    (folder / "sub").mkdir(parents=True)
    outside.write_text("mine")
    (folder / "link").symlink_to(outside)
    told = {"config_hash": "x", "state": "running", "overrides": 5, "read": 3, "started": "late"}
    told |= {"program": "one\x1b[31m", "versions": {"numpy": [1]}}
    told["wrote"] = ["../outside.txt", str(outside), "link", "sub", "results.json", 7]
    write_json(folder / RECORD, told)
    (folder / "results.json").touch()
    with pytest.raises(DataError, match=r"holds a run of 'one\\x1b\[31m'"):
        small_job(folder, 0, "auto", "one", goes_on=False).perform(lambda: None)
    small_job(folder, 0, "never", "one", goes_on=False).perform(lambda: None)
    assert outside.read_text() == "mine"
    assert (folder / "sub").is_dir()
    assert not (folder / "results.json").exists()


def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(DataError, match=r"cannot be written to \(Is a directory\)"):
        small_job(tmp_path, 0, "auto", "one", goes_on=False).perform(lambda: None)


@pytest.mark.parametrize("started", [1e12, 1e300, -1.0, None, "late", "tomorrow"])
def test_clocks_may_be_wrong(started: Any, tmp_path: Path) -> None:
    started = time.time() + 86400 if started == "tomorrow" else started
    (tmp_path / "data.txt").write_text("A")
    folder = tmp_path / "run"
    folder.mkdir()
    write_json(folder / RECORD, {**finished(folder), "started": started})
    with (
        held(folder, wait=0),
        pytest.raises(DataError, match="another run is at work there"),
    ):
        finished(folder)
    assert finished(folder)["state"] == "done"


def read_by(folder: Path) -> dict[str, str]:
    """What a run read, but for the modules of these tests, which are in its process."""
    return {k: v for k, v in record(folder)["read"].items() if not Path(k).is_absolute()}


def process(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "equiload.experiments.cli", *arguments]
    env = {**os.environ, "PYTHONPATH": str(cwd), "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=env, **pipes)


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A benchmark that is at work in the folder ``run``."""
    (tmp_path / "slow.py").write_text(SLOW)
    slow = "algorithms.glb_cost.agent._target_=slow.Slow"
    running = process(tmp_path, "benchmark", *BENCHMARK, slow, "hydra.run.dir=run")
    while not (tmp_path / "begun").exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    yield running
    running.kill()
    running.communicate()


def test_two_runs_at_once_and_one_that_was_killed(
    at_work: subprocess.Popen[str], equiload: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    before = contents(folder)
    slow = "algorithms.glb_cost.agent._target_=slow.Slow"
    for program, options in (
        ("benchmark", [*BENCHMARK, slow]),
        ("benchmark", [*BENCHMARK, "resume=never"]),
        ("train", TRAINING),
    ):
        second = equiload(program, "--json", *options, "hydra.run.dir=run")
        assert (second.status, second.out) == (2, "")
        assert f"another run is at work there (process {at_work.pid} on " in second.err
        assert len(second.err.strip().splitlines()) == 1
        assert contents(folder) == before
    at_work.send_signal(signal.SIGKILL)
    at_work.wait()
    (folder / f"{DRAFT}x.pdf").touch()
    assert record(folder)["state"] == "running"
    # What it had read, its own policy, stands in the record although it was killed.
    assert read_by(folder) == {"slow.py": reading.digest(tmp_path / "slow.py")}
    (tmp_path / "slow.py").write_text("from equiload.agents import GLBCost as Slow\n")
    again = equiload("benchmark", *BENCHMARK, slow, "hydra.run.dir=run")
    assert again.status == 0, again.err
    assert not list(folder.glob(f"{DRAFT}*"))
    assert read_by(folder) == {"slow.py": reading.digest(tmp_path / "slow.py")}


def test_a_sweep_runs_again_what_no_longer_matches(equiload: Any, tmp_path: Path) -> None:
    world = write_world(synthetic(Draw.test(0), horizon=8), tmp_path)
    for ending in (".json", ".safetensors"):
        (tmp_path / f"mine{ending}").write_bytes(Path(f"{shipped(DEFAULT)}{ending}").read_bytes())
    (tmp_path / "claimed_policy.py").write_text("from equiload.agents import GLBCost as Policy\n")
    command = [
        *("sweep", *BENCHMARK[:1], *BENCHMARK[2:], "checkpoint=mine", "hydra.sweep.dir=sweep"),
        *("instance=table", f"instance.path={world.name}", "algorithm=[learned]"),
        "+algorithms.own={name: Own, agent: {_target_: claimed_policy.Policy}}",
    ]

    def jobs_run(*more: str) -> int:
        before = {path: record(path.parent) for path in (tmp_path / "sweep").glob(f"*/{RECORD}")}
        done = equiload(*command, *more)
        assert done.status == 0, done.err
        (path,) = (tmp_path / "sweep").glob(f"*/{RECORD}")
        assert record(path.parent)["state"] == "done"
        told.update(read_by(path.parent))
        said.append(done.out)
        return int(before.get(path) != record(path.parent))

    told: dict[str, str] = {}
    said: list[str] = []
    assert jobs_run() == 1
    data = {path.name for path in tmp_path.glob("world*")}
    assert set(told) == {"mine.json", "mine.safetensors", "claimed_policy.py", *data}
    assert jobs_run() == 0
    description = json.loads((tmp_path / "mine.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**description, "scores": {}}))
    assert jobs_run("resume=always") == 0
    assert jobs_run() == 1
    assert "runs again, changed: mine.json" in said[-1]
    csv = tmp_path / "world-0.csv"
    csv.write_text(csv.read_text() + "\n")
    assert jobs_run() == 1
    assert "changed: world-0.csv" in said[-1]
    assert jobs_run() == 0
    (tmp_path / "claimed_policy.py").write_text("from equiload.agents import EGLB as Policy\n")
    del sys.modules["claimed_policy"]  # as another process would begin
    reading._loaded.pop(str(tmp_path / "claimed_policy.py"))
    assert jobs_run() == 1
    assert "changed: claimed_policy.py" in said[-1]
    assert jobs_run() == 0
    assert jobs_run("resume=never") == 1


def test_training_goes_on_with_what_it_began_with_alone(equiload: Any, tmp_path: Path) -> None:
    world = write_world(synthetic(Draw.test(0), horizon=700), tmp_path)
    own = ["instance=table", f"instance.path={world.name}", "problems.synthetic=0"]
    options = [*TRAINING, *own, "final.draws=0", "hydra.run.dir=run"]
    assert equiload("train", *options).status == 0
    done = equiload("train", *options)
    assert done.status == 0
    assert "it has been trained to the end before" in done.out
    csv = tmp_path / "world-0.csv"
    whole = csv.read_text()
    for state in ("running", "done"):
        write_json(tmp_path / "run" / RECORD, {**record(tmp_path / "run"), "state": state})
        before = contents(tmp_path / "run")
        csv.write_text(whole + "\n")
        refused = equiload("train", *options)
        assert refused.status == 2
        assert "before world-0.csv changed" in refused.err
        assert contents(tmp_path / "run") == before
        csv.write_text(whole)
        assert equiload("train", *options).status == 0
    (tmp_path / "run" / "best.safetensors").unlink()
    gone = equiload("train", *options)
    assert gone.status == 2
    assert "best.safetensors: there is no such checkpoint file" in gone.err


def test_json_is_of_this_run_alone(equiload: Any, tmp_path: Path) -> None:
    command = ["benchmark", "--json", *BENCHMARK]
    assert equiload(*command, "hydra.run.dir=run").status == 0
    failed = equiload(*command, "instance.horizon=-5", "hydra.run.dir=run")
    assert (failed.status, failed.out) == (2, "")  # refused: the folder is another's
    failed = equiload(*command, "instance.horizon=-5", "hydra.run.dir=other")
    told = json.loads(failed.out)
    assert (failed.status, told["state"]) == (2, "failed")
    assert "horizon must be" in told["reason"]
    unknown = equiload(*command, "instance.horizonn=5", "hydra.run.dir=run")
    assert (unknown.status, unknown.out) == (2, "")
    # It failed and left nothing: the folder is free.
    assert equiload(*command, "hydra.run.dir=other").status == 0


def test_runs_of_one_second_have_folders_of_their_own(equiload: Any, tmp_path: Path) -> None:
    for more in ([], ["--json"], ["--quiet"]):
        assert equiload("tune", *more, *PROGRAMS["tune"][0]).status == 0
    folders = list((tmp_path / "outputs" / "tune").iterdir())
    assert len(folders) == 3
    assert all(re.fullmatch(r"[\d-]{10}_[\d-]{8}-\d{6}", folder.name) for folder in folders)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own signal of a parent's death")
def test_workers_end_with_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    sweep = process(
        tmp_path,
        *("sweep", *BENCHMARK, "launcher=joblib", "hydra.launcher.n_jobs=3"),
        *("instance.seed=test/0,test/1", "hydra.sweep.dir=sweep"),
        "algorithms.glb_cost.agent._target_=slow.Slow",
    )

    def children() -> set[int]:
        told = {int(p.name): p / "stat" for p in Path("/proc").iterdir() if p.name.isdigit()}
        found = set()
        for pid, stat in told.items():
            try:
                in_session = os.getsid(pid) == os.getsid(sweep.pid)
                cwd = stat.with_name("cwd").readlink()
            except OSError:
                continue
            if in_session and cwd == tmp_path and pid != sweep.pid:
                found.add(pid)
        return found

    while not (tmp_path / "begun").exists():
        assert sweep.poll() is None, sweep.communicate()
        time.sleep(0.05)
    workers = children()
    assert len(workers) >= 2
    sweep.kill()
    sweep.communicate()
    deadline = time.monotonic() + 20
    while left := [pid for pid in workers if Path(f"/proc/{pid}/cwd").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_run_names_the_sources_that_it_needs_as_they_were_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "claimed_a.py": "from claimed_settings import SIZE\nimport json, numpy\nclass A: ...",
        "claimed_b.py": "class B: ...\ndef late():\n    from claimed_package import part",
        "claimed_settings.py": "SIZE = 1",
        "claimed_package/__init__.py": "from .other import *",
        "claimed_package/other.py": "from equiload.agents import EGLB",
        "claimed_package/part.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def read(target: str, *, late: bool = False) -> dict[str, str]:
        found: dict[str, str] = {}
        with reading.noting(found.__setitem__):
            locate(target)
            if late:
                locate("claimed_b.late")()
        return found

    a = read("claimed_a.A")
    assert set(a) == {"claimed_a.py", "claimed_settings.py"}
    assert set(read("claimed_b.B")) == {"claimed_b.py"}  # not what another job of this process has
    assert set(read("claimed_b.B", late=True)) == {
        *("claimed_b.py", "claimed_package/__init__.py", "claimed_package/other.py"),
        "claimed_package/part.py",
    }
    assert read("equiload.agents.EGLB") == {}
    (tmp_path / "claimed_settings.py").write_text("SIZE = 2")
    again = read("claimed_a.A")  # this process has the old one
    assert again == a
    assert set(changes({"read": again})) >= {"claimed_settings.py"}
    (tmp_path / "claimed_settings.py").unlink()  # moved, perhaps
    assert set(changes({"read": again})) >= {"claimed_settings.py"}
