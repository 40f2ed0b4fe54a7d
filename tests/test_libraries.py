"""Other people's libraries run on the environments, unmodified: scripts in their own words.

Each is installed beside the present environment, out of uv's cache by hard links; what cannot be
installed is skipped by its name.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from registry import LIBRARIES, ROOT, NotInstalledError, beside, run_beside

IDS = ["equiload/GLB-v0", "equiload/ResidualGLB-v0"]


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_run_unmodified(library: str, tmp_path: Path) -> None:
    packages = None
    if LIBRARIES[library]:
        try:
            packages = beside(LIBRARIES[library], tmp_path)
        except NotInstalledError as error:
            pytest.skip(f"{library} cannot be installed: {error}")
    script = ROOT / "tests" / "libraries" / f"{library}_.py"
    told = run_beside(script, packages=packages, folder=tmp_path)
    rates = re.findall(r"^(\S+): (\d+) steps per CPU-second$", told, re.MULTILINE)
    assert [name for name, _ in rates] == IDS, told


def test_every_script_has_its_library() -> None:
    scripts = {path.stem.removesuffix("_") for path in (ROOT / "tests/libraries").glob("*_.py")}
    assert scripts == set(LIBRARIES)
