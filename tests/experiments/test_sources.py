"""Every program on every source, windows of recorded traces, and algorithms that cannot act."""

from __future__ import annotations

import csv
import json
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiload.agents import EGLB, EGLBOff, GLBCost, GLBDist
from equiload.envs import DataError, Fleet, Instance, Objective, State, Trace
from equiload.envs.data import (
    Draw,
    GeneratedSource,
    RecordedSource,
    ShiftedSource,
    Split,
    SyntheticSource,
    TableSource,
    named_source,
    shifted,
    synthetic,
)
from equiload.envs.data.disturbed import HONOURED
from equiload.experiments import cli
from equiload.experiments.programs import collect
from equiload.experiments.programs.data import main as data_command
from equiload.experiments.report import write_report
from equiload.experiments.results import parquet
from equiload.experiments.results.records import LeftOut
from equiload.experiments.results.study import Study, compare
from equiload.experiments.running.sources import count_draws, make_source, reachabilities

Run = tuple[int, str, str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a program here, anew in ``tmp_path/run``; returns status, output and errors."""

    def start(program: str, *overrides: str) -> Run:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [])
        anew = [f"hydra.run.dir={tmp_path / 'run'}", "resume=never"]
        try:
            status = cli.start(program, [*overrides, *anew])
        except SystemExit as error:
            status = int(error.code or 0)
        except Exception as error:  # noqa: BLE001 - of the programmer, which Python prints
            status = 1
            print(error, file=sys.stderr)
        said = capsys.readouterr()
        return status, said.out, said.err

    return start


# ------------------------------------------------------------------ worlds


def write_world(
    folder: Path, *, days: int = 5, location: bool = True, partial: bool = False
) -> Path:
    """Two regions from plain files, as in the how-to's recipe."""
    rng = np.random.default_rng(3)
    hours = np.datetime64("2024-01-01T00", "s") + np.arange(24 * days) * np.timedelta64(1, "h")
    lines = ["name: mine"]
    lines += ["reachability: {Here: [Here, There], There: [There]}"] if partial else []
    lines += ["regions:"]
    folder.mkdir(exist_ok=True)
    for region, place in (("Here", "[50.1, 8.7]"), ("There", "[48.2, 16.4]")):
        series = {
            "price": 60 + 30 * rng.random(len(hours)),
            "carbon": 0.2 + 0.4 * rng.random(len(hours)),
            "water": 2 + 3 * rng.random(len(hours)),
            "demand": 0.4 + 0.2 * rng.random(len(hours)),
        }
        with (folder / f"{region}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", *series])
            writer.writerows(zip(hours.astype(str), *series.values(), strict=True))
        lines += [f"  {region}:"]
        lines += [f"    location: {place}"] if location else []
        units = {"price": "US$/MWh", "carbon": "t/MWh", "water": "m³/MWh", "demand": "share"}
        lines += [
            f"    {kind}: {{file: {region}.csv, time: time, time_zone: UTC, column: {kind}, "
            f"unit: {unit}}}"
            for kind, unit in units.items()
        ]
    path = folder / "world.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    assert data_command(["example", str(folder)]) == 0
    return folder / "example.yaml"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"), days=20, partial=True)


