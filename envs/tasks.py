"""The ladder of tasks: problems that results are compared on, by ids that never change meaning.

An id fixes a world, its test draws (by name, so that no training draw is among them), horizon,
reachability and equity weights. Whoever changes any of that makes a new id, ``-v1``: a test holds a
hash of what each id stands for. A further rung is a further entry of :data:`TASKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `import equiload.envs` registers the tasks, and loads none of this
    from equiload.envs.data import GeneratedSource
    from equiload.envs.gym.single import GLBEnv
    from equiload.envs.gym.vector import GLBVectorEnv
    from equiload.envs.instance import Instance

_PAPER_WEIGHT = {"carbon": 1500.0, "water": 60.0}  # US$ per t and m³
# Every region of the world that is none of the paper's ten.
_OTHERS = (
    *("Ireland", "United Kingdom", "France", "Sweden", "Norway", "Finland", "Spain", "Italy"),
    *("Poland", "Oregon", "California", "Iowa", "Ohio", "Arizona", "Quebec", "Ontario"),
    *("Brazil", "Chile", "India", "Korea", "New South Wales", "South Africa"),
)


@dataclass(frozen=True)
class Task:
    """What an id stands for.

    Parameters
    ----------
    id
        In Gymnasium's registry, too.
    purpose
        What the task is for, a sentence.
    world
        Makes the source (``_target_`` and arguments): training episodes are its training draws,
        scored are ``test/0`` and on.
    draws
        How many are scored.
    horizon
        Slots of each.
    reachability
        ``"full"`` or ``"partial"``.
    recorded
        Makes the source from a folder, its ``root``, whose one instance is scored instead.
    """

    id: str
    purpose: str
    world: Mapping[str, Any]
    draws: int
    horizon: int
    reachability: str = "full"
    recorded: str | None = None

    @property
    def knobs(self) -> bool:
        """Is there more to decide than routing?"""
        return "knobs" in self.world

    def options(self) -> dict[str, Any]:
        """An environment's options for episodes of this task: training draws, of its horizon."""
        reachability = self.reachability
        return {"instance": self._source(), "horizon": self.horizon, "reachability": reachability}

    def problems(self, folder: str | Path | None = None) -> Instance:
        """What is scored: the test draws, side by side, or what was recorded in ``folder``.

        Raises
        ------
        DataError
            Where a recorded trace is needed and not there: how to get it.
        """
        from equiload.envs.errors import DataError
        from equiload.envs.make import locate

        chosen: dict[str, Any] = {"horizon": self.horizon, "reachability": self.reachability}
        if self.recorded is None:
            seeds: Any = [f"test/{n}" for n in range(self.draws)]
            return self._source().draw(seeds, **chosen)
        if folder is None:
            raise DataError(
                f"{self.id} is scored on the published trace, which is not part of the package: "
                "`equiload data fetch bloom10 FOLDER` gets it, then give folder=FOLDER"
            )
        return locate(self.recorded)(folder).instance(**chosen)  # type: ignore[no-any-return]

    def _source(self) -> GeneratedSource:
        from equiload.envs.make import instantiated

        return instantiated(self.world)  # type: ignore[no-any-return]


def _synthetic(**options: Any) -> dict[str, Any]:
    target = "equiload.envs.data.SyntheticSource"
    return {"_target_": target, "equity_weight": _PAPER_WEIGHT, **options}


def _with(knobs: str, name: str, purpose: str) -> Task:
    """A week of the paper's ten regions, with further equipment."""
    return Task(f"equiload/GLB{name}-v0", purpose, _synthetic(knobs=knobs), 32, 168)


TASKS = {
    task.id: task
    for task in (
        Task(
            "equiload/Toy-v0",
            "two data centers, nothing changes over a day, the optimum is known by hand: to see "
            "whether a learner learns",
            world={"_target_": "equiload.envs.data.toy_source"},
            draws=32,
            horizon=24,
        ),
        Task(
            "equiload/GLBEasy-v0",
            "a week of the paper's ten regions, every data center in everyone's reach: where to "
            "begin, and what the recipes are measured on",
            world=_synthetic(),
            draws=32,
            horizon=168,
        ),
        Task(
            "equiload/GLBPaper-v0",
            "the paper's published trace, 457 hours: what was learned on generated worlds, once on "
            "a recorded one",
            world=_synthetic(),
            draws=1,
            horizon=457,
            recorded="equiload.envs.data.Bloom10Source",
        ),
        Task(
            "equiload/GLBPaperPartial-v0",
            "the same with the paper's partial reachability",
            world=_synthetic(),
            draws=1,
            horizon=457,
            reachability="partial",
            recorded="equiload.envs.data.Bloom10Source",
        ),
        Task(
            "equiload/GLBHard-v0",
            "a whole year of 22 regions, none of the paper's, each gateway reaching only what is "
            "near: long, large and seasonal",
            world=_synthetic(regions=list(_OTHERS)),
            draws=16,
            horizon=8760,
            reachability="partial",
        ),
        _with(
            "solar", "Solar", "GLBEasy with panels on every site: the sun is free where it shines"
        ),
        _with("storage", "Storage", "GLBEasy with a battery at every site: energy for later"),
        _with("training", "Training", "GLBEasy where three tenths of the work may wait"),
        _with("servers", "Servers", "GLBEasy with servers that can be switched off"),
        _with("models", "Models", "GLBEasy with smaller models for some of the requests"),
        _with("all", "Knobs", "GLBEasy with all of these at once"),
    )
}


def environment(task: str, **options: Any) -> GLBEnv:
    """An environment whose episodes are training draws of the task, but for other ``options``."""
    from equiload.envs.gym.single import GLBEnv

    return GLBEnv(**{**TASKS[task].options(), **options})


def environments(task: str, **options: Any) -> GLBVectorEnv:
    """The same, many at once."""
    from equiload.envs.gym.vector import GLBVectorEnv

    return GLBVectorEnv(**{**TASKS[task].options(), **options})
