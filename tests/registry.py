"""uv, as the Makefile calls it, and other people's libraries beside the present environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: What scripts of tests/libraries need, by their names; two need nothing that is not here.
LIBRARIES = {"cleanrl": "", "sb3": ""} | {
    Requirement(needed).name.replace("-", "_"): needed
    for needed in _PROJECT["dependency-groups"]["libraries"]
}
#: How uv says that it reached no registry; that a bound cannot be met is another sentence.
UNREACHED = re.compile(
    r"error sending request|dns error|failed to lookup|connection refused|timed out"
    r"|operation timed out|network was disabled|tcp connect error",
    re.IGNORECASE,
)


class NotInstalledError(Exception):
    """Why a library cannot be had here."""


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """uv with pip's folder of wheels, as the Makefile calls it."""
    folder = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
    return subprocess.run(
        [Path(sys.executable).with_name("uv"), *arguments],
        cwd=ROOT,
        env={**os.environ, "UV_FIND_LINKS": folder, "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        check=False,
    )


def _asked(*arguments: str | Path) -> str:
    done = uv("pip", *arguments, "--quiet", "--python", sys.executable)
    if done.returncode:
        raise NotInstalledError(done.stderr.strip()[-300:])
    return done.stdout


def beside(needed: str, folder: Path) -> Path:
    """Install a library and what it needs beyond the present environment; where it lies then.

    The project's own dependencies stay at the versions that are installed, whatever the library
    asks for: what it does with them is measured.
    """
    if not Path(sys.executable).with_name("uv").exists():
        raise NotInstalledError("uv is not installed")
    asked, kept, pinned = folder / "asked.txt", folder / "kept.txt", folder / "pinned.txt"
    asked.write_text(needed)
    own = [Requirement(line).name for line in _PROJECT["project"]["dependencies"]]
    kept.write_text("".join(f"{name}=={version(name)}\n" for name in own))
    here = _asked("freeze")
    pinned.write_text(here)  # uv keeps what stands in its output, where it can
    options = ("--no-header", "--no-annotate", "--override", kept, "--output-file", pinned)
    _asked("compile", *options, asked)
    new = set(pinned.read_text().splitlines()) - set(here.splitlines())
    pinned.write_text("\n".join(sorted(new)))
    _asked("install", "--no-deps", "--target", folder / "packages", "--requirement", pinned)
    return folder / "packages"


def run_beside(script: Path, *arguments: str, packages: Path | None, folder: Path) -> str:
    """What a script prints with the present environment and the packages."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(packages or ""),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
