"""The documentation: it builds without a warning, fetches nothing, and its examples run."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"

#: Names that a page's blocks take for granted, as text: their reader would have them.
GIVEN = {
    "robustness": """
import numpy as np
from equiload.agents import EGLB, GLBCost
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.envs.gym import AgentPolicy
from equiload.robust import EnvironmentLayer, verify

advice, instance = GLBCost(), synthetic("test/7", horizon=24)
pool = synthetic(0, horizon=24, batch=4)
class model:
    predict = staticmethod(lambda observation, **_: (np.zeros(len(instance.trace.price[0])), None))
""",
    "sweeps": """
from pathlib import Path
import pandas as pd
from equiload.agents import EGLB, EGLBMPC

start, steps, update, save = 0, 2, lambda: None, lambda step: None
folder = Path("multirun/stress")
folder.mkdir(parents=True)
pd.DataFrame(
    {
        "reachability": "full",
        "algorithm": ["eGLB", "eGLB-MPC"] * 3,
        "gap": [0.02, 0.01, 0.03, 0.02, 0.04, 0.05],
    }
).to_parquet(folder / "collected.parquet")
""",
}


def python_blocks(page: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


PAGES = sorted(page.stem for page in DOCS.glob("*.md") if python_blocks(page.stem))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in [GIVEN.get(page, ""), *python_blocks(page)]:
        exec(compile(block, page, "exec"), names)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    strict = [
        "--quiet",
        "--fail-on-warning",
        "--keep-going",
        "--doctree-dir",
        str(folder / ".tree"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, str(DOCS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_fetches_nothing(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {"index.html", "tutorial.html", "api.html", "robustness.html"} <= {p.name for p in pages}
    fetched = r"<(?:script|img|iframe|link)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*"
    for page in pages:
        assert not re.findall(fetched, page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text("utf-8"))


@pytest.mark.slow
def test_formulas_and_docstrings_are_there(site: Path) -> None:
    assert (site / "algorithms.html").read_text(encoding="utf-8").count("<math") >= 3
    api = (site / "api.html").read_text(encoding="utf-8")
    for name in ("envs.Instance", "envs.data.synthetic", "agents.EGLB", "robust.RobustPolicy"):
        assert f'id="equiload.{name}"' in api, name


def test_the_glossary_names_what_there_is() -> None:
    """The last column's words are public names, and their attributes or arguments."""
    from equiload import agents, envs, robust
    from equiload.agents import forecast, learn
    from equiload.envs import data, gym
    from equiload.envs.gym import actions, features
    from equiload.experiments.results import study

    places = (envs, agents, robust, data, gym, forecast, learn, actions, features, study)
    rows = re.findall(r"^\|.*\| ([^|]*) \|$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    words = [word for row in rows for word in re.findall(r"`([\w.]+)(?:\((\w+)=…\))?`", row)]
    assert len(words) > 25
    for word, argument in words:
        name, _, attribute = word.partition(".")
        (owner, *_) = [getattr(place, name) for place in places if hasattr(place, name)]
        known = {*dir(owner), *getattr(owner, "__annotations__", {})}
        assert not attribute or attribute in known, word
        assert not argument or argument in inspect.signature(owner).parameters, word
