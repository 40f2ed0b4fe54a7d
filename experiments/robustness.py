"""How much of good advice the layer keeps, and how little of bad advice it lets through.

``python -m equiload.experiments.robustness``: advice × ρ × allowance × method on one instance.
``python -m equiload.experiments.robustness campaign=adversarial``: random small problems, hostile
advice, every episode verified independently; exit status 1 on any violation.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from equiload.envs import DataError, EquiloadError, Instance, Policy, dual_bound, rollout
from equiload.envs.typing import FloatArray
from equiload.experiments import results
from equiload.experiments.advice import (
    Dearest,
    Replay,
    Stale,
    hostile,
    noisy,
    perfect_weights,
)
from equiload.experiments.benchmark import one_instance
from equiload.experiments.campaign import EPISODES_PER_BATCH, Tally, campaign
from equiload.experiments.comparison import LeftOut, Row
from equiload.experiments.config import RobustnessConfig
from equiload.experiments.entry import build, entry_point, run_folder
from equiload.experiments.files import replacing, versions, write_csv, write_json
from equiload.experiments.progress import bars
from equiload.experiments.sources import make_source, reachabilities
from equiload.experiments.tables import show
from equiload.robust import RobustPolicy, SafeSet, footprint_bound, verify

KINDS = ("perfect", "noisy", "stale", "greedy", "adversarial", "learned")


@dataclass(frozen=True)
class Trial:
    """One run. ``ratio`` is ``J / J^π``, ``bound`` what the guarantee allows it to be."""

    advice: str
    method: str
    rho: float
    allowance: float
    ratio: float
    bound: float
    to_offline: float
    certified: float
    alpha: float
    holds: bool
    verified: bool


class _CannotActError(EquiloadError):
    """Advice refused to act on the instance; other errors are of the options."""


@entry_point("robustness")
def main(cfg: RobustnessConfig) -> None:
    """Run the comparison, or the campaign."""
    if cfg.campaign is not None:
        _campaign(cfg)
        return
    for what in ("advice", "rho", "allowance", "method"):
        if not getattr(cfg, what):
            raise DataError(f"{what} names nothing to try")
    unknown = sorted(set(cfg.advice) - set(KINDS))
    if unknown:
        raise DataError(f"advice must be among {', '.join(KINDS)}, got {unknown[0]!r}")
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    (reachability,) = reachabilities(source, [cfg.reachability])
    instance = one_instance(source, reachability)
    pairs, left_out = compare(cfg, instance)
    if not pairs:
        raise DataError(f"no advice can act: {left_out[0].algorithm}: {left_out[0].reason}")
    trials = [trial for trial, _ in pairs]
    _write(cfg, instance.name, pairs, left_out)
    show(_table(trials, f"{instance.name}: {instance.horizon} slots", left_out), left_out)
    if not all(trial.verified for trial in trials if trial.method != "fixed"):
        sys.exit(1)


def _write(
    cfg: RobustnessConfig,
    name: str,
    pairs: Sequence[tuple[Trial, Row]],
    left_out: Sequence[LeftOut],
) -> None:
    folder, origin = run_folder(), results.Origin.of(cfg)
    results.write(folder / results.FILE, [results.line(row, origin) for _, row in pairs])
    trials = [trial for trial, _ in pairs]
    lines = [asdict(trial) for trial in trials]
    write_csv(folder / "robustness.csv", lines)
    content = {
        "trials": lines,
        "left_out": [asdict(row) for row in left_out],
        "versions": versions(),
    }
    write_json(folder / "robustness.json", content)
    if cfg.figures:
        from equiload.experiments.robustness_figure import consistency_robustness

        figure = consistency_robustness(trials, name)
        for ending in ("png", "pdf"):
            with replacing(folder / f"robustness.{ending}") as draft:
                figure.savefig(draft)


def compare(
    cfg: RobustnessConfig, instance: Instance
) -> tuple[list[tuple[Trial, Row]], list[LeftOut]]:
    """Every combination of advice, method, ρ and allowance; and advice that cannot act."""
    expert: Policy = build(cfg.expert)
    alone = rollout(expert, instance, keep=True)
    base = float(alone.objective)
    weights = perfect_weights(instance)
    # The expert is deterministic and sees nothing of the layer: its allocations are made once.
    own = Replay(alone.allocation)
    bound = _bound(instance) if cfg.horizon_aware else None
    settings = list(itertools.product(cfg.rho, cfg.allowance))
    trials: list[tuple[Trial, Row]] = []
    left_out: list[LeftOut] = []
    with bars() as shown:
        step = shown.step("trials", len(cfg.advice) * len(settings) * len(cfg.method))
        for kind in cfg.advice:
            of_kind: list[tuple[Trial, Row]] = []
            try:
                for rho, share in settings:
                    allowance = share * abs(base)
                    safe = SafeSet(
                        fleet=instance.fleet,
                        objective=instance.objective,
                        rho=rho,
                        allowance=allowance,
                        horizon=instance.horizon,
                        footprint_bound=bound,
                    )
                    advice = _advice(cfg, kind, weights, instance, own, safe)
                    for method in cfg.method:
                        policy = RobustPolicy(
                            advice,
                            own,
                            rho=rho,
                            allowance=allowance,
                            method=method,
                            footprint_bound=bound,
                        )
                        labels = (kind, method, share)
                        of_kind.append(_trial(policy, instance, base, weights, labels))
                        next(step, None)
            except _CannotActError as error:
                name = "full" if instance.fleet.full else "partial"
                left_out.append(LeftOut.of(kind, name, error))
                continue
            trials += of_kind
    return trials, left_out


def _advice(
    cfg: RobustnessConfig,
    kind: str,
    weights: FloatArray,
    instance: Instance,
    expert: Policy,
    safe: SafeSet,
) -> Policy:
    if kind == "noisy":
        return noisy(weights, cfg.seed)
    if kind == "stale":
        return Stale(weights)
    if kind == "greedy":
        return Dearest()
    if kind == "adversarial":
        return hostile(instance, expert, safe, cfg.rounds, cfg.seed)
    if kind == "learned":
        if cfg.learned is None:
            raise DataError("advice 'learned' needs a policy: learned._target_=…")
        policy: Policy = build(cfg.learned)
        return policy
    return noisy(weights, cfg.seed, spread=0.0)


def _trial(
    policy: RobustPolicy,
    instance: Instance,
    base: float,
    weights: FloatArray,
    labels: tuple[str, str, float],
) -> tuple[Trial, Row]:
    begin = time.perf_counter()
    try:
        outcome = rollout(policy, instance, keep=True)
    except EquiloadError as error:
        raise _CannotActError(str(error)) from error
    seconds = time.perf_counter() - begin
    certificate = policy.certificate()
    certified = float(certificate.ratio(outcome, weights))
    offline = float(outcome.objective) / certified if np.isfinite(certified) else np.nan
    checked = verify(certificate, instance, outcome.allocation)
    row = Row(
        algorithm=f"{labels[1]}({labels[0]}), ρ = {certificate.rho:g}, B = {labels[2]:g}·J",
        reachability="full" if instance.fleet.full else "partial",
        outcome=outcome,
        lower_bound=float(dual_bound(instance, weights).value),
        seconds=seconds,
        certificate=certificate,
    )
    trial = Trial(
        advice=labels[0],
        method=labels[1],
        rho=certificate.rho,
        allowance=labels[2],
        ratio=float(outcome.objective) / base,
        bound=1.0 + float(certificate.allowed) / base,
        to_offline=float(outcome.objective) / offline,
        certified=certified,
        alpha=float(certificate.alpha.mean()),
        holds=bool(certificate.holds),
        verified=checked.ok,
    )
    return trial, row


def _bound(instance: Instance) -> FloatArray:
    return footprint_bound(instance.fleet, instance.trace.intensity.max(-2))


def _campaign(cfg: RobustnessConfig) -> None:
    if cfg.campaign != "adversarial":
        raise DataError(f"campaign must be 'adversarial', got {cfg.campaign!r}")
    if cfg.episodes < 1:
        raise DataError(f"episodes must be at least 1, got {cfg.episodes}")
    tally = Tally()
    with bars() as shown:
        step = shown.step("batches", -(-cfg.episodes // EPISODES_PER_BATCH))
        for found in campaign(cfg.episodes, cfg.seed):
            tally = found
            next(step, None)
    for violation in tally.violations[:20]:
        print(violation, file=sys.stderr)  # noqa: T201
    print(f"settled in rational arithmetic: {tally.exact} episodes")  # noqa: T201
    print(tally)  # noqa: T201
    if tally.violations:
        sys.exit(1)


def _table(trials: list[Trial], title: str, left_out: Sequence[LeftOut]) -> Table:
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for header in ("Advice", "Method"):
        table.add_column(header, no_wrap=True)
    for header in ("ρ", "B / J^π", "J / J^π", "Bound", "J / lower bound", "Mean α", "Verified"):
        table.add_column(header, justify="right", no_wrap=True)
    for t in trials:
        table.add_row(
            t.advice,
            t.method,
            f"{t.rho:g}",
            f"{t.allowance:g}",
            f"{t.ratio:.4f}",
            f"{t.bound:.4f}",
            f"{t.certified:.4f}",
            f"{t.alpha:.3f}",
            "yes" if t.verified else "no",
        )
    for row in left_out:
        table.add_row(row.algorithm, *["–"] * 8)
    return table


if __name__ == "__main__":
    main()
