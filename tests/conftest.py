"""Fixtures that several test modules use."""

from pathlib import Path

import hypothesis
import pytest

from equiload.envs import Instance
from equiload.envs.data import bloom10

hypothesis.settings.register_profile("equiload", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("equiload")


@pytest.fixture(scope="session")
def bloom10_root() -> Path:
    """Folder of the paper's published trace, which is not part of the repository."""
    root = Path(__file__).parents[2] / "shared" / "data" / "bloom-10dc"
    if not root.is_dir():
        pytest.skip(f"the paper's published trace is not at {root}")
    return root


@pytest.fixture(scope="session", params=["full", "partial"])
def paper(request: pytest.FixtureRequest, bloom10_root: Path) -> Instance:
    """``bloom10`` with full and with partial reachability."""
    return bloom10(bloom10_root, reachability=request.param)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="benchmarks: all sizes, which takes hours")
    parser.addoption(
        "--limit",
        type=float,
        help="benchmarks: seconds for a rival of eGLB-Off (default 12, with --full 600)",
    )
