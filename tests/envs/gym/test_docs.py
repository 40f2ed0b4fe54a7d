"""The examples of docs/environment.md run, in order."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs" / "environment.md"


def test_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), namespace)
