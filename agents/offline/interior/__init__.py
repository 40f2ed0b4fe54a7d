"""A structured interior point for the linear program with knobs: linear in the number of slots.

``form`` lays a problem out, ``newton`` and ``blocks`` solve an iteration's system, ``method``
iterates, ``warm`` begins where an earlier window was, ``repair`` and ``solver`` certify what comes
out. Formulas: docs/interior.md.
"""

from equiload.agents.offline.interior.solver import WarmInterior, solve_interior

__all__ = ["WarmInterior", "solve_interior"]