def made_at_home(reachability: str = "full") -> Instance:
    """A function of a user's own, which knows of no seeds and windows."""
    return synthetic(5, horizon=240, reachability=reachability)


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which a configuration finds :func:`made_at_home`."""
    module = ModuleType("home")
    vars(module).update(world=made_at_home)
    monkeypatch.setitem(sys.modules, "home", module)
    return "home.world"


@pytest.fixture(params=["synthetic", "shifted", "example", "own", "function", "bloom10"])
def chosen(request: pytest.FixtureRequest) -> list[str]:
    """Overrides that choose a source, and ten slots of it."""
    name = request.param
    if name == "synthetic":
        return ["instance.horizon=10"]
    if name == "shifted":
        return ["instance=shifted", "instance.kind=outage", "instance.horizon=10"]
    if name == "function":
        return [f"instance._target_={request.getfixturevalue('at_home')}", "instance.horizon=10"]
    if name == "bloom10":
        root = request.getfixturevalue("bloom10_root")
        return ["instance=bloom10", f"instance.root={root}", "instance.horizon=10"]
    path = request.getfixturevalue(name)
    # The worked example is so short that a day apart leaves nothing to test on.
    short = ["+instance.gap=2"] if name == "example" else []
    return ["instance=table", f"instance.path={path}", "instance.horizon=10", *short]


PROGRAMS = {
    "benchmark": ["algorithm=[glb_cost,eglb,eglb_off]", "figures=false", "report=false"],
    "evaluate": ["algorithm=[eglb]", "draws=2"],
    "predictions": [
        *("draws=2", "figures=false", "errors={noise: null, delay: null, swap: null}"),
        *("wrapped=[]", "algorithms.learned=null"),
    ],
    "robustness": ["rounds=1", "rho=[0.1]", "allowance=[0]", "figures=false"],
    "scenarios": [f"file={Path(__file__).parent / 'less.yaml'}", "report=false"],
    "tune": [
        *("draws=1", "horizons=[6]", "step_size=[1]", "z_max=[1]"),
        *("mirror=[entropic]", "schedule=[constant]"),
    ],
}
WRITES = {
    "benchmark": "results.json",
    "evaluate": "evaluation.json",
    "predictions": "predictions.json",
    "robustness": "robustness.json",
    "scenarios": "scenarios.json",
    "tune": "tune.json",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_takes_every_source(
    program: str, chosen: list[str], run: Any, tmp_path: Path
) -> None:
    status, out, err = run(program, *PROGRAMS[program], *chosen)
    assert status == 0, err
    assert out
    content = json.loads((tmp_path / "run" / WRITES[program]).read_text())
    assert not content.get("left_out")
    if program != "tune":
        slots = set(parquet.read(tmp_path / "run" / parquet.FILE)["slots"].to_pylist())
        assert slots == {10}


@pytest.mark.parametrize("program", PROGRAMS)
def test_weights_and_what_if_are_every_programs(
    program: str, own: Path, run: Any, tmp_path: Path
) -> None:
    table = ["instance=table", f"instance.path={own}", "instance.horizon=10"]
    changed = ["equity_weight={carbon: 10}", "shift=price"]
    status, _, err = run(program, *PROGRAMS[program], *table, *changed)
    assert status == 0, err
    if program != "tune":
        rows = parquet.read(tmp_path / "run" / parquet.FILE).to_pandas()
        assert set(rows["carbon_weight"]) == {10.0}
        assert set(rows["water_weight"]) == {60.0}
        assert rows["instance"].str.contains("shifted (price)", regex=False).all()


def test_a_third_footprint_is_one_option(run: Any, tmp_path: Path, own: Path) -> None:
    options = [*PROGRAMS["benchmark"], "instance.horizon=10", "equity_weight={nox: 10}"]
    status, out, err = run("benchmark", *options)
    assert status == 0, err
    assert "NOx" in out
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(content["rows"][0]["footprints"]) == ["carbon", "water", "nox"]
    assert content["instance"]["footprints"]["nox"] == "kg"
    status, _, err = run("benchmark", *options, "instance=table", f"instance.path={own}")
    assert status == 2
    assert "has no nox; give it nox, or grid_nox (or mix)" in err


def test_sizes_of_equipment_are_drawn(run: Any, tmp_path: Path) -> None:
    options = ["algorithm=[glb_cost]", "reachability=[full]", "instance.horizon=3"]
    ranges = ["+instance.knobs=[storage]", "instance.seed=test/1"]
    stated = "+instance.equipment.storage_hours=[{},{}]"
    status, _, err = run("benchmark", *options, *ranges, stated.format(2, 8))
    assert status == 0, err
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    hours = content["instance"]["provenance"]["equipment"]["storage_hours"]
    assert 2.0 < hours < 8.0
    again = synthetic("test/1", horizon=3, knobs="storage", equipment={"storage_hours": [2, 8]})
    assert again.fleet.storage.energy[0] == pytest.approx(hours / 4)
    status, _, err = run("benchmark", *options, *ranges, stated.format(8, 2))
    assert status == 2
    assert "the ends of equipment 'storage_hours' must lie above 0, the low one first" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_stress_is_honoured_or_refused(program: str, own: Path, run: Any) -> None:
    table = ["instance=table", f"instance.path={own}", "instance.horizon=10"]
    status, _, err = run(program, *PROGRAMS[program], *table, "+stress=demand_surge")
    assert status == 0, err
    status, _, err = run(program, *PROGRAMS[program], *table, "+stress=drought")
    assert status == 2
    assert "hydro, warmth change what the generator draws, and a recorded trace" in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------ make_source


def test_what_a_node_may_name(at_home: str, own: Path) -> None:
    path = "equiload.envs.data"
    assert isinstance(make_source({"_target_": f"{path}.synthetic", "seed": 3}), GeneratedSource)
    node = {"_target_": f"{path}.shifted_source", "kind": "price", "seed": "test/3", "horizon": 9}
    source = make_source(node)
    assert isinstance(source, ShiftedSource)
    same = shifted("price", "test/3", horizon=9)
    assert source.instance().trace.price.tolist() == same.trace.price.tolist()
    assert source.instance().name == same.name
    # Windows of a function that knows of none.
    source = make_source({"_target_": at_home, "seed": "test/0", "horizon": 8, "gap": 4})
    assert isinstance(source, RecordedSource)
    assert source.reachabilities() == ("full", "partial")
    whole = made_at_home("partial")
    low, _ = source.part(Split.TEST)
    assert low == 204 + 4
    assert source.instance().trace.price.tolist() == whole.trace.price[low : low + 8].tolist()
    assert not source.instance(reachability="partial").fleet.full
    for wrong, sentence in (
        (
            {"_target_": f"{path}.TableSource", "path": str(own), "colour": 1},
            "no table option 'colour'",
        ),
        ({"_target_": f"{path}.SyntheticSource", "reachability": "full"}, "reachability is no opt"),
        ({"_target_": "builtins.dict"}, "expected a source of instances, or an Instance, got dict"),
        ({"_target_": "no.such.thing"}, "no.such.thing"),
    ):
        with pytest.raises(DataError, match=sentence):
            make_source(wrong)


def test_partial_is_run_once_where_it_is_full(capsys: pytest.CaptureFixture[str]) -> None:
    full = RecordedSource(synthetic(0, horizon=30), name="mine")
    assert reachabilities(full, ["full", "partial", "full"]) == ["full"]
    assert capsys.readouterr().err == (
        "mine: every gateway reaches every data center, so partial is full: run once\n"
    )
    assert reachabilities(full, ["partial"]) == ["full"]
    assert reachabilities(full, ["full", "full"]) == ["full"]
    both = SyntheticSource(0)
    assert reachabilities(both, ["partial", "full", "partial"]) == ["partial", "full"]


def test_draws_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    source = RecordedSource(synthetic(0, horizon=400), name="mine", gap=0)
    assert count_draws(source, "test", 2, horizon=20) == 2
    assert capsys.readouterr().err == ""
    assert count_draws(source, "test", 64, horizon=20) == 3
    assert capsys.readouterr().err == "mine has 3 test draws, not 64: 3 are run\n"
    assert count_draws(source, "test", 64, first=2, horizon=20) == 1
    assert count_draws(source, "train", 64, horizon=20) == 64
    with pytest.raises(DataError, match="first=3 is none"):
        count_draws(source, "test", 1, first=3, horizon=20)
    with pytest.raises(DataError, match=r"give a horizon of 60 at most, .* or draws=null$"):
        count_draws(source, "test", 1, horizon=61, remedy="draws=null")
    with pytest.raises(DataError, match="the split must be train, validation or test"):
        count_draws(source, "holdout", 1)


def test_fewer_windows_than_asked_for_are_told(own: Path, run: Any, tmp_path: Path) -> None:
    table = ["instance=table", f"instance.path={own}", "algorithm=[eglb]"]
    status, out, err = run("evaluate", *table, "instance.horizon=20", "reachability=[full]")
    assert status == 0, err
    assert "world.yaml has 2 test draws, not 64: 2 are run" in err
    assert "2 test draws of world.yaml, 20 slots" in out
    rows = parquet.read(tmp_path / "run" / parquet.FILE).to_pandas()
    assert rows["draw"].tolist() == ["test/0", "test/1"]
    assert rows["split"].tolist() == ["test"] * 2
    status, _, err = run("evaluate", *table)  # a week, of which three days were left
    assert status == 2
    assert "the test part has 48 of the 480 slots, and a window takes 168" in err
    assert "draws=null" in err
    status, out, err = run("evaluate", *table, "draws=null", "instance.horizon=null")
    assert status == 0, err
    assert "mine, 480 slots" in out
    status, _, err = run("evaluate", *table, "draws=null", "instance.horizon=500")
    assert status == 2
    assert "horizon=500 is more than the 480 slots that there are; null takes them all" in err
    status, _, err = run("tune", *table[:2], *PROGRAMS["tune"], "horizons=[6,400]")
    assert status == 2
    assert "the train part has 336 of the 480 slots" in err
    assert "horizons without 400" in err


@pytest.mark.parametrize("horizon", [1, 2, 24])
def test_predictions_of_a_day_or_less(horizon: int, run: Any) -> None:
    status, out, err = run(
        "predictions", *PROGRAMS["predictions"], f"instance.horizon={horizon}", "draws=null"
    )
    assert status == 0, err
    assert "synthetic: gap to eGLB-Off" in out


# ------------------------------------------------------------------ windows


def trace_of(slots: int, minutes: int = 60) -> Instance:
    """One region whose price is the number of its slot."""
    return Instance(
        fleet=Fleet(datacenters=("a", "b"), gateways=("g",), capacity=np.ones(2)),
        trace=Trace(
            price=np.stack([np.arange(slots), np.arange(slots)], -1).astype(float),
            intensity=np.ones((1, slots, 2)),
            demand=np.full((slots, 1), 0.5),
            timestamps=np.datetime64("2024-01-01", "s")
            + np.arange(slots) * np.timedelta64(minutes, "m"),
            footprints=("carbon",),
        ),
        objective=Objective(equity_weight={"carbon": 1.0}),
        name="counted",
    )


def slots_of(instance: Instance) -> list[int]:
    return [int(slot) for slot in instance.trace.price[..., 0].ravel()]


@given(
    slots=st.integers(60, 600),
    length=st.integers(1, 40),
    gap=st.integers(0, 30),
    shares=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    draws=st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_windows_keep_apart(
    slots: int, length: int, gap: int, shares: tuple[int, int, int], draws: list[int]
) -> None:
    split = [share / sum(shares) for share in shares]
    source = RecordedSource(trace_of(slots), gap=gap, split=split, horizon=length)
    taken: dict[Split, list[list[int]]] = {}
    for part in Split:
        try:
            count = source.draws(part)
        except DataError:
            low, high = source.part(part)
            assert high - low < length  # refused because there is no room, and only then
            continue
        numbers = draws if count is None else range(count)
        name = part.name.lower()
        windows = [source.draw(f"{name}/{n}") for n in numbers]
        taken[part] = [slots_of(window) for window in windows]
        for n, window in zip(numbers, windows, strict=True):
            assert slots_of(source.draw(f"{name}/{n}")) == slots_of(window)
            first = slots_of(window)[0]
            assert slots_of(window) == list(range(first, first + length))
        if count is not None:
            used = [slot for window in taken[part] for slot in window]
            assert len(used) == len(set(used)) == count * length
            with pytest.raises(DataError, match=f"there is no {name}/{count}"):
                source.draw(f"{name}/{count}")
    ordered = [[s for window in taken[part] for s in window] for part in Split if part in taken]
    for earlier, later in pairwise(ordered):
        assert max(earlier) + gap < min(later)


@given(first=st.integers(0, 10**6), members=st.integers(1, 4), stress=st.booleans())
@settings(max_examples=25)
def test_members_of_a_batch_are_single_draws(first: int, members: int, stress: bool) -> None:
    ranges = {"outages": (3, 5), "flash_crowds": 4, "utilisation": (0.3, 0.6)} if stress else None
    source = RecordedSource(trace_of(500), horizon=24, gap=0, ranges=ranges)
    batch = source.draw(first, batch=members)
    single = [source.draw(Draw.train(first).of_member(b)) for b in range(members)]
    tests = source.draw("test/0", batch=2)
    single += [source.draw(f"test/{n}") for n in range(2)]
    both = [*(batch[b] for b in range(members)), tests[0], tests[1]]
    for one, other in zip(both, single, strict=True):
        for name in ("price", "demand", "availability", "timestamps"):
            ours, theirs = getattr(one.trace, name), getattr(other.trace, name)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                np.testing.assert_array_equal(ours, theirs)


def test_the_default_gap_is_a_day() -> None:
    for minutes, slots in ((15, 96), (60, 24), (1440, 1)):
        source = RecordedSource(trace_of(1000, minutes))
        (_, high), (low, _) = source.part(Split.TRAIN), source.part(Split.VALIDATION)
        assert low - high == slots


def test_stress_happens_and_leaves_everything_servable() -> None:
    calm = synthetic(3, horizon=900, reachability="partial", ranges={"outages": 0})
    stressed = {
        kind: RecordedSource(calm, ranges={kind: value})
        for kind, value in zip(HONOURED, ((5, 5), (40, 40), (0.3, 0.3)), strict=True)
    }
    down = stressed["outages"].instance(reachability="partial")
    assert 0.7 < down.capacity.mean() / calm.capacity.mean() < 0.97
    assert down.trace.demand.tolist() == calm.trace.demand.tolist()
    crowd = stressed["flash_crowds"].instance(reachability="partial").trace.demand
    assert (crowd >= calm.trace.demand - 1e-9).mean() > 0.99
    assert crowd.sum() > 1.03 * calm.trace.demand.sum()
    idle = stressed["utilisation"].instance().trace.demand
    assert idle.sum() == pytest.approx(0.3 * calm.capacity.sum())
    assert (
        idle.tolist()
        == stressed["utilisation"].instance(reachability="partial").trace.demand.tolist()
    )
    other = [stressed["outages"].draw(f"test/{n}", horizon=30) for n in (0, 0, 1)]
    assert other[0].capacity.tolist() == other[1].capacity.tolist()
    assert other[0].capacity.tolist() != other[2].capacity.tolist()
    assert "ranges" in other[0].trace.provenance
    # More than there is room for is cut, and still served.
    full = RecordedSource(calm, ranges={"utilisation": 0.9, "flash_crowds": 50, "outages": 10})
    assert full.instance(reachability="partial").trace.demand.sum() <= calm.capacity.sum()


def test_stretches_begin_where_they_are_told() -> None:
    whole = trace_of(100)
    source = RecordedSource(whole, start="2024-01-02T00:00Z", horizon=5)
    assert slots_of(source.instance()) == [24, 25, 26, 27, 28]
    assert slots_of(RecordedSource(whole, start=98).instance()) == [98, 99]
    for options, sentence in (
        ({"start": 98, "horizon": 5}, "horizon=5 is more than the 2 slots"),
        ({"start": "2024-01-02T00:30"}, "no slot starts at"),
        ({"start": 100}, "start must lie in 0..99"),
        ({"start": 1, "seed": "test/0"}, "both choose the stretch"),
        ({"horizon": 0}, "'horizon' must be at least 1, got 0"),
        ({"gap": -1}, "'gap' must be at least 0, got -1"),
        ({"split": [0.5, 0.5]}, "split must be three shares"),
        ({"ranges": {"colour": 1}}, "there is no range 'colour'"),
    ):
        with pytest.raises(DataError, match=sentence):
            RecordedSource(whole, **options).instance()


# ------------------------------------------------------------------ sources by name


def test_sources_by_name(own: Path, bloom10_root: Path) -> None:
    assert named_source("synthetic:test/3").instance(horizon=4).trace.provenance["draw"] == "test/3"
    assert named_source("synthetic:7").instance(horizon=4).trace.provenance["draw"] == "train/7"
    for text in (str(own), f"table:{own}"):
        source = named_source(text)
        assert isinstance(source, TableSource)
        assert source.instance().horizon == 480
    for text in (str(bloom10_root), f"bloom10:{bloom10_root}"):
        assert named_source(text).instance().horizon == 457
    for text in ("table:", "nothing", "bloom10", "synthetic:holdout/1"):
        with pytest.raises(DataError):
            named_source(text)


def test_environments_take_windows_of_the_training_part(own: Path) -> None:
    env = gymnasium.make("equiload.envs:equiload/GLB-v0", instance=f"table:{own}", horizon=12)
    assert str(own) in env.spec.to_json()
    source = TableSource(own)
    low, high = source.part(Split.TRAIN)
    stamps = source.recorded.trace.timestamps
    starts = set()
    for seed in range(30):
        env.reset(seed=seed)
        episode = env.unwrapped.instance.trace
        assert stamps[low] <= episode.timestamps[0]
        assert episode.timestamps[-1] <= stamps[high - 1]
        starts.add(str(episode.timestamps[0]))
    assert len(starts) > 20
    assert not env.unwrapped.instance.fleet.full  # the table's own reachability
    options: dict[str, Any] = {"horizon": 12, "reachability": "full"}
    env = gymnasium.make(
        "equiload/GLB-v0", instance=source, equity_weight={"carbon": 7.0}, **options
    )
    env.reset(seed=0)
    assert env.unwrapped.instance.fleet.full
    assert env.unwrapped.instance.objective.equity_weight == {"carbon": 7.0, "water": 60.0}
    # All episodes are stretches of one pool.
    many = gymnasium.make_vec("equiload/GLB-v0", num_envs=5, instance=source, horizon=12)
    many.reset(seed=0)
    episodes = many.unwrapped.core.episodes
    assert len(episodes.timestamps) == high - low
    assert len(episodes.first) == 5


def test_environments_take_other_sources(own: Path) -> None:
    for instance, name in (
        (SyntheticSource(horizon=20), "train/"),
        (ShiftedSource(TableSource(own), "price"), None),
        (TableSource(own, ranges={"outages": 5}), None),
        ("synthetic:test/3", None),
    ):
        env = gymnasium.make("equiload/GLB-v0", instance=instance, horizon=6)
        env.reset(seed=0)
        first = env.unwrapped.instance.trace.price
        assert first.shape[0] == 6, name
        env.reset(seed=0)
        assert env.unwrapped.instance.trace.price.tolist() == first.tolist()
    with pytest.raises(DataError, match="there is no instance named 'no-such'"):
        gymnasium.make("equiload/GLB-v0", instance="no-such")


# ------------------------------------------------------------------ what cannot act


class Picky(GLBCost):
    """Cannot act from this day on."""

    refuses = np.datetime64("2024-01-20")

    def act(self, slot: Any, state: State) -> Any:
        if np.any(slot.timestamp >= self.refuses):
            raise DataError("too late\nfor me")
        return super().act(slot, state)


class Never(Picky):
    """Never can act."""

    refuses = np.datetime64("2024-01-01")


class Buggy(GLBCost):
    """Has an error of its programmer."""

    def act(self, slot: Any, state: State) -> Any:
        return slot.nothing


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("rows")
    vars(module).update(Picky=Picky, Never=Never, Buggy=Buggy)
    monkeypatch.setitem(sys.modules, "rows", module)


def test_compare_leaves_out_what_cannot_act() -> None:
    nowhere = trace_of(8)
    agents = {"far": GLBDist(), "cheap": GLBCost(), "off": EGLBOff()}
    study = Study()
    study.compare(agents, nowhere, reachability="full")
    assert [row.algorithm for row in study.rows] == ["cheap", "off"]
    reason = "GLB-Dist needs a distance in km: give every region a location"
    assert study.left_out == [LeftOut("far", "full", reason)]
    with pytest.raises(DataError, match="needs a distance in km"):
        compare(agents, nowhere, reachability="full")
    with pytest.raises(AttributeError):
        Study().compare({"b": Buggy()}, nowhere, reachability="full")


def test_an_own_world_without_location_through_the_default_benchmark(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = write_world(tmp_path / "world", days=1, location=False)
    status, out, err = run("benchmark", "instance=table", f"instance.path={world}", "figures=false")
    assert status == 0, err
    assert (
        err == "world.yaml: every gateway reaches every data center, so partial is full: run once\n"
    )
    sentence = "GLB-Dist needs a distance in km: give every region a location"
    assert f"GLB-Dist left out: {sentence}" in out
    folder = tmp_path / "run"
    content = json.loads((folder / "results.json").read_text())
    assert content["schema"] == 2
    assert content["left_out"] == [
        {"algorithm": "GLB-Dist", "reachability": "full", "reason": sentence}
    ]
    names = [row["algorithm"] for row in content["rows"]]
    assert "GLB-Dist" not in names
    assert len(names) == 9
    page = (write_report(folder)).read_text(encoding="utf-8")
    assert f"GLB-Dist, full reachability: {sentence}" in page
    assert collect.main([str(folder)]) == 0
    assert "9 rows of 1 runs" in capsys.readouterr().out


@pytest.mark.usefixtures("rows")
def test_rows_that_cannot_act_in_every_program(own: Path, run: Any, tmp_path: Path) -> None:
    table = ["instance=table", f"instance.path={own}", "reachability=[full]"]
    picky = "+algorithms.picky={name: Picky, agent: {_target_: rows.Picky}}"
    # In the second of two test windows only: a mean over the first alone would mislead.
    status, out, err = run(
        "evaluate", *table, "algorithm=[eglb]", picky, "draws=2", "instance.horizon=20"
    )
    assert status == 0, err
    assert "Picky left out: too late for me" in out
    content = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [score["algorithm"] for score in content["scores"]] == ["eGLB"]
    assert content["left_out"][0]["reason"] == "too late for me"
    assert set(parquet.read(tmp_path / "run" / parquet.FILE)["algorithm"].to_pylist()) == {"eGLB"}
    # The baseline, too.
    status, _, err = run(
        *("evaluate", *table, "algorithm=[eglb]", picky, "draws=2", "instance.horizon=20"),
        "baseline=Picky",
    )
    assert status == 0, err
    content = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [score["closed"] for score in content["scores"]] == [None]

    status, out, err = run(
        *("predictions", *table[:2], *PROGRAMS["predictions"], "instance.horizon=20"),
        "+references.picky={_target_: rows.Picky}",
    )
    assert status == 0, err
    assert "picky left out: too late for me" in out
    content = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert [row["algorithm"] for row in content["left_out"]] == ["picky"]
    assert "picky" not in {score["algorithm"] for score in content["scores"]}

    status, out, err = run(
        *("robustness", *table[:2], *PROGRAMS["robustness"], "advice=[greedy,learned]"),
        "learned={_target_: rows.Picky}",
    )
    assert status == 0, err
    assert "learned left out: too late for me" in out
    content = json.loads((tmp_path / "run" / "robustness.json").read_text())
    assert [row["algorithm"] for row in content["left_out"]] == ["learned"]
    assert {trial["advice"] for trial in content["trials"]} == {"greedy"}
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "Could not act: learned, full reachability: too late for me" in page


@pytest.mark.usefixtures("rows")
def test_where_nothing_can_act_the_first_sentence_ends_the_run(own: Path, run: Any) -> None:
    table = ["instance=table", f"instance.path={own}"]
    node = "{_target_: rows.Never}"
    alone = ["algorithm=[glb_cost]", f"algorithms.glb_cost.agent={node}"]
    one = ["baseline=GLB-Cost", "draws=null", "instance.horizon=5"]
    for program, only in (
        ("benchmark", alone),
        ("evaluate", [*alone, *one]),
        ("robustness", [*PROGRAMS["robustness"], "advice=[learned]", f"learned={node}"]),
    ):
        status, _, err = run(program, *table, *only)
        assert status == 2, err
        assert "can act" in err
        assert err.splitlines()[-1].endswith("too late for me")


@pytest.mark.usefixtures("rows")
def test_errors_of_the_programmer_end_the_run(own: Path, run: Any) -> None:
    table = ["instance=table", f"instance.path={own}", "algorithm=[eglb]"]
    buggy = "+algorithms.b={name: B, agent: {_target_: rows.Buggy}}"
    for program, option in (("benchmark", "figures=false"), ("evaluate", "draws=null")):
        status, _, err = run(program, *table, buggy, option)
        assert status == 1
        assert "nothing" in err


# ------------------------------------------------------------------ tables by region, sweeps


def test_what_each_region_carries(own: Path, run: Any, tmp_path: Path) -> None:
    table = ["instance=table", f"instance.path={own}", "instance.horizon=24"]
    status, out, err = run("benchmark", *table, *PROGRAMS["benchmark"])
    assert status == 0, err
    with (tmp_path / "run" / "regions.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    assert len(lines) == 2 * len(content["rows"])
    for row in content["rows"]:
        its = [
            line
            for line in lines
            if (line["algorithm"], line["reachability"]) == (row["algorithm"], row["reachability"])
        ]
        assert [line["region"] for line in its] == ["Here", "There"]
        total = sum(float(line["energy_cost_US$"]) for line in its)
        assert total == pytest.approx(row["energy_cost"])
        for kind, unit in (("carbon", "t"), ("water", "m³")):
            values = [float(line[f"{kind}_{unit}"]) for line in its]
            shares = [float(line[f"{kind}_share"]) for line in its]
            assert max(values) == pytest.approx(row["footprints"][kind]["max"])
            assert shares == pytest.approx([value / max(values) for value in values])
    assert "By region, partial reachability" in out
    printed = out.split("By region")[1].splitlines()
    assert max(map(len, printed[:-2])) <= 80
    assert "eGLB-Off" in out.split("By region")[1]


def test_a_sweep_over_a_table(own: Path, tmp_path: Path, run: Any) -> None:
    table = ["instance=table", f"instance.path={own}", "instance.horizon=20"]
    folder = tmp_path / "sweep"
    status, _, err = run(
        *("benchmark", "-m", *table, "algorithm=[glb_cost]", "figures=false"),
        *("instance.seed=test/0,test/1", "+stress=none,outage", f"hydra.sweep.dir={folder}"),
    )
    assert status == 0, err
    merged, skipped = collect.collect(folder)
    assert not skipped
    assert merged.num_rows == 2 * 2 * 2
    assert set(merged["draw"].to_pylist()) == {"test/0", "test/1"}
    status, _, err = run(
        *("benchmark", "-m", *table, "algorithm=[glb_cost]", "figures=false"),
        *("instance.seed=test/0,test/9", f"hydra.sweep.dir={folder}"),
    )
    assert status == 1
    assert "there is no test/9; windows of 20 slots fit 2 times into the test part" in err


def test_a_policy_sees_the_same_on_a_window_as_on_its_source(own: Path) -> None:
    source = TableSource(own)
    window = source.draw("validation/0", horizon=12, reachability="partial")
    low, _ = source.part(Split.VALIDATION)
    direct = source.recorded.window(low, 12)
    ours = compare({"e": EGLB()}, window, reachability="partial")[0]
    theirs = compare({"e": EGLB()}, direct, reachability="partial")[0]
    assert float(ours.outcome.objective) == float(theirs.outcome.objective)
