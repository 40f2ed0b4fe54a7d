"""Recipes of docs/recipes are programs, and do what their page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"


@pytest.mark.slow
@pytest.mark.parametrize("reachability", ["full", "partial"])
def test_plain_ppo_is_better_than_eglb(reachability: str) -> None:
    command = [sys.executable, str(RECIPES / "ppo.py"), "30", reachability]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = re.fullmatch(r"([-+][\d.]+)% of eGLB's J, better on (\d+)% of draws\n", done.stdout)
    assert told is not None, done.stdout
    assert float(told[1]) < -0.2
    assert int(told[2]) >= 80
