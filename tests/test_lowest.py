"""The lowest versions that ``pyproject.toml`` declares are enough: an environment made of them.

What runs there is a choice of tests, at least one of everything that is read, solved, drawn or
trained by another package; ``make lowest`` runs all the fast ones. torch alone is the one that is
installed here: its lowest version weighs gigabytes, and ``make lowest`` has it.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from registry import ROOT, UNREACHED, uv

#: Tests by what they lean on.
TELLING = (
    "tests/envs/data/test_cases.py",  # pandas, pyarrow, python-calamine, ruamel.yaml
    "tests/envs/gym/test_environment.py::test_wrappers_of_gymnasium",
    "tests/envs/gym/test_parts.py::test_simulator_leaves_no_tensor_on_the_processor",  # array-api
    "tests/experiments/test_data_command.py::test_example_check_and_portrait",  # matplotlib
    "tests/envs/gym/test_environment.py::test_the_default_is_the_synthetic_world",  # pvlib
    "tests/envs/gym/test_sb3.py::test_wrappers_of_stable_baselines",
    "tests/agents/forecast/test_forecasters.py::test_options_are_checked",  # scikit-learn
    "tests/agents/test_offline.py::test_reference_agrees",  # cvxpy, highspy, numba
    "tests/robust/test_oracle.py::test_projection_is_the_nearest_safe_point",  # daqp
    "tests/experiments/test_cli.py::test_json_is_the_result_and_nothing_else",  # hydra
    "tests/experiments/test_cli.py::test_what_cannot_be_used_is_told",  # pydantic
    "tests/experiments/test_report.py::test_every_chart_comes_with_its_files",  # plotly, jinja2
    "tests/experiments/test_report.py::test_event_files_are_read",  # tensorboard
    "tests/experiments/test_results.py",
    "tests/experiments/test_train.py::test_states_come_back_as_they_were",  # torch, safetensors
)

_NAMES = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"


@pytest.fixture
def lowest(tmp_path: Path) -> Path:
    """Python of an environment of the lowest versions, out of uv's cache by hard links."""
    if not Path(sys.executable).with_name("uv").exists():
        pytest.skip("uv, which finds lowest versions, is not installed")
    made = uv("venv", "--quiet", "--python", sys.executable, tmp_path / "lowest")
    assert made.returncode == 0, made.stderr
    python = tmp_path / "lowest" / "bin" / "python"
    torch = tmp_path / "torch.txt"
    torch.write_text(f"torch=={version('torch')}\n")  # +cpu and the like too
    options = ("--quiet", "--python", python, "--resolution", "lowest-direct")
    done = uv("pip", "install", *options, "--constraint", torch, "-e", ".[dev]")
    if UNREACHED.search(done.stderr):
        pytest.skip("the registry, which has the lowest versions, cannot be reached")
    if "there is no version of torch==" in done.stderr:
        pytest.skip(f"no registry that uv is told of has torch {version('torch')}")
    assert done.returncode == 0, done.stderr[-2000:]
    return python


@pytest.mark.slow
def test_a_choice_of_tests_passes_with_the_lowest_versions(lowest: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {
        needed.name: Version(bound.version)
        for needed in map(Requirement, project["dependencies"])
        for bound in needed.specifier
        if bound.operator == ">=" and needed.name != "torch"
    }
    told = subprocess.run(
        [lowest, "-c", _NAMES, *bounds], capture_output=True, text=True, check=True
    )
    installed = dict(zip(bounds, map(Version, told.stdout.split()), strict=True))
    above = {
        name: str(found)
        for name, found in installed.items()
        if found.release[:2] != (*bounds[name].release, 0)[:2]
    }
    assert not above, f"declared lower than can be installed: {above}"
    kernels = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "OMP_NUM_THREADS": "1"}
    options = ("-q", "-m", "not slow", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'tests'}")
    done = subprocess.run(
        [lowest, "-m", "pytest", *options, "-W", "default::DeprecationWarning", *TELLING],
        cwd=ROOT,
        env={**os.environ, **kernels},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > len(TELLING)


def test_no_registry_is_told_from_a_bound_that_cannot_be_met() -> None:
    assert UNREACHED.search("error: Failed to fetch\n  error sending request for url")
    assert not UNREACHED.search(
        "No solution found when resolving dependencies: Because there is no version of pandas==3.0"
    )
