"""Everything that decides: greedy rules, eGLB, eGLB-MPC, eGLB-Off."""

from equiload.agents.eglb import EGLB
from equiload.agents.ensemble import Ensemble
from equiload.agents.equity import equity_for
from equiload.agents.greedy import GLBCost, GLBDist, GLBFootprint
from equiload.agents.levers import WithKnobs
from equiload.agents.mpc import EGLBMPC, EGLBPredicted
from equiload.agents.offline import EGLBOff, OfflineSolver, Solution
from equiload.agents.recorded import Recorded
from equiload.agents.rolling import RollingForesight, RollingHorizon
from equiload.agents.shadow import ShadowPrices

__all__ = [
    "EGLB",
    "EGLBMPC",
    "EGLBOff",
    "EGLBPredicted",
    "Ensemble",
    "GLBCost",
    "GLBDist",
    "GLBFootprint",
    "OfflineSolver",
    "Recorded",
    "RollingForesight",
    "RollingHorizon",
    "ShadowPrices",
    "Solution",
    "WithKnobs",
    "equity_for",
]
