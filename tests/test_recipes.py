"""Recipes of docs/recipes are programs, and do what their page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("ppo.py", ["30", "full", "--mpc"]),
        ("ppo.py", ["30", "partial"]),
        ("single_file_ppo.py", ["40", "full"]),
    ],
)
def test_plain_ppo_is_better_than_eglb(recipe: str, options: list[str]) -> None:
    command = [sys.executable, str(RECIPES / recipe), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = re.findall(r"([-+][\d.]+)% of eGLB's J, better on (\d+)% of draws", done.stdout)
    assert len(told) == (2 if "--mpc" in options else 1), done.stdout
    assert float(told[0][0]) < -0.2
    assert int(told[0][1]) >= 70
    assert float(told[-1][0]) <= float(told[0][0])  # beside a planner it is better still
