"""What docs/security.md promises, beside the tests that it names elsewhere."""

import pickle
import re
from pathlib import Path

import pytest

from equiload.envs import DataError
from equiload.envs.data import table
from equiload.envs.make import instantiated
from equiload.experiments.trainers.tensors import read_tensors

ROOT = Path(__file__).parents[1]


def test_every_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert len(named) >= 9
    assert named <= set(re.findall(r"def (test_\w+)\(", tests))


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:pathlib.Path.touch", "!!python/name:os.getcwd"]
)
@pytest.mark.parametrize("line", ["name: {} [{}]", "regions: {} {{Here: {}}}", "{} {}: 1"])
def test_tags_of_yaml_run_nothing(tag: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(line.format(tag, tmp_path / "made"))
    with pytest.raises(DataError):
        table(tmp_path / "w.yaml")
    assert not (tmp_path / "made").exists()


class Opening:
    """What a pickle can hold: a call of whatever Python has."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_training_state_runs_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    pickle.loads(pickle.dumps(Opening(made)))
    assert made.exists()  # it would
    made.unlink()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "training.pt").write_bytes(pickle.dumps(Opening(made), protocol))
        with pytest.raises(DataError, match="not a training state"):
            read_tensors(tmp_path / "training.pt")
    assert not made.exists()


def test_a_configuration_is_code(tmp_path: Path) -> None:
    """And is therefore said to be one."""
    instantiated({"_target_": "pathlib.Path.touch", "self": tmp_path / "made"})
    assert (tmp_path / "made").exists()
