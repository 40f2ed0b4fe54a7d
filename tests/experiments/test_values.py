"""Every value of a configuration is checked, by one schema and the signatures that it goes to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from effort import FAULTS, limited
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import Field
from safetensors.torch import save_file

from equiload.agents.learn import LearnedPolicy
from equiload.agents.learn.checkpoint import load_checkpoint
from equiload.agents.learn.policy import shipped
from equiload.envs import DataError, rollout
from equiload.envs.checking import check_call, checked
from equiload.envs.data import synthetic
from equiload.envs.make import instantiated
from equiload.experiments.running import config
from equiload.experiments.running.sources import make_source


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    config.register()
    with initialize_config_module("equiload.conf", version_base="1.3"):
        yield


def read(program: str, *overrides: str) -> config.ProgramConfig:
    return config.SCHEMAS[program].of(compose(program, list(overrides)))


@pytest.mark.parametrize(
    ("program", "override", "sentence"),
    [
        ("benchmark", "published=abc", "'published' must be a mapping, got 'abc'"),
        ("benchmark", "published={full: 1}", "'published.full' must be a mapping, got 1"),
        ("benchmark", "published={half: {}}", "'published.half' must be 'full' or 'partial'"),
        ("benchmark", "algorithms.eglb=5", "'algorithms.eglb' must be a mapping, got 5"),
        ("benchmark", "algorithms.eglb.name=null", "'algorithms.eglb.name' must be a text"),
        ("benchmark", 'algorithms.eglb.name="a\tb"', "a name must be a text that can be printed"),
        ("benchmark", "figures=2", "'figures' must be true or false, got 2"),
        ("benchmark", "reachability=[]", "'reachability' must be a list of at least 1"),
        ("benchmark", "reachability=[half]", r"'reachability\[0\]' must be 'full' or 'partial'"),
        ("benchmark", "equity_weight={carbon: much}", "'equity_weight.carbon' must be a number"),
        ("benchmark", "equity_weight={carbon: .inf}", "must be a number, got '.inf'"),
        ("benchmark", "algorithms.eglb.name=${nope}", "Interpolation key 'nope' not found"),
        ("benchmark", "+colour=1", "there is no option 'colour'"),
        ("evaluate", "draws=1.5", "'draws' must be a whole number, got 1.5"),
        ("evaluate", "draws=0", "'draws' must be at least 1, got 0"),
        ("evaluate", "first=-1", "'first' must be at least 0, got -1"),
        ("evaluate", "confidence=1", "'confidence' must be below 1, got 1"),
        ("evaluate", "confidence=nan", "'confidence' must be a finite number, got nan"),
        ("predictions", "draws=1", "'draws' must be at least 2, got 1"),
        ("predictions", "errors.noise.sizes=[]", "'errors.noise.sizes' must be a list of at least"),
        ("predictions", "rho=[-1]", r"'rho\[0\]' must be at least 0, got -1"),
        ("robustness", "advice=[kind]", r"'advice\[0\]' must be 'perfect', "),
        ("robustness", "rho=[]", "'rho' must be a list of at least 1"),
        ("robustness", "rounds=-1", "'rounds' must be at least 0, got -1"),
        ("robustness", "episodes=-1", "'episodes' must be at least 1, got -1"),
        ("robustness", "campaign=friendly", "'campaign' must be 'adversarial', got 'friendly'"),
        ("tune", "z_max=[a]", r"'z_max\[0\]' must be a number, got 'a'"),
        ("tune", "mirror=[round]", r"'mirror\[0\]' must be 'euclidean' or 'entropic'"),
        ("train", "final.split=nope", "'final.split' must be 'train', 'validation' or 'test'"),
        ("train", "final.draws=1.5", "'final.draws' must be a whole number, got 1.5"),
        ("train", "seed=-1", "'seed' must be at least 0, got -1"),
        ("train", "seed=4294967296", "'seed' must be below 4.29497e"),
        ("train", "device=gpu", "'device': expected auto, cpu, mps, cuda or cuda:N, got 'gpu'"),
        ("train", "problems.equity=[1]", "'problems.equity' must be a list of at least 2"),
        ("train", "problems.batch=true", "'problems.batch' must be a whole number, got True"),
        ("train", "robust.mode=on", "'robust.mode' must be 'off', 'through' or 'after'"),
    ],
)
def test_a_value_of_another_type_or_range_is_one_sentence(
    program: str, override: str, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence) as raised:
        read(program, override)
    assert "\n" not in str(raised.value)


def options(cfg: Any, *place: str) -> Iterator[tuple[str, ...]]:
    """Every option there is, from the composed configuration itself: a new one is tried unasked."""
    for key, value in cfg.items():
        yield (*place, key)
        if isinstance(value, dict):
            yield from options(value, *place, key)


HOSTILE = [
    None, True, -1, 0, 1.5, 10**400, math.nan, math.inf, "", "x", "\x1b[31m", [], [[]], [None],
    ["a", 1], {}, {"a": {}}, {"_target_": 5}, {"_target_": "no.such"}, "\u0661", [-1, 1e308],
]  # fmt: skip


composed = cache(compose)


@settings(max_examples=60 * FAULTS, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("program", sorted(config.SCHEMAS))
@limited()
def test_whatever_stands_in_an_option_is_read_or_refused(program: str, data: st.DataObject) -> None:
    whole: Any = OmegaConf.to_container(composed(program))
    place = data.draw(st.sampled_from(sorted(options(whole))))
    value = data.draw(st.sampled_from(HOSTILE))
    node = whole
    *path, last = place
    for key in path:
        node = node[key]
    node[last] = value
    try:
        cfg = config.SCHEMAS[program].of(OmegaConf.create(whole))
        make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
        for row in getattr(cfg, "algorithms", {}).values():
            instantiated(row.agent if isinstance(row, config.AlgorithmConfig) else row)
    except DataError as error:
        sentence = str(error)
        assert "\n" not in sentence


# ------------------------------------------------------------------ signatures


def test_arguments_are_checked_by_their_annotations() -> None:
    @checked
    def draw(count: int, share: float = 0.5, *, names: list[str] | None = None) -> int:
        del share, names
        return count

    assert draw(2, 1, names=["a"]) == 2
    for wrong, sentence in (
        ((1.5,), "'count' must be a whole number, got 1.5"),
        ((1, "a"), "'share' must be a number, got 'a'"),
    ):
        with pytest.raises(DataError, match=sentence):
            draw(*wrong)
    with pytest.raises(DataError, match=r"'names\[1\]' must be a text, got 2"):
        draw(1, names=["a", 2])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"mine: .*unexpected keyword argument 'colour'"):
        check_call("mine", draw, 1, colour=2)
    check_call("dict", dict, anything=1)  # of C: nothing is known


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1.0, "a"], "'value[1]' must be a number, got 'a'"),
        ({"a": 1.0, "b": [2.0]}, "'value.b' must be a number, got […]"),
        ({"a": 1.0}, "'value' must be a mapping of at least 2, got {'a'}"),
        ("a", "'value' must be a number, a list or a mapping, got 'a'"),
    ],
)
def test_of_a_union_the_part_that_was_meant_is_named(value: Any, sentence: str) -> None:
    @checked
    def take(value: float | list[float] | Annotated[dict[str, float], Field(min_length=2)]) -> None:
        del value

    with pytest.raises(DataError) as refused:
        take(value)
    assert str(refused.value) == sentence


# ------------------------------------------------------------------ checkpoints


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The default policy under a name with dots, blanks and brackets."""
    checkpoint = load_checkpoint(shipped("default"))
    stem = tmp_path / "lr0.001 [best].v2"
    save_file(dict(checkpoint.weights), f"{stem}.safetensors")
    Path(f"{stem}.json").write_text(json.dumps(checkpoint.description()))
    return stem


