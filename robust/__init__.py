"""The guarantee: any policy, with a bound on how much worse than an expert it can be."""

from equiload.robust.blend import Blend, blend
from equiload.robust.bounds import Bounds
from equiload.robust.certificate import Certificate, lower_bound
from equiload.robust.environment import EnvironmentLayer, pooled
from equiload.robust.kernels import Ledger
from equiload.robust.methods import (
    BlendMethod,
    FixedMethod,
    Method,
    ProjectMethod,
    SwitchMethod,
)
from equiload.robust.policy import RobustLayer, RobustPolicy, footprint_bound
from equiload.robust.project import Projector
from equiload.robust.safe import Rates, SafeSet, Turn
from equiload.robust.spare import Sparing, spare_capacity
from equiload.robust.verify import verify
from equiload.robust.violations import Verification, Violation

__all__ = [
    "Blend",
    "BlendMethod",
    "Bounds",
    "Certificate",
    "EnvironmentLayer",
    "FixedMethod",
    "Ledger",
    "Method",
    "ProjectMethod",
    "Projector",
    "Rates",
    "RobustLayer",
    "RobustPolicy",
    "SafeSet",
    "Sparing",
    "SwitchMethod",
    "Turn",
    "Verification",
    "Violation",
    "blend",
    "footprint_bound",
    "lower_bound",
    "pooled",
    "spare_capacity",
    "verify",
]
