"""Run algorithms on an instance and put what came of it side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from equiload.agents.offline import EGLBOff, OfflineSolver, Solution, relative_gap
from equiload.envs import DataError, EquiloadError, Instance, Outcome, Policy, dual_bound, rollout
from equiload.robust import Certificate

#: Wraps an iterable of slots to show progress, as ``tqdm`` does.
Track = Callable[[Iterable[int]], Iterable[int]]


@runtime_checkable
class Certified(Protocol):
    """A policy that can prove something about the episode it has played."""

    def certificate(self) -> Certificate:
        """Return what it can prove."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One algorithm on one instance.

    ``lower_bound`` (US$) is the best certified bound on eGLB-Off that the comparison knows,
    ``gap`` the algorithm's relative distance to it, ``seconds`` its wall-clock time. A robust
    policy brings its ``certificate``.
    """

    algorithm: str
    reachability: str
    outcome: Outcome
    lower_bound: float
    seconds: float
    solution: Solution | None = None
    certificate: Certificate | None = None

    @property
    def gap(self) -> float:
        """``(J − lower bound) / |lower bound|``, see ``relative_gap`` of eGLB-Off."""
        outcome = self.outcome
        return relative_gap(float(outcome.objective), self.lower_bound, float(outcome.gross))

    def as_dict(self) -> dict[str, Any]:
        """Return the row as in ``results.json``."""
        outcome = self.outcome
        footprints = zip(
            outcome.instance.trace.footprints,
            outcome.max_footprint.tolist(),
            outcome.mean_footprint.tolist(),
            outcome.par.tolist(),
            strict=True,
        )
        row = {
            "algorithm": self.algorithm,
            "reachability": self.reachability,
            "energy_cost": float(outcome.energy_cost),
            "objective": float(outcome.objective),
            "lower_bound": self.lower_bound,
            "gap": self.gap,
            "seconds": self.seconds,
            "footprints": {
                kind: {"max": highest, "mean": mean, "par": par}
                for kind, highest, mean, par in footprints
            },
        }
        if self.solution is not None:
            row["solver"] = {"status": self.solution.status, **self.solution.stats}
        if self.certificate is not None:
            row["certificate"] = self.certificate.verdict()
        return row


@dataclass(frozen=True)
class LeftOut:
    """An algorithm that cannot act on an instance, and its own sentence why."""

    algorithm: str
    reachability: str
    reason: str

    @classmethod
    def of(cls, algorithm: str, reachability: str, error: EquiloadError) -> LeftOut:
        """From what the algorithm raised."""
        return cls(algorithm, reachability, " ".join(str(error).split()))

    def __str__(self) -> str:
        return f"{self.algorithm} left out: {self.reason}"


def run(
    agent: Policy | OfflineSolver, instance: Instance, track: Track = iter
) -> tuple[Outcome, Solution | None, float]:
    """Run one algorithm: its outcome, its solution if it is an offline solver, and its seconds.

    A run on the first slot comes before the clock starts, so that compiling is not counted.
    """
    first = instance.window(0, 1)
    if isinstance(agent, Policy):
        rollout(agent, first)
        begin = time.perf_counter()
        outcome = rollout(agent, instance, track)
        return outcome, None, time.perf_counter() - begin
    agent.solve(first)
    begin = time.perf_counter()
    solution = agent.solve(instance)
    return solution.outcome, solution, time.perf_counter() - begin


def _refuse_strangers(agents: Iterable[object]) -> None:
    for agent in agents:
        if not (isinstance(agent, Policy) or hasattr(agent, "solve")):
            raise DataError(
                f"{type(agent).__name__} is neither a policy (reset, act) "
                "nor an offline solver (solve)"
            )


def compare(
    agents: Mapping[str, Policy | OfflineSolver],
    instance: Instance,
    *,
    reachability: str,
    track: Callable[[str], Track] = lambda _: iter,
    finished: Callable[[Row], object] = lambda _: None,
    left_out: Callable[[LeftOut], object] | None = None,
) -> list[Row]:
    """Run every algorithm on one instance, and measure each against the same lower bound.

    ``track`` is given an algorithm's name before it runs, ``finished`` each row as soon as it is
    there, ``left_out`` each algorithm that cannot act and has no row. Offline solvers run first:
    every row needs their bound.

    Raises
    ------
    DataError
        For an agent that is neither a policy nor an offline solver, before anything runs.
    EquiloadError
        What an algorithm raises that cannot act, without ``left_out``.
    """
    _refuse_strangers(agents.values())

    def attempt(name: str) -> tuple[Outcome, Solution | None, float] | None:
        try:
            return run(agents[name], instance, track(name))
        except EquiloadError as error:
            if left_out is None:
                raise
            left_out(LeftOut.of(name, reachability, error))
            return None

    offline = [name for name, agent in agents.items() if not isinstance(agent, Policy)]
    done = {name: attempt(name) for name in offline}
    solutions = [result[1] for result in done.values() if result and result[1] is not None]
    # A solver's claim is taken for what the dispatch confirms of it.
    weights = [solution.weights for solution in solutions] or [EGLBOff().solve(instance).weights]
    bound = max(float(dual_bound(instance, w).value) for w in weights)
    rows = {}
    for name in [*offline, *(name for name in agents if name not in done)]:
        result = done[name] if name in done else attempt(name)
        if result is None:
            continue
        outcome, solution, seconds = result
        agent = agents[name]
        rows[name] = Row(
            algorithm=name,
            reachability=reachability,
            outcome=outcome,
            lower_bound=bound,
            seconds=seconds,
            solution=solution,
            certificate=agent.certificate() if isinstance(agent, Certified) else None,
        )
        finished(rows[name])
    return [rows[name] for name in agents if name in rows]


def describe(instance: Instance) -> dict[str, Any]:
    """Return what an instance is, as in ``results.json``."""
    fleet, trace = instance.fleet, instance.trace
    return {
        "name": instance.name,
        "slots": instance.horizon,
        "start": f"{trace.timestamps[0]}Z",
        "slot_seconds": int(np.diff(trace.timestamps[:2]).astype(int)[0])
        if instance.horizon > 1
        else None,
        "datacenters": list(fleet.datacenters),
        "gateways": list(fleet.gateways),
        "regions": list(fleet.regions),
        "region_of": fleet.region_of,
        "capacity": fleet.capacity,
        "location": fleet.location,
        "footprints": dict(zip(trace.footprints, trace.units, strict=True)),
        "equity_weight": dict(instance.objective.equity_weight),
        "provenance": dict(trace.provenance),
    }