def test_a_name_with_dots_is_its_own(stored: Path) -> None:
    instance = synthetic(0, horizon=3)
    other = Path(str(stored).removesuffix(".v2"))
    weights = {k: v * 0 for k, v in load_checkpoint(stored).weights.items()}
    save_file(weights, f"{other}.safetensors")
    Path(f"{other}.json").write_text(Path(f"{stored}.json").read_text())
    own, usual, silent = (
        rollout(LearnedPolicy(path), instance).objective for path in (stored, "default", other)
    )
    assert own == usual != silent
    for ending in (".json", ".safetensors"):
        assert load_checkpoint(f"{stored}{ending}").weights.keys() == weights.keys()
    with pytest.raises(DataError, match=r"lr0.001\.json: there is no such checkpoint file"):
        load_checkpoint(stored.parent / "lr0.001")


@pytest.mark.parametrize("path", ["", ".", "/", "x" * 5000, "a\0b"])
def test_what_is_no_path_of_a_checkpoint_is_one_sentence(path: str) -> None:
    with pytest.raises(DataError):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": {"kind": "regions", "hidden": 10**6, "depth": 3}}, "more than the .* weights"),
        ({"network": {"kind": "regions", "hidden": 64, "depth": 10**5}}, "more than the .* weight"),
        ({"network": {"kind": "regions", "hidden": 64.0}}, "'network.hidden' must be a whole"),
        ({"network": 5}, "'network' must be a mapping, got 5"),
        ({"network": {"kind": ["regions"]}}, "'network.kind' must be a text"),
        ({"observation.kinds": "carbon"}, "'observation.kinds' must be a list, got 'carbon'"),
        ({"observation.kinds": [1, 2]}, r"'observation.kinds\[0\]' must be a text, got 1"),
        ({"observation.features": 5}, "'observation.features' must be a list, got 5"),
        ({"observation.price_scale": "100"}, "'observation.price_scale' must be a number"),
        ({"observation.price_scale": math.nan}, "'observation.price_scale' must be a finite"),
        ({"observation.blocks": ["price"]}, "'observation.blocks' must be a mapping"),
        ({"observation.sizes": {"price": "ten"}}, "'observation.sizes.price' must be a whole"),
        ({"action.scale": 0}, "'action.scale' must be above 0, got 0"),
        ({"action.squash": "relu"}, "'action.squash' must be 'none', 'clip' or 'tanh'"),
        ({"scores": None}, "'scores' must be a mapping, got None"),
        ({"schema": 2}, "schema is 2, expected 1"),
    ],
)
def test_a_strangers_checkpoint_is_checked_before_it_is_built(
    stored: Path, change: dict[str, Any], sentence: str
) -> None:
    described = Path(f"{stored}.json")
    description = json.loads(described.read_text())
    for place, value in change.items():
        *path, last = place.split(".")
        node = description
        for key in path:
            node = node[key]
        node[last] = value
    described.write_text(json.dumps(description))
    with pytest.raises(DataError, match=sentence):
        rollout(LearnedPolicy(stored), synthetic(0, horizon=1))


@pytest.mark.parametrize(
    "text", ["[" * 5000 + "]" * 5000, '{"schema": ' + "1" * 10**6 + "}", "", "\udcff", "5", "{}"]
)
def test_json_that_is_no_checkpoints_is_one_sentence(stored: Path, text: str) -> None:
    Path(f"{stored}.json").write_text(text, errors="surrogateescape")
    with pytest.raises(DataError, match="best"):
        load_checkpoint(stored)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64])
def test_weights_are_floats(stored: Path, dtype: torch.dtype) -> None:
    weights = {name: value.to(dtype) for name, value in load_checkpoint(stored).weights.items()}
    save_file(weights, f"{stored}.safetensors")
    with pytest.raises(DataError, match=r"weights .* are torch"):
        load_checkpoint(stored)
