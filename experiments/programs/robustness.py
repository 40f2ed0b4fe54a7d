"""How much of good advice the layer keeps, and how little of bad advice it lets through.

``equiload robustness``: advice × ρ × allowance × method on one instance.
``equiload robustness campaign=adversarial``: random small problems, hostile
advice, every episode verified independently; exit status 1 on any violation. With
``+instance.knobs=all`` on fleets with random batteries, training work, servers, models and panels.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
from rich.table import Table

from equiload.agents import EGLBOff, Solution, WithKnobs
from equiload.agents.ensemble import SlotPricer
from equiload.envs import (
    DataError,
    EquiloadError,
    Instance,
    Policy,
    Setting,
    dual_bound,
    rollout,
)
from equiload.envs.data.equipment import knobs_of
from equiload.envs.make import instantiated, label_of
from equiload.envs.typing import FloatArray
from equiload.experiments.hostile.advice import (
    Dearest,
    Replay,
    Stale,
    hostile,
    misled,
    noisy,
    steered,
)
from equiload.experiments.hostile.campaign import EPISODES_PER_BATCH, WITH_KNOBS, campaign
from equiload.experiments.hostile.levels import Dump, Retrace
from equiload.experiments.results import parquet
from equiload.experiments.results.records import LeftOut, Trial
from equiload.experiments.results.rows import Row
from equiload.experiments.results.study import Study
from equiload.experiments.results.tables import show, text_table
from equiload.experiments.running.config import RobustnessConfig
from equiload.experiments.running.entry import run_folder
from equiload.experiments.running.files import write_csv, write_record
from equiload.experiments.running.progress import bars
from equiload.experiments.running.sources import make_source, one_instance, reachabilities
from equiload.robust import (
    Bounds,
    EnvironmentLayer,
    RobustPolicy,
    SafeSet,
    Sparing,
    footprint_bound,
    spare_capacity,
    verify,
)

#: Kinds of advice that decide more than routing.
_WITH_KNOBS = ("perfect", "mpc", "noisy", "greedy", "adversarial", "learned")


def perform(cfg: RobustnessConfig) -> None:
    """Run the comparison, or the campaign."""
    if cfg.campaign is not None:
        _campaign(cfg)
        return
    source = make_source(cfg.instance, equity_weight=cfg.equity_weight, shift=cfg.shift)
    (reachability,) = reachabilities(source, [cfg.reachability])
    instance = one_instance(source, reachability)
    trials, study = run_trials(cfg, instance, reachability)
    folder = run_folder()
    parquet.write(folder, study.rows, parquet.Origin.of(cfg))
    write_csv(folder / "robustness.csv", [vars(trial) for trial in trials])
    content = {"trials": trials, "left_out": study.left_out}
    write_record(folder / "robustness.json", content)
    if cfg.figures:
        from equiload.experiments.report.figures import write_figures  # matplotlib loads slowly

        write_figures(folder)
    title = f"{instance.name}: {instance.horizon} slots"
    show(_table(trials, title, study.left_out), study.left_out)
    if not all(trial.verified for trial in trials if trial.method != "fixed"):
        sys.exit(1)


def run_trials(
    cfg: RobustnessConfig, instance: Instance, reachability: str
) -> tuple[list[Trial], Study]:
    """Every combination of advice, ρ, allowance and method; advice that cannot act has none."""
    expert: Policy = instantiated(cfg.expert)
    if instance.knobs and isinstance(expert, SlotPricer):
        expert = WithKnobs(expert)
    spare = None
    if cfg.spare:
        spare = spare_capacity(instance.fleet, cfg.spare)
        expert = Sparing(expert, spare)
    alone = rollout(expert, instance, keep=True)
    base = float(alone.objective)
    best = EGLBOff().solve(instance)  # w*, of the whole instance
    weights = best.weights
    # The expert is deterministic and sees nothing of the layer: its decisions are made once.
    own: Policy = Retrace(alone) if instance.knobs else Replay(alone.allocation)
    lower_bound = best.lower_bound
    if not instance.knobs:
        lower_bound = float(dual_bound(instance, weights).value)
    onsite = instance.trace.onsite_intensity
    bound = footprint_bound(
        instance.fleet,
        instance.trace.intensity.max(-2),
        None if onsite is None else onsite.max(-2),
    )
    bounds = Bounds.of(instance, spare=spare) if instance.knobs else None
    settings = list(itertools.product(cfg.advice, cfg.rho, cfg.allowance))
    study, known = Study(), dict[str, Policy]()
    unwrapped = dict[str, float]()
    with bars() as progress:
        bar = progress.add_task("trials", total=len(settings) * len(cfg.method))
        for kind, rho, share in settings:
            if study.is_out(kind, reachability):
                continue
            guarantee: dict[str, Any] = {
                "rho": rho,
                "allowance": share * abs(base),
                "footprint_bound": bound if cfg.horizon_aware else None,
                "bounds": bounds,
            }
            if not instance.knobs:
                advice = _advice(cfg, kind, weights, instance, own, guarantee)
            elif kind in _WITH_KNOBS:
                if kind == "adversarial":
                    layer = EnvironmentLayer(own, **guarantee)
                    advice = steered(instance, cfg.rounds, layer, cfg.seed)
                else:
                    if kind not in known:  # the same at every ρ, and not made in no time
                        known[kind] = _with_knobs(cfg, kind, best)
                    advice = known[kind]
            else:
                reason = "it decides nothing but routing, and the instance has more"
                study.left_out.append(LeftOut(kind, reachability, reason))
                progress.advance(bar, len(cfg.method))
                continue
            if kind not in unwrapped:
                with suppress(EquiloadError):
                    unwrapped[kind] = float(rollout(advice, instance).objective)
            for method in cfg.method:
                label = label_of(method)
                study.run(
                    RobustPolicy(advice, own, method=method, **guarantee),
                    instance,
                    name=f"{label}({kind}), ρ = {rho:g}, B = {share:g}·J",
                    key=(kind, label, rho, share),
                    group=kind,
                    reachability=reachability,
                    lower_bound=lower_bound,
                    keep=True,
                )
                progress.advance(bar)
    study.need_rows("advice")
    trials = [
        _trial(key, row, base, best, unwrapped.get(key[0]))
        for key, (row,) in study.by_key().items()
    ]
    return trials, study


def _advice(
    cfg: RobustnessConfig,
    kind: str,
    weights: FloatArray,
    instance: Instance,
    expert: Policy,
    guarantee: dict[str, Any],
) -> Policy:
    if kind == "noisy":
        return noisy(weights, cfg.seed)
    if kind == "stale":
        return Stale(weights)
    if kind == "greedy":
        return Dearest()
    if kind == "adversarial":
        promised = {n: v for n, v in guarantee.items() if n != "bounds"}
        safe = SafeSet(Setting.of(instance), **promised)
        return hostile(instance, expert, safe, cfg.rounds, cfg.seed)
    if kind == "mpc":
        return misled(instance, cfg.seed)
    if kind == "learned":
        return _learned(cfg)
    return noisy(weights, cfg.seed, spread=0.0)


def _with_knobs(cfg: RobustnessConfig, kind: str, best: Solution) -> Policy:
    if kind == "perfect":
        return Retrace(best.outcome)
    if kind == "mpc":
        return misled(best.outcome.instance, cfg.seed)
    if kind == "noisy":
        return WithKnobs(noisy(best.weights, cfg.seed))
    if kind == "greedy":
        return Dump(cfg.seed)
    return _learned(cfg)


def _learned(cfg: RobustnessConfig) -> Policy:
    if cfg.learned is None:
        raise DataError("advice 'learned' needs a policy: learned._target_=…")
    return cast("Policy", instantiated(cfg.learned))


def _trial(
    key: tuple[str, str, float, float], row: Row, base: float, best: Solution, alone: float | None
) -> Trial:
    advice, method, rho, share = key
    certificate, outcome = row.certificate, row.outcome
    assert certificate is not None
    objective = float(outcome.objective)
    certified = float(certificate.ratio(outcome, best.prices or best.weights))
    offline = objective / certified if np.isfinite(certified) else np.nan
    return Trial(
        advice=advice,
        method=method,
        rho=rho,
        allowance=share,
        ratio=objective / base,
        bound=1.0 + float(certificate.allowed) / base,
        to_offline=objective / offline,
        certified=certified,
        alpha=float(certificate.alpha.mean()),
        holds=bool(certificate.holds),
        verified=verify(certificate, outcome.instance, outcome.allocation, outcome.operation).ok,
        alone=None if alone is None else alone / base,
    )


def _campaign(cfg: RobustnessConfig) -> None:
    named = cfg.instance.get("knobs")
    knobs = named == "random" or bool(knobs_of(named))
    batches = -(-cfg.episodes // (WITH_KNOBS if knobs else EPISODES_PER_BATCH))  # about
    with bars() as progress:
        attacks = campaign(cfg.episodes, cfg.seed, knobs=knobs)
        *_, tally = progress.track(attacks, total=batches, description="batches")
    for violation in tally.violations[:20]:
        print(violation, file=sys.stderr)  # noqa: T201
    print(f"batches at whose costs no policy can act: {tally.unplayed}")  # noqa: T201
    print(f"settled in rational arithmetic: {tally.exact} episodes")  # noqa: T201
    print(tally)  # noqa: T201
    if tally.violations:
        sys.exit(1)


def _table(trials: list[Trial], title: str, left_out: Sequence[LeftOut]) -> Table:
    headers = ["ρ", "B / J^π", "J / J^π", "Bound", "J / lower bound", "Mean α", "Verified"]
    table = text_table(title, ["Advice", "Method"], headers)
    for t in trials:
        ratios = [f"{ratio:.4f}" for ratio in (t.ratio, t.bound, t.certified)]
        names = (t.advice, t.method, f"{t.rho:g}", f"{t.allowance:g}")
        table.add_row(*names, *ratios, f"{t.alpha:.3f}", "yes" if t.verified else "no")
    for row in left_out:
        table.add_row(row.algorithm, *["–"] * 8)
    return table
