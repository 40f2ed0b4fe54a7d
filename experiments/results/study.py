"""A study: instances × algorithms → rows. Every program that scores algorithms runs one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol, runtime_checkable

from equiload.agents.offline import EGLBOff, OfflineSolver, Solution
from equiload.envs import DataError, EquiloadError, Instance, Outcome, Policy, dual_bound, rollout
from equiload.experiments.results.rows import LeftOut, Row
from equiload.experiments.running.entry import build
from equiload.experiments.running.progress import Track
from equiload.robust import Certificate

Agent = Policy | OfflineSolver


@runtime_checkable
class Certified(Protocol):
    """A policy that can prove something about the episode it has played."""

    def certificate(self) -> Certificate:
        """Return what it can prove."""
        ...


_Result = tuple[Outcome, Solution | None, float]


class Study:
    """Rows of algorithms on instances, in the order of instances, then of algorithms.

    An algorithm that cannot act on one instance has no row of any with that reachability, nor has
    its group: ``left_out`` holds its own sentence.

    Parameters
    ----------
    strict
        Raise what an algorithm raises that cannot act.
    finished
        Called after every row.
    """

    def __init__(
        self, *, strict: bool = False, finished: Callable[[], object] = lambda: None
    ) -> None:
        self.left_out: list[LeftOut] = []
        self._strict, self._finished = strict, finished
        self._rows: list[tuple[Hashable, str, Row]] = []  # with their keys and groups

    @property
    def rows(self) -> list[Row]:
        """Every row there is."""
        return [row for *_, row in self._rows]

    def by_key(self) -> dict[Any, list[Row]]:
        """Rows by the key that they were run with."""
        rows: dict[Any, list[Row]] = {}
        for key, _, row in self._rows:
            rows.setdefault(key, []).append(row)
        return rows

    def is_out(self, group: str, reachability: str) -> bool:
        """Tell whether a group has been left out."""
        return any((o.algorithm, o.reachability) == (group, reachability) for o in self.left_out)

    def need_rows(self, what: str = "algorithm") -> None:
        """Refuse to go on without any row.

        Raises
        ------
        DataError
            With the sentence of the first algorithm that could not act.
        """
        if not self._rows:
            first = self.left_out[0]
            raise DataError(f"no {what} can act: {first.algorithm}: {first.reason}")

    def run(
        self,
        policy: Policy,
        instance: Instance,
        *,
        name: str,
        key: Hashable,
        group: str,
        reachability: str,
        lower_bound: float,
        keep: bool = False,
    ) -> Row | None:
        """Run one policy, measured against a bound that is known; None where it cannot act.

        Its row is told from others by ``key``; ``group`` is left out as a whole. ``keep`` keeps the
        outcome's allocations.
        """
        result = self._attempt(group, policy, instance, reachability, keep=keep)
        if result is None:
            return None
        row = _row(name, policy, result, reachability, lower_bound)
        self._add(key, group, row)
        return row

    def compare(
        self,
        agents: Mapping[str, Agent],
        instance: Instance,
        *,
        reachability: str,
        track: Callable[[str], Track] = lambda _: iter,
    ) -> None:
        """Run every algorithm on one instance, and measure each against the same lower bound.

        ``track`` is given an algorithm's name before it runs. Offline solvers run first: every row
        needs their bound.

        Raises
        ------
        DataError
            For an agent that is neither a policy nor an offline solver, before anything runs.
        """
        for agent in agents.values():
            if not (isinstance(agent, Policy) or hasattr(agent, "solve")):
                raise DataError(
                    f"{type(agent).__name__} is neither a policy (reset, act) "
                    "nor an offline solver (solve)"
                )

        def attempt(name: str) -> _Result | None:
            return self._attempt(name, agents[name], instance, reachability, track(name))

        able = [name for name in agents if not self.is_out(name, reachability)]
        offline = {name: attempt(name) for name in able if not isinstance(agents[name], Policy)}
        solutions = [result[1] for result in offline.values() if result and result[1] is not None]
        # A solver's claim is taken for what the dispatch confirms of it.
        weights = [s.weights for s in solutions] or [EGLBOff().solve(instance).weights]
        bound = max(float(dual_bound(instance, w).value) for w in weights)
        done = 0
        for name in [*offline, *(name for name in able if name not in offline)]:
            result = offline[name] if name in offline else attempt(name)
            if result is not None:
                self._add(name, name, _row(name, agents[name], result, reachability, bound))
                done += 1
        places = {name: place for place, name in enumerate(agents)}
        if done:
            self._rows[-done:] = sorted(self._rows[-done:], key=lambda line: places[str(line[0])])

    def _attempt(
        self,
        group: str,
        agent: Agent,
        instance: Instance,
        reachability: str,
        track: Track = iter,
        *,
        keep: bool = False,
    ) -> _Result | None:
        if self.is_out(group, reachability):
            return None
        try:
            return play(agent, instance, track, keep=keep)
        except EquiloadError as error:
            if self._strict:
                raise
            self.left_out.append(LeftOut.of(group, reachability, error))
        out = (group, reachability)
        self._rows = [(k, g, row) for k, g, row in self._rows if (g, row.reachability) != out]
        return None

    def _add(self, key: Hashable, group: str, row: Row) -> None:
        self._rows.append((key, group, row))
        self._finished()


def compare(agents: Mapping[str, Agent], instance: Instance, *, reachability: str) -> list[Row]:
    """Rows of every algorithm on one instance; all of them must be able to act."""
    study = Study(strict=True)
    study.compare(agents, instance, reachability=reachability)
    return study.rows


def _row(name: str, agent: Agent, result: _Result, reachability: str, lower_bound: float) -> Row:
    outcome, solution, seconds = result
    return Row(
        algorithm=name,
        reachability=reachability,
        outcome=outcome,
        lower_bound=lower_bound,
        seconds=seconds,
        solution=solution,
        certificate=agent.certificate() if isinstance(agent, Certified) else None,
    )


def play(agent: Agent, instance: Instance, track: Track = iter, *, keep: bool = False) -> _Result:
    """Run one algorithm: its outcome, its solution if it is an offline solver, and its seconds.

    A run on the first slot comes before the clock starts, so that compiling is not counted.
    """
    first = instance.window(0, 1)
    if isinstance(agent, Policy):
        rollout(agent, first)
        begin = time.perf_counter()
        outcome = rollout(agent, instance, track, keep=keep)
        return outcome, None, time.perf_counter() - begin
    agent.solve(first)
    begin = time.perf_counter()
    solution = agent.solve(instance)
    return solution.outcome, solution, time.perf_counter() - begin


def build_agents(algorithms: Mapping[str, Any]) -> dict[str, Agent]:
    """Return the configured algorithms by name."""
    agents: dict[str, Agent] = {}
    for key, row in algorithms.items():
        if not isinstance(row, Mapping) or set(row) != {"name", "agent"}:
            raise DataError(f"algorithms.{key} must have a name and an agent, got {row}")
        if not (isinstance(row["name"], str) and row["name"].isprintable() and row["name"]):
            raise DataError(f"algorithms.{key}.name must be a text, got {row['name']!r}")
        if row["name"] in agents:
            raise DataError(f"two algorithms are named {row['name']!r}")
        agents[row["name"]] = build(row["agent"])
    if not agents:
        raise DataError("there is no algorithm to run, expected some in the group 'algorithm'")
    return agents
