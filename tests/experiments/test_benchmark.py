"""The benchmark as its user runs it: files, contract, and what goes wrong."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import equiload.conf
from equiload.agents import EGLB
from equiload.envs import DataError
from equiload.envs.make import registered
from equiload.experiments.results import parquet
from equiload.experiments.results.history import read_history
from equiload.experiments.running.files import replacing, write_json

CONF = Path(next(iter(equiload.conf.__path__)))
SHORT = ["report=false", "instance.horizon=24", "algorithm=[glb_cost,eglb,eglb_off]"]
NAMES = [
    *("GLB-Cost", "GLB-Carbon", "GLB-Water", "GLB-Dist"),
    *("eGLB", "eGLB-MPC", "Robust(eGLB-MPC)", "Learned", "Robust(Learned)", "eGLB-Off"),
]


def run(folder: Path, *overrides: str, program: str = "benchmark") -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "equiload.experiments.cli",
            program,
            *overrides,
            f"hydra.run.dir={folder}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = run(folder, "instance.horizon=24")
    assert done.returncode == 0, done.stderr
    assert "GLB-Carbon" in done.stdout
    assert done.stdout.splitlines()[-1] == f"Report: {folder.name}/report/index.html"
    assert "\x1b" not in done.stdout  # no colours, no bars where nobody watches
    return folder


def test_results_keep_the_contract(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert results["schema"] == 2
    assert results["instance"]["slots"] == 24
    assert results["versions"]["highspy"]
    rows = results["rows"]
    assert [row["algorithm"] for row in rows] == NAMES * 2
    assert [row["reachability"] for row in rows] == ["full"] * len(NAMES) + ["partial"] * len(NAMES)
    weight = results["instance"]["equity_weight"]
    for row in rows:
        footprints = row["footprints"]
        equity = sum(weight[kind] * footprints[kind]["max"] for kind in ("carbon", "water"))
        assert row["objective"] == pytest.approx(row["energy_cost"] + equity)
        for kind in ("carbon", "water"):
            values = footprints[kind]
            assert values["par"] == pytest.approx(values["max"] / values["mean"])
        assert row["gap"] == pytest.approx(row["objective"] / row["lower_bound"] - 1, abs=1e-12)
        assert row["gap"] >= -1e-9
        assert row["seconds"] > 0
    off = rows[NAMES.index("eGLB-Off")]
    assert off["gap"] <= 1e-7
    assert off["solver"]["method"] in ("lp", "decomposition")
    assert min(row["objective"] for row in rows[: len(NAMES)]) == off["objective"]


def test_csv_and_figures(finished: Path) -> None:
    with (finished / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    results = json.loads((finished / "results.json").read_text())["rows"]
    assert [float(row["objective"]) for row in rows] == [row["objective"] for row in results]
    assert float(rows[3]["carbon_par"]) == results[3]["footprints"]["carbon"]["par"]
    names = {path.name for path in finished.glob("*.png")}
    assert {"objective.png", "peak_to_average.png", "cumulative_water_partial.png"} <= names
    assert {path.stem for path in finished.glob("*.pdf")} == {Path(name).stem for name in names}
    assert (finished / "report" / "index.html").is_file()
    assert not list(finished.glob(".*.*"))  # no drafts left behind


def test_a_robust_row_brings_its_certificate(tmp_path: Path) -> None:
    rows = "algorithm=[glb_cost,eglb,robust_glb_cost]"
    done = run(tmp_path / "run", "instance.horizon=24", rows, "figures=false", "report=false")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    for reachability in ("full", "partial"):
        cost, expert, robust = (r for r in found if r["reachability"] == reachability)
        assert "certificate" not in cost
        verdict = robust["certificate"]
        assert verdict["holds"] is True
        assert (verdict["rho"], verdict["allowance"]) == (0.1, 0.0)
        promised = 0.1 * expert["objective"]  # no slot earns the expert money here
        assert robust["objective"] <= expert["objective"] + promised
        left = expert["objective"] + promised - robust["objective"]
        assert 0 <= verdict["slack"] <= left * (1 + 1e-9)
    assert "certificate" not in (tmp_path / "run" / "results.csv").read_text()


def test_algorithms_and_options_come_from_the_command_line(tmp_path: Path) -> None:
    mine = "+algorithms.mine={name: Mine, agent: {_target_: equiload.agents.GLBCost}}"
    done = run(
        tmp_path / "run",
        *SHORT,
        mine,
        "algorithms.eglb.agent.mirror=euclidean",
        "algorithms.eglb_off.agent.solver=decomposition",
        "reachability=[partial]",
        "equity_weight={carbon: 0, water: 0}",
        "figures=false",
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    by_name = {row["algorithm"]: row for row in rows}
    assert by_name["Mine"]["objective"] == by_name["GLB-Cost"]["objective"]
    # Without equity weights the cheapest is optimal.
    assert by_name["Mine"]["gap"] == pytest.approx(0, abs=1e-9)
    assert by_name["eGLB-Off"]["solver"]["method"] == "decomposition"
    assert not list((tmp_path / "run").glob("*.png"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+instance.colour=red", "unexpected keyword argument 'colour'"),
        ("instance.horizon=0", "horizon must be"),
        ("reachability=[half]", "'reachability[0]' must be 'full' or 'partial', got 'half'"),
        ("reachability=[]", "'reachability' must be a list of at least 1, got []"),
        ("equity_weight={carbon: -1}", "'equity_weight.carbon' must be at least 0, got -1"),
        ("equity_weight={carbon: heavy}", "'equity_weight.carbon' must be a number, got 'heavy'"),
        ("algorithms.eglb.agent.step_size=0", "step_size must be positive, got 0"),
        ("algorithms.eglb.name=GLB-Cost", "two algorithms are named 'GLB-Cost'"),
        ("algorithms.eglb.agent._target_=builtins.dict", "dict is neither a policy"),
        ("+algorithms.mine={name: M, agent: {_target_: no.such.Policy}}", "no.such.Policy"),
        ("+algorithms.mine=null", "'algorithms.mine' must be a mapping, got None"),
        ("algorithms.eglb.name=1", "'algorithms.eglb.name' must be a text, got 1"),
        ("+algorithms.mine.agent.x=1", "'algorithms.mine.name' is missing"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_status_2(
    tmp_path: Path, override: str, sentence: str
) -> None:
    done = run(tmp_path / "run", *SHORT, override)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "results.csv").exists()


def test_a_broken_file_ends_in_one_sentence_and_status_2(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "AI_workload.csv").write_text("Time (UTC),Power (Watt)\n2022-09-22 00,lots\n")
    done = run(tmp_path / "run", "instance=bloom10", f"instance.root={root}")
    assert done.returncode == 2
    assert "AI_workload.csv, row 2, column 'Power (Watt)': the value is 'lots'" in done.stderr
    assert not (tmp_path / "run" / "results.json").exists()


def test_what_must_be_given_is_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path / "run", "instance=bloom10")
    assert done.returncode == 2
    assert done.stderr == "error: instance.root must be given: instance.root=VALUE\n"


def test_unknown_choices_get_hydras_suggestion(tmp_path: Path) -> None:
    done = run(tmp_path / "run", "instance=bloom11")
    assert done.returncode == 2
    assert "bloom10" in done.stderr
    assert "Traceback" not in done.stderr


def test_eglbs_yaml_and_python_defaults_agree() -> None:
    settings = registered("algorithm")["eglb"]["agent"]
    default = EGLB()
    for name, value in settings.items():
        if name != "_target_":
            assert getattr(default, name) == value


def test_a_crash_leaves_the_rows_of_the_algorithms_that_are_done(tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text(
        "from equiload.agents import GLBCost\n"
        "class Crash(GLBCost):\n"
        "    def act(self, slot, state):\n"
        "        return super().act(slot, state) if slot.index < 23 else [][0]\n"
    )
    crash = "+algorithms.crash={name: Crash, agent: {_target_: crash.Crash}}"
    after = "+algorithms.after={name: After, agent: {_target_: equiload.agents.GLBCost}}"
    done = run(tmp_path / "run", *SHORT, crash.replace("Crash}}", "Lost}}"), after)
    assert done.returncode == 2
    assert "Lost" in done.stderr
    done = run(tmp_path / "run", *SHORT, crash, after)
    assert done.returncode == 1
    expected = ["eGLB-Off", "GLB-Cost", "eGLB"]
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert [row["algorithm"] for row in rows] == expected
    assert parquet.read(tmp_path / "run" / parquet.FILE)["algorithm"].to_pylist() == expected
    histories = read_history(tmp_path / "run" / "history.parquet")
    assert [history.algorithm for history in histories] == expected


def test_an_allocation_that_cannot_be_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "from equiload.agents import GLBCost\n"
        "class Half(GLBCost):\n"
        "    def act(self, slot, state):\n"
        "        return super().act(slot, state) / (1 + slot.index // 20)\n"
    )
    half = "+algorithms.half={name: Half, agent: {_target_: half.Half}}"
    after = "+algorithms.after={name: After, agent: {_target_: equiload.agents.GLBCost}}"
    done = run(tmp_path / "run", *SHORT, half, after, "reachability=[full]", "figures=false")
    assert done.returncode == 0, done.stderr
    assert "Half left out: slot 20" in done.stdout
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [r["algorithm"] for r in content["rows"]] == ["GLB-Cost", "eGLB", "eGLB-Off", "After"]
    (left_out,) = content["left_out"]
    assert (left_out["algorithm"], left_out["reachability"]) == ("Half", "full")
    assert "the allocation does not send out all demand" in left_out["reason"]


def test_names_are_names(tmp_path: Path) -> None:
    """Neither markup nor mathematics."""
    done = run(
        tmp_path / "run", *SHORT, "algorithms.eglb.name='[red]$_{/x]'", "reachability=[full]"
    )
    assert done.returncode == 0, done.stderr
    assert "[red]$_{/x]" in done.stdout


def test_a_bug_in_a_users_class_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "buggy.py").write_text("class Buggy:\n    def __init__(self):\n        None + 1\n")
    done = run(tmp_path / "run", *SHORT, "+algorithms.b={name: B, agent: {_target_: buggy.Buggy}}")
    assert done.returncode == 1
    assert "None + 1" in done.stderr or "unsupported operand" in done.stderr


@pytest.mark.slow
def test_tune_with_one_draw_or_none(tmp_path: Path) -> None:
    few = ["horizons=[12]", "reachability=[full]", "step_size=[1]", "z_max=[1]"]
    assert run(tmp_path / "one", "draws=1", *few, program="tune").returncode == 0
    none = run(tmp_path / "none", "draws=0", *few, program="tune")
    assert none.returncode == 2
    assert "'draws' must be at least 1, got 0" in none.stderr


@pytest.mark.slow
def test_tune_finds_the_best_of_what_it_tries(tmp_path: Path) -> None:
    done = run(
        tmp_path / "run",
        "draws=2",
        "horizons=[24]",
        "reachability=[full]",
        "step_size=[0.5,1e-9]",
        "z_max=[1]",
        "mirror=[entropic]",
        "schedule=[constant]",
        program="tune",
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads((tmp_path / "run" / "tune.json").read_text())["trials"]
    assert first["gap"] <= second["gap"]
    assert {first["step_size"], second["step_size"]} == {0.5, 1e-9}


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}

    def broken() -> None:
        with replacing(path) as draft:
            draft.write_text("half")
            raise OSError("disk full")

    with pytest.raises(DataError, match="disk full"):
        broken()
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_ends_in_one_sentence_and_leaves_whole_rows(tmp_path: Path) -> None:
    options = ["algorithm=[eglb_mpc,eglb,eglb_off]", "instance.horizon=8760", "report=false"]
    options += ["reachability=[full]", f"hydra.run.dir={tmp_path / 'run'}"]
    command = [sys.executable, "-m", "equiload.experiments.cli", "benchmark", *options]

    def listen() -> None:  # a shell's background jobs, and their children, ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=listen) as program:  # noqa: PLW1509
        while not (tmp_path / "run" / "results.parquet").is_file():
            assert program.poll() is None
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    assert said.splitlines()[-1] == f"interrupted; what was finished is in {tmp_path / 'run'}"
    assert "Traceback" not in said
    content = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert content["rows"][0]["algorithm"] == "eGLB-Off"
    job = json.loads((tmp_path / "run" / "job.json").read_text(encoding="utf-8"))
    assert (job["state"], job["reason"]) == ("failed", "interrupted")
    assert not [path for path in (tmp_path / "run").iterdir() if "tmp" in path.name]
