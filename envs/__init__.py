"""The world: instances, data, dispatch, dynamics."""

import equiload.envs.caching  # noqa: F401 - before any kernel
from equiload.envs.bounds import DualBound, dual_bound
from equiload.envs.dispatch import Dispatch
from equiload.envs.dynamics import (
    Decision,
    SlotCost,
    State,
    shadow_cost,
    slot_cost,
    transition,
)
from equiload.envs.errors import (
    DataError,
    EquiloadError,
    InfeasibleError,
    SolverError,
    UsageError,
)
from equiload.envs.feasibility import check_allocation
from equiload.envs.gym import register_environments
from equiload.envs.instance import Fleet, Instance, Objective, Trace
from equiload.envs.outcome import Outcome, rollout
from equiload.envs.policy import LoadPolicy, Policy, Trajectory
from equiload.envs.series import Series
from equiload.envs.setting import Physics, Setting, Slot

__all__ = [
    "DataError",
    "Decision",
    "Dispatch",
    "DualBound",
    "EquiloadError",
    "Fleet",
    "InfeasibleError",
    "Instance",
    "LoadPolicy",
    "Objective",
    "Outcome",
    "Physics",
    "Policy",
    "Series",
    "Setting",
    "Slot",
    "SlotCost",
    "SolverError",
    "State",
    "Trace",
    "Trajectory",
    "UsageError",
    "check_allocation",
    "dual_bound",
    "register_environments",
    "rollout",
    "shadow_cost",
    "slot_cost",
    "transition",
]

register_environments()
