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


#: Recipes in the words of others, what they need besides, and what they are told.
RECIPES = {"rllib.py": (LIBRARIES["ray"], "40"), "flax_encoder.py": ("flax==0.12.8",)}
#: Ray's own processes give up after some seconds on a busy machine.
_UNSTARTED = re.compile(
    r"node timed out during startup|Failed to connect to GCS|[Rr]aylet.*(?:died|terminated|failed)"
)


def _run(script: Path, needed: str, folder: Path, *arguments: str) -> str:
    """What a script prints; skipped by name where what it needs cannot be had."""
    packages = None
    if needed:
        try:
            packages = beside(needed, folder)
        except NotInstalledError as error:
            pytest.skip(f"{needed} cannot be installed: {error}")
    try:
        return run_beside(script, *arguments, packages=packages, folder=folder)
    except AssertionError as error:
        if needed == LIBRARIES["ray"] and _UNSTARTED.search(str(error)):
            pytest.skip(f"ray did not start: {str(error)[-300:]}")
        raise


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_run_unmodified(library: str, tmp_path: Path) -> None:
    told = _run(ROOT / "tests/libraries" / f"{library}_.py", LIBRARIES[library], tmp_path)
    rates = re.findall(r"^(\S+): (\d+) steps per CPU-second$", told, re.MULTILINE)
    assert [name for name, _ in rates] == IDS, told


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_in_the_words_of_others(recipe: str, tmp_path: Path) -> None:
    needed, *arguments = RECIPES[recipe]
    told = _run(ROOT / "docs/recipes" / recipe, needed, tmp_path, *arguments)
    if recipe == "rllib.py":
        better = re.search(r"([-+][\d.]+)% of eGLB's J, better on (\d+)% of draws", told)
        assert better is not None, told
        assert float(better[1]) < -0.2


def test_every_script_has_its_library() -> None:
    scripts = {path.stem.removesuffix("_") for path in (ROOT / "tests/libraries").glob("*_.py")}
    assert scripts == set(LIBRARIES)
