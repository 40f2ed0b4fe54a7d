"""Every console block of README and docs runs, as it stands but for options that shorten it.

A page's blocks run one after the other in one folder, as a reader would; files that the pages take
for granted (a world of one's own, a policy) are put there first. No block is left out: what would
take long is given fewer slots, draws and steps; what needs a network asks a server on this machine;
what needs Slurm is composed. Only the commands that read the published trace need it beside here.
"""

import functools
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equiload.envs.data import synthetic
from own_data import write_world

ROOT = Path(__file__).parents[1]
TRACE = ROOT.parent / "shared" / "data" / "bloom-10dc"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

#: What shortens a program, whatever else it is asked for.
SHORTER = {
    "benchmark": ["instance.horizon=24", "figures=false", "report=false"],
    "scenarios": ["instance.horizon=24", "report=false"],
    "evaluate": ["instance.horizon=24", "draws=1", "reachability=[full]"],
    "tune": ["draws=1", "horizons=[24]"],
    "train": [
        "agent.options.steps=2",
        "evaluate_every=1",
        "problems.batch=2",
        "problems.horizons=[24]",
        "validation.draws=1",
        "validation.horizon=24",
        "validation.reachability=[full]",
    ],
}
#: Rows of a benchmark that names none of its own; the README's first command runs them all.
_ROWS = "algorithm=[glb_dist,eglb,eglb_off]"
_LEARNER = {"agent=ppo": ["agent.episodes=1"]}
_KINDS = ("agent=", "robust=", "instance=")
#: Texts that stand for something of the reader's.
NAMES = {
    ".venv/bin/": "",
    "python tools/": f"python {ROOT}/tools/",
    "RUN/best": "A/best",
    "multirun/benchmark/…": "multirun/smoke",
    "BLOOM10_FOLDER": str(TRACE),
    "/shared/stress": "multirun/slurm",
}


def blocks(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^ *```(?:console|bash|sh)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """The commands of a page, continuation lines joined, comments gone."""
    lines = "".join(blocks(page)).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that holds the published trace."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(TRACE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the pages take for granted."""
    world = synthetic("validation/3", horizon=24 * 60, regions=3)
    write_world(world, tmp_path, "my-world.yaml")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    policy = re.findall(r"```python\n(# mypolicy.py\n.*?)```", readme, re.DOTALL)
    (tmp_path / "mypolicy.py").write_text(policy[0], encoding="utf-8")
    howto = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    reward = re.findall(r"```python\n(# mine.py\n.*?)```", howto, re.DOTALL)
    (tmp_path / "mine.py").write_text(reward[0], encoding="utf-8")
    page = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    changes = re.findall(r"```yaml\n(# scenarios.yaml\n.*?)```", page, re.DOTALL)
    (tmp_path / "scenarios.yaml").write_text(changes[0], encoding="utf-8")
    return tmp_path


def shortened(command: str, server: str) -> str:
    """The command with options that make it short, and with files that are here."""
    for name, here in NAMES.items():
        command = command.replace(name, here)
    if command.startswith("make run"):
        options = " ".join([*SHORTER["benchmark"], "hydra.run.dir=$PWD/run"])
        return f'make -C {ROOT} run ARGS="{options}"'
    if command.startswith("make test"):
        return f"make -C {ROOT} test ARGS='-q tests/envs/test_threads.py'"
    if "fetch bloom10" in command:
        return f"{command} --base {server}"
    if "data offline" in command:
        return f"{command} --episodes 2"
    words = command.split()
    program = words[words.index("equiload") + 1] if "equiload" in words else ""
    program = "benchmark" if program == "sweep" else program
    extra = list(SHORTER.get(program, []))
    for agent, options in _LEARNER.items():
        if agent in words:
            extra = [*extra[2:], *options]
    if program == "benchmark" and "experiment=" not in command:
        extra.append(_ROWS)
    if "final.draws=7" in words:
        extra.append("final.draws=1")
    if "instance=table" in words and program == "train":
        extra.append("init=default")
    if "hydra.run.dir" not in command and program == "train":
        # A folder for each kind of run: a run goes on from what it finds in its own.
        kinds = [w.replace("=", "-") for w in words if w.startswith(_KINDS)]
        extra.append(f"hydra.run.dir={kinds[0] if kinds else 'A'}")
    if "experiment=stress" in words:
        extra.append("instance.seed=test/0")
    if "experiment=smoke" in words:
        extra = []
    if "launcher=slurm" in words:  # its options; test_slurm.py sweeps on a real one
        command = command.replace("equiload sweep", "equiload benchmark")
        extra += ["--cfg", "hydra", "--package", "hydra.launcher"]
    return " ".join([command, *map(shlex.quote, extra)])


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_console_blocks_run(page: Path, folder: Path, server: str) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"CI": "true"}
    for command in commands(page):
        if "bloom10" in command.lower() and not TRACE.is_dir():
            continue  # the published trace, which is not part of the repository
        short = shortened(command, server)
        done = subprocess.run(
            short,
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{short}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def test_every_page_with_a_console_block_is_here() -> None:
    names = {page.name for page in WITH_COMMANDS}
    assert {
        "README.md",
        "howto.md",
        "scenarios.md",
        "tutorial.md",
        "worlds.md",
        "sweeps.md",
        "learning.md",
    } <= names
    assert not any("…" in shortened(c, "") for page in WITH_COMMANDS for c in commands(page))
