"""Licences of what an installation of equiload brings: the table of ``docs/licences.md``.

``python tools/licences.py`` writes it anew, in an environment of the pinned versions.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"

_NVIDIA = "LicenseRef-NVIDIA-Proprietary"
#: What torch's build for CUDA brings besides, with the licences that the registry states for the
#: pinned versions: a build for the CPU has none of them to ask.
WITH_CUDA = {
    "cuda-bindings": "Apache-2.0",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": "none stated: a list of NVIDIA's packages",
    "nvidia-cublas": _NVIDIA,
    "nvidia-cuda-cupti": _NVIDIA,
    "nvidia-cuda-nvrtc": _NVIDIA,
    "nvidia-cuda-runtime": _NVIDIA,
    "nvidia-cudnn-cu13": _NVIDIA,
    "nvidia-cufft": _NVIDIA,
    "nvidia-cufile": _NVIDIA,
    "nvidia-curand": _NVIDIA,
    "nvidia-cusolver": _NVIDIA,
    "nvidia-cusparse": _NVIDIA,
    "nvidia-cusparselt-cu13": _NVIDIA,
    "nvidia-nccl-cu13": _NVIDIA,
    "nvidia-nvjitlink": _NVIDIA,
    "nvidia-nvshmem-cu13": _NVIDIA,
    "nvidia-nvtx": "Apache-2.0",
    "triton": "MIT",
}

_GCC = (
    "GCC's run-time library inside the wheel (GPL-3.0-or-later WITH GCC-exception-3.1, which lets "
    "any program use it"
)
#: Packages under a permissive licence that carry something copyleft, and why that binds nobody.
CARRIED = {
    "numpy": f"{_GCC}; libquadmath is LGPL-2.1-or-later, a file that may be exchanged)",
    "scikit-learn": f"{_GCC})",
    "scipy": f"{_GCC}; libquadmath is LGPL-2.1-or-later, a file that may be exchanged)",
    "scs": f"{_GCC}; libquadmath is LGPL-2.1-or-later, a file that may be exchanged)",
    "setuptools": "a copy of autocommand (LGPL-3.0), which setuptools imports for itself alone",
    "sparsediffpy": f"{_GCC}; libquadmath is LGPL-2.1-or-later, a file that may be exchanged)",
    "torch": f"{_GCC})",
}
#: Packages of a copyleft licence themselves, and why they may be here. None is.
ACCEPTED: dict[str, str] = {}

COPYLEFT = re.compile(r"\bA?L?GPL|General Public License", re.IGNORECASE)
_CARRIES = re.compile(r"libgomp|libgfortran|libquadmath|autocommand")
#: Licences in full or in words of their own, by how they begin.
_SPOKEN = {
    r"3-Clause BSD|BSD 3-Clause|=+\s+The Kiwi|Copyright \(c\) 2015, matplotlib": "BSD-3-Clause",
    r"Copyright \(c\) 2001-2002 Enthought": "BSD-3-Clause",
    r"BSD$": "BSD",
    r"MIT License": "MIT",
    r"Apache 2\.0": "Apache-2.0",
    r"License agreement for matplotlib": "PSF-based",
}
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
}


def licence(of: Distribution) -> str:
    """What a package states: an expression, else its own words, else its classifiers."""
    expression = of.metadata.get("License-Expression")
    if expression:
        return str(expression)
    words = (of.metadata.get("License") or "").strip()
    for beginning, name in _SPOKEN.items():
        if re.match(beginning, words):
            return name
    if words not in ("", "UNKNOWN"):
        return words.splitlines()[0]
    classifiers = of.metadata.get_all("Classifier") or []
    stated = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")]
    if not stated:
        raise ValueError(f"{of.name} {of.version} states no licence")
    return ", ".join(_CLASSIFIERS.get(line, line) for line in stated)


def closure(name: str = "equiload", extras: frozenset[str] = frozenset()) -> set[str]:
    """Packages that an installation here brings, itself left out."""
    seen: set[tuple[str, str]] = set()

    def walk(package: str, extra: str) -> None:
        key = (canonicalize_name(package), extra)
        if key in seen:
            return
        seen.add(key)
        try:
            lines = distribution(package).requires or []
        except PackageNotFoundError:  # declared for this machine, and not there
            return
        for needed in map(Requirement, lines):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                for wanted in ("", *needed.extras):
                    walk(needed.name, wanted)

    for extra in ("", *extras):
        walk(name, extra)
    return {str(package) for package, _ in seen} - {name}


def pins() -> dict[str, list[Requirement]]:
    """Lines of ``constraints.txt``: two where a version depends on the Python."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        pin = Requirement(line)
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def unpinned() -> list[str]:
    """Packages whose version here is another than the pinned one: the page is then of others."""
    here = pins()
    wrong = []
    for name in sorted(closure()):
        wanted = [pin for pin in here.get(name, []) if not pin.marker or pin.marker.evaluate()]
        try:
            version = distribution(name).version
        except PackageNotFoundError:
            version = "none"
        if not any(pin.specifier.contains(version, prereleases=True) for pin in wanted):
            wrong.append(f"{name} {version}")
    return wrong


def carriers() -> set[str]:
    """Packages with a library inside that is copyleft of itself."""
    return {
        name
        for name in closure()
        if any(_CARRIES.search(str(file)) for file in distribution(name).files or [])
    }


def _rows(licences: dict[str, str]) -> Iterator[str]:
    here = pins()
    yield "| package | version | licence |"
    yield "| --- | --- | --- |"
    for name, stated in sorted(licences.items()):
        versions = " or ".join(str(pin.specifier).removeprefix("==") for pin in here[name])
        yield f"| {name} | {versions} | {stated} |"


def page() -> str:
    """``docs/licences.md``."""
    names = closure() - set(WITH_CUDA)
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"]
    carried = "\n".join(f"- **{name}**: {why}." for name, why in sorted(CARRIED.items()))
    return "\n".join(
        [
            "# Licences",
            "",
            f"equiload's own licence is {own}. An installation brings the packages below, at the",
            "versions of `constraints.txt`, under the licences that they state themselves; what",
            "the extras `dev`, `docs`, `cluster`, `offline` and `ray` bring besides is not among",
            "them. It is written by `python tools/licences.py`, and a test holds it to",
            "`constraints.txt`.",
            "",
            *_rows({name: licence(distribution(name)) for name in names}),
            "",
            "## With CUDA",
            "",
            "torch as PyPI serves it for Linux brings CUDA, whose libraries are NVIDIA's and not",
            "free; a build of torch for the CPU brings none of them.",
            "",
            *_rows(WITH_CUDA),
            "",
            "## Copyleft",
            "",
            "No package is under the GPL, AGPL or LGPL. Some wheels carry parts that are:",
            "",
            carried,
            "",
            "certifi is under the MPL-2.0, which asks for changed files of its own alone.",
            "",
        ]
    )


if __name__ == "__main__":
    if others := unpinned():
        raise SystemExit(f"not the versions of constraints.txt: {', '.join(others)}")
    PAGE.write_text(page(), encoding="utf-8")
