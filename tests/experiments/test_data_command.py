"""``equiload data``: what it prints, writes and refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from equiload.envs import DataError, Fleet, Instance, Objective, Trace
from equiload.envs.data import synthetic, table
from equiload.experiments.cli import start
from equiload.experiments.programs.data import main
from equiload.experiments.running.files import replacing
from equiload.experiments.worlds.portrait import portrait


def test_the_example_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", str(tmp_path)]) == 0
    assert main(["example", str(tmp_path)]) == 0  # all the same: nothing to lose
    spec = tmp_path / "example.yaml"
    spec.write_text("mine")
    (tmp_path / "demand.csv").unlink()
    assert start("data", ["example", str(tmp_path)]) == 2
    assert "example.yaml: is there already and differs" in capsys.readouterr().err
    assert spec.read_text() == "mine"
    assert not (tmp_path / "demand.csv").exists()


def test_example_check_and_portrait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", str(tmp_path / "mine")]) == 0
    spec = tmp_path / "mine" / "example.yaml"
    assert table(spec).horizon == 120
    assert main(["check", str(spec)]) == 0
    out = capsys.readouterr().out
    assert "one fixed rate of 1.08 US$ converts EUR/MWh" in out
    assert "1 to look at" in out
    assert main(["check", str(spec), "--strict"]) == 1
    page = tmp_path / "pages" / "page.png"
    assert main(["portrait", str(spec), "--output", str(page)]) == 0
    assert page.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in page.parent.iterdir()] == ["page.png"]


def test_the_default_world_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "synthetic:train/0", "--strict", "--all"]) == 0
    out = capsys.readouterr().out
    assert "ok: carbon of Nevada, clock" in out
    assert "0 to look at" in out


def test_the_paper_trace_is_read_and_its_oddities_told(
    bloom10_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(bloom10_root)]) == 0
    out = capsys.readouterr().out
    assert "price of Texas, tariff: there are only 4 distinct values" in out
    assert "demand of Japan, twins: it is exactly the same as that of Texas" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nothing.yaml"],
        ["check", "nothing"],
        ["check", "synthetic:holdout/1"],
        ["check", "."],
        ["portrait", "synthetic", "--output", "page.doc"],
        ["fetch", "bloom10", "x", "--base", "ftp://example.org"],
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert start("data", arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def full(draft: Path) -> None:
    draft.write_text("half")
    raise OSError(28, "No space left on device")


def test_nothing_is_half_written(tmp_path: Path) -> None:
    target = tmp_path / "page.png"
    target.write_text("old")

    with pytest.raises(DataError, match="No space left"), replacing(target) as draft:
        full(draft)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    for place in (target / "below.png", tmp_path):
        with pytest.raises(DataError, match="cannot be written"), replacing(place) as draft:
            draft.write_text("x")
    assert list(tmp_path.iterdir()) == [target]


def test_portraits_of_odd_instances(tmp_path: Path) -> None:
    nowhere = Instance(
        fleet=Fleet(datacenters=("a",), gateways=("g",), capacity=np.ones(1)),
        trace=Trace(
            price=np.full((2, 1), -5.0),
            intensity=np.zeros((1, 2, 1)),
            demand=np.zeros((2, 1)),
            timestamps=np.array(["2024-01-01T00", "2024-01-01T01"], dtype="datetime64[s]"),
            footprints=("noise",),
        ),
        objective=Objective(equity_weight={"noise": 1.0}),
    )
    large = synthetic(1, regions=32, sites=3, horizon=48, reachability="partial")
    for instance in (nowhere, large):
        portrait(instance).savefig(tmp_path / "page.png", dpi=40)
    with pytest.raises(DataError, match="batch"):
        portrait(synthetic(0, horizon=4, batch=2))
    with pytest.raises(DataError, match="two slots"):
        portrait(synthetic(0, horizon=1))


def test_a_portrait_leaves_constant_series_out_of_the_correlation() -> None:
    instance = synthetic(0, horizon=48)
    price = instance.trace.price.copy()
    price[:, :9] = 0.1 * np.arange(1, 10)  # 0.3 = 3 · 0.1: equal to rounding, and no twins
    trace = dataclasses.replace(instance.trace, price=price)
    page = portrait(instance.replace(trace=trace))
    (axes,) = [a for a in page.axes if "correlation of price" in a.get_title()]
    assert "9 of 10 constant, left blank" in axes.get_title()
    assert np.ma.getmaskarray(axes.images[0].get_array()).all()
    (other,) = [a for a in page.axes if "correlation of carbon" in a.get_title()]
    assert "constant" not in other.get_title()
    assert not np.ma.getmaskarray(other.images[0].get_array()).any()
