"""The document of the benchmarks, from a small record of a run that was never made."""

import json
import subprocess
import sys
from pathlib import Path

import performance

ROOT = Path(__file__).parents[1]


def entry(group: str, median: float, **extra: object) -> dict:
    stats = {"median": median, "min": median / 2, "max": 2 * median}
    return {"group": group, "name": "test", "param": None, "stats": stats, "extra_info": extra}


def recorded() -> dict:
    size = "eGLB-Off, full: seconds to a solution"
    ours = {"column": "equiload", "datacenters": 10, "gib": 0.5, "gap": 1e-6}
    return {
        "datetime": "2026-01-02T03:04:05",
        "machine_info": {
            "cpu": {"brand_raw": "A processor", "count": 2},
            "system": "Linux",
            "release": "6",
            "python_version": "3.12.1",
            "packages": {"numpy": "2.0", "numba": "1.0"},
            "gib": 23.9,
        },
        "commit_info": {"id": "0123456789abcdef"},
        "benchmarks": [
            entry(size, 9, row="100 × 10", slots=100, seconds=0.5, spread=[0.4, 0.5, 0.8], **ours),
            entry(size, 9, row="400 × 10", slots=400, seconds=1.0, spread=[1.0], **ours),
            entry(size, 9, row="100 × 10", column="HiGHS", seconds=2.0, spread=[2.0], gib=1.5),
            entry(size, 9, row="400 × 10", column="HiGHS", failed="> 20 s"),
            entry("Rows", 2e-6, row="fast", colour="red"),
            entry("Rows", 8e-6, row="slow"),
        ],
    }


def test_the_tables() -> None:
    text = performance.document(recorded()).replace("\N{NO-BREAK SPACE}", " ")
    assert "Measured 2026-01-02 at commit 0123456: A processor, 2 cores, 24 GiB " in text
    assert "Python 3.12.1; numpy 2.0, numba 1.0." in text
    assert "|  | equiload | HiGHS |" in text
    assert "| 100 × 10 | 0.5 [0.4, 0.8] | 2 (× 4) |" in text
    assert "| 400 × 10 | 1 | > 20 s |" in text
    assert "Time of equiload grows like T^0.50 at N = 10." in text
    assert "Peak memory of the process: equiload 0.5 GiB, HiGHS 1.5 GiB." in text
    assert "| slow | 8.0e-06 | 4.0e-06 to 1.6e-05 | 4 |  |" in text


def test_the_document_is_written_between_its_marks(tmp_path: Path) -> None:
    page, run = tmp_path / "page.md", tmp_path / "run.json"
    run.write_text(json.dumps(recorded()))
    page.write_text(f"before\n{performance.BEGIN}\nold\n{performance.END}\nafter\n")
    for _ in range(2):
        performance.main(str(run), str(page))
        text = page.read_text()
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        assert text.count("## Rows") == 1
    assert (tmp_path / "images" / "scaling.png").read_bytes().startswith(b"\x89PNG")
    page.write_text("no marks\n")
    command = [sys.executable, performance.__file__, str(run), str(page)]
    failed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "expected one line" in failed.stderr
    assert page.read_text() == "no marks\n"


def test_the_page_has_its_marks() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert text.count(performance.BEGIN) == text.count(performance.END) == 1
