"""What docs/worlds.md says the generator and the checks are worth, measured anew.

``python tools/evidence.py kind [bloom10 folder]``: how far GLB-Cost and eGLB
end above eGLB-Off, on test draws and on the published trace. ``… shifts``: how many series that are
three hours off the clock check catches. ``… slips``: false alarms on years as providers publish
them, and which slips are caught in them (minutes).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equiload.agents import EGLB, EGLBOff, GLBCost
from equiload.envs import Instance, rollout
from equiload.envs.data import Draw, bloom10, synthetic
from equiload.envs.data.checks import Signal, Verdict, check_instance
from equiload.envs.data.checks.clocks import check_clocks
from equiload.envs.errors import DataError, EquiloadError
from equiload.envs.typing import FloatArray
from slips import slip_table

HOURS, DRAWS = 457, 64
#: A world like the autumn of 2022, when the published trace was recorded.
CRISIS = {"fuel": 2.0, "utilisation": 0.638}


def gaps(instances: Sequence[Instance], policy: Callable[[], Any]) -> FloatArray:
    """Each instance's J of the policy over the certified bound on eGLB-Off, minus 1."""
    bounds = np.array([best.lower_bound for best in EGLBOff().solve_all(instances)])
    costs = np.array([float(rollout(policy(), instance).objective) for instance in instances])
    above: FloatArray = costs / bounds - 1.0
    return above


def kind_table(trace: Path | None, draws: int = DRAWS, hours: int = HOURS) -> str:
    """Markdown: GLB-Cost and eGLB with its defaults, full and partial reachability."""
    if draws < 2:
        raise DataError(f"a mean with its standard error takes at least 2 draws, got {draws}")
    lines = ["| | reachability | GLB-Cost | eGLB |", "| --- | --- | --- | --- |"]
    for reachability in ("full", "partial"):
        sources = (
            [] if trace is None else [("`bloom10`", [bloom10(trace, reachability=reachability)])]
        )
        for title, ranges in ((f"{draws} test draws", None), ("the same, as in 2022", CRISIS)):
            made = [
                synthetic(Draw.test(d), horizon=hours, reachability=reachability, ranges=ranges)
                for d in range(draws)
            ]
            sources.append((title, made))
        for title, instances in sources:
            cells = [_percent(gaps(instances, policy)) for policy in (GLBCost, EGLB)]
            lines.append(f"| {title} | {reachability} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shift_table(worlds: int = 12, hours: int = 3) -> str:
    """Markdown: of the series that tell the time, how many are caught when shifted either way."""
    if worlds < 1:
        raise DataError(f"there is nothing to shift in {worlds} worlds, expected at least 1")
    lines = [
        f"| series | can tell the time | called wrong as they are | caught {hours} h off |",
        "| --- | --- | --- | --- |",
    ]
    instances = [synthetic(seed, ranges={"outages": 0}) for seed in range(worlds)]
    for kind in ("carbon", "demand", "price"):
        sound = [series for instance in instances for series in _series(instance, kind)]
        verdicts = [_clock(series) for series in sound]
        telling = [s for s, v in zip(sound, verdicts, strict=True) if v is Verdict.OK]
        wrong = sum(_bad(v) for v in verdicts)
        caught = sum(
            _bad(_clock(dataclasses.replace(series, values=np.roll(series.values, move))))
            for series in telling
            for move in (-hours, hours)
        )
        lines.append(
            f"| {kind} | {len(telling)} of {len(sound)} | {wrong} | "
            f"{caught} of {2 * len(telling)} |"
        )
    return "\n".join(lines)


def alarm_count(worlds: int = 6) -> str:
    """How many checks of sound worlds with every region raise an alarm."""
    findings = [f for s in range(worlds) for f in check_instance(synthetic(1000 + s, regions=32))]
    bad = sum(_bad(finding.verdict) for finding in findings)
    return f"{bad} alarms in {len(findings)} checks of {worlds} sound worlds of 32 regions"


def _series(instance: Instance, kind: str) -> Iterator[Signal]:
    """The series of one kind that the clock check has something to say about."""
    fleet, trace = instance.fleet, instance.trace
    assert fleet.location is not None
    values = {"price": trace.price, "demand": trace.demand}
    values |= dict(zip(trace.footprints, trace.intensity, strict=True))
    for i, name in enumerate(fleet.datacenters):
        latitude, longitude = fleet.location[i]
        series = Signal(name, kind, values[kind][:, i], trace.timestamps, (latitude, longitude))
        if next(check_clocks(series), None) is not None:
            yield series


def _clock(series: Signal) -> Verdict | None:
    finding = next(check_clocks(series), None)
    return None if finding is None else finding.verdict


def _bad(verdict: Verdict | None) -> bool:
    return verdict in (Verdict.SUSPICIOUS, Verdict.BROKEN)


def _percent(values: FloatArray) -> str:
    if len(values) == 1:
        return f"{values[0]:.2%}"
    return f"{values.mean():.2%} ± {values.std(ddof=1) / np.sqrt(len(values)):.2%}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="evidence")
    commands = parser.add_subparsers(dest="command", required=True)
    kind = commands.add_parser("kind", help="gaps on test draws and on the published trace")
    kind.add_argument("trace", nargs="?", type=Path, help="folder with the bloom10 trace")
    kind.add_argument("--draws", type=int, default=DRAWS)
    kind.add_argument("--hours", type=int, default=HOURS)
    shifts = commands.add_parser("shifts", help="series off by hours that the clock check catches")
    shifts.add_argument("--worlds", type=int, default=12)
    slips = commands.add_parser("slips", help="alarms on sound years, and on slips planted in them")
    slips.add_argument("--years", type=int, default=4)
    options = parser.parse_args(arguments)
    try:
        if options.command == "kind":
            text = kind_table(options.trace, options.draws, options.hours)
        elif options.command == "slips":
            text = slip_table(options.years)
        else:
            text = f"{shift_table(options.worlds)}\n\n{alarm_count()}"
    except EquiloadError as error:
        print(f"{options.command}: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 2
    print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
