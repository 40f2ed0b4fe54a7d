"""The leaderboard of docs/tasks.md: ``python tools/leaderboard.py`` writes it from what is known.

``python tools/leaderboard.py equiload/GLBEasy-v0 …`` first scores every row on these anew, into
``testing/leaderboard``; those on the published trace with ``--folder FOLDER``.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equiload.agents import EGLBOff
from equiload.envs import Policy, rollout
from equiload.envs.gym import AgentPolicy
from equiload.envs.make import instantiated, registered
from equiload.envs.tasks import TASKS, Task
from equiload.envs.typing import FloatArray
from equiload.experiments.running.files import json_text, versions, write_text
from equiload.testing.scores import Score, digest, expert, problems, results, scored

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "tasks.md", ROOT / "testing" / "leaderboard"
BEGIN, END = (f"<!-- python tools/leaderboard.py: {edge} -->" for edge in ("begin", "end"))
#: From so many slots on, without knobs, eGLB-MPC, which solves a problem every few, is left out.
_LONG = 1000


def uniform(reach: float, **options: Any) -> Policy:
    """A policy of random actions within ``reach`` of 0, the same again in every run."""
    rng = np.random.default_rng(0)

    def act(seen: FloatArray) -> FloatArray:
        return rng.uniform(-reach, reach, (*seen.shape[:-1], math.prod(policy.action_shape)))

    policy = AgentPolicy(act, **options)
    return policy


def rows(task: Task) -> dict[str, Policy]:
    """The policy of each row; those of conf/names.yaml are as they stand there."""
    named = ["glb_cost", "glb_carbon", "glb_water", "glb_dist", "eglb"]
    if task.knobs:
        named += ["eglb_knobs", "rolling_horizon"]
    elif task.horizon < _LONG:
        named += ["eglb_mpc"]
    known = registered("algorithm")
    learned: dict[str, Any] = {"_target_": "equiload.agents.learn.LearnedPolicy"}  # as shipped
    if task.knobs:
        learned = {**known["learned_knobs"]["agent"], "policy": learned}
    zero = {"zero action, `residual`": uniform(0.0, action="residual")}  # without knobs eGLB itself
    return {
        "random action, `shadow_prices`": uniform(1.0),
        "zero action, `shadow_prices`": uniform(0.0),
        "random action, `residual`": uniform(3.0, action="residual", hold=6),
        **(zero if task.knobs else {}),
        **{str(known[key]["name"]): instantiated(known[key]["agent"]) for key in named},
        "Learned with knobs" if task.knobs else "Learned": instantiated(learned),
    }


def measured(task: str, folder: Path | None) -> dict[str, Any]:
    """Every row on a task, with the optimum and its bound."""
    instance = problems(task, folder)
    solutions = EGLBOff().solve_all(instance)
    objectives = {
        name: np.atleast_1d(rollout(policy, instance).objective)
        for name, policy in rows(TASKS[task]).items()
    }
    objectives["eGLB-Off, the optimum"] = np.array([float(s.objective) for s in solutions])
    bounds = np.array(
        [float(min(s.lower_bound, s.objective)) for s in solutions]
    )  # but for rounding
    scores = {
        name: scored(task, ours, objectives[expert(task)], bounds)
        for name, ours in objectives.items()
    }
    return {
        "task": task,
        "command": f"python tools/leaderboard.py {task}{' --folder FOLDER' if folder else ''}",
        "digest": digest(instance),
        "versions": versions(),
        "bounds": bounds,
        "rows": {
            name: {"score": s.score, "interval": s.interval, "objectives": s.objectives}
            for name, s in scores.items()
        },
    }


def page() -> str:
    """docs/tasks.md with the tables of what is known."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"


def tables() -> str:
    """What is scored, the scores, and how far from the optimum's bound that is."""
    scored_tasks = "\n".join(
        f"| `{task.id}` | {task.purpose} | {_problems(task)} | {results(task.id)['digest'][:12]} |"
        for task in TASKS.values()
    )
    plain, knobs = ([t for t in TASKS.values() if t.knobs == with_] for with_ in (False, True))
    return (
        f"\n| id | for | scored on | digest |\n| --- | --- | --- | --- |\n{scored_tasks}\n\n"
        f"**Score** (95 % interval): 0 is eGLB, 1 the optimum's lower bound.\n\n"
        f"{_table(plain, _cell)}\n\n"
        f"With knobs, 0 is eGLB with its knobs.\n\n{_table(knobs, _cell)}\n\n"
        f"**Above the lower bound**, % of it, all draws together.\n\n"
        f"{_table(plain, _gap)}\n\n{_table(knobs, _gap)}\n"
    )


def _table(tasks: list[Task], shown: Callable[[Score], str]) -> str:
    known = {task.id: results(task.id) for task in tasks}
    names = dict.fromkeys(name for told in known.values() for name in told["rows"])
    head = f"| | {' | '.join(task.rpartition('/')[2] for task in known)} |"
    lines = [head, f"|{' --- |' * (len(known) + 1)}"]
    for name in names:
        row = (_score(task, told, name) for task, told in known.items())
        lines.append(f"| {name} | {' | '.join('–' if s is None else shown(s) for s in row)} |")
    return "\n".join(lines)


def _problems(task: Task) -> str:
    what = "the published trace" if task.recorded else f"{task.draws} test draws"
    return f"{what}, {task.horizon:,} h, {task.reachability}"


def _score(task: str, told: Mapping[str, Any], name: str) -> Score | None:
    if name not in told["rows"]:
        return None
    objectives = (told["rows"][row]["objectives"] for row in (name, expert(task)))
    return scored(task, *map(np.array, (*objectives, told["bounds"])))


def _cell(score: Score) -> str:
    ends = "" if score.interval is None else " [{:.3f}, {:.3f}]".format(*score.interval)
    return f"{score.score:.3f}{ends}".replace("-", "−")


def _gap(score: Score) -> str:
    return f"{abs(100 * score.gap):.2f}"


def main() -> None:
    """Score what is named, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", choices=[[], *TASKS], metavar="TASK")
    parser.add_argument("--folder", type=Path, help="of the published trace")
    told = parser.parse_args()
    for task in told.tasks:
        text = json_text(measured(task, told.folder))
        a_line_each = re.sub(r"\[[^][]*\]", lambda found: " ".join(found[0].split()), text)
        write_text(RESULTS / f"{task.rpartition('/')[2]}.json", a_line_each)
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
