"""A row: what came of one algorithm on one instance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equiload.agents.offline import Solution, relative_gap
from equiload.envs import Instance, Outcome
from equiload.experiments.results.records import InstanceRecord, ResultRow
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

    def record(self) -> ResultRow:
        """Return the row as it stands in ``results.json``."""
        outcome, solution = self.outcome, self.solution
        kinds = outcome.instance.trace.footprints
        measures = np.stack([outcome.max_footprint, outcome.mean_footprint, outcome.par], axis=-1)
        return ResultRow(
            algorithm=self.algorithm,
            reachability=self.reachability,
            energy_cost=float(outcome.energy_cost),
            objective=float(outcome.objective),
            lower_bound=self.lower_bound,
            gap=self.gap,
            seconds=self.seconds,
            footprints={
                kind: dict(zip(("max", "mean", "par"), numbers, strict=True))
                for kind, numbers in zip(kinds, measures.tolist(), strict=True)
            },
            solver=None if solution is None else {"status": solution.status, **solution.stats},
            certificate=None if self.certificate is None else self.certificate.verdict(),
            knobs=list(outcome.instance.knobs) or None,
            other_cost={cause: float(cost.sum()) for cause, cost in outcome.other_cost.items()}
            or None,
            operation=None
            if outcome.operation is None
            else {name: float(values.sum()) for name, values in outcome.operation.named().items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """Return :meth:`record` as plain values, without what the algorithm has not."""
        return {name: value for name, value in asdict(self.record()).items() if value is not None}

    def flat(self) -> dict[str, Any]:
        """Return the row as one line of a table: ``carbon_max``, ``carbon_par``, …."""
        return self.record().flat()


def describe(instance: Instance) -> InstanceRecord:
    """Return what an instance is, as in ``results.json``."""
    fleet, trace = instance.fleet, instance.trace
    return InstanceRecord(
        name=instance.name,
        slots=instance.horizon,
        start=f"{trace.timestamps[0]}Z",
        slot_seconds=int(np.diff(trace.timestamps[:2]).astype(int)[0])
        if instance.horizon > 1
        else None,
        datacenters=list(fleet.datacenters),
        gateways=list(fleet.gateways),
        regions=list(fleet.regions),
        region_of=fleet.region_of.tolist(),
        capacity=fleet.capacity.tolist(),
        location=None if fleet.location is None else fleet.location.tolist(),
        footprints=dict(zip(trace.footprints, trace.units, strict=True)),
        equity_weight=dict(instance.objective.equity_weight),
        provenance=dict(trace.provenance),
    )
