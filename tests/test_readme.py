"""The README's code runs as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_own_policy(tmp_path: Path) -> None:
    policy = next(block for block in blocks("python") if "mypolicy.py" in block)
    (tmp_path / "mypolicy.py").write_text(policy, encoding="utf-8")
    command = next(block for block in blocks("console") if "mypolicy" in block)
    arguments = shlex.split(command.replace("\\\n", ""))[1:]  # after equiload
    assert arguments[0] == "benchmark"
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "equiload.experiments.cli"),
            *arguments,
            "instance.horizon=12",
            "figures=false",
            "report=false",
            "hydra.run.dir=run",
        ],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Proportional" in done.stdout


def test_from_python() -> None:
    names: dict = {}
    example, safe = (block for block in blocks("python") if "rollout" in block)
    exec(example, names)
    eglb = names["outcome"].objective
    assert 1.0 <= eglb / names["best"].lower_bound < 1.2
    exec(safe, names)
    assert names["outcome"].objective <= 1.05 * eglb
    assert names["safe"].certificate().holds


def test_files_that_are_named_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
