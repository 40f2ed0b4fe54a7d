"""Scenarios of a file: changes by name, each made to the same base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from equiload.agents import Recorded, equity_for
from equiload.envs import DataError, EquiloadError, Instance, rollout
from equiload.envs.checking import shown
from equiload.envs.data import Changes, changed
from equiload.envs.data.tables.entries import load_yaml, record
from equiload.envs.reading import note_read

#: The scenario that the others are compared with; what a file says of it holds in all of them.
BASE = "base"


class Scenario(Changes):
    """What else a scenario may say beside what an instance's :class:`Changes` are.

    Parameters
    ----------
    at_most
        By one footprint kind, what no region may carry of it in the horizon: the weight is the
        least at which eGLB-Off keeps to it (:func:`~equiload.agents.equity_for`).
    allocation
        A file of loads that are played in place of the algorithms, or options of such a file
        (:func:`~equiload.envs.data.tables.loads.read_loads`).
    """

    at_most: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default={}, max_length=1)
    allocation: str | dict[str, Any] | None = None


def read_scenarios(path: Path) -> dict[str, Scenario]:
    """The scenarios of a file by name, the base first.

    Raises
    ------
    DataError
        One sentence on the first thing that does not fit.
    """
    note_read(path)
    document = load_yaml(path)
    if not isinstance(document, dict) or not document:
        raise DataError(f"{path}: expected a mapping: the changes of each scenario by its name")
    scenarios = {BASE: Scenario()}
    for name, options in document.items():
        if not name.strip() or not name.isprintable():
            raise DataError(f"{path}: a scenario needs a name that can be printed, got {name!r}")
        what = f"{path}: scenario {shown(name)}"
        scenarios[name] = record(Scenario, options or {}, what, noun="change")
    return scenarios


@dataclass(frozen=True)
class Case:
    """A scenario's instance, and what is played in place of the algorithms, if anything is."""

    instance: Instance
    recorded: Recorded | None = None

    def named(self, name: str) -> Case:
        """The same with another name of the instance."""
        return replace(self, instance=self.instance.replace(name=name))


def applied(scenario: Scenario, base: Instance, folder: Path) -> Case:
    """The case that a scenario makes of the base; files that it names are relative to a folder.

    Raises
    ------
    EquiloadError
        What does not fit the base, cannot be served, or is no allocation of it.
    """
    from equiload.envs.data.tables.loads import read_loads  # pandas takes half a second to import

    instance = changed(base, scenario)
    for kind, limit in scenario.at_most.items():
        instance = instance.weighed({kind: equity_for(instance, kind, at_most=limit)})
    if scenario.allocation is None:
        return Case(instance)
    recorded = Recorded(read_loads(scenario.allocation, folder, instance))
    rollout(recorded, instance)  # refuses what is no allocation before anything is run
    return Case(instance, recorded)


@contextmanager
def about(path: Path, name: str) -> Iterator[None]:
    """Begin the sentence of an error with file and scenario; of any kind of error."""
    try:
        yield
    except EquiloadError as error:
        raise type(error)(f"{path}: scenario {shown(name)}: {error}") from None
