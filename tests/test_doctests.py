"""Every example in a docstring runs as it stands, and the public face has some."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(["equiload", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    for folder in ("envs", "robust", "agents", "testing")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
#: What the README and the documentation name first.
FACE = {
    "equiload.agents": ["EGLB", "EGLBMPC", "EGLBOff", "ShadowPrices"],
    "equiload.agents.learn": ["HindsightLearner", "LearnedPolicy", "SyntheticStream"],
    "equiload.robust": ["Certificate", "EnvironmentLayer", "RobustPolicy", "blend", "verify"],
    "equiload.envs": [
        "Dispatch",
        "Fleet",
        "Instance",
        "Objective",
        "Outcome",
        "Policy",
        "Series",
        "Setting",
        "Slot",
        "Trace",
        "dual_bound",
        "rollout",
    ],
    "equiload.envs.gym": [
        "AgentPolicy",
        "DifferentiableSimulator",
        "GLBEnv",
        "GLBVectorEnv",
        "HindsightDual",
        "Observer",
        "Relative",
        "Reward",
        "SB3VecEnv",
    ],
    "equiload.envs.gym.features": ["ExpertPrices", "Feature", "ForecastMeans"],
    "equiload.testing": ["check_feature", "check_policy", "check_reward", "check_source", "score"],
}


def examples(module: ModuleType) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "equiload.testing.strategies":
        pytest.importorskip("hypothesis")
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples(module):
        runner.run(test)
    assert not runner.summarize(verbose=False).failed, capsys.readouterr().out


@pytest.mark.parametrize(("package", "name"), [(p, n) for p, names in FACE.items() for n in names])
def test_the_public_face_has_examples(package: str, name: str) -> None:
    shown = inspect.getdoc(getattr(importlib.import_module(package), name)) or ""
    assert ">>> " in shown, name
