"""A study: instances × algorithms → rows. Every program that scores algorithms runs one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from equiload.agents.offline import EGLBOff, OfflineSolver, Solution
from equiload.envs import DataError, EquiloadError, Instance, Policy, dual_bound, rollout
from equiload.envs.knobs import knob_bound
from equiload.envs.make import instantiated
from equiload.experiments.results.records import LeftOut
from equiload.experiments.results.rows import Row
from equiload.experiments.running.config import AlgorithmConfig
from equiload.experiments.running.progress import Track

Agent = Policy | OfflineSolver


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
        self._rows: list[tuple[Any, str, Row]] = []  # with their keys and groups

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

    def need_rows(self, actor: str = "algorithm") -> None:
        """Refuse to go on without any row.

        Raises
        ------
        DataError
            With the sentence of the first algorithm that could not act.
        """
        if not self._rows:
            first = self.left_out[0]
            raise DataError(f"no {actor} can act: {first.algorithm}: {first.reason}")

    def run(
        self, agent: Agent, instance: Instance, *, key: Hashable, group: str, **options: Any
    ) -> None:
        """Run one algorithm, measured against a bound that is known.

        Its row is told from others by ``key``; ``group`` is left out as a whole where one of it
        cannot act. All else is for :func:`play`.
        """
        row = self._attempt(group, agent, instance, **options)
        if row is not None:
            self._add(key, group, row)

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

        def attempt(name: str) -> Row | None:
            options = {"name": name, "reachability": reachability, "track": track(name)}
            return self._attempt(name, agents[name], instance, **options)

        able = [name for name in agents if not self.is_out(name, reachability)]
        offline = {name: attempt(name) for name in able if not isinstance(agents[name], Policy)}
        solutions = [row.solution for row in offline.values() if row and row.solution]
        # A solver's claim is taken for what the dispatch confirms of it.
        bound = max(_bound(instance, s) for s in solutions or [EGLBOff().solve(instance)])
        added = 0
        for name in [*offline, *(name for name in able if name not in offline)]:
            row = offline[name] if name in offline else attempt(name)
            if row is not None:
                self._add(name, name, replace(row, lower_bound=bound))
                added += 1
        if added:  # offline solvers ran first: back to the order of the agents
            order = list(agents).index
            self._rows[-added:] = sorted(self._rows[-added:], key=lambda entry: order(entry[0]))

    def _attempt(self, group: str, agent: Agent, instance: Instance, **options: Any) -> Row | None:
        excluded = (group, options["reachability"])
        if self.is_out(*excluded):
            return None
        try:
            return play(agent, instance, **options)
        except EquiloadError as error:
            if self._strict:
                raise
            self.left_out.append(LeftOut(*excluded, str(error)))
        self._rows = [(k, g, row) for k, g, row in self._rows if (g, row.reachability) != excluded]
        return None

    def _add(self, key: Hashable, group: str, row: Row) -> None:
        self._rows.append((key, group, row))
        self._finished()


def _bound(instance: Instance, solution: Solution) -> float:
    """The lower bound that a solution's prices prove."""
    if solution.prices is not None:
        return float(knob_bound(instance, solution.prices))
    return float(dual_bound(instance, solution.weights).value)


def compare(agents: Mapping[str, Agent], instance: Instance, *, reachability: str) -> list[Row]:
    """Rows of every algorithm on one instance; all of them must be able to act."""
    study = Study(strict=True)
    study.compare(agents, instance, reachability=reachability)
    return study.rows


def play(
    agent: Agent,
    instance: Instance,
    *,
    name: str,
    reachability: str,
    lower_bound: float = np.nan,
    track: Track = iter,
    keep: bool = False,
) -> Row:
    """Run one algorithm; ``keep`` keeps the outcome's allocations.

    A run on the first slot comes before the clock starts, so that compiling is not counted.
    """
    solution, first = None, instance.window(0, 1)
    certificate = getattr(agent, "certificate", None)  # of policies that prove something
    if isinstance(agent, Policy):
        rollout(agent, first)
        begin = time.perf_counter()
        outcome = rollout(agent, instance, track, keep=keep)
    else:
        agent.solve(first)
        begin = time.perf_counter()
        solution = agent.solve(instance)
        outcome = solution.outcome
    return Row(
        algorithm=name,
        reachability=reachability,
        outcome=outcome,
        lower_bound=lower_bound,
        seconds=time.perf_counter() - begin,
        solution=solution,
        certificate=None if certificate is None else certificate(),
    )


def build_agents(algorithms: Mapping[str, AlgorithmConfig]) -> dict[str, Agent]:
    """Return the configured algorithms by name."""
    agents: dict[str, Agent] = {}
    for row in algorithms.values():
        if row.name in agents:
            raise DataError(f"two algorithms are named {row.name!r}")
        agents[row.name] = instantiated(row.agent)
    if not agents:
        raise DataError("there is no algorithm to run, expected some in the group 'algorithm'")
    return agents
