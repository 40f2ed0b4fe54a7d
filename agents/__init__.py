"""Everything that decides: greedy rules, eGLB, eGLB-Off."""

from equiload.agents.eglb import EGLB
from equiload.agents.greedy import GLBCost, GLBDist, GLBFootprint
from equiload.agents.offline import EGLBOff, OfflineSolver, Solution
from equiload.agents.shadow import ShadowPrices

__all__ = [
    "EGLB",
    "EGLBOff",
    "GLBCost",
    "GLBDist",
    "GLBFootprint",
    "OfflineSolver",
    "ShadowPrices",
    "Solution",
]
