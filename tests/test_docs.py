"""The documentation: it builds without a warning, fetches nothing, and its examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["tutorial", "howto"])
def test_examples_run(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
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
