"""docs/licences.md is of the pinned versions, and nothing copyleft comes in unseen."""

import re
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from licences import (
    ACCEPTED,
    CARRIED,
    COPYLEFT,
    PAGE,
    WITH_CUDA,
    carriers,
    closure,
    licence,
    page,
    pins,
    unpinned,
)

ROWS = re.findall(
    r"^\| ([a-z0-9-]+) \| (\d.*?) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.M
)


@pytest.fixture
def pinned() -> None:
    """Other versions bring other packages: the page is not of them."""
    if others := unpinned():
        pytest.skip(f"not the versions of constraints.txt: {', '.join(others)}")


@pytest.mark.usefixtures("pinned")
def test_the_page_names_what_an_installation_brings() -> None:
    assert {name for name, _, _ in ROWS} == closure() | set(WITH_CUDA)
    assert len(ROWS) == len({name for name, _, _ in ROWS}) > 60
    for name, version, _ in ROWS:
        assert version.split(" or ") == [str(pin.specifier)[2:] for pin in pins()[name]], name
    assert PAGE.read_text(encoding="utf-8") == page(), "python tools/licences.py writes it anew"


@pytest.mark.usefixtures("pinned")
def test_every_pin_is_of_an_installation_of_the_extras_or_of_cuda() -> None:
    here = {
        name
        for name, lines in pins().items()
        if any(pin.marker is None or pin.marker.evaluate() for pin in lines)
    }
    brought = closure(extras=frozenset({"cluster", "dev", "docs"}))
    assert here - brought - set(WITH_CUDA) == {"uv"}  # which installs the others
    assert set(WITH_CUDA) <= set(pins())


def test_no_copyleft_but_what_is_named_with_a_reason() -> None:
    assert {name for name, _, stated in ROWS if COPYLEFT.search(stated)} == set(ACCEPTED)
    assert carriers() <= set(CARRIED)
    assert set(CARRIED) <= {name for name, _, _ in ROWS}


@pytest.mark.parametrize(
    ("metadata", "stated", "copyleft"),
    [
        ("License-Expression: LGPL-3.0-only\nLicense: MIT", "LGPL-3.0-only", True),
        ("License: AGPLv3", "AGPLv3", True),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", "MIT", False),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            "GNU General Public License v3 (GPLv3)",
            True,
        ),
        ("License: 3-Clause BSD License", "BSD-3-Clause", False),
        ("License: MPL-2.0", "MPL-2.0", False),
    ],
)
def test_licences_are_read(metadata: str, stated: str, copyleft: bool, tmp_path: Path) -> None:
    (tmp_path / "METADATA").write_text(f"Name: a\nVersion: 1\n{metadata}\n")
    assert licence(PathDistribution(tmp_path)) == stated
    assert bool(COPYLEFT.search(stated)) is copyleft


def test_a_package_without_a_licence_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "METADATA").write_text("Name: a\nVersion: 1\n")
    with pytest.raises(ValueError, match="a 1 states no licence"):
        licence(PathDistribution(tmp_path))
