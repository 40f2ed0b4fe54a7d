"""The robustness program as its user runs it."""

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equiload.agents import EGLB, WithKnobs
from equiload.envs import rollout
from equiload.envs.data import synthetic
from equiload.experiments.hostile import campaign, levels
from equiload.experiments.hostile.advice import steered
from equiload.experiments.results import parquet
from equiload.robust import (
    Bounds,
    Certificate,
    EnvironmentLayer,
    FixedMethod,
    RobustPolicy,
    verify,
)
from equiload.testing.problems import random_problems


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "equiload.experiments.cli", "robustness"]
    return subprocess.run(
        [*command, f"hydra.run.dir={folder}", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_campaign_ends_with_its_tally(tmp_path: Path) -> None:
    done = run(tmp_path, "campaign=adversarial", "episodes=9000", "seed=7")
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(
        r"9000 episodes, \d+ slots, 0 violations, smallest relative slack \d\.\de[+-]\d+", last
    )


@pytest.mark.slow
def test_campaign_with_knobs(tmp_path: Path) -> None:
    done = run(tmp_path, "campaign=adversarial", "+instance.knobs=all", "episodes=8192", "seed=3")
    assert done.returncode == 0, done.stderr
    assert re.match(r"8192 episodes, \d+ slots, 0 violations", done.stdout.strip().splitlines()[-1])


def test_a_violation_with_knobs_is_counted() -> None:
    rng = np.random.default_rng(0)
    tally = campaign.Tally()
    for _ in range(4):
        instance = levels.random_parts(rng, 20)
        played = levels.play(instance, rng, method=FixedMethod(1.0), rho=0.0, allowance=0.0)
        tally.add(campaign.verified(played[0], instance, *played[1:]), "here")
    assert "the condition does not hold" in "".join(tally.violations)
    assert "unlike verify" not in "".join(tally.violations)


def test_a_violation_is_counted() -> None:
    rng = np.random.default_rng(0)
    tally = campaign.Tally()
    for _ in range(20):
        instance = random_problems(rng, 20)
        tally.add(campaign.attack(instance, rng, FixedMethod(1.0), horizon_aware=False), "here")
    assert "the condition does not hold" in "".join(tally.violations)
    assert "unlike verify" not in "".join(tally.violations)


def test_a_certificate_that_holds_unverified_is_a_violation(monkeypatch) -> None:
    def false_alarm(self: RobustPolicy) -> Certificate:
        certificate = self.layer.certificate()
        breach = np.arange(len(certificate.breach))[:, None] == 3
        return replace(certificate, breach=certificate.breach | breach)

    monkeypatch.setattr(RobustPolicy, "certificate", false_alarm)
    rng = np.random.default_rng(0)
    instance = random_problems(rng, 5, wide=True)
    verification = campaign.attack(instance, rng, "blend", horizon_aware=False)
    *_, last = map(str, verification.violations)
    assert last == "problem (3,), the episode as a whole: holds is True, unlike verify"


@pytest.mark.slow
def test_the_campaign_goes_on_where_no_policy_can_act() -> None:
    *_, tally = campaign.campaign(9000, seed=15)
    assert tally.unplayed > 0
    assert tally.episodes == 9000
    assert not tally.violations


@pytest.mark.slow
def test_comparison_writes_table_and_figure(tmp_path: Path) -> None:
    options = ["instance.horizon=24", "rounds=2", "rho=[0,0.1]", "allowance=[0]"]
    done = run(tmp_path, *options, "method=[blend,project,switch,fixed]")
    assert done.returncode == 0, done.stderr
    for name in ("robustness.csv", "robustness.json", "robustness.png", "robustness.pdf"):
        assert (tmp_path / name).stat().st_size > 0
    lines = (tmp_path / "robustness.csv").read_text().splitlines()
    assert len(lines) == 1 + 5 * 2 * 4
    table = parquet.read(tmp_path / parquet.FILE).to_pandas()
    ratios = [float(row["ratio"]) for row in csv.DictReader(lines)]
    np.testing.assert_allclose(
        table["objective"] / table["objective"].iloc[0], np.array(ratios) / ratios[0]
    )
    assert table["certificate_rho"].tolist() == [float(row["rho"]) for row in csv.DictReader(lines)]


@pytest.mark.slow
def test_advice_that_climbs_through_the_layer_uses_up_what_it_allows() -> None:
    """And no more: the guarantee is tight, not only true."""
    instance, rho = synthetic("validation/40", horizon=8, regions=3, knobs="all"), 0.5
    own = WithKnobs(EGLB())
    guarantee: dict[str, Any] = {"rho": rho, "bounds": Bounds.of(instance)}
    base = float(rollout(own, instance).objective)
    found = {}
    for rounds in (0, 30):
        advice = steered(instance, rounds, EnvironmentLayer(own, **guarantee), seed=1)
        policy = RobustPolicy(advice, WithKnobs(EGLB()), **guarantee)
        outcome = rollout(policy, instance, keep=True)
        assert verify(policy.certificate(), instance, outcome.allocation, outcome.operation).ok
        found[rounds] = float(outcome.objective) / base - 1.0
    assert found[0] < 0.9 * rho
    assert 0.95 * rho < found[30] <= rho
