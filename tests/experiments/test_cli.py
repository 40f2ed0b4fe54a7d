"""The ``equiload`` command as scripts and people use it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from equiload.experiments import cli
from equiload.experiments.programs.doctor import examine
from equiload.experiments.running.files import versions

TINY = [
    "instance.horizon=4",
    "algorithm=[glb_cost,eglb]",
    "reachability=[full]",
    "figures=false",
    "report=false",
]


def equiload(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("equiload")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_json_is_the_result_and_nothing_else(tmp_path: Path) -> None:
    done = equiload(tmp_path, "benchmark", "--json", *TINY)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [row["algorithm"] for row in json.loads(done.stdout)["rows"]] == ["GLB-Cost", "eGLB"]
    (folder,) = (tmp_path / "outputs" / "benchmark").iterdir()
    assert json.loads((folder / "results.json").read_text()) == json.loads(done.stdout)


def test_json_of_an_evaluation(tmp_path: Path) -> None:
    small = ["draws=2", "instance.horizon=4", "reachability=[full]", "~algorithms.robust_learned"]
    done = equiload(tmp_path, "evaluate", "--json", *small)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert [score["algorithm"] for score in scores] == ["eGLB", "Learned"]


def test_json_of_scenarios(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("more: {demand: 1.01x}")
    small = ["file=more.yaml", "instance.horizon=4", "algorithm=[eglb]", "report=false"]
    done = equiload(tmp_path, "scenarios", "--json", *small)
    assert done.returncode == 0, done.stderr
    assert {line["scenario"] for line in json.loads(done.stdout)["lines"]} == {"base", "more"}


def test_json_of_a_sweep_whose_workers_print_too(tmp_path: Path) -> None:
    done = equiload(tmp_path, "sweep", "--json", *TINY, "launcher=joblib", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert [job["state"] for job in json.loads(done.stdout)["jobs"]] == ["done"]
    assert len(list((tmp_path / "sweep").glob("*/results.parquet"))) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["benchmark", "instance=bloom11"], 2, "bloom10"),
        (["robustness", "--json", "rh=[0.1]"], 2, "no option 'rh'; did you mean rho?"),
        (["train", "agent=ppo", "agent.episode=3"], 2, "did you mean agent.episodes?"),
        (["train", "horizon=3"], 2, "did you mean instance.horizon or validation.horizon?"),
        (["benchmark", "colour=3"], 2, "'colour'; equiload benchmark --help lists them"),
        (["benchmark", "instance.knobs=all"], 2, "'instance.knobs'. To append to your config"),
        (["benchmark", "--json", "algorithms.eglb.name=${nope}"], 2, "key 'nope' not found"),
        (["benchmark", "--quiet", "instance.horizon=0"], 2, "error: horizon must be"),
        (["data", "check", "nothing"], 2, "there is no instance named 'nothing', expected"),
        (["sweep", "--json", "instance.seed=0,1", "hydra.sweep.subdir=same"], 2, "two jobs share"),
    ],
)
def test_what_cannot_be_used_is_told(
    arguments: list[str],
    status: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    try:
        code: Any = cli.main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == status
    said = capfd.readouterr()
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_every_command_has_help_and_examples_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in cli.COMMANDS.items():
        for example in command.examples:
            assert example.split()[:2] == ["equiload", name]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in cli.COMMANDS)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["sweep", "--help"])
    said = capsys.readouterr().out
    assert all(example in said for example in cli.COMMANDS["sweep"].examples)


def test_every_command_is_a_program() -> None:
    for name in cli.COMMANDS:
        if name != "sweep":
            assert importlib.util.find_spec(f"equiload.experiments.programs.{name}"), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("benchmark --help", 0),
        ("train --help", 0),
        ("evaluate draws=none", 2),
        ("benchmark algorithm=nope", 2),
        ("report nowhere", 2),
    ],
)
def test_help_and_refusals_wait_for_nothing_heavy(words: str, status: int, tmp_path: Path) -> None:
    line = (
        f"import sys; from equiload.experiments import cli; sys.argv[1:] = {words.split()}\n"
        "try: status = cli.main()\n"
        "except SystemExit as error: status = error.code\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'scipy.stats'} & set(sys.modules)\n"
        "print(status or 0, *heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1] == str(status)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"equiload {versions()['equiload']}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["doctor", "--jsn"]])
def test_unknown_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage: equiload" in capsys.readouterr().err


def test_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"] == versions()
    assert found["launchers"]["joblib"] == "installed"
    monkeypatch.chdir(tmp_path)
    assert examine()["data"]["data/bloom10"].startswith("absent: equiload data fetch")
    (tmp_path / "data" / "bloom10").mkdir(parents=True)
    (tmp_path / "data" / "bloom10" / "AI_workload.csv").write_text("")
    assert examine()["data"]["data/bloom10"] == "present"


def test_a_run_whose_reader_leaves_ends_as_ever(tmp_path: Path) -> None:
    command = f"{Path(sys.executable).with_name('equiload')} benchmark {' '.join(TINY)}"
    line = f"set -o pipefail; {command} hydra.run.dir=run | head -n 0"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "run" / "job.json").read_text())["state"] == "done"
