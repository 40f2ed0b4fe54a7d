"""The shape of the project: folders, packages, and which may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ORDER = ["envs", "robust", "agents", "testing", "experiments"]
FOLDERS = [name for name in (*ORDER, "conf") if (ROOT / name).is_dir()]
SOURCES = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*.py"))]
PLUGIN = "hydra_plugins.equiload_sweeper"  # Hydra takes plugins from that namespace alone


def imported(path: Path) -> set[str]:
    """Names of the project's folders that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("equiload.")}


@pytest.mark.parametrize("folder", [name for name in ORDER if name in FOLDERS])
def test_arrows_go_one_way(folder: str) -> None:
    allowed = set(ORDER[: ORDER.index(folder) + 1])
    for path in (ROOT / folder).rglob("*.py"):
        assert imported(path) <= allowed, path


#: What each folder of `experiments/`, and the front door, may import of the others.
ROOMS: dict[str, set[str]] = {
    "cli": {"running"},
    "worlds": {"running"},
    "hostile": set(),
    "running": set(),
    "results": {"running"},
    "trainers": {"running"},
    "report": {"running", "results", "worlds"},
    "programs": {"running", "results", "trainers", "report", "hostile", "worlds"},
}


def modules(path: Path, known: set[str]) -> set[str]:
    """Modules of the project that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            deep = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= deep & known or {node.module} & known
    return names


def test_no_circle_and_the_arrows_between_rooms() -> None:
    paths = {
        ".".join(["equiload", *path.relative_to(ROOT).with_suffix("").parts]): path
        for path in SOURCES
    }
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {name: modules(path, set(paths)) - {name} for name, path in paths.items()}
    TopologicalSorter(graph).prepare()  # CycleError where there is a circle
    assert {path.name for path in (ROOT / "experiments").iterdir() if path.is_dir()} - {
        "__pycache__"
    } == set(ROOMS) - {"cli"}
    for name, targets in graph.items():
        for target in targets:
            here, there = name.split(".")[1:3], target.split(".")[1:3]
            if here[0] == there[0] == "experiments" and here != there and len(here) > 1:
                assert there[1] in ROOMS[here[1]], f"{name} imports {target}"


def test_arrows_are_seen(tmp_path: Path) -> None:
    """The check above would notice a wrong arrow."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from equiload.agents import EGLB\n    return EGLB\n")
    assert imported(wrong) == {"agents"}


#: Declared and imported by nobody here: others find them by name.
FOUND_BY_NAME = {"hydra-joblib-launcher", "python-calamine"}


def top_level(path: Path) -> set[str]:
    """Packages that a file imports, wherever in it, without Python's own."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"equiload", "hydra_plugins"}


def test_every_import_is_declared_and_every_declaration_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared, optional = (
        {canonicalize_name(Requirement(line).name) for line in lines}
        for lines in (project["dependencies"], [*extras["dev"], *extras["offline"]])
    )
    sources = [*SOURCES, *(ROOT / "hydra_plugins").rglob("*.py")]
    imports = {name: path for path in sources for name in top_level(path)}
    owners = packages_distributions()
    used = {name: {canonicalize_name(owner) for owner in owners[name]} for name in imports}
    undeclared = {name: imports[name] for name in imports if not used[name] & declared}
    # Of equiload.testing, and of `equiload data offline`.
    assert undeclared.keys() == {"hypothesis", "minari"} & optional, undeclared
    assert declared - set().union(*used.values()) == FOUND_BY_NAME


def test_every_folder_is_listed_as_a_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    on_disk = {"equiload." + ".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES}
    assert listed == {*on_disk, PLUGIN}


@pytest.mark.slow
def test_the_wheel_holds_every_source_and_config(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    data = ("envs/data/*.csv", "envs/data/example/*", "experiments/worlds/*.c*")
    data += ("testing/leaderboard/*.json",)
    data += tuple(f"experiments/report/page.{ending}" for ending in ("html", "css", "js"))
    wanted = [*SOURCES, *(ROOT / "conf").rglob("*.yaml")]
    wanted += [path for pattern in data for path in ROOT.glob(pattern)]
    assert f"{PLUGIN.replace('.', '/')}/__init__.py" in packed
    assert not [name for name in packed if "tools/" in name or "public_statistics" in name]
    missing = [path for path in wanted if f"equiload/{path.relative_to(ROOT)}" not in packed]
    assert not missing


def test_type_checkers_are_shown_every_folder() -> None:
    shown = {path.name for path in (ROOT / ".typing" / "equiload").iterdir()}
    assert shown == set(FOLDERS)
    for name in FOLDERS:
        assert (ROOT / ".typing" / "equiload" / name).resolve() == ROOT / name


@pytest.mark.slow
def test_types_are_strict_and_every_file_is_checked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--linecount-report", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    report = (tmp_path / "linecount.txt").read_text(encoding="utf-8").splitlines()
    checked = {line.split()[-1] for line in report}
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        assert ".".join(["equiload", *parts]).removesuffix(".__init__") in checked, path


def test_lint_and_format() -> None:
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:]


def test_no_data_of_the_paper_is_in_the_repository() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert not any(name in files for name in ("AI_workload", "Belguim"))
