"""A row: what came of one algorithm on one instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from equiload.agents.offline import Solution, relative_gap
from equiload.envs import EquiloadError, Instance, Outcome
from equiload.robust import Certificate


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One algorithm on one instance.

    ``lower_bound`` (US$) is the best certified bound on eGLB-Off that the study knows, ``gap`` the
    algorithm's relative distance to it, ``seconds`` its wall-clock time. A robust policy brings its
    ``certificate``.
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

    def flat(self) -> dict[str, Any]:
        """Return the row as one line of a table: ``carbon_max``, ``carbon_par``, …."""
        return flat(self.as_dict())


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``results.json`` as one line: ``carbon_max``, ``carbon_par``, …; nothing nested."""
    line = {name: value for name, value in row.items() if not isinstance(value, Mapping)}
    for kind, values in row["footprints"].items():
        line |= {f"{kind}_{measure}": value for measure, value in values.items()}
    return line


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
